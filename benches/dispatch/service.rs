//! A `semroute serve` of our own, with a small set whose only route leads to A and then B.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use semroute::grpc::pb;
use semroute::grpc::pb::admin_service_client::AdminServiceClient;
use semroute::grpc::pb::router_service_client::RouterServiceClient;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

pub(crate) const PROMPT: &str = "how do I boil an egg";

const START: Duration = Duration::from_secs(120);

pub(crate) struct Service {
    process: Child,
    pub(crate) url: String,
    _home: TempDir,
}

impl Service {
    /// `targets`: name and base URL of each provider, in the order of the route. `extra` is added to the configuration.
    pub(crate) async fn start(targets: &[(&str, String)], extra: &str) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let set = home.path().join("sets/small");
        std::fs::create_dir_all(&set).expect("a folder");
        std::fs::write(set.join("set.toml"), "[policy]\nfallback = 'best_guess'\n").expect("a file");
        for (route, texts) in
            [("cooking", ["boil an egg", "bake bread"]), ("travel", ["book a flight", "find a hotel"])]
        {
            let lines = texts.map(|text| format!("{{\"text\": \"{text}\"}}\n")).concat();
            std::fs::write(set.join(format!("{route}.jsonl")), lines).expect("a file");
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let names: Vec<String> = targets.iter().map(|(name, _)| format!("'{name}'")).collect();
        let mut config = format!("default_set = 'small'\ndefault_targets = [{}]\n", names.join(", "));
        config.push_str(&format!("data_dir = '{0}/data'\nreference_prompts_dir = '{0}/sets'\n", home.path().display()));
        config.push_str(&format!("models_dir = '{}/models'\n", env!("CARGO_MANIFEST_DIR")));
        config.push_str(&format!("{extra}\n"));
        config.push_str(&format!("[server]\nlisten = '127.0.0.1:{port}'\nmax_concurrent_requests = 10000\n"));
        config.push_str("[http]\nlisten = '127.0.0.1:0'\n[log]\nlevel = 'warn'\n");
        for (name, url) in targets {
            config.push_str(&format!("[[providers]]\nname = '{name}'\nkind = 'openai'\nbase_url = '{url}'\n"));
            config.push_str(&format!("[[targets]]\nname = '{name}'\nprovider = '{name}'\nmodel = 'm'\n"));
        }
        let path = home.path().join("semroute.toml");
        std::fs::write(&path, config).expect("a file");
        let mut process = Command::new(env!("CARGO_BIN_EXE_semroute"))
            .arg("--config")
            .arg(&path)
            .arg("serve")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let errors = process.stderr.take().expect("its standard error");
        // Read to the end, so that it never waits for us; shown only if it says that something is wrong.
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok).filter(|line| line.contains("error")) {
                eprintln!("server: {line}");
            }
        });
        let service = Self { process, url: format!("http://127.0.0.1:{port}"), _home: home };
        service.ready().await;
        service
    }

    async fn ready(&self) {
        let begun = Instant::now();
        while begun.elapsed() < START {
            if let Ok(mut client) = RouterServiceClient::connect(self.url.clone()).await
                && client.route(pb::RouteRequest { input: Some(input()), ..Default::default() }).await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the server was not ready within {START:?}");
    }

    pub(crate) async fn connections(&self, count: usize) -> Vec<Channel> {
        let mut channels = Vec::new();
        for _ in 0..count {
            let endpoint = Endpoint::from_shared(self.url.clone()).expect("an address").tcp_nodelay(true);
            channels.push(endpoint.connect().await.expect("a connection"));
        }
        channels
    }

    /// Waits until the target's breaker is not closed; when that was, to a hundredth of a second.
    pub(crate) async fn opened(&self, target: &str) -> Instant {
        let mut admin = AdminServiceClient::connect(self.url.clone()).await.expect("a connection");
        loop {
            let told = admin.list_targets(pb::ListTargetsRequest {}).await.expect("the targets").into_inner();
            let state = told.states.iter().find(|state| state.target == target).expect("its state");
            if state.breaker() != pb::BreakerState::Closed {
                return Instant::now();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Resident memory in KiB, and threads.
    pub(crate) fn size(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        (field("VmRSS:").unwrap_or(0), field("Threads:").unwrap_or(0))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn input() -> pb::Input {
    pb::Input { input: Some(pb::input::Input::Text(PROMPT.to_owned())) }
}
