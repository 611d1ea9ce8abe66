//! `[audit]` of the configuration.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::error::LogError;
use super::head::{MacKey, SHORTEST_SECRET};
use crate::classify::ByteSize;

/// What is recorded, where, and what happens if it cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    pub policy: Policy,
    pub record: Recorded,
    /// Default: `audit` in `data_dir`.
    pub dir: Option<PathBuf>,
    pub fsync: Fsync,
    pub rotate: Rotation,
    /// A file that is as long as this gets no more entries; 64 KiB to 1 TiB. Default: 256 MiB.
    pub max_file_bytes: ByteSize,
    /// Older files than the newest so many are deleted when a file is begun. Default: none is.
    pub keep_files: Option<NonZeroU32>,
    /// Files whose newest line is older than so many days are deleted when a file is begun. Default: none is.
    pub keep_days: Option<NonZeroU32>,
    /// Entries that wait to be written, 1 to 1,000,000. With `required` one more waits, else it is lost and counted.
    pub queue: usize,
    /// With `required`: longest time that an answer waits for its entry. Default: 5 s.
    #[serde(with = "humantime_serde")]
    pub max_wait: Duration,
    /// Variable with the secret for the head's MAC. Default: the head has none.
    pub mac_key_env: Option<String>,
}

/// What happens to a request that cannot be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Nothing is recorded.
    Off,
    /// It is answered; what is lost is counted. Answers do not wait for their entries, so that a process that is killed
    /// may lose the last of them.
    #[default]
    BestEffort,
    /// It is refused, if the log is known to fail before anything is sent to a provider. No answer goes out before its
    /// entry is written.
    Required,
}

/// Which requests are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    #[default]
    All,
    /// Only those that a provider was to answer: not Route and RouteBatch.
    Completions,
}

/// When the disk itself is waited for. However it is set, a killed process loses nothing that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Fsync {
    #[serde(rename = "never")]
    Never,
    /// After each batch, before its entries are confirmed.
    #[serde(rename = "batch")]
    Batch,
    /// Once a second: a machine that fails loses at most the last second.
    #[default]
    #[serde(rename = "1s")]
    EverySecond,
}

/// When a file is begun, beside its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    Never,
    /// At midnight in UTC.
    #[default]
    Daily,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            record: Recorded::default(),
            dir: None,
            fsync: Fsync::default(),
            rotate: Rotation::default(),
            max_file_bytes: ByteSize(256 << 20),
            keep_files: None,
            keep_days: None,
            queue: 4_096,
            max_wait: Duration::from_secs(5),
            mac_key_env: None,
        }
    }
}

impl AuditConfig {
    /// The key of the head's MAC; `None` if none is configured. `variable` reads one.
    pub fn mac_key(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Option<MacKey>, LogError> {
        let Some(name) = &self.mac_key_env else { return Ok(None) };
        let key = variable(name).as_deref().and_then(MacKey::new);
        let missing = || LogError::MacKey { variable: name.clone(), least: SHORTEST_SECRET };
        key.ok_or_else(missing).map(Some)
    }

    /// Whether so many entries that wait take half of the room.
    pub(super) fn is_half_full(&self, waiting: usize) -> bool {
        waiting.saturating_mul(2) >= self.queue
    }

    /// Everything that is wrong: field and fault.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut add = |field: &str, what: String| faults.push((field.to_owned(), what));
        let ByteSize(bytes) = self.max_file_bytes;
        if !((64 << 10)..=(1 << 40)).contains(&bytes) {
            add("max_file_bytes", format!("is {bytes} bytes, must be from 64 KiB to 1 TiB"));
        }
        if !(1..=1_000_000).contains(&self.queue) {
            add("queue", format!("is {}, must be from 1 to 1000000", self.queue));
        }
        if self.max_wait.is_zero() || self.max_wait > Duration::from_secs(600) {
            let found = humantime_serde::re::humantime::format_duration(self.max_wait);
            add("max_wait", format!("is {found}, must be more than 0 s and at most 10 min"));
        }
        if self.dir.as_ref().is_some_and(|dir| dir.as_os_str().is_empty()) {
            add("dir", "must not be empty; leave it out instead".to_owned());
        }
        if self.mac_key_env.as_deref().is_some_and(str::is_empty) {
            add("mac_key_env", "must not be empty; leave it out instead".to_owned());
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_told_at_once() {
        let faults = |text: &str| {
            let config: AuditConfig = toml::from_str(text).unwrap();
            config.faults().into_iter().map(|(field, _)| field).collect::<Vec<_>>()
        };
        assert!(faults("").is_empty());
        assert!(faults("policy = 'required'\nfsync = '1s'\nrotate = 'never'\nmax_file_bytes = '1 GiB'").is_empty());
        let wrong = "max_file_bytes = 1\nqueue = 0\nmax_wait = '0s'\ndir = ''\nmac_key_env = ''";
        assert_eq!(faults(wrong), ["max_file_bytes", "queue", "max_wait", "dir", "mac_key_env"]);
        for wrong in ["policy = 'maybe'", "fsync = '2s'", "keep_days = 0", "polcy = 'off'", "max_wait = 5"] {
            assert!(toml::from_str::<AuditConfig>(wrong).is_err(), "{wrong}");
        }
    }
}
