//! The file that is written to: whole lines, or nothing of them.

use std::io;

use super::disk::{Disk, Opener};
use super::folder::LogPath;

pub(super) struct LogFile {
    disk: Box<dyn Disk>,
    pub(super) path: LogPath,
    /// Of the lines that are whole.
    len: u64,
    /// There may be a part of a line behind them.
    torn: bool,
    unsynced: bool,
}

impl LogFile {
    pub(super) fn create(opener: &Opener, path: LogPath) -> io::Result<Self> {
        let disk = opener(&path.path, true)?;
        Ok(Self { disk, path, len: 0, torn: false, unsynced: true })
    }

    /// Of `len` bytes that are whole lines.
    pub(super) fn open(opener: &Opener, path: LogPath, len: u64) -> io::Result<Self> {
        let disk = opener(&path.path, false)?;
        Ok(Self { disk, path, len, torn: false, unsynced: false })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn is_there(&self) -> bool {
        self.disk.is_there()
    }

    /// All of `lines`, or none: what a failed attempt leaves is cut off, at the latest before the next one.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.torn {
            self.disk.cut(self.len)?;
            self.torn = false;
        }
        self.unsynced = true;
        if let Err(error) = self.disk.append(lines) {
            self.torn = self.disk.cut(self.len).is_err();
            return Err(error);
        }
        self.len += lines.len() as u64;
        Ok(())
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.unsynced {
            self.disk.sync()?;
            self.unsynced = false;
        }
        Ok(())
    }
}
