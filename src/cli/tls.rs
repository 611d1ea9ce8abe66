//! How commands speak TLS to a server.

use std::path::{Path, PathBuf};

use clap::Args;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::CommandError;

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

impl TlsArgs {
    /// The endpoint with what its scheme asks for.
    pub(super) fn apply(&self, endpoint: Endpoint) -> Result<Endpoint, CommandError> {
        if endpoint.uri().scheme_str() != Some("https") {
            return Ok(endpoint);
        }
        // Asked for once; a second time changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut tls = match &self.ca {
            Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(path)?)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let (Some(certificate), Some(key)) = (&self.client_certificate, &self.client_key) {
            tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        let url = endpoint.uri().to_string();
        endpoint.tls_config(tls).map_err(|source| CommandError::Server { url, source })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    std::fs::read(path).map_err(|source| CommandError::ReadFile { path: path.to_owned(), source })
}
