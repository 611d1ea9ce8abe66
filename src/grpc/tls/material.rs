//! What the files hold, and whether it goes together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};

use super::config::{ClientAuth, TlsConfig};

/// Larger files are something else.
const MAX_FILE_BYTES: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("server.tls.{field}: {} cannot be read", path.display())]
    Read {
        field: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("server.tls.{field}: {} has {bytes} bytes, at most {MAX_FILE_BYTES} are read", path.display())]
    TooLarge { field: &'static str, path: PathBuf, bytes: u64 },
    #[error("server.tls.{field}: {} holds no certificate in PEM", path.display())]
    NoCertificate { field: &'static str, path: PathBuf },
    #[error("server.tls.{field}: a certificate in {} cannot be used", path.display())]
    Certificate {
        field: &'static str,
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("server.tls.key: {} holds no private key in PEM", path.display())]
    NoKey { path: PathBuf },
    #[error("server.tls.key: the key in {} is encrypted; give one that is not, readable by this server alone", path.display())]
    EncryptedKey { path: PathBuf },
    #[error("server.tls.key: {} is not the key of the certificate in {}", path.display(), certificate.display())]
    Mismatch { path: PathBuf, certificate: PathBuf },
    #[error("server.tls: what the files hold cannot be used")]
    Unusable(#[source] rustls::Error),
}

/// Reads and checks everything.
pub(super) fn load(config: &TlsConfig) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certified = certified(config, &provider)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(TlsError::Unusable)?;
    let builder = match verifier(config, provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut server = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    server.alpn_protocols = vec![b"h2".to_vec()];
    Ok(server)
}

fn certified(config: &TlsConfig, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = certificates("certificate", &config.certificate)?;
    let key = private_key(&config.key)?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::Mismatch { path: config.key.clone(), certificate: config.certificate.clone() }
        }
        other => TlsError::Unusable(other),
    })
}

fn verifier(
    config: &TlsConfig,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let Some(path) = config.client_ca.as_ref().filter(|_| config.client_auth != ClientAuth::Off) else {
        return Ok(None);
    };
    let field = "client_ca";
    let unusable =
        |source: Box<dyn std::error::Error + Send + Sync>| TlsError::Certificate { field, path: path.clone(), source };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(field, path)? {
        roots.add(certificate).map_err(|error| unusable(error.into()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match config.client_auth {
        ClientAuth::Optional => builder.allow_unauthenticated(),
        ClientAuth::Off | ClientAuth::Required => builder,
    };
    builder.build().map(Some).map_err(|error| unusable(error.into()))
}

fn certificates(field: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(field, path)?;
    let found = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| TlsError::Certificate {
        field,
        path: path.to_owned(),
        source: error.to_string().into(),
    })?;
    if found.is_empty() { Err(TlsError::NoCertificate { field, path: path.to_owned() }) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read("key", path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        // Of a key that cannot be read nothing is repeated but this.
        let encrypted = String::from_utf8_lossy(&bytes).contains("ENCRYPTED");
        let path = path.to_owned();
        if encrypted { TlsError::EncryptedKey { path } } else { TlsError::NoKey { path } }
    })
}

fn read(field: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { field, path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(TlsError::TooLarge { field, path: path.to_owned(), bytes });
    }
    std::fs::read(path).map_err(failed)
}
