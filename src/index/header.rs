//! The first bytes of an index's file: what it is, and how long everything in it is. It has a checksum of its own, so
//! that a damaged length is told before memory is asked for.

use sha2::{Digest, Sha256};

use super::config::IndexConfig;
use super::file::{HASH_BYTES, Identity, IndexFileError};
use super::frozen::HnswIndex;
use super::links::{MAX_LAYERS, MAX_NODES, room_in};
use super::plane;

const MAGIC: [u8; 8] = *b"semrtidx";

/// Raised with every change of the layout, of the rounding of vectors or of how their keys are made.
const FORMAT: u32 = 1;

/// Numbers of 8 bytes between the format and the identity.
const NUMBERS: usize = 8 + MAX_LAYERS;

pub(super) const HEADER_BYTES: usize = 8 + 8 + NUMBERS * 8 + HASH_BYTES + HASH_BYTES;

/// Widest vectors that are believed.
const MAX_DIMENSION: u64 = 65_536;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Header {
    pub(super) dimension: usize,
    pub(super) nodes: usize,
    pub(super) m: usize,
    pub(super) ef_construction: usize,
    pub(super) step: f32,
    pub(super) recall_at_10: f32,
    pub(super) landmarks: usize,
    /// Nodes of each layer.
    pub(super) sizes: Vec<usize>,
    pub(super) identity: Identity,
}

impl Header {
    pub(super) fn of(index: &HnswIndex, identity: &Identity) -> Self {
        Self {
            dimension: index.codes.dimension(),
            nodes: index.codes.nodes(),
            m: index.m,
            ef_construction: index.ef_construction,
            step: index.codes.step(),
            recall_at_10: index.recall_at_10,
            landmarks: index.landmarks.len(),
            sizes: (0..index.links.layers()).map(|layer| index.links.size(layer)).collect(),
            identity: *identity,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(u64::from(FORMAT).to_le_bytes());
        let numbers = [
            self.dimension as u64,
            self.nodes as u64,
            self.m as u64,
            self.ef_construction as u64,
            u64::from(self.step.to_bits()),
            u64::from(self.recall_at_10.to_bits()),
            self.landmarks as u64,
            self.sizes.len() as u64,
        ];
        let sizes = self.sizes.iter().map(|size| *size as u64).chain(std::iter::repeat(0)).take(MAX_LAYERS);
        bytes.extend(numbers.into_iter().chain(sizes).flat_map(u64::to_le_bytes));
        bytes.extend(self.identity);
        let checksum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&checksum);
        bytes
    }

    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, IndexFileError> {
        let (magic, rest) = bytes.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(IndexFileError::NotOurs);
        }
        let (words, _) = rest.as_chunks::<8>();
        let mut numbers = words.iter().map(|word| u64::from_le_bytes(*word));
        let mut next = || numbers.next().unwrap_or_default();
        let format = next();
        if format != u64::from(FORMAT) {
            return Err(IndexFileError::OtherFormat { found: format as u32, known: FORMAT });
        }
        let (said, checksum) = bytes.split_at(HEADER_BYTES - HASH_BYTES);
        if Sha256::digest(said).as_slice() != checksum {
            return Err(IndexFileError::Checksum);
        }
        let bounded = |value: u64, least: u64, most: u64| {
            let fault = IndexFileError::Contradiction { what: "lengths" };
            if (least..=most).contains(&value) { Ok(value as usize) } else { Err(fault) }
        };
        let dimension = bounded(next(), 1, MAX_DIMENSION)?;
        let nodes = bounded(next(), 0, MAX_NODES as u64)?;
        let m = bounded(next(), 1, 256)?;
        let ef_construction = bounded(next(), 1, u64::from(u32::MAX))?;
        let step = f32::from_bits(next() as u32);
        let recall_at_10 = f32::from_bits(next() as u32);
        let landmarks = bounded(next(), 0, nodes as u64)?;
        let layers = bounded(next(), 1, MAX_LAYERS as u64)?;
        let mut sizes = Vec::with_capacity(layers);
        for _ in 0..layers {
            // A layer is a part of the one below.
            sizes.push(bounded(next(), 0, sizes.last().copied().unwrap_or(nodes) as u64)?);
        }
        if !(step.is_finite() && step > 0.0 && (0.0..=1.0).contains(&recall_at_10)) {
            return Err(IndexFileError::Contradiction { what: "measures" });
        }
        let identity = said.last_chunk::<HASH_BYTES>().copied().unwrap_or_default();
        Ok(Self { dimension, nodes, m, ef_construction, step, recall_at_10, landmarks, sizes, identity })
    }

    /// Whether the file is the one that is wanted.
    pub(super) fn expect(&self, config: &IndexConfig, dimension: usize) -> Result<(), IndexFileError> {
        let fields = [
            ("the dimension", self.dimension, dimension),
            ("m", self.m, config.m),
            ("ef_construction", self.ef_construction, config.ef_construction),
        ];
        for (field, found, expected) in fields {
            if found != expected {
                return Err(IndexFileError::Differs { field, found: found as u64, expected: expected as u64 });
            }
        }
        Ok(())
    }

    /// The numbers are bounded, so this cannot overflow: 2^31 nodes of 2 * 65,536 + 1,000 bytes are below 2^50.
    pub(super) fn expect_length(&self, found: u64) -> Result<(), IndexFileError> {
        let links: usize = self.sizes.iter().enumerate().map(|(layer, size)| 4 * size * room_in(layer, self.m)).sum();
        let nodes = self.nodes * (4 + 16 + 2 * plane::stride(self.dimension));
        let expected = (HEADER_BYTES + 4 * self.landmarks + links + nodes + HASH_BYTES) as u64;
        if found == expected { Ok(()) } else { Err(IndexFileError::Length { found, expected }) }
    }
}
