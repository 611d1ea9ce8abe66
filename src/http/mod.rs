//! The HTTP port: metrics for Prometheus, and probes. Apart from the gRPC port, so that neither load nor a proxy in
//! front of that one hides how the service is.

mod config;
mod pages;
mod server;
mod standing;

pub use config::{HttpConfig, Listen};
pub use server::{BoundHttp, HttpError};
pub use standing::Standing;
