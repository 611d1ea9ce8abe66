//! The commands, one file each, and how they write: results to standard output, progress and notes to standard error.

mod audit;
mod bench;
mod building;
mod doctor;
mod eval;
mod key;
pub mod model;
mod policy_args;
pub mod progress;
mod references;
mod reindex;
mod replay;
mod report;
mod route;
mod serve;
mod tls;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::app::{self, StartError};
use crate::config::{Config, ConfigError};
use crate::embed::EmbedError;
use crate::evaluate::{BillError, PricesError};
use crate::govern::audit::{LogError, ReadError};
use crate::govern::keys::{IdError, KeyError};
use crate::grpc::ServeError;
use crate::http::HttpError;
use crate::load;
use crate::model::{ModelError, Registry};
use crate::prompt::PromptError;
use crate::publish::BuildError;
use crate::reference::{FileError, NameError, SetName, StoreError};
use crate::telemetry::{self, TelemetryError, Traces, chain};

/// A semantic router for LLM prompts.
///
/// Decides by similarity to labelled reference prompts which route a prompt belongs to, in this process and on the
/// CPU; asks an LLM only when it is unsure; and sends the prompt to the provider of that route. Start with
/// `semroute serve`.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// Configuration file [default: semroute.toml, if it exists].
    ///
    /// Every field has a default. Environment variables go over the file: SEMROUTE__SERVER__LISTEN sets server.listen.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Route(route::RouteArgs),
    Reindex(reindex::ReindexArgs),
    Eval(Box<eval::EvalArgs>),
    Doctor(doctor::DoctorArgs),
    Key(Box<key::KeyArgs>),
    Replay(replay::ReplayArgs),
    Model(model::ModelArgs),
    Bench(bench::BenchArgs),
    Audit(audit::AuditArgs),
    Report(report::ReportArgs),
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Files(#[from] FileError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    KeyId(#[from] IdError),
    #[error("a test prompt {0}")]
    Prompt(#[from] PromptError),
    #[error(transparent)]
    Embed(#[from] Arc<EmbedError>),
    #[error(
        "reference set {0} has no published version in the store: run `semroute serve` or `semroute reindex` first"
    )]
    NotPublished(SetName),
    #[error("SEMROUTE_KEY holds no key")]
    CallerKey,
    #[error("no server answers at {url}")]
    Server {
        url: String,
        #[source]
        source: tonic::transport::Error,
    },
    #[error("{} holds no certificate or key in PEM", .path.display())]
    Pem { path: PathBuf },
    #[error("the certificates or the key cannot be used")]
    Tls(#[source] rustls::Error),
    #[error("the server at {url} has gone, and gave no answer")]
    Lost { url: String },
    #[error("{} ({:?})", .0.message(), .0.code())]
    Answer(Box<tonic::Status>),
    #[error("{} cannot be read", .path.display())]
    ReadFile {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} cannot be written", .path.display())]
    WriteFile {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the prices in {} cannot be used", .path.display())]
    Prices {
        path: PathBuf,
        #[source]
        source: PricesError,
    },
    #[error("there is no bill")]
    Bill(#[from] BillError),
    #[error(transparent)]
    Load(#[from] load::Error),
    #[error("there is no audit log in {}", .0.display())]
    NoAuditLog(PathBuf),
    #[error("there is no key for hashes of prompts in the data folder: nothing was recorded with it")]
    NoPromptKey,
    #[error(transparent)]
    ReadLog(#[from] ReadError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Replay(#[from] crate::replay::Error),
    #[error("standard input cannot be read")]
    Input(#[source] io::Error),
    #[error("the result cannot be written")]
    Output(#[from] io::Error),
    #[error("the asynchronous runtime cannot be started")]
    Runtime(#[source] io::Error),
    #[error("signals cannot be listened for")]
    Signals(#[source] io::Error),
    #[error("a thread panicked: {0}")]
    Panicked(String),
}

impl From<EmbedError> for CommandError {
    fn from(error: EmbedError) -> Self {
        Self::Embed(Arc::new(error))
    }
}

/// Runs a command to its end. Exit codes: 0 done, 1 the answer is no or the command failed, 2 wrong usage.
pub fn execute(cli: Cli) -> ExitCode {
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            progress::note(&format!("error: {}", chain(&error)));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<Exit, CommandError> {
    let config = Config::load(cli.config.as_deref())?;
    // Only a server has traces to tell.
    let traces = match &cli.command {
        Command::Serve(_) => Traces::new(&config.telemetry, &crate::config::environment)?,
        _ => None,
    };
    telemetry::start(&config.log, traces.as_ref().map(|(traces, _)| traces));
    let export = traces.map(|(_, export)| export);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CommandError::Runtime)?;
    let ended = runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => serve::run(args, config, export).await,
            Command::Route(args) => route::run(args, config).await,
            Command::Reindex(args) => reindex::run(args, config).await,
            Command::Eval(args) => eval::run(*args, config).await,
            Command::Doctor(args) => doctor::run(args, config).await,
            Command::Key(args) => key::run(*args, config).await,
            Command::Replay(args) => replay::run(args, config).await,
            Command::Bench(args) => bench::run(args, config).await,
            Command::Audit(args) => audit::run(args, &config),
            Command::Report(args) => report::run(&args, &config),
            Command::Model(args) => {
                let registry = Registry::new(&config.models_dir);
                let options = app::pull_options(&config);
                Ok(model::run(args, &registry, &config.embedding.model, &options).await?)
            }
        }
    });
    // Blocking work that nobody waits for any more must not keep the process.
    runtime.shutdown_background();
    ended
}

/// How a command ended that could do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Success,
    /// It did its work, and the answer is no: exit code 1.
    Failure,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::SUCCESS,
            Exit::Failure => Self::FAILURE,
        }
    }
}

/// Writes `text` and a line's end to standard output. A reader that has gone (`semroute ... | head`) is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    quiet_if_gone(writeln!(io::stdout().lock(), "{text}"))
}

fn quiet_if_gone(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
