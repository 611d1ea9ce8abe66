//! The gRPC face: requests are converted and validated here, errors become statuses here, and nowhere else.

mod admin;
mod admission;
mod bounds;
mod convert;
mod deadline;
mod delivery;
pub(crate) mod local;
pub mod pb;
mod references;
mod router;
mod server;
mod status;
mod violation;

pub use server::{BoundServer, ServeError};
