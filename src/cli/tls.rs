//! How commands reach a server, over TLS where its address says so.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::CommandError;
use crate::config::Config;

const SECURE: &str = "https://";

#[derive(Debug, Args)]
pub(super) struct TlsArgs {
    /// Authorities that the server's certificate may be signed by, in PEM [default: those of the system].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A certificate to show to a server that asks for one, in PEM.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// Its private key, in PEM.
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
}

/// The address of a server with its scheme: as it is named, or the configured one. As `semroute serve` prints it will
/// do.
pub(super) fn url(named: Option<&str>, config: &Config) -> String {
    match named {
        Some(named) if named.contains("://") => named.to_owned(),
        Some(named) => format!("http://{named}"),
        None if config.server.tls.is_some() => format!("{SECURE}{}", config.server.listen),
        None => format!("http://{}", config.server.listen),
    }
}

impl TlsArgs {
    /// The endpoint with what its scheme asks for.
    pub(super) fn apply(&self, endpoint: Endpoint) -> Result<Endpoint, CommandError> {
        let url = endpoint.uri().to_string();
        if !url.starts_with(SECURE) {
            return Ok(endpoint);
        }
        // Asked for once; a second time changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut tls = match &self.ca {
            Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(path)?)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let Some((certificate, key)) = self.identity() {
            tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        endpoint.tls_config(tls).map_err(|source| CommandError::Server { url, source })
    }

    /// The same for whoever speaks HTTP/2 without tonic; `None` if the address asks for no TLS.
    pub(super) fn for_url(&self, url: &str) -> Result<Option<Arc<ClientConfig>>, CommandError> {
        if !url.starts_with(SECURE) {
            return Ok(None);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(CommandError::Tls)?.with_root_certificates(self.roots()?);
        let mut tls = match self.identity() {
            Some((certificate, key)) => {
                let wrong = |path: &Path| CommandError::Pem { path: path.to_owned() };
                let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| wrong(key))?;
                builder.with_client_auth_cert(certificates(certificate)?, private).map_err(CommandError::Tls)?
            }
            None => builder.with_no_client_auth(),
        };
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Some(Arc::new(tls)))
    }

    fn roots(&self) -> Result<RootCertStore, CommandError> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(CommandError::Tls)?;
                }
            }
            // Among a system's authorities there are always some that nobody can read.
            None => {
                let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        Ok(roots)
    }

    fn identity(&self) -> Option<(&Path, &Path)> {
        self.client_certificate.as_deref().zip(self.client_key.as_deref())
    }
}

/// At least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CommandError> {
    let found = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, _>>().unwrap_or_default();
    if found.is_empty() { Err(CommandError::Pem { path: path.to_owned() }) } else { Ok(found) }
}

fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    std::fs::read(path).map_err(|source| CommandError::ReadFile { path: path.to_owned(), source })
}
