//! The gRPC face: requests are converted and validated here, errors become statuses here, and nowhere else.

mod admin;
mod admission;
mod bounds;
mod convert;
mod counted;
mod deadline;
mod delivery;
mod errand;
pub(crate) mod local;
mod methods;
pub mod pb;
mod references;
mod router;
mod server;
mod status;
mod violation;

pub use methods::methods;
pub use server::{BoundServer, ServeError};
