//! The service as a whole: in process on a free port, or the real binary where a process has to be killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

// Signals and links as Unix has them.
#[cfg(unix)]
mod binary;
mod caching;
mod expect;
mod observing;
mod outcome;
mod probe;
mod raw;
#[path = "../support/scripted.rs"]
mod scripted;
mod server;

#[cfg(unix)]
mod command;
mod completing;
#[cfg(unix)]
mod damage;
mod deciding;
mod embedding;
#[cfg(unix)]
mod examining;
#[cfg(unix)]
mod indexes;
#[cfg(unix)]
mod kills;
mod learning;
mod limits;
mod llm;
#[cfg(unix)]
mod load;
mod long;
mod managing;
mod publishing;
mod python;
mod reflection;
#[cfg(unix)]
mod replaying;
mod routing;
mod shutdown;
mod streaming;
