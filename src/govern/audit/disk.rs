//! What a log file asks of its disk: a trait, because full and failing disks have to be tested too.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::folder::is_named;

pub(super) trait Disk: Send {
    /// At the end; a failure may leave a part of it there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Shortens the file to `len` bytes.
    fn cut(&mut self, len: u64) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
    /// Whether what is written still goes to the file of that name.
    fn is_there(&self) -> bool;
}

/// Opens the file at a path for appending; `true`: it must be new.
pub(super) type Opener = Box<dyn Fn(&Path, bool) -> io::Result<Box<dyn Disk>> + Send>;

pub(super) fn opener() -> Opener {
    Box::new(|path, new| {
        let mut options = OpenOptions::new();
        options.append(true).create_new(new);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
        Ok(Box::new(RealDisk { file: options.open(path)?, path: path.to_owned() }))
    })
}

struct RealDisk {
    file: File,
    path: PathBuf,
}

impl Disk for RealDisk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn is_there(&self) -> bool {
        is_named(&self.file, &self.path)
    }
}
