//! Output of a fixed form, compared with files.

use std::path::Path;

/// `file` is below `src`. What differs is written to the folder for temporary files, to be looked at and, if it is meant,
/// to take the file's place.
#[track_caller]
pub(crate) fn check(file: &str, found: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    if found != expected {
        let written = std::env::temp_dir().join("semroute-golden").join(file);
        std::fs::create_dir_all(written.parent().unwrap()).unwrap();
        std::fs::write(&written, found).unwrap();
        panic!("{} differs from what was found, which is in {}:\n{found}", golden.display(), written.display());
    }
}
