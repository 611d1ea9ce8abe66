//! The key under which prompts are hashed: random, in a file of its own that only its owner may read.

use std::io::{self, Write};
use std::path::Path;

use super::chain::Link;
use super::error::LogError;

const NAME: &str = "prompt-hash.key";

#[derive(Clone)]
pub struct PromptKey([u8; 32]);

impl std::fmt::Debug for PromptKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl PromptKey {
    /// The key in `data_dir`, made if there is none. Of several processes that make it at once, all get the same.
    pub fn load_or_make(data_dir: &Path) -> Result<Self, LogError> {
        if let Some(key) = Self::load(data_dir)? {
            return Ok(key);
        }
        let path = data_dir.join(NAME);
        std::fs::create_dir_all(data_dir).map_err(LogError::io("make the folder", data_dir))?;
        let made = Self(rand::random());
        match made.keep(&path, data_dir) {
            Ok(()) => Ok(made),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Self::load(data_dir)?.ok_or_else(|| LogError::io("read", &path)(error))
            }
            Err(error) => Err(LogError::io("make", &path)(error)),
        }
    }

    /// `None` if there is none.
    pub fn load(data_dir: &Path) -> Result<Option<Self>, LogError> {
        let path = data_dir.join(NAME);
        match std::fs::read_to_string(&path) {
            Ok(hex) => match blake3::Hash::from_hex(hex.trim()) {
                Ok(key) => Ok(Some(Self(key.into()))),
                Err(_) => Err(LogError::PromptKey(path)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LogError::io("read", &path)(error)),
        }
    }

    /// Keyed BLAKE3 in hex.
    pub fn hash(&self, text: &str) -> String {
        Link::keyed(&self.0, text.as_bytes()).to_string()
    }

    /// Whole or not at all: it gets its name when it is written. Temporary files are their owner's alone (mode 600).
    fn keep(&self, path: &Path, dir: &Path) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        writeln!(file, "{}", blake3::Hash::from_bytes(self.0).to_hex())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path).map(drop).map_err(|error| error.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_is_its_owners_alone() {
        let dir = tempfile::TempDir::new().unwrap();
        let key = PromptKey::load_or_make(dir.path()).unwrap();
        let again = PromptKey::load_or_make(dir.path()).unwrap();
        assert_eq!(key.hash("hello"), again.hash("hello"));
        assert_ne!(key.hash("hello"), key.hash("hello "));
        assert_ne!(key.hash("hello"), Link::of(b"hello").to_string());
        let path = dir.path().join(NAME);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&path, "no key").unwrap();
        assert!(matches!(PromptKey::load_or_make(dir.path()), Err(LogError::PromptKey(_))));
    }
}
