//! A set as a folder: `set.toml` and one `<route>.jsonl` for each route. Other files and hidden ones are not looked at.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::collection::Collection;
use super::fault::{Faults, FileError, Place, Wrong};
use super::labelled::{LabelledText, read_labelled};
use super::prompt_line::each_prompt;
use super::set_toml::SetToml;
use super::{SetFiles, Warning};
use crate::reference::name::{RouteName, SetName};
use crate::reference::types::{PromptPurpose, SetEdit};

/// The file of a folder that describes the set.
pub const SET_FILE: &str = "set.toml";

/// Reads the set in a folder; the folder's name is the set's.
///
/// Fails if the folder or a file of it cannot be read, if it holds no set, or with all faults of all files. See
/// [`Warning`] for what is let pass. A route file without an entry in `set.toml` makes a route without description.
pub fn read_directory(path: &Path) -> Result<SetFiles, FileError> {
    let name = set_name(path)?;
    let files = route_files(path)?;
    let mut faults = Faults::default();
    let set_file = path.join(SET_FILE);
    let toml = read_set_file(&set_file, &mut faults)?;
    if toml.is_none() && files.is_empty() {
        return Err(FileError::NotASet { path: path.to_owned() });
    }

    let mut collection = Collection::default();
    for file in &files {
        read_route_file(file, &mut collection, &mut faults)?;
    }
    let without_set_file = toml.is_none();
    let SetToml { description, policy, routes } = toml.unwrap_or_default();
    let edit = SetEdit { name, description, policy };
    let mut set = collection.into_set(edit, routes, &Place::file(&set_file), faults)?;
    if without_set_file {
        set.warnings.insert(0, Warning::NoSetFile);
    }
    Ok(set)
}

/// A set's prompts line by line, also where they contradict each other.
#[derive(Debug, Clone, PartialEq)]
pub struct SetRows {
    pub name: SetName,
    /// Routes that the files name, also those without prompts; not those that only lines name.
    pub routes: Vec<RouteName>,
    pub rows: Vec<LabelledText>,
}

/// Reads the references of a set (a folder, or a file with labels) as they stand, to be examined: texts that stand more than once, in one
/// route or in several, are no faults here.
///
/// Fails if something cannot be read, or with all faults of all lines.
pub fn read_rows(path: &Path) -> Result<SetRows, FileError> {
    if !path.is_dir() {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let name = stem.ok_or_else(|| FileError::one(path, Wrong::FileName))?;
        let name = SetName::new(name).map_err(|wrong| FileError::one(path, wrong.into()))?;
        return Ok(SetRows { name, routes: Vec::new(), rows: read_labelled(path)? });
    }
    let files = route_files(path)?;
    let mut faults = Faults::default();
    let toml = read_set_file(&path.join(SET_FILE), &mut faults)?;
    if toml.is_none() && files.is_empty() {
        return Err(FileError::NotASet { path: path.to_owned() });
    }
    let mut set = SetRows {
        name: set_name(path)?,
        routes: toml.unwrap_or_default().routes.into_keys().collect(),
        rows: Vec::new(),
    };
    for file in &files {
        let Some(label) = named_route(file, &mut faults) else { continue };
        if !set.routes.contains(&label) {
            set.routes.push(label.clone());
        }
        each_prompt(file, &mut faults, |place, line, faults| match line.route {
            Some(other) if other != label => faults.add(&place, Wrong::WrongFile { line: other, file: label.clone() }),
            _ if line.purpose == PromptPurpose::Evaluation => {}
            _ => set.rows.push(LabelledText { text: line.text, label: label.clone(), id: line.id, kind: line.kind }),
        })?;
    }
    faults.check()?;
    Ok(set)
}

/// Paths such as `.` have no name of their own and are resolved first.
fn set_name(path: &Path) -> Result<SetName, FileError> {
    let path = if path.file_name().is_some() {
        path.to_owned()
    } else {
        fs::canonicalize(path).map_err(FileError::unreadable(path))?
    };
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| FileError::one(&path, Wrong::FileName))?;
    SetName::new(name).map_err(|wrong| FileError::one(&path, wrong.into()))
}

/// By name, so that a set is read in the same order everywhere.
fn route_files(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if !hidden && path.extension().is_some_and(|ending| ending == "jsonl") && path.is_file() {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    };
    read().map_err(FileError::unreadable(folder))
}

/// `None` if the file does not exist.
fn read_set_file(path: &Path, faults: &mut Faults) -> Result<Option<SetToml>, FileError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::unreadable(path)(error)),
    };
    let file = Place::file(path);
    match std::str::from_utf8(&bytes) {
        Ok(content) => Ok(Some(SetToml::read(&file, content.trim_start_matches('\u{feff}'), faults))),
        Err(error) => {
            faults.add(&file, Wrong::NotUtf8 { byte: error.valid_up_to() + 1 });
            Ok(Some(SetToml::default()))
        }
    }
}

fn read_route_file(path: &Path, collection: &mut Collection, faults: &mut Faults) -> Result<(), FileError> {
    let Some(route) = named_route(path, faults) else { return Ok(()) };
    collection.add_route(route.clone());
    each_prompt(path, faults, |place, mut line, faults| match line.route.take() {
        Some(other) if other != route => faults.add(&place, Wrong::WrongFile { line: other, file: route.clone() }),
        _ => collection.add(place, route.clone(), line, faults),
    })
}

/// The route of a file; a name that is none is a fault.
fn named_route(path: &Path, faults: &mut Faults) -> Option<RouteName> {
    route_name(path).map_err(|wrong| faults.add(&Place::file(path), wrong)).ok()
}

fn route_name(path: &Path) -> Result<RouteName, Wrong> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).ok_or(Wrong::FileName)?;
    Ok(RouteName::new(stem)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::reference::NO_ROUTE;
    use crate::reference::files::{LabelledText, read_labelled};

    #[test]
    fn rows_are_read_as_they_stand() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("set");
        fs::create_dir(&folder).unwrap();
        let write = |name: &str, content: &str| fs::write(folder.join(name), content).unwrap();
        write("set.toml", "[routes.empty]\n");
        write("a.jsonl", "{\"text\": \"x\"}\n{\"text\": \"x\"}\n");
        write("b.jsonl", "{\"text\": \"x\", \"id\": \"7\"}\n");
        let set = read_rows(&folder).unwrap();
        let routes: Vec<_> = set.routes.iter().map(RouteName::as_str).collect();
        let rows: Vec<_> = set.rows.iter().map(|row| (row.label.as_str(), row.text.as_str())).collect();
        assert_eq!((set.name.as_str(), routes), ("set", vec!["empty", "a", "b"]));
        assert_eq!(rows, [("a", "x"), ("a", "x"), ("b", "x")]);
        assert!(read_directory(&folder).is_err(), "which is a fault in a set that is to be served");
        write("b.jsonl", "{\"text\": \"x\", \"route\": \"a\"}\nnonsense\n");
        let Err(FileError::Invalid(faults)) = read_rows(&folder) else { panic!("faults were expected") };
        assert_eq!(faults.total(), 2);
        assert_eq!(read_rows(&folder.join("a.jsonl")).unwrap_err().to_string().matches("label is missing").count(), 2);
    }

    /// Reads a folder `set` of these files.
    fn read(files: &[(&str, &[u8])]) -> Result<SetFiles, FileError> {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("set");
        fs::create_dir(&folder).unwrap();
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
        }
        read_directory(&folder)
    }

    fn told(files: &[(&str, &[u8])]) -> Vec<String> {
        let FileError::Invalid(faults) = read(files).unwrap_err() else { panic!("another error was expected") };
        let name = |place: &Place| {
            let file = place.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            place.line.map_or(file.clone(), |line| format!("{file}:{line}"))
        };
        faults.first().iter().map(|fault| format!("{}: {}", name(&fault.place), fault.wrong)).collect()
    }

    fn route(name: &str) -> RouteName {
        RouteName::new(name).unwrap()
    }

    #[test]
    fn the_starter_set_is_whole() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference-prompts/assistant");
        let set = read_directory(&path).unwrap();
        assert_eq!(set.edit.name.as_str(), "assistant");
        assert!(!set.edit.description.is_empty());
        assert_eq!(set.warnings, []);
        assert!(set.routes.len() >= 14, "{} routes", set.routes.len());
        for route in &set.routes {
            let prompts = set.prompts.iter().filter(|prompt| prompt.route == route.name).count();
            assert!(prompts >= 60, "route {} has {prompts} prompts", route.name);
            assert!(route.description.len() >= 40, "route {} is not described", route.name);
        }
    }

    fn starter_set_and_held_out_prompts() -> (SetFiles, Vec<LabelledText>) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let set = read_directory(&root.join("reference-prompts/assistant")).unwrap();
        (set, read_labelled(&root.join("tests/data/assistant_heldout.jsonl")).unwrap())
    }

    #[test]
    fn the_held_out_prompts_have_routes_of_the_starter_set() {
        let (set, rows) = starter_set_and_held_out_prompts();
        for row in rows {
            let known = row.label.as_str() == NO_ROUTE || set.routes.iter().any(|route| route.name == row.label);
            assert!(known, "{} is no route", row.label);
        }
    }

    #[test]
    fn no_held_out_prompt_is_in_the_starter_set() {
        let (set, rows) = starter_set_and_held_out_prompts();
        let texts: BTreeSet<_> = set.prompts.iter().map(|prompt| prompt.text.as_str()).collect();
        let shared: Vec<_> = rows.iter().filter(|row| texts.contains(row.text.as_str())).collect();
        assert_eq!(shared, Vec::<&LabelledText>::new());
    }

    #[test]
    fn a_folder_is_read() {
        let set = read(&[
            ("set.toml", b"\xef\xbb\xbfdescription = \"d\"\npolicy.fallback = { default_route = \"b\" }\n[routes.a]\ndescription = \"A\"\n[routes.c]\n"),
            ("b.jsonl", b"{\"text\": \"1\", \"route\": \"b\"}\n{\"text\": \"1\"}\n"),
            ("a.jsonl", b"\n{\"text\": \"2\", \"id\": \"two\"}"),
            ("README.md", b"not looked at"),
            (".hidden.jsonl", b"not looked at"),
        ])
        .unwrap();
        assert_eq!((set.edit.name.as_str(), set.edit.description.as_str()), ("set", "d"));
        let described: Vec<_> = set.routes.iter().map(|r| (r.name.as_str(), r.description.as_str())).collect();
        assert_eq!(described, [("a", "A"), ("b", ""), ("c", "")]);
        assert_eq!(set.prompts.iter().map(|prompt| prompt.text.as_str()).collect::<Vec<_>>(), ["2", "1"]);
        assert_eq!(
            set.warnings,
            [Warning::RouteWithoutPrompts { route: route("c") }, Warning::DuplicatesDropped { prompts: 1 }]
        );
    }

    #[test]
    fn a_folder_without_set_file_is_a_set_and_one_without_anything_is_not() {
        let set = read(&[("a.jsonl", b"")]).unwrap();
        assert_eq!(set.warnings, [Warning::NoSetFile, Warning::RouteWithoutPrompts { route: route("a") }]);
        assert!(matches!(read(&[("notes.txt", b"")]), Err(FileError::NotASet { .. })));
        assert!(matches!(read_directory(Path::new("/nowhere/at/all")), Err(FileError::Unreadable { .. })));
    }

    #[test]
    fn the_faults_of_all_files_are_told() {
        let faults = told(&[
            ("set.toml", b"[policy]\nmin_score = 7\nfallback = { default_route = \"q\" }"),
            ("a.jsonl", b"{\"text\": \"1\"}\n{\"text\": \"2\xff\"}\n{\"text\": \"3\", \"label\": \"b\"}"),
            ("b.jsonl", b"{\"text\": \"1\"}"),
            ("none.jsonl", b"{\"text\": \"4\"}"),
            (" x.jsonl", b"{\"text\": \"4\"}"),
        ]);
        assert_eq!(faults.len(), 6, "{faults:?}");
        for start in [
            "set.toml:2: min_score must be between 0 and 1, not 7",
            " x.jsonl: route name \" x\" holds",
            "a.jsonl:2: not valid UTF-8 from byte 12",
            "a.jsonl:3: the line names route b, but the file is that of route a",
            "b.jsonl:1: the same text stands at",
            "set.toml: fallback names route q, which the set does not have",
        ] {
            assert!(faults.iter().any(|fault| fault.starts_with(start)), "{start:?} is not among {faults:?}");
        }
    }

    #[test]
    fn the_folder_here_has_its_real_name() {
        assert_eq!(set_name(Path::new(".")).unwrap(), set_name(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap());
    }
}
