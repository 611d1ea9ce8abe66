//! A JSONL file whose lines carry their label: evaluation data as it stands, or a whole reference set.

use std::collections::BTreeMap;
use std::path::Path;

use super::SetFiles;
use super::collection::Collection;
use super::fault::{Faults, FileError, Place, Wrong};
use super::prompt_line::each_prompt;
use crate::reference::name::{ReferenceId, RouteName, SetName};
use crate::reference::policy::SetPolicy;
use crate::reference::types::SetEdit;

/// A text with what it should be taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledText {
    pub text: String,
    /// What the line says. It may be the reserved word `none`, or data's own word for "out of scope".
    pub label: RouteName,
    pub id: Option<ReferenceId>,
    /// What kind of prompt it is, where the line says so: `in-domain`, for example.
    pub kind: Option<String>,
}

/// Reads evaluation data: every line in its order, also those that repeat a text, since published figures count them.
///
/// Fails if the file cannot be read, or with all faults of all lines.
pub fn read_labelled(path: &Path) -> Result<Vec<LabelledText>, FileError> {
    let mut faults = Faults::default();
    let mut rows = Vec::new();
    each_prompt(path, &mut faults, |place, line, faults| match line.route {
        Some(label) => rows.push(LabelledText { text: line.text, label, id: line.id, kind: line.kind }),
        None => faults.add(&place, Wrong::Missing { key: "label" }),
    })?;
    faults.check()?;
    Ok(rows)
}

/// Reads a reference set of the file's name (without its ending), with the default policy and bare routes.
///
/// Fails if the file cannot be read, or with all faults of all lines. See [`super::Warning`] for what is let pass.
pub fn read_labelled_set(path: &Path) -> Result<SetFiles, FileError> {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let name = stem.ok_or_else(|| FileError::one(path, Wrong::FileName))?;
    let name = SetName::new(name).map_err(|wrong| FileError::one(path, wrong.into()))?;

    let mut faults = Faults::default();
    let mut collection = Collection::default();
    each_prompt(path, &mut faults, |place, mut line, faults| match line.route.take() {
        None => faults.add(&place, Wrong::Missing { key: "label" }),
        Some(route) => collection.add(place, route, line, faults),
    })?;
    let edit = SetEdit { name, description: String::new(), policy: SetPolicy::default() };
    collection.into_set(edit, BTreeMap::new(), &Place::file(path), faults)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::reference::files::Warning;

    fn file(content: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bank.jsonl");
        fs::write(&path, content).unwrap();
        (folder, path)
    }

    fn told(result: Result<impl std::fmt::Debug, FileError>) -> Vec<String> {
        let FileError::Invalid(faults) = result.unwrap_err() else { panic!("another error was expected") };
        let short = |fault: &crate::reference::Fault| {
            let line = fault.place.line.unwrap_or_default();
            format!("{line}: {}", fault.wrong).replace(&*fault.place.file.to_string_lossy(), "FILE")
        };
        faults.first().iter().map(short).collect()
    }

    #[test]
    fn evaluation_data_is_read_as_it_stands() {
        let (_folder, path) = file(concat!(
            "\u{feff}{\"text\": \"a\", \"label\": \"x\", \"outcomes\": {\"m\": 1}}\n\n",
            "{\"text\": \"a\", \"route\": \"x\"}\r\n",
            "{\"text\": \"b\", \"label\": \"none\", \"id\": \"7\"}",
        ));
        let rows = read_labelled(&path).unwrap();
        let brief: Vec<_> = rows.iter().map(|row| (row.text.as_str(), row.label.as_str(), row.id.is_some())).collect();
        assert_eq!(brief, [("a", "x", false), ("a", "x", false), ("b", "none", true)]);
    }

    #[test]
    fn a_set_is_read_and_exact_duplicates_are_dropped() {
        let (_folder, path) = file(concat!(
            "{\"text\": \"b\", \"label\": \"y\"}\n",
            "{\"text\": \"a\", \"label\": \"x\", \"id\": \"1\"}\n",
            "{\"text\": \"a\", \"label\": \"x\", \"id\": \"2\"}\n",
            "{\"text\": \"b\", \"label\": \"y\"}\n",
        ));
        let set = read_labelled_set(&path).unwrap();
        assert_eq!(set.edit.name.as_str(), "bank");
        assert_eq!(set.routes.iter().map(|route| route.name.as_str()).collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(set.prompts.iter().map(|prompt| prompt.text.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(set.warnings, [Warning::DuplicatesDropped { prompts: 2 }]);
    }

    #[test]
    fn all_faults_are_told_with_their_lines() {
        let content = concat!(
            "{\"text\": \"a\", \"label\": \"x\", \"id\": \"1\"}\n",
            "{\"text\": \"b\", \"label\": \"x\", \"id\": \"1\"}\n",
            "{\"text\": \"a\", \"label\": \"y\"}\n",
            "{\"text\": \"c\"}\n",
            "nonsense\n",
        );
        let (_folder, path) = file(content);
        assert_eq!(
            told(read_labelled_set(&path)),
            [
                "2: id 1 is taken by FILE:1",
                "3: the same text stands at FILE:1 with route x",
                "4: label is missing",
                "5: not valid JSON at column 2: expected ident",
            ]
        );
        assert_eq!(
            told(read_labelled(&path)),
            ["4: label is missing", "5: not valid JSON at column 2: expected ident"]
        );
    }

    #[test]
    fn an_id_that_another_text_would_be_given_is_taken() {
        let id = crate::reference::TextHash::of("b").short();
        let (_folder, path) = file(&format!(
            "{{\"text\": \"a\", \"label\": \"x\", \"id\": \"{id}\"}}\n{{\"text\": \"b\", \"label\": \"x\"}}\n"
        ));
        assert_eq!(told(read_labelled_set(&path)), [format!("2: id {id} is taken by FILE:1")]);
    }

    #[test]
    fn a_missing_file_is_unreadable() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("absent.jsonl"), folder.path().to_owned()] {
            assert!(matches!(read_labelled(&path), Err(FileError::Unreadable { .. })));
        }
    }

    /// Public data beside the checkout; see its own README.
    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    fn public_data_is_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
        if !folder.is_dir() {
            return eprintln!("skipped: {} is absent", folder.display());
        }
        assert_eq!(read_labelled(&folder.join("banking77/test.jsonl")).unwrap().len(), 3_080);
        assert_eq!(read_labelled(&folder.join("routellm_gsm8k/train.jsonl")).unwrap().len(), 654);
        let set = read_labelled_set(&folder.join("clinc150/train.jsonl")).unwrap();
        assert_eq!((set.routes.len(), set.prompts.len()), (150, 15_000));
        assert_eq!(set.warnings, []);
    }
}
