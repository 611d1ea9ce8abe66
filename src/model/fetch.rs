//! `pull`: makes a model's folder whole, from the first sources that have what is missing.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::error::{Attempt, FetchError, ModelError, Result};
use super::files::ModelFiles;
use super::manifest::{FileSpec, SourceSpec};
use super::progress::{Report, SharedProgress, Silent};
use super::registry::Model;
use super::source::{self, Order};
use super::staging::{Staging, blocking};
use super::verify::{Depth, FileStatus};

pub const DEFAULT_HUB_ENDPOINT: &str = "https://huggingface.co";

/// What a pull may be told. The defaults need no setting.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// The folder meant by a source of kind "folder" that names no path.
    pub folder: Option<PathBuf>,
    /// Scheme and host of the Hub or of a mirror (what `HF_ENDPOINT` holds).
    pub hub_endpoint: String,
    /// The Hub's cache on this machine (`$HF_HOME/hub`, usually `~/.cache/huggingface/hub`). `None`: not looked at.
    pub hub_cache: Option<PathBuf>,
    /// Longest time for name resolution, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Longest time without a byte.
    pub idle_timeout: Duration,
    /// How to call pip, program first. `None`: the usual ways in turn.
    pub pip: Option<Vec<OsString>>,
    /// A folder of wheels that pip takes instead of its index.
    pub pip_find_links: Option<PathBuf>,
    /// pip's own `--timeout`, in whole seconds: of connecting and of silence. It tries twice.
    pub pip_timeout: Duration,
    /// After so long pip is stopped, whatever it does.
    pub pip_limit: Duration,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            folder: None,
            hub_endpoint: DEFAULT_HUB_ENDPOINT.to_owned(),
            hub_cache: None,
            connect_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(30),
            pip: None,
            pip_find_links: None,
            pip_timeout: Duration::from_secs(15),
            pip_limit: Duration::from_secs(1800),
        }
    }
}

/// Makes sure that all files of `model` lie in its folder, whole, and resolves them. What is there already is checked
/// (stamped files cost nothing) and not fetched; a file with a wrong size or hash is replaced. Of several processes
/// that pull at once, one fetches and the others wait for it. Dropping the future stops the work.
///
/// Errors: `NotFetched` with every source that was tried and why it failed; `Damaged` if the files are whole but no
/// BERT encoder of the manifest's dimension; `TooLittleSpace`, `DiskFull`, `Denied`, `Io` with their path.
pub async fn pull(model: &Model, options: &PullOptions, progress: &SharedProgress) -> Result<ModelFiles> {
    // Without the lock first: a folder that is whole may lie on a read-only disk.
    if wanted(model, &Silent::shared()).await?.is_empty() {
        return open(model, progress).await;
    }
    let staging = Staging::enter(&model.dir, progress).await?;
    // Whoever held the lock before may have fetched everything.
    let files = wanted(model, progress).await?;
    if !files.is_empty() {
        staging.require_space(files.iter().filter_map(|file| file.size).sum())?;
        fetch(model, files, &staging, options, progress).await?;
    }
    open(model, progress).await
}

/// The files that are missing or damaged; `progress` hears of the damaged ones.
async fn wanted(model: &Model, progress: &SharedProgress) -> Result<Vec<FileSpec>> {
    let (owned, sink) = (model.clone(), Arc::clone(progress));
    let reports = blocking(&model.dir, move |_| owned.inspect(Depth::Stamped, &sink)).await?;
    let mut files = Vec::new();
    for report in reports {
        match report.status {
            FileStatus::Whole { .. } | FileStatus::Unchecked { .. } => continue,
            FileStatus::Missing => {}
            FileStatus::Damaged(fault) => progress.report(Report::Note(&format!("replacing {fault}"))),
        }
        files.extend(model.manifest.file(&report.path).cloned());
    }
    Ok(files)
}

async fn fetch(
    model: &Model,
    mut files: Vec<FileSpec>,
    staging: &Arc<Staging>,
    options: &PullOptions,
    progress: &SharedProgress,
) -> Result<()> {
    let mut attempts = Vec::new();
    for source in &model.manifest.sources {
        let order = Order { staging, model: model.name(), files: &files, options, progress };
        match source::fetch(source, &order).await {
            Ok(()) => {
                let names: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
                progress.report(Report::Note(&format!("{} came from: {source}", names.join(", "))));
                return Ok(());
            }
            Err(FetchError::Local(error)) => return Err(error),
            Err(FetchError::Source(reason)) => {
                let attempt = Attempt { source: source.to_string(), reason };
                // That nobody named a folder is the usual case and worth a word only if nothing else helps.
                if !(matches!(source, SourceSpec::Folder { path: None }) && options.folder.is_none()) {
                    progress.report(Report::Note(&attempt.to_string()));
                }
                attempts.push(attempt);
            }
        }
        // What it did deliver before it failed need not come from the next one.
        files = wanted(model, &Silent::shared()).await?;
        if files.is_empty() {
            return Ok(());
        }
    }
    let files = files.into_iter().map(|file| file.path).collect();
    Err(ModelError::NotFetched { name: model.name().to_owned(), files, attempts })
}

async fn open(model: &Model, progress: &SharedProgress) -> Result<ModelFiles> {
    let (owned, sink) = (model.clone(), Arc::clone(progress));
    blocking(&model.dir, move |_| owned.open(&sink)).await
}
