//! Why a version could not be built, loaded or made live.

use crate::embed::EmbedError;
use crate::index::Stopped;
use crate::reference::{Fingerprint, Revision, RouteName, SetName, StoreError, Version};

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("reference set {set} has no prompts to publish")]
    EmptySet { set: SetName },
    #[error("the default route {route} of reference set {set} does not exist")]
    UnknownDefaultRoute { set: SetName, route: RouteName },
    #[error("another build of reference set {set} took the place of version {version} before it was finished")]
    Superseded { set: SetName, version: Version },
    #[error("the draft of reference set {set} has revision {present}, expected {expected}")]
    StaleDraft { set: SetName, expected: Revision, present: Revision },
    #[error("reference set {set} is being built already")]
    AlreadyBuilding { set: SetName },
    #[error("a reference prompt could not be embedded (text hash {text_hash})")]
    Embed {
        text_hash: String,
        #[source]
        source: EmbedError,
    },
    #[error("the description of route {route} could not be embedded")]
    Describe {
        route: RouteName,
        #[source]
        source: EmbedError,
    },
    #[error("the stored embedding of reference prompt {id} of set {set} cannot be used")]
    StoredEmbedding {
        set: SetName,
        id: String,
        #[source]
        source: EmbedError,
    },
    #[error("version {version} of reference set {set} was embedded with model {stored}, this server runs {running}")]
    OtherModel { set: SetName, version: Version, stored: Fingerprint, running: Fingerprint },
    #[error("recall@10 of the index is {found:.3}, at least {least:.3} is asked for")]
    LowRecall { found: f32, least: f32 },
    #[error(
        "{found:.3} of the prompts agree with their neighbours, {before:.3} did in the version before; a drop of at most {most:.3} is allowed"
    )]
    Disagreement { found: f32, before: f32, most: f32 },
    #[error("the build was stopped")]
    Stopped,
}

impl From<Stopped> for BuildError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}
