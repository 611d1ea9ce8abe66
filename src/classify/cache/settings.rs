//! `[cache]` of the configuration.

use std::time::Duration;

use serde::Deserialize;

use crate::classify::byte_size::ByteSize;

/// moka takes no longer time to live than 1,000 years; nobody needs a year.
const MAX_TTL: Duration = Duration::from_secs(366 * 86_400);

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// Most memory that the cache may take, as a number of bytes or a text such as `"64 MiB"`; 0 turns it off.
    pub max_bytes: ByteSize,
    /// How long evidence is kept; for as long as there is room if not given. It does not grow stale: a newly published
    /// version begins with nothing kept.
    #[serde(with = "humantime_serde")]
    pub ttl: Option<Duration>,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { max_bytes: ByteSize(64 << 20), ttl: None }
    }
}

impl CacheConfig {
    /// Every fault, as the path of the field below `cache` and what is wrong.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        if let Some(ttl) = self.ttl.filter(|ttl| ttl.is_zero() || *ttl > MAX_TTL) {
            faults.push(("ttl".to_owned(), format!("is {ttl:?}, must be over 0 s and up to 366 days")));
        }
        if self.max_bytes > ByteSize(1 << 40) {
            faults.push(("max_bytes".to_owned(), format!("is {}, must be up to 1024 GiB", self.max_bytes.0)));
        }
        faults
    }
}
