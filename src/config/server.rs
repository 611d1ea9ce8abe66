//! `[server]` of the configuration.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

use crate::grpc::TlsConfig;

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    pub listen: SocketAddr,
    /// `[server.tls]`; without it the port speaks plain HTTP/2.
    pub tls: Option<TlsConfig>,
    /// Longest input of a request in bytes, 1 to 16 MiB.
    pub max_prompt_bytes: usize,
    /// Longest message in bytes, 64 KiB to 64 MiB.
    pub max_message_bytes: usize,
    /// Requests under way at once; one more is refused.
    pub max_concurrent_requests: usize,
    /// Time for a completion whose caller set no deadline.
    #[serde(with = "humantime_serde")]
    pub default_timeout: Duration,
    /// How long requests under way may take at shutdown.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 50051)),
            tls: None,
            max_prompt_bytes: 1 << 20,
            max_message_bytes: 8 << 20,
            max_concurrent_requests: 1024,
            default_timeout: Duration::from_secs(600),
            drain_timeout: Duration::from_secs(10),
        }
    }
}
