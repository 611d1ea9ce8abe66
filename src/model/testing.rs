//! What the tests of this module share: a made-up model, a recorder of reports, a Hub on loopback, and a wheel.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use tempfile::TempDir;

use super::hash::FileHash;
use super::manifest::ModelManifest;
use super::progress::{Progress, Report};
use super::registry::{Model, Registry};
use super::validate;

/// The files of a BERT encoder with 6 words of 4 dimensions.
pub(crate) fn tiny_files() -> Vec<(&'static str, Vec<u8>)> {
    let config = json!({"model_type": "bert", "hidden_size": 4, "vocab_size": 6, "max_position_embeddings": 32});
    let pooling = json!({"word_embedding_dimension": 4, "pooling_mode_mean_tokens": true});
    vec![
        ("config.json", config.to_string().into_bytes()),
        ("tokenizer.json", br#"{"version": "1.0", "model": {"vocab": {}}}"#.to_vec()),
        ("model.safetensors", safetensors("embeddings.word_embeddings.weight", 6, 4)),
        ("1_Pooling/config.json", pooling.to_string().into_bytes()),
    ]
}

/// A safetensors file with one tensor of f32.
pub(crate) fn safetensors(name: &str, rows: usize, columns: usize) -> Vec<u8> {
    let bytes = rows * columns * 4;
    let header = json!({name: {"dtype": "F32", "shape": [rows, columns], "data_offsets": [0, bytes]}, "__metadata__": {"a": "b"}});
    let header = header.to_string().into_bytes();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend((0..bytes).map(|byte| byte as u8));
    file
}

/// A models folder with the model "tiny" in it.
pub(crate) struct TinyModel {
    _root: TempDir,
    dir: PathBuf,
}

impl TinyModel {
    /// All files, no manifest.
    pub(crate) fn new() -> Self {
        let tiny = Self::empty("");
        fs::remove_file(tiny.dir.join("model.toml")).unwrap();
        tiny.put_files(&tiny.dir);
        tiny
    }

    /// A manifest with these `[[sources]]`, no files.
    pub(crate) fn empty(sources: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let tiny = Self { dir: root.path().join("models/tiny"), _root: root };
        fs::create_dir_all(&tiny.dir).unwrap();
        tiny.write_manifest(sources);
        tiny
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn model(&self) -> Model {
        Registry::new(self.dir.parent().unwrap()).find("tiny").unwrap()
    }

    /// A manifest with size and hash of the files as they should be.
    pub(crate) fn manifest(&self) -> ModelManifest {
        validate::parse(&manifest_text(""), Some("tiny"), Path::new("model.toml")).unwrap()
    }

    pub(crate) fn write_manifest(&self, sources: &str) {
        fs::write(self.dir.join("model.toml"), manifest_text(sources)).unwrap();
    }

    pub(crate) fn put_files(&self, dir: &Path) {
        for (path, bytes) in tiny_files() {
            fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
            fs::write(dir.join(path), bytes).unwrap();
        }
    }

    pub(crate) fn rewrite(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.dir.join(path);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        // A file system's clock may be coarse: the change must be seen all the same.
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
        fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    }

    /// All files as they should be, and nothing else but manifest, lock and stamp.
    pub(crate) fn assert_whole(&self) {
        for (path, bytes) in tiny_files() {
            assert!(fs::read(self.dir.join(path)).unwrap() == bytes, "{path}");
        }
        let known = ["1_Pooling", "config.json", "model.safetensors", "model.toml", "tokenizer.json"];
        for entry in fs::read_dir(&self.dir).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(known.contains(&name.as_str()) || [".lock", ".verified"].contains(&name.as_str()), "{name}");
        }
    }
}

fn manifest_text(sources: &str) -> String {
    let mut text =
        String::from("name = \"tiny\"\ndimension = 4\npooling = \"mean\"\nnormalise = true\nmax_tokens = 16\n");
    for (path, bytes) in tiny_files() {
        let (sha256, size) = FileHash::of_reader(bytes.as_slice(), |_| ()).unwrap();
        text += &format!("[[files]]\npath = \"{path}\"\nsize = {size}\nsha256 = \"{sha256}\"\n");
    }
    text + sources
}

/// Keeps labels and notes.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    pub(crate) fn shared() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, part: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(part)).count()
    }
}

impl Progress for Recorder {
    fn report(&self, report: Report<'_>) {
        match report {
            Report::Begun { label: line, .. } | Report::Note(line) => {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
            }
            Report::Done { .. } | Report::Ended => {}
        }
    }
}

/// How the made-up Hub answers for the weights; everything else it serves well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weights {
    Good,
    /// From elsewhere, as the Hub does.
    Redirected,
    /// The connection ends in the middle.
    Cut,
    /// Nothing more comes after the middle.
    Stalled,
    /// Right size, wrong bytes.
    Wrong,
    /// No length is announced, and more comes than should.
    TooLong,
    NotFound,
}

/// A Hub on loopback.
pub(crate) struct Hub {
    pub(crate) endpoint: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    pub(crate) fn serve(weights: Weights) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                std::thread::spawn(move || answer(stream, weights, &log));
            }
        });
        Self { endpoint, requests }
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, weights: Weights, log: &Mutex<Vec<String>>) -> Option<()> {
    let mut head = BufReader::new(stream.try_clone().ok()?).lines().map_while(Result::ok).take_while(|l| !l.is_empty());
    let path = head.next()?.split(' ').nth(1)?.to_owned();
    assert!(!head.any(|line| line.to_lowercase().starts_with("authorization")));
    log.lock().unwrap().push(path.clone());
    let files: HashMap<_, _> = tiny_files().into_iter().collect();
    let file = path.strip_prefix("/owner/tiny/resolve/main/").or(path.strip_prefix("/elsewhere/"));
    let Some((name, bytes)) = file.and_then(|file| files.get_key_value(file)) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok();
    };
    let weights = if *name == "model.safetensors" { weights } else { Weights::Good };
    let mut ok = |bytes: &[u8]| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", bytes.len());
        stream.write_all(head.as_bytes()).ok()
    };
    let half = &bytes[..bytes.len() / 2];
    match weights {
        Weights::Redirected if !path.starts_with("/elsewhere/") => {
            let head = format!(
                "HTTP/1.1 302 Found\r\nlocation: /elsewhere/{name}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).ok()
        }
        Weights::Good | Weights::Redirected => ok(bytes).and_then(|()| stream.write_all(bytes).ok()),
        Weights::Cut => ok(bytes).and_then(|()| stream.write_all(half).ok()),
        Weights::Stalled => {
            ok(bytes).and_then(|()| stream.write_all(half).ok())?;
            stream.read(&mut [0]).map(|_| ()).ok()
        }
        Weights::Wrong => ok(bytes).and_then(|()| stream.write_all(&vec![0; bytes.len()]).ok()),
        Weights::TooLong => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").ok()?;
            stream.write_all(&vec![0; bytes.len() + 1]).ok()
        }
        Weights::NotFound => {
            stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok()
        }
    }
}

/// Writes a wheel of the package `tiny-wheel` 1.0 with these members, and the two that pip wants.
pub(crate) fn write_wheel(dir: &Path, members: &[(&str, Vec<u8>)]) -> PathBuf {
    let path = dir.join("tiny_wheel-1.0-py3-none-any.whl");
    let mut wheel = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    let metadata = b"Metadata-Version: 2.1\nName: tiny-wheel\nVersion: 1.0\n".to_vec();
    let kind = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_vec();
    let fixed = [("tiny_wheel-1.0.dist-info/METADATA", metadata), ("tiny_wheel-1.0.dist-info/WHEEL", kind)];
    for (name, bytes) in members.iter().chain(&fixed) {
        wheel.start_file(*name, options).unwrap();
        wheel.write_all(bytes).unwrap();
    }
    wheel.finish().unwrap();
    path
}
