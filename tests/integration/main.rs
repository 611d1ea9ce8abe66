//! The service as a whole: in process on a free port, or the real binary where a process has to be killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

// Signals and links as Unix has them.
#[cfg(unix)]
mod binary;
mod caching;
mod collector;
mod expect;
mod observing;
mod outcome;
mod probe;
mod raw;
mod references;
#[path = "../support/scripted.rs"]
mod scripted;
mod server;

#[cfg(unix)]
mod command;
mod completing;
#[cfg(unix)]
mod damage;
mod deciding;
#[cfg(unix)]
mod dispatching;
mod embedding;
#[cfg(unix)]
mod examining;
mod importing;
#[cfg(unix)]
mod indexes;
mod keys;
#[cfg(unix)]
mod kills;
mod learning;
mod limits;
mod llm;
#[cfg(unix)]
mod load;
mod long;
mod managing;
mod paying;
mod publishing;
mod python;
#[cfg(unix)]
mod recording;
#[cfg(unix)]
mod recording_kills;
mod reflection;
#[cfg(unix)]
mod replaying;
mod routing;
mod rules;
mod shutdown;
mod streaming;
mod swapping;
#[cfg(unix)]
mod tls;
mod tools;
mod traces;
