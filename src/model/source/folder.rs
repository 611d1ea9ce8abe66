//! A folder on this machine (a mounted volume, a copy on a stick): the model's own, or one that holds it by its name.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::Order;
use crate::model::error::FetchError;
use crate::model::partial::Partial;
use crate::model::staging::blocking;

pub(super) async fn fetch(folder: &Path, order: &Order<'_>) -> Result<(), FetchError> {
    let (staging, progress) = (Arc::clone(order.staging), Arc::clone(order.progress));
    let (model, files) = (order.model.to_owned(), order.files.to_vec());
    blocking(folder, move |folder| {
        let own = folder.join(&model);
        let folder = if own.is_dir() { own } else { folder };
        for spec in &files {
            let path = spec.within(&folder);
            let unreadable = |error| FetchError::Source(format!("{}: {error}", path.display()));
            let file = File::open(&path).map_err(unreadable)?;
            let bytes = file.metadata().map_err(unreadable)?.len();
            if let Some(size) = spec.size.filter(|size| *size != bytes) {
                return Err(FetchError::Source(format!("{}: expected {size} bytes, found {bytes}", path.display())));
            }
            let mut partial = Partial::create(&staging, spec, Some(bytes), &progress)?;
            partial.write_all_of(file)?;
            partial.commit()?;
        }
        Ok(())
    })
    .await
}
