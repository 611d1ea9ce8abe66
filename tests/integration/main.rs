//! The service as a whole: in process on a free port, or the real binary where a process has to be killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod outcome;
mod raw;
#[path = "../support/scripted.rs"]
mod scripted;
mod server;

mod completing;
mod embedding;
mod limits;
mod llm;
mod routing;
mod shutdown;
mod streaming;
