//! The log as a whole: written, damaged, verified; and what it does on disks that are full, gone or slow.

mod bad_days;
mod tampering;

use std::path::Path;

use tempfile::TempDir;

use super::config::AuditConfig;
use super::disk::opener;
use super::entry::{Decided, Entry, Method};
use super::folder::files;
use super::head::MacKey;
use super::line::{Line, Note, What};
use super::reader::Reader;
use super::stamp::Stamp;
use super::verify::{FaultKind, Verified, Verify};
use super::writer::Writer;

/// 2026-01-31T00:00:00Z.
const BEGIN: u64 = 1_769_817_600_000;
const DAY: u64 = 86_400_000;

fn at(millis: u64) -> Stamp {
    Stamp::from_millis(BEGIN + millis)
}

fn entry(number: usize) -> Entry {
    let decision = Decided { id: format!("decision-{number}"), ..Decided::default() };
    Entry { method: Method::Complete, code: "OK".to_owned(), decision: Some(decision), ..Entry::default() }
}

fn config(toml: &str) -> AuditConfig {
    toml::from_str(toml).unwrap()
}

fn open(dir: &Path, toml: &str, now: Stamp) -> Writer {
    Writer::open(dir, config(toml), None, opener(), now).unwrap()
}

/// Writes so many entries, each by itself.
fn write(writer: &mut Writer, entries: usize, now: Stamp) {
    for number in 0..entries {
        writer.write(&[What::Entry(&entry(number))], now).unwrap();
    }
}

fn verify(dir: &Path) -> Verified {
    Verify { dir, from: None, key: None }.run(&mut |_| {}).unwrap()
}

#[track_caller]
fn whole(dir: &Path) -> Verified {
    let verified = verify(dir);
    assert_eq!(verified.fault, None);
    verified
}

fn lines(dir: &Path) -> Vec<Line> {
    let mut lines = Vec::new();
    for file in files(dir).unwrap() {
        let mut reader = Reader::open(&file.path).unwrap();
        while let Some(line) = reader.next_line().unwrap() {
            lines.push(line);
        }
    }
    lines
}

fn notes(dir: &Path) -> Vec<Note> {
    lines(dir).into_iter().filter_map(|line| line.note).collect()
}

fn names(dir: &Path) -> Vec<String> {
    files(dir).unwrap().iter().map(super::LogPath::name).collect()
}

#[test]
fn what_is_written_is_read_again_in_order() {
    let dir = TempDir::new().unwrap();
    let mut writer = open(dir.path(), "", at(5));
    write(&mut writer, 3, at(7));
    drop(writer);
    let found = lines(dir.path());
    assert_eq!(found.iter().map(|line| line.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(found[2].entry, Some(entry(0)));
    assert_eq!((found[0].time, found[4].time), (at(5), at(7)));
    let verified = whole(dir.path());
    assert_eq!((verified.files, verified.lines, verified.entries, verified.newest), (1, 5, 3, 5));
    assert_eq!(names(dir.path()), ["audit-00000001-20260131.jsonl"]);
}

#[test]
fn the_chain_goes_on_over_files_and_starts() {
    let dir = TempDir::new().unwrap();
    for start in 0..3 {
        // By length within a day, and by day.
        let mut writer = open(dir.path(), "max_file_bytes = 2000", at(start * DAY));
        write(&mut writer, 20, at(start * DAY));
    }
    let verified = whole(dir.path());
    assert_eq!((verified.entries, verified.past_head), (60, 0));
    assert!(verified.files > 6, "{verified:?}");
    assert!(names(dir.path()).last().unwrap().ends_with("-20260202.jsonl"));
    let third = &names(dir.path())[2];
    let part = Verify { dir: dir.path(), from: Some(third), key: None }.run(&mut |_| {}).unwrap();
    assert_eq!((part.fault, part.files, part.newest), (None, verified.files - 2, verified.newest));
    let none = Verify { dir: dir.path(), from: Some("nowhere"), key: None }.run(&mut |_| {}).unwrap();
    assert_eq!(none.fault.unwrap().kind, FaultKind::NoSuchFile);
}

#[test]
fn old_files_are_deleted_and_the_chain_says_so() {
    let dir = TempDir::new().unwrap();
    let mut writer = open(dir.path(), "keep_files = 2", at(0));
    for day in 0..5 {
        write(&mut writer, 1, at(day * DAY));
    }
    assert_eq!(names(dir.path()), ["audit-00000004-20260203.jsonl", "audit-00000005-20260204.jsonl"]);
    whole(dir.path());
    // One more than the log says was deleted.
    std::fs::remove_file(dir.path().join("audit-00000004-20260203.jsonl")).unwrap();
    assert_eq!(verify(dir.path()).fault.unwrap().kind, FaultKind::OldestMissing { through: 4 });

    let by_age = TempDir::new().unwrap();
    let mut writer = open(by_age.path(), "keep_days = 2", at(0));
    for day in [0, 1, 2, 3, 4, 9] {
        write(&mut writer, 1, at(day * DAY));
    }
    // A clock that jumps ahead is believed once a line has been written by it.
    assert_eq!(names(by_age.path()).len(), 6);
    write(&mut writer, 1, at(10 * DAY));
    let kept = ["audit-00000005-20260204.jsonl", "audit-00000006-20260209.jsonl", "audit-00000007-20260210.jsonl"];
    assert_eq!(names(by_age.path()), kept);
    whole(by_age.path());
}

#[test]
fn a_head_with_a_mac_tells_a_chain_that_was_made_anew() {
    let dir = TempDir::new().unwrap();
    let key = MacKey::new("a secret of the operator").unwrap();
    let mut writer = Writer::open(dir.path(), config(""), Some(key.clone()), opener(), at(0)).unwrap();
    write(&mut writer, 3, at(0));
    drop(writer);
    let with = |key: &MacKey| Verify { dir: dir.path(), from: None, key: Some(key) }.run(&mut |_| {}).unwrap();
    assert_eq!(with(&key).fault, None);
    assert_eq!(serde_json::to_value(with(&key)).unwrap()["signature"], "valid");
    assert_eq!(serde_json::to_value(verify(dir.path())).unwrap()["signature"], "unchecked");
    let other = MacKey::new("a secret of somebody else").unwrap();
    assert_eq!(with(&other).fault.unwrap().kind, FaultKind::Forged);
    // Whoever has no key makes the chain anew: it is valid in itself.
    for file in files(dir.path()).unwrap() {
        std::fs::remove_file(file.path).unwrap();
    }
    std::fs::remove_file(dir.path().join("head")).unwrap();
    write(&mut open(dir.path(), "", at(0)), 3, at(0));
    whole(dir.path());
    assert_eq!(with(&key).fault.unwrap().kind, FaultKind::Unsigned);
}
