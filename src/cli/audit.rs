//! `semroute audit`: checks the audit log and looks into it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::progress::{Bar, Unit};
use super::{CommandError, Exit, print};
use crate::config::{self, Config};
use crate::govern::audit::{Entry, Line, LogPath, PromptKey, ReadError, Reader, Signature, Verified, Verify, files};
use crate::prompt;

/// Check the audit log, or look into it.
///
/// Works on the files alone: a server may be running or not.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    Verify(VerifyArgs),
    Tail(TailArgs),
    Show(ShowArgs),
}

/// Check that no line was removed, changed, put in or moved.
///
/// Prints number and hash of the newest line: kept elsewhere, they tell later whether the whole log was put back to an
/// older state. With audit.mac_key_env configured and the variable set, the head's MAC is checked too; without it a
/// chain that somebody with access to the folder has made anew cannot be told from the true one.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 the chain is whole, 1 it is not (the first fault is told) or cannot be read.")]
struct VerifyArgs {
    #[command(flatten)]
    place: Place,
    /// Begin with this file; what lies before it is not looked at.
    #[arg(long, value_name = "FILE")]
    from: Option<String>,
    /// Print what was found as JSON.
    #[arg(long)]
    json: bool,
}

/// Show the newest entries.
#[derive(Debug, Args)]
struct TailArgs {
    #[command(flatten)]
    place: Place,
    /// So many.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    lines: usize,
    /// Print whole lines of the log.
    #[arg(long)]
    json: bool,
}

/// Find entries and show all that they hold.
#[derive(Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    wanted: Wanted,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Wanted {
    /// The entry with this decision id.
    #[arg(long, value_name = "ID")]
    decision: Option<String>,
    /// All entries with this x-request-id.
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// All entries of this prompt: its text is hashed with the key in the data folder.
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Place {
    /// The log's folder [default: audit.dir of the configuration, or `audit` in its data_dir].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Place {
    pub(super) fn folder(&self, config: &Config) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| config.audit.folder(&config.data_dir))
    }

    /// # Errors
    /// There is no log.
    pub(super) fn files(&self, config: &Config) -> Result<Vec<LogPath>, CommandError> {
        let dir = self.folder(config);
        let found = files(&dir).map_err(ReadError::io(&dir))?;
        if found.is_empty() { Err(CommandError::NoAuditLog(dir)) } else { Ok(found) }
    }
}

pub fn run(args: AuditArgs, config: &Config) -> Result<Exit, CommandError> {
    match args.command {
        AuditCommand::Verify(args) => {
            let verified = verify(&args.place, args.from.as_deref(), config)?;
            print(&if args.json { json(&verified) } else { as_text(&verified) })?;
            Ok(if verified.fault.is_none() { Exit::Success } else { Exit::Failure })
        }
        AuditCommand::Tail(args) => tail(&args, config),
        AuditCommand::Show(args) => show(&args, config),
    }
}

pub(super) fn verify(place: &Place, from: Option<&str>, config: &Config) -> Result<Verified, CommandError> {
    let dir = place.folder(config);
    // Files that were all removed leave the head, which is evidence.
    if !dir.join("head").exists() {
        place.files(config)?;
    }
    let total = size(&files(&dir).map_err(ReadError::io(&dir))?);
    // A key that is configured and not set is no reason not to look.
    let key = config.audit.mac_key(config::environment).ok().flatten();
    let bar = Bar::new("checking", Unit::Bytes, Some(total));
    let verified = Verify { dir: &dir, from, key: key.as_ref() }.run(&mut |bytes| bar.set(bytes))?;
    bar.finish();
    Ok(verified)
}

pub(super) fn size(files: &[LogPath]) -> u64 {
    files.iter().filter_map(|file| std::fs::metadata(&file.path).ok()).map(|file| file.len()).sum()
}

fn json(verified: &Verified) -> String {
    serde_json::to_string_pretty(verified).unwrap_or_default()
}

fn as_text(verified: &Verified) -> String {
    let mut text = match &verified.fault {
        Some(fault) => format!("The chain is broken.\n{fault}\n"),
        None => "The chain is whole.\n".to_owned(),
    };
    let mut add = |line: String| text.push_str(&format!("{line}\n"));
    add(format!(
        "{} files, {} lines, {} entries; newest line {} with hash {}",
        verified.files, verified.lines, verified.entries, verified.newest, verified.hash
    ));
    add(match verified.signature {
        Signature::Valid => "The head's MAC is valid.",
        Signature::Unchecked => "The head's MAC is not checked: its key is not set.",
        Signature::None => "The head has no MAC: a chain that was made anew would look the same.",
    }
    .to_owned());
    if verified.past_head > 0 {
        add(format!("{} lines behind those that the head counts: just written, or before a kill", verified.past_head));
    }
    if verified.unfinished_bytes > 0 {
        add(format!(
            "{} bytes of an unfinished line at the end: being written, or before a kill",
            verified.unfinished_bytes
        ));
    }
    if verified.lost > 0 {
        add(format!("{} entries could not be written, as the log itself notes", verified.lost));
    }
    text.trim_end().to_owned()
}

/// The newest entries of all files, oldest first.
fn tail(args: &TailArgs, config: &Config) -> Result<Exit, CommandError> {
    let mut found: VecDeque<String> = VecDeque::new();
    for file in args.place.files(config)?.iter().rev() {
        let mut here: VecDeque<String> = VecDeque::new();
        let room = args.lines - found.len();
        each(&file.path, &mut |line, text| {
            if let Some(entry) = &line.entry {
                here.push_back(if args.json { text.to_owned() } else { short(line, entry) });
                if here.len() > room {
                    here.pop_front();
                }
            }
            Ok(())
        })?;
        here.append(&mut found);
        found = here;
        if found.len() >= args.lines {
            break;
        }
    }
    for line in found {
        print(&line)?;
    }
    Ok(Exit::Success)
}

fn show(args: &ShowArgs, config: &Config) -> Result<Exit, CommandError> {
    let wanted = &args.wanted;
    let hash = match &wanted.prompt {
        Some(text) => {
            let key = PromptKey::load(&config.data_dir)?.ok_or(CommandError::NoPromptKey)?;
            Some(key.hash(&prompt::words_of(text)))
        }
        None => None,
    };
    let is_wanted = |entry: &Entry| {
        let decision = entry.decision.as_ref().map(|decision| decision.id.as_str());
        let same = |wanted: &Option<String>, found: Option<&str>| wanted.is_some() && wanted.as_deref() == found;
        same(&wanted.decision, decision)
            || same(&wanted.request, entry.request_id.as_deref())
            || same(&hash, entry.prompt.as_deref())
    };
    let mut exit = Exit::Failure;
    for file in args.place.files(config)? {
        each(&file.path, &mut |line, text| {
            if line.entry.as_ref().is_some_and(is_wanted) {
                exit = Exit::Success;
                let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
                print(&format!("{value:#}"))?;
            }
            Ok(())
        })?;
    }
    if exit == Exit::Failure {
        super::progress::note("no such entry");
    }
    Ok(exit)
}

/// Each line of a file, with its text.
fn each(path: &Path, take: &mut dyn FnMut(&Line, &str) -> Result<(), CommandError>) -> Result<(), CommandError> {
    let mut reader = Reader::open(path)?;
    while let Some(line) = reader.next_line()? {
        take(&line, reader.text())?;
    }
    Ok(())
}

/// One line for one entry.
fn short(line: &Line, entry: &Entry) -> String {
    let decision = entry.decision.as_ref();
    let route = decision.and_then(|decision| decision.route.as_deref()).unwrap_or("-");
    let tried: Vec<String> =
        entry.attempts.iter().map(|attempt| format!("{}={}", attempt.target, attempt.outcome)).collect();
    let tried = if tried.is_empty() { "-".to_owned() } else { tried.join(",") };
    let id = decision.map_or("-", |decision| decision.id.as_str());
    let took = entry.took_us as f64 / 1e3;
    let method = format!("{:?}", entry.method);
    format!("{} {method} {} {took:.1}ms route={route} {tried} {id}", line.time, entry.code)
}
