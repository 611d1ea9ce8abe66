//! Writes the log: knows the end of the chain, begins files and deletes old ones. The time is an argument; what a failed
//! write leaves is taken back, so that the chain goes on where it was.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::config::{AuditConfig, Fsync, Rotation};
use super::disk::Opener;
use super::error::LogError;
use super::folder::{Lock, LogPath, files, sync_names};
use super::head::{self, Found, Head, HeadFile, MacKey};
use super::line::{ChainEnd, FileHeader, Note, What};
use super::log_file::LogFile;
use super::opening::find_end;
use super::stamp::Stamp;

/// A clock that is set back by less is one that is kept in step.
const CLOCK_SLACK: Duration = Duration::from_secs(1);

const DAY: Duration = Duration::from_secs(86_400);

pub(super) struct Writer {
    dir: PathBuf,
    config: AuditConfig,
    mac: Option<MacKey>,
    opener: Opener,
    lock: Lock,
    /// Of the newest line that is written.
    end: ChainEnd,
    /// `None`: the next line begins a file.
    file: Option<LogFile>,
    next_number: u64,
    head: Option<HeadFile>,
    /// To be written before anything else.
    notes: Vec<Note>,
    /// To be deleted once the chain says so.
    outdated: Vec<PathBuf>,
    /// The clock is behind the newest line, and that is noted.
    is_behind: bool,
    bytes: Vec<u8>,
}

impl Writer {
    /// Goes on with the log in `dir`, or begins one; writes that it was opened.
    pub(super) fn open(
        dir: &Path,
        config: AuditConfig,
        mac: Option<MacKey>,
        opener: Opener,
        now: Stamp,
    ) -> Result<Self, LogError> {
        std::fs::create_dir_all(dir).map_err(LogError::io("make the folder", dir))?;
        let lock = Lock::take(dir)?;
        let found = head::read(dir).map_err(LogError::io("read", &head::path(dir)))?;
        let ending = find_end(dir)?;
        let opened = opened(&found, &ending);
        let head = found.head();
        let newest = ending.file.as_ref().map(|(path, _)| path.number);
        let number = newest.max(head.map(|head| head.file)).unwrap_or(0);
        // A file with a damaged end is left as it is.
        let file = match ending.file.filter(|_| ending.end.is_some()) {
            Some((path, len)) => {
                let failed = LogError::io("open", &path.path);
                Some(LogFile::open(&opener, path, len).map_err(failed)?)
            }
            None => None,
        };
        let of_head = head.map(|head| ChainEnd { seq: head.seq, link: head.hash, time: Stamp::ZERO });
        let end = ending.end.or(of_head).unwrap_or(ChainEnd::NONE);
        // Lines that the head has counted are not counted again: the gap stays to be seen.
        let end = ChainEnd { seq: end.seq.max(head.map_or(0, |head| head.seq)), ..end };
        let mut notes = ending.notes;
        notes.push(opened);
        let mut writer = Self {
            dir: dir.to_owned(),
            config,
            mac,
            opener,
            lock,
            end,
            file,
            next_number: number.saturating_add(1),
            head: None,
            notes,
            outdated: Vec::new(),
            is_behind: false,
            bytes: Vec::new(),
        };
        writer.write(&[], now)?;
        Ok(writer)
    }

    /// Writes all of `lines`, or none of them; only if the head alone fails, they are there all the same.
    pub(super) fn write(&mut self, lines: &[What<'_>], now: Stamp) -> Result<(), LogError> {
        self.stay_in_place()?;
        self.watch_clock(now);
        if self.file.as_ref().is_none_or(|file| self.is_full(file, now)) {
            self.begin_file(now)?;
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut end = self.end;
        self.bytes.clear();
        for what in self.notes.iter().map(What::Note).chain(lines.iter().copied()) {
            end.add(what, now, &mut self.bytes)?;
        }
        file.append(&self.bytes).map_err(LogError::io("write to", &file.path.path))?;
        self.end = end;
        self.notes.clear();
        // One batch of long lines must not keep its memory for ever.
        self.bytes.shrink_to(1 << 20);
        self.write_head()?;
        self.delete_outdated();
        Ok(())
    }

    /// Waits for the disk.
    pub(super) fn sync(&mut self) -> Result<(), LogError> {
        if let Some(file) = &mut self.file {
            file.sync().map_err(LogError::io("sync", &file.path.path))?;
        }
        if let Some(head) = &self.head {
            head.sync().map_err(LogError::io("sync", &head::path(&self.dir)))?;
        }
        Ok(())
    }

    /// Files that somebody has removed while they were written to would take all that comes into nowhere.
    fn stay_in_place(&mut self) -> Result<(), LogError> {
        if self.file.as_ref().is_none_or(LogFile::is_there) && self.lock.is_there() {
            return Ok(());
        }
        std::fs::create_dir_all(&self.dir).map_err(LogError::io("make the folder", &self.dir))?;
        if !self.lock.is_there() {
            self.lock = Lock::take(&self.dir)?;
        }
        if let Some(gone) = self.file.take_if(|file| !file.is_there()) {
            tracing::error!(file = gone.path.name(), "a file of the audit log was removed while it was written to");
            self.notes.push(Note::Gone { number: gone.path.number });
        }
        self.head = None;
        Ok(())
    }

    fn watch_clock(&mut self, now: Stamp) {
        let back = self.end.time.since(now);
        if back.is_zero() {
            self.is_behind = false;
        } else if back > CLOCK_SLACK && !self.is_behind {
            self.is_behind = true;
            tracing::warn!(?back, "the clock is behind the audit log, whose times stand still until it has caught up");
            self.notes.push(Note::Clock { back_ms: u64::try_from(back.as_millis()).unwrap_or(u64::MAX) });
        }
    }

    fn is_full(&self, file: &LogFile, now: Stamp) -> bool {
        let other_day = match self.config.rotate {
            Rotation::Daily => now.max(self.end.time).day() != file.path.day,
            Rotation::Never => false,
        };
        other_day || file.len() >= self.config.max_file_bytes.0
    }

    fn begin_file(&mut self, now: Stamp) -> Result<(), LogError> {
        let is_synced = self.config.fsync != Fsync::Never;
        if let Some(file) = self.file.as_mut().filter(|_| is_synced) {
            file.sync().map_err(LogError::io("sync", &file.path.path))?;
        }
        let path = LogPath::new(&self.dir, self.next_number, now.max(self.end.time));
        let place = path.path.clone();
        let mut end = self.end;
        self.bytes.clear();
        end.add(What::File(&FileHeader { number: path.number }), now, &mut self.bytes)?;
        let mut file = LogFile::create(&self.opener, path).map_err(LogError::io("create", &place))?;
        if let Err(error) = file.append(&self.bytes) {
            // Without its first line it is none of the log's.
            let _ = std::fs::remove_file(&place);
            return Err(LogError::io("write to", &place)(error));
        }
        if is_synced && let Err(error) = sync_names(&self.dir) {
            // Else the next try would find its name taken.
            let _ = std::fs::remove_file(&place);
            return Err(LogError::io("sync", &self.dir)(error));
        }
        // A clock that jumps ahead for a moment must not make everything old: the newest line before is asked, too.
        let before = self.end.time;
        self.end = end;
        self.file = Some(file);
        self.next_number = self.next_number.saturating_add(1);
        self.find_outdated(if before == Stamp::ZERO { now } else { now.min(before) })
    }

    fn find_outdated(&mut self, now: Stamp) -> Result<(), LogError> {
        let all = files(&self.dir).map_err(LogError::io("list", &self.dir))?;
        let count = outdated(&all, &self.config, now);
        let old = all.get(..count).unwrap_or_default();
        self.outdated = old.iter().map(|file| file.path.clone()).collect();
        self.notes.extend(old.last().map(|file| Note::Dropped { through: file.number }));
        Ok(())
    }

    fn write_head(&mut self) -> Result<(), LogError> {
        let failed = LogError::io("write", &head::path(&self.dir));
        let number = self.file.as_ref().map_or(0, |file| file.path.number);
        let head = Head { seq: self.end.seq, hash: self.end.link, file: number };
        let mut file = match self.head.take() {
            Some(file) => file,
            None => match HeadFile::open(&self.dir) {
                Ok(file) => file,
                Err(error) => return Err(failed(error)),
            },
        };
        file.write(&head, self.mac.as_ref()).map_err(failed)?;
        self.head = Some(file);
        Ok(())
    }

    fn delete_outdated(&mut self) {
        for path in self.outdated.drain(..) {
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "an old file of the audit log cannot be deleted");
            }
        }
    }
}

/// What the head and the files say of each other.
fn opened(found: &Found, ending: &super::opening::Ending) -> Note {
    let last = ending.end.map(|end| end.seq);
    let counted = found.head().map(|head| head.seq);
    let past = |a: Option<u64>, b: Option<u64>| a.zip(b).map_or(0, |(a, b)| a.saturating_sub(b));
    let missing = if ending.file.is_none() { counted.unwrap_or(0) } else { past(counted, last) };
    Note::Opened {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        past_head: past(last, counted),
        missing,
        without_head: ending.file.is_some() && counted.is_none(),
        damaged: ending.file.is_some() && last.is_none(),
    }
}

/// So many of the oldest files may go. The last is the one that was begun just now.
fn outdated(files: &[LogPath], config: &AuditConfig, now: Stamp) -> usize {
    let by_count = config.keep_files.map_or(0, |keep| files.len().saturating_sub(keep.get() as usize));
    let by_age = config.keep_days.map_or(0, |days| {
        // The lines of a file are no younger than the day after the one on which the next was begun.
        let oldest = now.minus(DAY * days.get().saturating_add(1)).day();
        files.iter().skip(1).take_while(|next| next.day < oldest).count()
    });
    by_count.max(by_age).min(files.len().saturating_sub(1))
}
