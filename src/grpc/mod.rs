//! The gRPC face: requests are converted and validated here, errors become statuses here, and nowhere else.

mod access;
mod admin;
mod admission;
mod auth;
mod bounds;
mod codec;
mod convert;
mod counted;
mod deadline;
mod delivery;
mod ending;
mod errand;
mod govern;
mod journey;
mod keys;
pub(crate) mod local;
mod methods;
pub mod pb;
mod record;
mod references;
mod router;
mod server;
mod status;
mod tls;
mod traced;
mod violation;

pub use methods::methods;
pub use server::{BoundServer, ServeError};
pub use tls::{ClientAuth, TlsConfig, TlsError};
