//! A provider's key: read once, never printed.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use reqwest::header::HeaderValue;

/// Longest key in bytes; a file that is longer is not a key.
const MAX_KEY_BYTES: usize = 16 * 1024;

/// A key. `Debug` prints `***`, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Secret {
    /// Takes a key, without the white space around it. `None`: it is empty, longer than 16 KiB or not a header's value.
    pub fn new(key: &str) -> Option<Self> {
        let key = key.trim();
        let usable = !key.is_empty() && key.len() <= MAX_KEY_BYTES && HeaderValue::from_str(key).is_ok();
        usable.then(|| Self(key.into()))
    }

    /// Reads a key from a file such as a mounted secret. `Ok(None)`: the content is not a key.
    pub(super) fn from_file(path: &Path) -> std::io::Result<Option<Self>> {
        use std::io::Read;

        let mut key = String::new();
        std::fs::File::open(path)?.take(MAX_KEY_BYTES as u64 + 1).read_to_string(&mut key)?;
        Ok(Self::new(&key))
    }

    /// The header's value, marked so that HTTP/2 does not index it and `Debug` does not show it.
    pub(super) fn header(&self, prefix: &str) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("{prefix}{}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// For a client that sends it by itself.
    #[cfg(feature = "bedrock")]
    pub(super) fn exposed(&self) -> &str {
        &self.0
    }

    /// Whether `text` shows the key or a recognisable part of it; a provider masks a key by keeping its ends.
    pub(super) fn shows_in(&self, text: &str) -> bool {
        const PART: usize = 6;
        let key: Vec<char> = self.0.chars().collect();
        if key.len() <= PART {
            return text.contains(&*self.0);
        }
        key.windows(PART).any(|part| text.contains(&part.iter().collect::<String>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_trimmed_and_never_printed() {
        let secret = Secret::new("sk-12345\n").unwrap();
        assert_eq!(secret, Secret::new("sk-12345").unwrap());
        assert_eq!(format!("{secret:?}"), "***");
        assert!(format!("{:?}", secret.header("Bearer ").unwrap()).contains("Sensitive"));
        for bad in ["", "  \n", "a\nb", "a\u{0}b", &"k".repeat(MAX_KEY_BYTES + 1)] {
            assert_eq!(Secret::new(bad), None);
        }
    }

    #[test]
    fn a_key_is_read_from_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "sk-from-a-file\r\n").unwrap();
        assert_eq!(Secret::from_file(&path).unwrap(), Secret::new("sk-from-a-file"));
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(Secret::from_file(&path).unwrap(), None);
        assert!(Secret::from_file(&directory.path().join("absent")).is_err());
    }

    #[test]
    fn parts_of_a_key_are_noticed() {
        let secret = Secret::new("sk-proj-abcdef1234567890").unwrap();
        assert!(secret.shows_in("Incorrect API key provided: sk-proj-********7890."));
        assert!(!secret.shows_in("Incorrect API key provided."));
    }
}
