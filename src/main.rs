//! Parses the command line, runs the command, and turns its end into an exit code.

use std::process::ExitCode;

use clap::Parser;
use semroute::cli::{Cli, execute};

fn main() -> ExitCode {
    execute(Cli::parse())
}
