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
            self.look(&mut seen).await;
        }
    }

    /// Takes up what has changed since `seen`, if it can be used.
    async fn look(&self, seen: &mut Written) {
        let now = self.written().await;
        if now == *seen {
            return;
        }
        // One file is written after the other: what does not go together yet is tried again when the next is there.
        *seen = now;
        match reading(self.0.config.clone()).await {
            Ok(loaded) => {
                self.0.present.store(Arc::new(loaded));
                tracing::info!("new connections get the certificate that has changed");
            }
            Err(error) => {
                let error = chain(&error);
                tracing::error!(error, "a file of TLS has changed and cannot be used; the one before stays");
            }
        }
    }

    async fn written(&self) -> Written {
        let TlsConfig { certificate, key, client_ca, .. } = &self.0.config;
        let mut written = Vec::new();
        for path in [Some(certificate), Some(key), client_ca.as_ref()].into_iter().flatten() {
            written.push(time_of(path).await);
        }
        written
    }
}

/// When each file was; `None` for one that is not there.
type Written = Vec<Option<SystemTime>>;

async fn time_of(path: &PathBuf) -> Option<SystemTime> {
    tokio::fs::metadata(path).await.ok()?.modified().ok()
}

async fn reading(config: TlsConfig) -> Result<ServerConfig, TlsError> {
    let path = config.certificate.clone();
    let read = tokio::task::spawn_blocking(move || load(&config)).await;
    read.unwrap_or_else(|panic| Err(TlsError::Read { field: "certificate", path, source: panic.into() }))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;

    use super::*;
    use crate::grpc::ClientAuth;

    /// Written so many seconds after the epoch.
    fn write(path: &Path, text: &str, at: u64) {
        std::fs::write(path, text).unwrap();
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(at)).unwrap();
    }

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[tokio::test]
    async fn a_change_is_taken_up_once_it_goes_together() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        let (first, second) = (pair(), pair());
        write(&certificate, &first.0, 1);
        write(&key, &first.1, 1);
        let config = TlsConfig {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca: None,
            client_auth: ClientAuth::Off,
        };
        let tls = Tls::load(config).await.unwrap();
        let mut seen = tls.written().await;
        let before = tls.present();
        let mut took = async |what: &str, expected: bool| {
            tls.look(&mut seen).await;
            assert_eq!(!Arc::ptr_eq(&before, &tls.present()), expected, "{what}");
        };
        took("nothing", false).await;
        write(&certificate, &second.0, 2);
        took("half of it", false).await;
        write(&key, "nonsense", 3);
        took("nonsense", false).await;
        std::fs::remove_file(&key).unwrap();
        took("a file that has gone", false).await;
        write(&key, &second.1, 4);
        took("all of it", true).await;
    }
}
