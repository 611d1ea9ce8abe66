//! TLS for the gRPC port: certificates from files, taken up anew when they change.

mod config;
mod incoming;
mod material;
mod reload;

pub use config::{ClientAuth, TlsConfig};
pub(super) use incoming::incoming;
pub use material::TlsError;
pub(super) use reload::Tls;
