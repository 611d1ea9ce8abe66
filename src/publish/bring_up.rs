//! What a server does with each set when it starts.

use super::builder::{BuildRequest, Builder};
use super::error::BuildError;
use super::live::LiveSets;
use super::progress::BuildProgress;
use crate::reference::{ReferenceSet, StoreError};

/// Serves the published version of a set. A set that was never published, or whose embeddings are missing, damaged or
/// of another model, is built first; a set without prompts is left alone.
pub async fn bring_up(
    live: &LiveSets,
    builder: &Builder,
    set: &ReferenceSet,
    progress: &dyn BuildProgress,
) -> Result<(), BuildError> {
    let loaded = match set.published {
        Some(version) => builder.load(&set.name, version).await,
        None if set.prompts == 0 => return Ok(()),
        None => Ok(builder.build(&set.name, &BuildRequest::default(), progress).await?.snapshot),
    };
    let anew = match &loaded {
        Ok(_) => None,
        Err(BuildError::OtherModel { .. } | BuildError::Store(StoreError::EmbeddingsMissing { .. })) => Some(false),
        Err(BuildError::StoredEmbedding { .. }) => Some(true),
        Err(_) => None,
    };
    let snapshot = match (loaded, anew) {
        (Err(error), Some(all)) => {
            tracing::warn!(set = %set.name, %error, "the published version cannot be served as it is: building it anew");
            builder
                .build(&set.name, &BuildRequest { all, rebuild: true, ..BuildRequest::default() }, progress)
                .await?
                .snapshot
        }
        (loaded, _) => loaded?,
    };
    live.serve(snapshot);
    Ok(())
}
