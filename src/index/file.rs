//! An index as a file, so that a start does not build it again: a header, plain arrays, and a checksum of both.
//!
//! Little-endian. Header, then what [`write`] writes in its order, then the SHA-256 of all before it. Nothing that the
//! file says is believed before it was compared with the file's own length, and nothing of it is used before its
//! checksum was, so a damaged file is an error and never a wrong neighbour.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

use super::codes::Codes;
use super::config::IndexConfig;
use super::frozen::{DELETED, HnswIndex};
use super::header::{HEADER_BYTES, Header};
use super::links::Links;

/// Bytes of a SHA-256.
pub(super) const HASH_BYTES: usize = 32;

/// Bytes of numbers that are converted at a time.
const STEP_BYTES: usize = 1 << 16;

/// What a row is known by from one version to the next: the first half of a SHA-256 of what was embedded.
pub type RowKey = [u8; 16];

/// What must be the same for an index to be the one that is wanted: of the model, the set and all rows.
pub type Identity = [u8; HASH_BYTES];

/// Why a file is not the index that is wanted.
#[derive(Debug, thiserror::Error)]
pub enum IndexFileError {
    #[error("it cannot be {doing}")]
    Io {
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("it is no index of semroute")]
    NotOurs,
    #[error("it has format {found}, this semroute reads format {known}")]
    OtherFormat { found: u32, known: u32 },
    #[error("{field} is {found}, expected {expected}")]
    Differs { field: &'static str, found: u64, expected: u64 },
    #[error("it has {found} bytes, its header speaks of {expected}")]
    Length { found: u64, expected: u64 },
    #[error("its checksum is wrong")]
    Checksum,
    #[error("its {what} contradict each other")]
    Contradiction { what: &'static str },
}

impl IndexFileError {
    pub(super) fn reading(source: io::Error) -> Self {
        Self::Io { doing: "read", source }
    }

    pub(super) fn writing(source: io::Error) -> Self {
        Self::Io { doing: "written", source }
    }
}

/// Writes `index`; `keys` are those of its nodes.
pub fn write(index: &HnswIndex, keys: &[RowKey], identity: &Identity, to: impl Write) -> Result<(), IndexFileError> {
    write_all(index, keys, identity, to).map_err(IndexFileError::writing)
}

fn write_all(index: &HnswIndex, keys: &[RowKey], identity: &Identity, to: impl Write) -> io::Result<()> {
    let mut to = Hashing { inner: to, hash: Sha256::new() };
    to.write_all(&Header::of(index, identity).encode())?;
    write_numbers(&mut to, &index.rows)?;
    to.write_all(keys.as_flattened())?;
    write_numbers(&mut to, &index.landmarks)?;
    for layer in 0..index.links.layers() {
        write_numbers(&mut to, index.links.array(layer))?;
    }
    let mut bytes = Vec::with_capacity(STEP_BYTES);
    for plane in index.codes.planes() {
        for part in plane.chunks(STEP_BYTES) {
            bytes.clear();
            bytes.extend(part.iter().map(|code| code.cast_unsigned()));
            to.write_all(&bytes)?;
        }
    }
    let checksum = to.hash.finalize();
    to.inner.write_all(&checksum)?;
    to.inner.flush()
}

/// An index as it was saved.
pub struct Saved {
    pub index: HnswIndex,
    /// Of the index's nodes.
    pub keys: Vec<RowKey>,
    pub identity: Identity,
}

/// Reads an index back. `length` is that of the whole file.
pub fn read(from: impl Read, length: u64, config: &IndexConfig, dimension: usize) -> Result<Saved, IndexFileError> {
    let mut from = Hashing { inner: from, hash: Sha256::new() };
    let mut bytes = [0u8; HEADER_BYTES];
    if length < HEADER_BYTES as u64 {
        return Err(IndexFileError::NotOurs);
    }
    from.read_exact(&mut bytes).map_err(IndexFileError::reading)?;
    let header = Header::decode(&bytes)?;
    header.expect(config, dimension)?;
    header.expect_length(length)?;
    let (index, keys) = read_arrays(&mut from, &header, config).map_err(IndexFileError::reading)?;
    let mut checksum = [0u8; HASH_BYTES];
    from.inner.read_exact(&mut checksum).map_err(IndexFileError::reading)?;
    if from.hash.finalize().as_slice() != checksum {
        return Err(IndexFileError::Checksum);
    }
    expect_whole(&index)?;
    Ok(Saved { index, keys, identity: header.identity })
}

fn read_arrays(from: &mut impl Read, header: &Header, config: &IndexConfig) -> io::Result<(HnswIndex, Vec<RowKey>)> {
    let mut rows = vec![0u32; header.nodes];
    read_numbers(from, &mut rows)?;
    let mut keys = vec![RowKey::default(); header.nodes];
    from.read_exact(keys.as_flattened_mut())?;
    let mut landmarks = vec![0u32; header.landmarks];
    read_numbers(from, &mut landmarks)?;
    let mut links = Links::unlinked(header.m, &header.sizes);
    for layer in 0..links.layers() {
        read_numbers(from, links.array_mut(layer))?;
    }
    let mut codes = Codes::zeroed(header.nodes, header.dimension, header.step);
    let mut bytes = vec![0u8; STEP_BYTES];
    for plane in codes.planes_mut() {
        for part in plane.chunks_mut(STEP_BYTES) {
            let Some(bytes) = bytes.get_mut(..part.len()) else { continue };
            from.read_exact(bytes)?;
            part.iter_mut().zip(bytes).for_each(|(code, byte)| *code = byte.cast_signed());
        }
    }
    let live = rows.iter().filter(|row| **row != DELETED).count();
    let index = HnswIndex {
        codes,
        links,
        landmarks,
        pinned: Vec::new(),
        rows,
        live,
        m: header.m,
        ef_construction: header.ef_construction,
        ef_search: config.ef_search,
        recall_at_10: header.recall_at_10,
    };
    Ok((index, keys))
}

/// What a search relies on: links lead to nodes of their layer, and rows are numbered from 0 without gaps.
fn expect_whole(index: &HnswIndex) -> Result<(), IndexFileError> {
    let beyond = |node: &u32| *node as usize >= index.linked();
    if index.links.faulty_layer().is_some() || index.landmarks.iter().any(beyond) {
        return Err(IndexFileError::Contradiction { what: "links" });
    }
    let mut seen = vec![false; index.live];
    for row in index.rows.iter().filter(|row| **row != DELETED) {
        match seen.get_mut(*row as usize) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(IndexFileError::Contradiction { what: "rows" }),
        }
    }
    Ok(())
}

fn write_numbers(to: &mut impl Write, numbers: &[u32]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(STEP_BYTES);
    for part in numbers.chunks(STEP_BYTES / 4) {
        bytes.clear();
        bytes.extend(part.iter().flat_map(|number| number.to_le_bytes()));
        to.write_all(&bytes)?;
    }
    Ok(())
}

fn read_numbers(from: &mut impl Read, numbers: &mut [u32]) -> io::Result<()> {
    let mut bytes = vec![0u8; STEP_BYTES];
    for part in numbers.chunks_mut(STEP_BYTES / 4) {
        let Some(bytes) = bytes.get_mut(..4 * part.len()) else { continue };
        from.read_exact(bytes)?;
        let (read, _) = bytes.as_chunks::<4>();
        part.iter_mut().zip(read).for_each(|(number, bytes)| *number = u32::from_le_bytes(*bytes));
    }
    Ok(())
}

/// Takes the checksum of all that passes.
struct Hashing<T> {
    inner: T,
    hash: Sha256,
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.hash.update(bytes.get(..read).unwrap_or_default());
        Ok(read)
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
