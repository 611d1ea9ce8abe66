//! What a server does with each set when it starts.

use super::builder::{BuildRequest, Builder};
use super::error::BuildError;
use super::live::LiveSets;
use super::progress::BuildProgress;
use crate::reference::{ReferenceSet, StoreError};

/// Serves the published version of a set. A version whose embeddings are missing, damaged or of another model is built
/// anew from the draft, as long as the draft is what was published; if it has been changed since, somebody has to say
/// which of the two is meant, and the set is left to [`LiveSets::problems`].
///
/// A set that was never published is built if it `came_from_files`; a draft that was made over the API is its maker's
/// to publish.
pub async fn bring_up(
    live: &LiveSets,
    builder: &Builder,
    set: &ReferenceSet,
    came_from_files: bool,
    progress: &dyn BuildProgress,
) -> Result<(), BuildError> {
    let Some(version) = set.published else {
        if came_from_files && set.prompts > 0 {
            live.serve(builder.build(&set.name, &BuildRequest::default(), progress).await?.snapshot);
        }
        return Ok(());
    };
    let error = match builder.load(&set.name, version, progress).await {
        Ok(snapshot) => {
            live.serve(snapshot);
            return Ok(());
        }
        Err(error) => error,
    };
    let all = match &error {
        BuildError::OtherModel { .. } | BuildError::Store(StoreError::EmbeddingsMissing { .. }) => false,
        BuildError::StoredEmbedding { .. } => true,
        _ => return Err(error),
    };
    if !builder.draft_is(&set.name, version, set.revision).await? {
        live.cannot_serve(&set.name, version, &format!("{error}; its draft has changed since: publish it, or reindex"));
        return Ok(());
    }
    tracing::warn!(set = %set.name, %error, "the published version cannot be served as it is: building it anew");
    let request = BuildRequest { all, rebuild: true, ..BuildRequest::default() };
    live.serve(builder.build(&set.name, &request, progress).await?.snapshot);
    Ok(())
}
