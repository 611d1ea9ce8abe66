//! `semroute report`: what the audit log says of a period.

mod table;

use std::time::{Duration, SystemTime};

use clap::Args;
use humantime_serde::re::humantime;

use super::audit::{Place, size, verify};
use super::progress::{Bar, Unit};
use super::{CommandError, Exit, print};
use crate::config::Config;
use crate::govern::audit::{LogPath, Note, Reader, Stamp};
use crate::govern::report::{Tally, TargetPrices};
use crate::routing::Target;

/// Report spend, latency, failures and failovers by route and target, and whether routing pays.
///
/// Reads the audit log; prices for the comparison with a single target are those of the configuration. A moment is a
/// date (2026-01-31), a time in UTC (2026-01-31T08:00:00Z) or a span before now (7d, 12h).
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  semroute report --from 7d\n  \
    semroute report --from 2026-01-01 --to 2026-02-01 --verify --json\n\n\
    Exit codes: 0 done, 1 the log cannot be read or, with --verify, is broken.")]
pub struct ReportArgs {
    #[command(flatten)]
    place: Place,
    /// Only requests recorded at this moment or later.
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    from: Option<Stamp>,
    /// Only requests recorded before this moment.
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    to: Option<Stamp>,
    /// Check the chain first, and report nothing if it is broken.
    #[arg(long)]
    verify: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ReportArgs, config: &Config) -> Result<Exit, CommandError> {
    if args.verify
        && let Some(fault) = verify(&args.place, None, config)?.fault
    {
        super::progress::note(&format!("the audit log is broken: {fault}"));
        return Ok(Exit::Failure);
    }
    let files = args.place.files(config)?;
    let mut tally = Tally::new(prices(config));
    let bar = Bar::new("reading", Unit::Bytes, Some(size(&files)));
    let mut done = 0;
    for (at, file) in files.iter().enumerate() {
        if !ends_before(files.get(at + 1), args.from) {
            let before = done;
            done += read(file, args, &mut tally, &mut |bytes| bar.set(before + bytes))?;
        }
    }
    bar.finish();
    let summary = tally.summary();
    print(&if args.json { serde_json::to_string_pretty(&summary).unwrap_or_default() } else { table::text(&summary) })?;
    Ok(Exit::Success)
}

/// All of a file is before `from` if the next one begins before it.
fn ends_before(next: Option<&LogPath>, from: Option<Stamp>) -> bool {
    let begin = next.and_then(|next| Reader::open(&next.path).ok()?.next_line().ok()?);
    begin.zip(from).is_some_and(|(begin, from)| begin.time < from)
}

/// Returns the bytes read.
fn read(
    file: &LogPath,
    args: &ReportArgs,
    tally: &mut Tally,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, CommandError> {
    let mut reader = Reader::open(&file.path)?;
    while let Some(line) = reader.next_line()? {
        if args.from.is_some_and(|from| line.time < from) {
            continue;
        }
        if args.to.is_some_and(|to| line.time >= to) {
            break;
        }
        if let Some(entry) = &line.entry {
            tally.add(line.time, entry);
        } else if let Some(Note::Lost { entries }) = line.note {
            tally.lost(entries);
        }
        progress(reader.bytes());
    }
    Ok(reader.bytes())
}

fn prices(config: &Config) -> TargetPrices {
    let routing = config.routing();
    let targets = routing.targets.iter().map(Target::from);
    TargetPrices {
        targets: targets.filter_map(|target| Some((target.name.to_string(), target.prices?))).collect(),
        default: routing.default_targets.first().map(ToString::to_string),
    }
}

fn moment(text: &str) -> Result<Stamp, String> {
    let of_day = || Stamp::parse(&format!("{text}T00:00:00Z"));
    let before = |span: Duration| Stamp::from(SystemTime::now()).minus(span);
    Stamp::parse(text)
        .or_else(of_day)
        .or_else(|| humantime::parse_duration(text).ok().map(before))
        .ok_or_else(|| "is no date, no time in UTC and no span: 2026-01-31, 2026-01-31T08:00:00Z, 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        let day = Stamp::parse("2026-01-31T00:00:00Z").unwrap();
        assert_eq!(moment("2026-01-31"), Ok(day));
        assert_eq!(moment("2026-01-31T00:00:00Z"), Ok(day));
        assert!(moment("7d").unwrap() < Stamp::now());
        for wrong in ["", "yesterday", "2026-13-01", "7"] {
            moment(wrong).unwrap_err();
        }
    }
}
