//! A decision model as it is stored: a SHA-256 of its bytes, then the bytes. One that was damaged on the disk might still
//! be read, and judge wrongly.

use semroute_decision::{DecisionModel, ModelBytesError};
use sha2::{Digest, Sha256};

const SEAL_BYTES: usize = 32;

/// Why stored bytes are not used.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum Unusable {
    /// Also what an older release stored.
    #[error("its checksum is not that of its bytes")]
    Checksum,
    #[error(transparent)]
    Model(#[from] ModelBytesError),
}

pub(super) fn seal(model: &DecisionModel) -> Vec<u8> {
    let bytes = model.to_bytes();
    [Sha256::digest(&bytes).as_slice(), &bytes].concat()
}

pub(super) fn open(sealed: &[u8]) -> Result<DecisionModel, Unusable> {
    let (seal, bytes) = sealed.split_first_chunk::<SEAL_BYTES>().ok_or(Unusable::Checksum)?;
    if *seal != *Sha256::digest(bytes) {
        return Err(Unusable::Checksum);
    }
    Ok(DecisionModel::from_bytes(bytes)?)
}
