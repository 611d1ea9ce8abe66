//! The TLS settings in use. Files that change are read anew; while they cannot be used, what was read before stays.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::config::TlsConfig;
use super::material::{TlsError, load};
use crate::telemetry::chain;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Clone it freely.
#[derive(Clone)]
pub(in crate::grpc) struct Tls(Arc<Inner>);

struct Inner {
    config: TlsConfig,
    present: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads and checks the files.
    pub(in crate::grpc) async fn load(config: TlsConfig) -> Result<Self, TlsError> {
        let present = ArcSwap::from_pointee(reading(config.clone()).await?);
        Ok(Self(Arc::new(Inner { config, present })))
    }

    /// For a connection that begins now.
    pub(super) fn present(&self) -> Arc<ServerConfig> {
        self.0.present.load_full()
    }

    /// Follows the files until `stop`.
    pub(in crate::grpc) async fn follow(self, stop: CancellationToken) {
        let mut seen = self.written().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let now = self.written().await;
            if now == seen {
                continue;
            }
            // One file is written after the other: what does not go together yet is tried again when the next is there.
            seen = now;
            match reading(self.0.config.clone()).await {
                Ok(loaded) => {
                    self.0.present.store(Arc::new(loaded));
                    tracing::info!("new connections get the certificate that has changed");
                }
                Err(error) => {
                    tracing::error!(error = %chain(&error), "a file of TLS has changed and cannot be used; the one before stays");
                }
            }
        }
    }

    /// When each file was written; `None` for one that is not there.
    async fn written(&self) -> Vec<Option<SystemTime>> {
        let TlsConfig { certificate, key, client_ca, .. } = &self.0.config;
        let mut written = Vec::new();
        for path in [Some(certificate), Some(key), client_ca.as_ref()].into_iter().flatten() {
            written.push(time_of(path).await);
        }
        written
    }
}

async fn time_of(path: &PathBuf) -> Option<SystemTime> {
    tokio::fs::metadata(path).await.ok()?.modified().ok()
}

async fn reading(config: TlsConfig) -> Result<ServerConfig, TlsError> {
    let path = config.certificate.clone();
    let read = tokio::task::spawn_blocking(move || load(&config)).await;
    read.unwrap_or_else(|panic| Err(TlsError::Read { field: "certificate", path, source: panic.into() }))
}
