//! The generated messages and services of `proto/semroute/v1`.

#![allow(missing_docs, clippy::all, unreachable_pub)]

tonic::include_proto!("semroute.v1");

/// Descriptors of all files, for the reflection service and for tests.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/semroute_descriptor.bin"));
