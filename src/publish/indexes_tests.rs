use super::*;
use crate::embed::Embedding;
use crate::index::{BuildWatch, IndexChoice, VectorMatrix};
use crate::reference::{Fingerprint, SetPolicy, VersionState};

const DIMENSION: usize = 4;

fn config() -> IndexConfig {
    IndexConfig { kind: IndexChoice::Hnsw, ..IndexConfig::default() }
}

fn set(name: &str) -> SetName {
    SetName::new(name).unwrap()
}

fn version(set_name: &str, number: Version) -> SetVersion {
    SetVersion {
        set: set(set_name),
        version: number,
        draft_revision: 1,
        state: VersionState::Building,
        model: Fingerprint("m".to_owned()),
        policy: SetPolicy::default(),
        routes: Vec::new(),
        prompts: 3,
        created_at: 7,
        report: String::new(),
    }
}

fn index() -> HnswIndex {
    let mut rows = VectorMatrix::with_capacity(3, DIMENSION);
    for at in 1..=3 {
        rows.push(&Embedding::normalised(vec![at as f32, 1.0, 0.0, -1.0]).unwrap()).unwrap();
    }
    HnswIndex::build(&rows.finish(), &config(), &BuildWatch::default()).unwrap()
}

fn save(folder: &IndexFolder, version: &SetVersion) {
    let keys = [key("a"), key("b"), key("c")];
    folder.save(version, &index(), &keys, &identity(version, &keys));
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn found(folder: &IndexFolder, set_name: &str, number: Version) -> bool {
    folder.read(&set(set_name), number, &config(), DIMENSION).is_some()
}

#[test]
fn what_was_saved_is_found_under_its_set_and_version() {
    let home = tempfile::tempdir().unwrap();
    let folder = IndexFolder::new(home.path().join("indexes"));
    assert!(!found(&folder, "a", 1), "a folder that is not there has no index");
    for (name, number) in [("a", 1), ("a", 2), ("a-1", 1), ("../a/\u{1F600}", 1), (&"ä".repeat(64), 1)] {
        save(&folder, &version(name, number));
        assert!(found(&folder, name, number), "{name}");
    }
    assert!(!found(&folder, "a", 3));
    assert_eq!(names(&home.path().join("indexes")).len(), 5, "and nowhere else");

    folder.keep_only(&set("a"), &[2]);
    assert!(!found(&folder, "a", 1) && found(&folder, "a", 2) && found(&folder, "a-1", 1));
    folder.keep_only(&set("a-1"), &[]);
    assert!(!found(&folder, "a-1", 1) && found(&folder, "a", 2));
}

#[test]
fn a_damaged_file_is_as_good_as_none_and_is_replaced() {
    let home = tempfile::tempdir().unwrap();
    let folder = IndexFolder::new(home.path().to_owned());
    let version = version("a", 1);
    save(&folder, &version);
    let path = folder.path(&set("a"), 1);
    let whole = fs::read(&path).unwrap();
    for damage in [&whole[..whole.len() - 1], &whole[..10], b""] {
        fs::write(&path, damage).unwrap();
        assert!(!found(&folder, "a", 1));
        save(&folder, &version);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(!found(&folder, "a", 1), "a folder in its place");
}

#[test]
fn a_folder_that_cannot_be_written_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "no folder").unwrap();
    save(&IndexFolder::new(file.clone()), &version("a", 1));
    assert_eq!(fs::read(&file).unwrap(), b"no folder");
    assert_eq!(names(home.path()), ["file"]);
}

#[test]
fn what_a_killed_process_left_goes_and_what_is_being_written_stays() {
    let home = tempfile::tempdir().unwrap();
    let folder = IndexFolder::new(home.path().to_owned());
    fs::write(home.path().join("index-abc.part"), "left").unwrap();
    let writing = File::create(home.path().join("index-def.part")).unwrap();
    FileExt::lock(&writing).unwrap();
    save(&folder, &version("a", 1));
    assert!(found(&folder, "a", 1));
    let saved = name_of(&folder.path(&set("a"), 1)).to_owned();
    assert_eq!(names(home.path()), [saved, "index-def.part".to_owned()]);
}

#[test]
fn two_who_save_at_once_do_no_harm() {
    let home = tempfile::tempdir().unwrap();
    let folder = IndexFolder::new(home.path().to_owned());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10).for_each(|_| save(&folder, &version("a", 1))));
        }
    });
    assert!(found(&folder, "a", 1));
}

#[test]
fn identities_tell_versions_models_and_texts_apart() {
    let keys = [key("a"), key("b")];
    let first = version("a", 1);
    let mut all = vec![
        identity(&first, &keys),
        identity(&version("a", 2), &keys),
        identity(&version("b", 1), &keys),
        identity(&SetVersion { created_at: 8, ..first.clone() }, &keys),
        identity(&SetVersion { model: Fingerprint("n".to_owned()), ..first.clone() }, &keys),
        identity(&first, &[key("b"), key("a")]),
        identity(&first, &keys[..1]),
    ];
    assert_eq!(all[0], identity(&first, &keys));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 7);
}
