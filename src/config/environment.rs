//! What is read from environment variables beside the fields themselves.

use std::path::PathBuf;

/// Reads a variable that the configuration names, such as a provider's key.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The key that commands send to a server, if the environment has one: `SEMROUTE_KEY`.
pub fn caller_key() -> Option<String> {
    environment("SEMROUTE_KEY").filter(|key| !key.is_empty())
}

/// Where the Hugging Face Hub keeps what others have downloaded, if that is to be known.
pub fn hub_cache() -> Option<PathBuf> {
    let home = environment("HF_HOME").map(PathBuf::from);
    let default = || environment("HOME").map(|home| PathBuf::from(home).join(".cache/huggingface"));
    home.or_else(default).map(|home| home.join("hub"))
}

/// The Hub's address or that of a mirror, if the environment names one.
pub fn hub_endpoint() -> Option<String> {
    environment("HF_ENDPOINT")
}
