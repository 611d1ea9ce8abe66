//! Any single change is found.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A log of several files, and where they are.
fn log(dir: &Path) -> Vec<PathBuf> {
    let mut writer = open(dir, "max_file_bytes = 1500\nfsync = 'never'", at(0));
    write(&mut writer, 12, at(1));
    drop(writer);
    let mut writer = open(dir, "max_file_bytes = 1500\nfsync = 'never'", at(2));
    write(&mut writer, 6, at(3));
    files(dir).unwrap().into_iter().map(|file| file.path).collect()
}

#[derive(Debug, Clone)]
enum Change {
    Flip { byte: usize, bit: u8 },
    Remove { line: usize },
    Repeat { line: usize },
    Swap { line: usize },
    Cut { byte: usize },
    Insert { byte: usize, value: u8 },
    RemoveFile,
}

fn changes() -> impl Strategy<Value = (usize, Change)> {
    let number = any::<usize>();
    let change = prop_oneof![
        4 => (number, 0u8..8).prop_map(|(byte, bit)| Change::Flip { byte, bit }),
        2 => number.prop_map(|line| Change::Remove { line }),
        2 => number.prop_map(|line| Change::Repeat { line }),
        2 => number.prop_map(|line| Change::Swap { line }),
        3 => number.prop_map(|byte| Change::Cut { byte }),
        2 => (number, any::<u8>()).prop_map(|(byte, value)| Change::Insert { byte, value }),
        1 => Just(Change::RemoveFile),
    ];
    (number, change)
}

/// Makes the change; false if it changes nothing.
fn make(path: &Path, change: &Change) -> bool {
    let whole = std::fs::read(path).unwrap();
    let mut lines: Vec<Vec<u8>> = whole.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let mut bytes = whole.clone();
    let count = lines.len();
    match *change {
        Change::Flip { byte, bit } => {
            let at = byte % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        Change::Cut { byte } => bytes.truncate(byte % bytes.len()),
        // At the very end there would be an unfinished line, which a crash leaves as well.
        Change::Insert { byte, value } => bytes.insert(byte % bytes.len(), value),
        Change::Remove { line } => {
            lines.remove(line % count);
            bytes = lines.concat();
        }
        Change::Repeat { line } => {
            lines.insert(line % count, lines[line % count].clone());
            bytes = lines.concat();
        }
        Change::Swap { line } => {
            lines.swap(line % count, (line + 1) % count);
            bytes = lines.concat();
        }
        Change::RemoveFile => {
            std::fs::remove_file(path).unwrap();
            return true;
        }
    }
    std::fs::write(path, &bytes).unwrap();
    bytes != whole
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn any_single_change_of_a_log_is_found((file, change) in changes()) {
        let dir = TempDir::new().unwrap();
        let paths = log(dir.path());
        prop_assert_eq!(verify(dir.path()).fault, None);
        if make(&paths[file % paths.len()], &change) {
            let fault = verify(dir.path()).fault;
            prop_assert!(fault.is_some(), "{:?} of file {} is not found", change, file % paths.len());
        }
    }

    /// Nor does a start over the damage make it unseen, unless nothing but an unfinished line is left.
    #[test]
    fn a_start_does_not_hide_a_change((file, change) in changes()) {
        let dir = TempDir::new().unwrap();
        let paths = log(dir.path());
        if make(&paths[file % paths.len()], &change) {
            let mut writer = open(dir.path(), "max_file_bytes = 1500\nfsync = 'never'", at(4));
            write(&mut writer, 2, at(5));
            drop(writer);
            let fault = verify(dir.path()).fault;
            prop_assert!(fault.is_some(), "{:?} of file {} is hidden", change, file % paths.len());
        }
    }

    #[test]
    fn a_file_of_anything_is_no_trouble(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("audit-00000001-20260131.jsonl"), &bytes).unwrap();
        prop_assert!(verify(dir.path()).fault.is_some());
        write(&mut open(dir.path(), "fsync = 'never'", at(0)), 1, at(0));
    }
}

#[test]
fn the_first_fault_says_where_and_what() {
    let check = |expected: &str, change: &dyn Fn(&Path, &[PathBuf])| {
        let dir = TempDir::new().unwrap();
        let paths = log(dir.path());
        change(dir.path(), &paths);
        assert_eq!(verify(dir.path()).fault.map(|fault| fault.to_string()).as_deref(), Some(expected));
    };
    check(
        "audit-00000002-20260131.jsonl, line 2: the line was changed: its bytes do not give its hash",
        &|_, paths| {
            let text = std::fs::read_to_string(&paths[1]).unwrap();
            std::fs::write(&paths[1], text.replacen("\"OK\"", "\"NO\"", 1)).unwrap();
        },
    );
    check(
        "audit-00000001-20260131.jsonl, line 3: the line does not follow the one before it: lines were removed, put in \
         or moved here",
        &|_, paths| {
            let text = std::fs::read_to_string(&paths[0]).unwrap();
            let kept: Vec<&str> =
                text.split_inclusive('\n').enumerate().filter(|(at, _)| *at != 2).map(|(_, l)| l).collect();
            std::fs::write(&paths[0], kept.concat()).unwrap();
        },
    );
    check("audit-00000003-20260131.jsonl: the files 2 to 2 before it are missing", &|_, paths| {
        std::fs::remove_file(&paths[1]).unwrap();
    });
    check("head: it is missing: whether lines are missing at the end of the log cannot be told", &|dir, _| {
        std::fs::remove_file(dir.join("head")).unwrap();
    });
    check("head: it counts 25 lines, the newest in the files is 24: lines are missing at the end", &|_, paths| {
        let last = paths.last().unwrap();
        let text = std::fs::read_to_string(last).unwrap();
        let kept = text.trim_end().rfind('\n').unwrap() + 1;
        std::fs::write(last, &text[..kept]).unwrap();
    });
}
