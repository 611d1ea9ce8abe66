//! The real binary in a folder of its own: configuration, reference prompts and store.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use semroute::grpc::pb;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};

use crate::server::{PROMPTS, models_dir};

/// Longest time for a command or a start: there is much to embed on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A policy under which the neighbours of an easy set always decide.
pub(crate) const EASY: &str = "[policy]\nmin_score = 0\nmin_margin = 0\nmin_similarity = -1\n";

pub(crate) struct Home {
    folder: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that it failed with this code, without a panic, and that it named all of this.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, named: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        for named in named {
            assert!(self.stderr.contains(named), "{named:?} is not named: {self:?}");
        }
    }
}

impl Home {
    /// With the small set among its reference prompts.
    pub(crate) async fn new() -> Self {
        let home = Self { folder: TempDir::new().unwrap() };
        home.configure(&models_dir().await, "");
        let routes = PROMPTS.map(|(route, texts)| (route, texts.map(str::to_owned).to_vec()));
        home.write_set("small", &routes);
        home
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(crate) fn store_path(&self) -> PathBuf {
        self.path("data/semroute.db")
    }

    /// Writes semroute.toml; `more` comes at the end.
    pub(crate) fn configure(&self, models: &Path, more: &str) {
        let text = format!(
            "data_dir = '{}'\nmodels_dir = '{}'\nreference_prompts_dir = '{}'\ndefault_set = 'small'\n\
             server.listen = '127.0.0.1:0'\nhttp.listen = '127.0.0.1:0'\n{more}",
            self.path("data").display(),
            models.display(),
            self.path("reference-prompts").display(),
        );
        std::fs::write(self.path("semroute.toml"), text).unwrap();
    }

    /// Writes a set's folder under the reference prompts.
    pub(crate) fn write_set(&self, name: &str, routes: &[(&str, Vec<String>)]) {
        let folder = self.path("reference-prompts").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("set.toml"), format!("description = \"for tests\"\n{EASY}")).unwrap();
        for (route, texts) in routes {
            std::fs::write(folder.join(format!("{route}.jsonl")), jsonl(texts)).unwrap();
        }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_semroute"));
        command.arg("--config").arg(self.path("semroute.toml")).args(args).current_dir(self.folder.path());
        // Not the concern of a test: what the machine has set.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SEMROUTE") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Ended {
        ended(self.command(args).spawn().unwrap()).await
    }

    pub(crate) async fn run_with_input(&self, args: &[&str], input: &str) -> Ended {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        ended(child).await
    }

    /// Starts `serve` and waits until it listens.
    pub(crate) async fn serve(&self) -> Served {
        let mut served = self.begin_to_serve();
        served.listens().await;
        served
    }

    /// Starts `serve` where no file may grow beyond so many blocks of the shell's `ulimit -f`: as on a full disk, a write
    /// takes a part and then fails.
    pub(crate) async fn serve_limited(&self, blocks: usize) -> Served {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
        let command = self.command(&["serve"]);
        let mut limited = Command::new("sh");
        limited.args(["-c", &script, "sh"]).arg(command.as_std().get_program()).args(command.as_std().get_args());
        limited.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut served = Served::new(limited.kill_on_drop(true).spawn().unwrap());
        served.listens().await;
        served
    }

    /// Starts `serve`, which may take its time or fail.
    pub(crate) fn begin_to_serve(&self) -> Served {
        Served::new(self.command(&["serve"]).spawn().unwrap())
    }
}

/// Lines of a file of prompts.
pub(crate) fn jsonl(texts: &[String]) -> String {
    texts.iter().fold(String::new(), |mut lines, text| {
        writeln!(lines, "{}", serde_json::json!({ "text": text })).unwrap();
        lines
    })
}

/// So many texts that differ.
pub(crate) fn many_texts(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("what is {n} times {}", n * 7 % 101)).collect()
}

async fn ended(child: Child) -> Ended {
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("the command ends").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A running `serve`, killed when it is dropped.
pub(crate) struct Served {
    child: Child,
    /// What it wrote to standard error so far.
    lines: Arc<Mutex<String>>,
    address: watch::Receiver<Option<String>>,
}

impl Served {
    fn new(mut child: Child) -> Self {
        let lines = Arc::new(Mutex::new(String::new()));
        let (found, address) = watch::channel(None);
        let mut read = BufReader::new(child.stderr.take().unwrap()).lines();
        let kept = Arc::clone(&lines);
        tokio::spawn(async move {
            while let Ok(Some(line)) = read.next_line().await {
                kept.lock().unwrap().push_str(&format!("{line}\n"));
                if let Some(rest) = line.strip_prefix("Listening on ") {
                    found.send_replace(rest.split_whitespace().next().map(str::to_owned));
                }
            }
        });
        Self { child, lines, address }
    }

    pub(crate) fn log(&self) -> String {
        self.lines.lock().unwrap().clone()
    }

    /// Waits until it listens; its address.
    pub(crate) async fn listens(&mut self) -> String {
        let found = tokio::time::timeout(PATIENCE, self.address.wait_for(Option::is_some)).await;
        let found = found.expect("it listens in time").map(|address| address.clone()).ok().flatten();
        found.unwrap_or_else(|| panic!("it ended:\n{}", self.log()))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address.borrow().as_ref().expect("it listens"))
    }

    pub(crate) async fn channel(&self) -> Channel {
        Endpoint::from_shared(self.url()).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn router(&self) -> pb::router_service_client::RouterServiceClient<Channel> {
        pb::router_service_client::RouterServiceClient::new(self.channel().await)
    }

    pub(crate) async fn references(&self) -> pb::reference_service_client::ReferenceServiceClient<Channel> {
        pb::reference_service_client::ReferenceServiceClient::new(self.channel().await)
    }

    /// A number of `/proc/PID/status`, such as `Threads` or `VmRSS` (in kB).
    #[cfg(target_os = "linux")]
    pub(crate) fn status(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id().expect("it runs"));
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap().split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        send(name, &self.child);
    }

    /// Its exit code; `None` if a signal ended it.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap().code()
    }

    /// Ends it without giving it a chance to do anything.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Sends a signal to a child of this test.
pub(crate) fn send(name: &str, child: &Child) {
    let pid = child.id().expect("it runs").to_string();
    assert!(std::process::Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}
