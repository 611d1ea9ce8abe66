//! Crashes, full disks, folders that go, clocks that jump.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::govern::audit::disk::{Disk, Opener};
use crate::govern::audit::error::{AuditError, LogError};
use crate::govern::audit::handle::Audit;

/// A disk with room for so many more bytes. What does not fit is written in part, as a full disk does.
struct Small {
    disk: Box<dyn Disk>,
    room: Arc<AtomicUsize>,
    can_cut: bool,
}

impl Disk for Small {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = self.room.load(Ordering::Relaxed);
        let fits = bytes.len().min(room);
        self.disk.append(&bytes[..fits])?;
        self.room.store(room - fits, Ordering::Relaxed);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        if self.can_cut || self.room.load(Ordering::Relaxed) > 0 {
            self.disk.cut(len)
        } else {
            Err(io::ErrorKind::Other.into())
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.sync()
    }

    fn is_there(&self) -> bool {
        self.disk.is_there()
    }
}

fn small(room: &Arc<AtomicUsize>, can_cut: bool) -> Opener {
    let (real, room) = (opener(), Arc::clone(room));
    Box::new(move |path, new| Ok(Box::new(Small { disk: real(path, new)?, room: Arc::clone(&room), can_cut })))
}

#[test]
fn a_full_disk_leaves_whole_lines_and_the_log_goes_on_when_there_is_room() {
    for (can_cut, room) in [(true, 3_000), (false, 3_000), (true, 700), (false, 2_950)] {
        let dir = TempDir::new().unwrap();
        let room = Arc::new(AtomicUsize::new(room));
        let mut writer =
            Writer::open(dir.path(), config("max_file_bytes = 1000"), None, small(&room, can_cut), at(0)).unwrap();
        let mut written = 0;
        for number in 0..40 {
            if number == 30 {
                room.store(1 << 20, Ordering::Relaxed);
            }
            match writer.write(&[What::Entry(&entry(number))], at(1)) {
                Ok(()) => written += 1,
                Err(error) => assert!(matches!(error, LogError::Io { .. }), "{error}"),
            }
        }
        drop(writer);
        let verified = whole(dir.path());
        assert_eq!(verified.entries, written, "cut: {can_cut}");
        assert!((10..40).contains(&written), "{written}");
    }
}

#[test]
fn what_a_crash_leaves_unfinished_is_kept_aside() {
    let dir = TempDir::new().unwrap();
    write(&mut open(dir.path(), "", at(0)), 2, at(0));
    let path = dir.path().join(&names(dir.path())[0]);
    let mut bytes = std::fs::read(&path).unwrap();
    let whole_bytes = bytes.len();
    bytes.extend_from_slice(b"{\"v\":1,\"seq\":5,\"ti");
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(whole(dir.path()).unfinished_bytes, 18);
    write(&mut open(dir.path(), "", at(1)), 1, at(1));
    let kept_in = format!("torn-00000001-{whole_bytes}.part");
    assert_eq!(std::fs::read(dir.path().join(&kept_in)).unwrap(), b"{\"v\":1,\"seq\":5,\"ti");
    assert!(notes(dir.path()).contains(&Note::Repaired { bytes: 18, kept_in }));
    assert_eq!(whole(dir.path()).entries, 3);
    // A crash while a file is begun: its number is taken again.
    std::fs::write(dir.path().join("audit-00000002-20260131.jsonl"), b"{\"v\":1").unwrap();
    whole(dir.path());
    write(&mut open(dir.path(), "max_file_bytes = 1", at(2)), 1, at(2));
    assert_eq!(names(dir.path()).len(), 3);
    whole(dir.path());
}

#[test]
fn lines_behind_the_head_are_taken_and_told_and_missing_ones_stay_missing() {
    let dir = TempDir::new().unwrap();
    let mut writer = open(dir.path(), "", at(0));
    let old_head = std::fs::read(dir.path().join("head")).unwrap();
    write(&mut writer, 3, at(0));
    let head = std::fs::read(dir.path().join("head")).unwrap();
    drop(writer);
    std::fs::write(dir.path().join("head"), old_head).unwrap();
    assert_eq!(whole(dir.path()).past_head, 3);
    drop(open(dir.path(), "", at(0)));
    assert!(matches!(notes(dir.path()).last(), Some(Note::Opened { past_head: 3, missing: 0, .. })));
    whole(dir.path());

    let path = dir.path().join(&names(dir.path())[0]);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    std::fs::write(&path, lines[..3].concat()).unwrap();
    std::fs::write(dir.path().join("head"), head).unwrap();
    drop(open(dir.path(), "", at(0)));
    assert!(matches!(notes(dir.path()).last(), Some(Note::Opened { missing: 2, .. })));
    assert_eq!(verify(dir.path()).fault.unwrap().kind, FaultKind::Sequence { expected: 4, found: 6 });
}

#[test]
fn a_clock_that_is_set_back_is_noted_once_and_times_stand_still() {
    let dir = TempDir::new().unwrap();
    let mut writer = open(dir.path(), "", at(2 * DAY));
    for now in [2 * DAY - 500, DAY, DAY + 5, 2 * DAY + 9, 0] {
        write(&mut writer, 1, at(now));
    }
    assert_eq!(notes(dir.path())[1..], [Note::Clock { back_ms: DAY }, Note::Clock { back_ms: 2 * DAY + 9 }]);
    assert_eq!(lines(dir.path()).last().unwrap().time, at(2 * DAY + 9));
    assert_eq!(whole(dir.path()).files, 1);
}

#[test]
fn a_folder_that_is_removed_is_noticed_and_what_is_gone_is_missed() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("audit");
    let mut writer = open(&folder, "", at(0));
    write(&mut writer, 2, at(0));
    std::fs::remove_dir_all(&folder).unwrap();
    write(&mut writer, 2, at(1));
    assert_eq!(notes(&folder), [Note::Gone { number: 1 }]);
    assert_eq!(lines(&folder).last().unwrap().seq, 8);
    assert_eq!(verify(&folder).fault.unwrap().kind, FaultKind::OldestMissing { through: 1 });
    // Another process is kept out by the new lock.
    assert!(matches!(Writer::open(&folder, config(""), None, opener(), at(2)), Err(LogError::Locked(_))));
}

#[test]
fn one_process_writes_at_a_time() {
    let dir = TempDir::new().unwrap();
    let required = config("policy = 'required'");
    let first = Audit::start(required.clone(), dir.path(), None).unwrap();
    assert!(matches!(Audit::start(required, dir.path(), None), Err(LogError::Locked(_))));
    drop(first);
}

fn start(dir: &Path, toml: &str) -> Audit {
    Audit::start(config(toml), dir, None).unwrap()
}

#[tokio::test]
async fn with_required_an_entry_is_there_when_it_is_confirmed() {
    let dir = TempDir::new().unwrap();
    // Most of them have to wait for room.
    let audit = start(dir.path(), "policy = 'required'\nfsync = 'batch'\nqueue = 8");
    audit.ready().unwrap();
    let folder = dir.path().join("audit");
    let handle = audit.clone();
    let all = (0..200).map(|number| handle.record(entry(number)));
    for recorded in futures_util::future::join_all(all).await {
        recorded.unwrap();
    }
    assert_eq!(whole(&folder).entries, 200);
    audit.close().await;
    assert_eq!(notes(&folder).last(), Some(&Note::Closed));
    assert_eq!((audit.stats().written, audit.stats().lost), (200, 0));
    assert_eq!(audit.record(entry(0)).await, Err(AuditError::Closed));
}

#[tokio::test]
async fn a_log_that_fails_refuses_with_required_and_goes_on_by_itself() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("audit");
    let audit = start(dir.path(), "policy = 'required'");
    audit.record(entry(0)).await.unwrap();
    // In the place of the folder a file: nobody can write there, whatever his rights.
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    assert!(matches!(audit.record(entry(1)).await, Err(AuditError::Failing { .. })));
    assert!(matches!(audit.ready(), Err(AuditError::Failing { .. })));
    assert!(audit.stats().is_failing);
    std::fs::remove_file(&folder).unwrap();
    let mended = async {
        while audit.ready().is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), mended).await.unwrap();
    audit.record(entry(2)).await.unwrap();
    assert!(notes(&folder).contains(&Note::Lost { entries: 1 }));
    audit.close().await;
}

#[tokio::test]
async fn with_best_effort_what_finds_no_room_is_counted_and_noted() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("audit");
    std::fs::write(&folder, "in the way").unwrap();
    let audit = start(dir.path(), "queue = 3");
    for number in 0..5 {
        audit.record(entry(number)).await.unwrap();
    }
    audit.ready().unwrap();
    let all_lost = async {
        while audit.stats().lost < 5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all_lost).await.unwrap();
    std::fs::remove_file(&folder).unwrap();
    let mended = async {
        while audit.stats().is_failing {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), mended).await.unwrap();
    audit.close().await;
    let verified = whole(&folder);
    assert_eq!((verified.entries, verified.lost), (0, 5));
}

#[tokio::test]
async fn with_best_effort_a_small_queue_is_emptied_before_it_is_full() {
    let dir = TempDir::new().unwrap();
    let an_hour = Duration::from_secs(3_600);
    let audit = Audit::start_gathering(config("queue = 8"), dir.path(), None, an_hour).unwrap();
    let has_room = async || {
        while audit.stats().waiting >= 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    for number in 0..101 {
        tokio::time::timeout(Duration::from_secs(20), has_room()).await.unwrap();
        audit.record(entry(number)).await.unwrap();
    }
    // Fewer than half of the room may still be gathered.
    assert!(audit.stats().written > 101 - 8 && audit.stats().lost == 0, "{:?}", audit.stats());
}

#[test]
fn nothing_is_recorded_with_off() {
    let dir = TempDir::new().unwrap();
    let audit = start(dir.path(), "policy = 'off'");
    assert!(!audit.wants(Method::Complete));
    assert_eq!(audit.hash_prompt("x"), None);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let some = start(dir.path(), "record = 'completions'");
    assert!(some.wants(Method::CompleteStream) && !some.wants(Method::RouteBatch));
}
