//! A server in this process: real model, small reference set, folder of its own, free port.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use semroute::app::App;
use semroute::config::Config;
use semroute::grpc::BoundServer;
use semroute::grpc::pb;
use semroute::http::{BoundHttp, HttpConfig, Listen, Standing};
use semroute::model::{self, PullOptions, Registry, Silent};
use semroute::publish::{Counters, bring_up, sync_files};
use semroute::reference::{
    Precondition, PromptEdit, PromptPurpose, Route, RouteName, SetEdit, SetFiles, SetName, SetPolicy,
};
use tempfile::TempDir;
use tokio::sync::{OnceCell, oneshot};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

pub(crate) const MODEL: &str = "all-MiniLM-L6-v2";

/// The small set: four routes that are easy to tell apart, eight prompts each.
pub(crate) const PROMPTS: [(&str, [&str; 8]); 4] = [
    (
        "maths",
        [
            "what is 12 times 17",
            "solve x squared minus 4 equals 0",
            "integrate sin x from 0 to pi",
            "What is the probability of two sixes in a row?",
            "factorise 84 into primes",
            "a train drives 120 km in 1.5 hours, how fast is it",
            "derivative of x^3",
            "what percentage is 15 of 60",
        ],
    ),
    (
        "translation",
        [
            "translate good morning into French",
            "how do you say thank you in Japanese",
            "Please put this sentence into German: the train is late",
            "what does hasta luego mean in English",
            "Spanish for umbrella",
            "translate this paragraph to Italian",
            "say I love you in Portuguese",
            "what is the Dutch word for bread",
        ],
    ),
    (
        "cooking",
        [
            "how long do I boil an egg",
            "recipe for tomato soup",
            "what can I cook with rice and chicken",
            "my cake did not rise, what did I do wrong in the oven",
            "how to make pizza dough",
            "which spices go into a curry",
            "how do I caramelise onions",
            "a vegetarian dinner for four people",
        ],
    ),
    (
        "code",
        [
            "write a Python function that reverses a string",
            "my Rust program does not compile",
            "how do I sort a list in Java",
            "write a regex that matches email addresses",
            "SQL query that counts users by country",
            "fix this null pointer exception",
            "implement binary search in C",
            "what does this shell script do",
        ],
    ),
];

pub(crate) fn set_name() -> SetName {
    SetName::new("small").unwrap()
}

pub(crate) fn prompt_edit(route: &str, text: &str) -> PromptEdit {
    PromptEdit {
        id: None,
        route: RouteName::new(route).unwrap(),
        text: text.to_owned(),
        purpose: PromptPurpose::Reference,
        precondition: Precondition::None,
    }
}

fn small_set(policy: SetPolicy) -> SetFiles {
    let name = |route: &str| RouteName::new(route).unwrap();
    SetFiles {
        edit: SetEdit { name: set_name(), description: "for tests".to_owned(), policy },
        routes: PROMPTS
            .iter()
            .map(|(route, _)| Route { description: format!("about {route}"), ..Route::named(name(route)) })
            .collect(),
        prompts: PROMPTS.iter().flat_map(|(route, texts)| texts.map(|text| prompt_edit(route, text))).collect(),
        warnings: Vec::new(),
    }
}

/// The repository's own models folder, with the model in it: got once a test run, like `semroute serve` gets it.
pub(crate) async fn models_dir() -> PathBuf {
    static PULLED: OnceCell<()> = OnceCell::const_new();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    PULLED
        .get_or_init(|| async {
            let model = Registry::new(&dir).find(MODEL).unwrap();
            model::pull(&model, &PullOptions::default(), &Silent::shared()).await.unwrap();
        })
        .await;
    dir
}

/// What a test may set before the server starts.
pub(crate) struct Setup {
    /// More of the configuration, as TOML.
    pub(crate) toml: String,
    pub(crate) policy: SetPolicy,
}

impl Default for Setup {
    fn default() -> Self {
        // The small set is easy, and its neighbours are few: they decide alone unless a test asks for more. The target
        // is beyond what so few prompts can prove, so that no model takes their place.
        let policy = SetPolicy {
            target_accuracy: 0.99,
            min_score: 0.0,
            min_margin: 0.0,
            min_similarity: -1.0,
            ..SetPolicy::default()
        };
        Self { toml: String::new(), policy }
    }
}

impl Setup {
    pub(crate) fn toml(toml: impl Into<String>) -> Self {
        Self { toml: toml.into(), ..Self::default() }
    }

    /// With providers `p0`, `p1`, ... at these addresses, a target of the same name for each, tried in this order.
    pub(crate) fn providers(addresses: &[SocketAddr], more: &str) -> Self {
        let names: Vec<String> = (0..addresses.len()).map(|at| format!("'p{at}'")).collect();
        let mut toml = format!("default_targets = [{}]\n{more}\n", names.join(", "));
        for (at, address) in addresses.iter().enumerate() {
            toml.push_str(&format!(
                "[[providers]]\nname = 'p{at}'\nkind = 'openai'\nbase_url = 'http://{address}/v1'\n\
                 [[targets]]\nname = 'p{at}'\nprovider = 'p{at}'\nmodel = 'model-{at}'\nregion = 'region-{at}'\n"
            ));
        }
        Self::toml(toml)
    }

    pub(crate) async fn start(self) -> TestServer {
        TestServer::start(self, TempDir::new().unwrap()).await
    }
}

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    /// Of metrics and probes.
    pub(crate) http: SocketAddr,
    pub(crate) app: Arc<App>,
    pub(crate) folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl TestServer {
    /// On the store that the folder holds, or a new one with the small set.
    pub(crate) async fn start(setup: Setup, folder: TempDir) -> Self {
        let models = models_dir().await;
        let text = format!(
            "data_dir = '{}'\nmodels_dir = '{}'\ndefault_set = 'small'\n{}",
            folder.path().join("data").display(),
            models.display(),
            setup.toml,
        );
        let config = Config::parse(&text, std::iter::empty(), "test").unwrap_or_else(|error| panic!("{error}"));
        let app = Arc::new(App::start(config, &Silent::shared()).await.unwrap());
        if app.store.list_sets().await.unwrap().is_empty() {
            sync_files(app.store.as_ref(), small_set(setup.policy)).await.unwrap();
        }
        for set in app.store.list_sets().await.unwrap() {
            bring_up(&app.live, &app.builder, &set, true, &Counters::default()).await.unwrap();
        }
        app.start_tasks();
        let bound = BoundServer::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = bound.address();
        let anywhere = HttpConfig { listen: Listen::At(SocketAddr::from(([127, 0, 0, 1], 0))) };
        let probes = BoundHttp::bind(&anywhere).await.unwrap().unwrap();
        let http = probes.address();
        let standing = Standing::default();
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&app);
        app.tasks.spawn(probes.run(standing.clone(), app.stop.clone()));
        standing.serve(app.live.clone(), app.metrics.clone());
        let running = tokio::spawn(async move {
            let signal = async move {
                let _ = stopped.await;
                standing.drain();
            };
            bound.run(&served, signal).await.unwrap();
            served.stop.cancel();
            // As `serve` ends: what has something to record comes first.
            served.tasks.close();
            let _ = tokio::time::timeout(Duration::from_secs(10), served.tasks.wait()).await;
            served.audit.close().await;
        });
        Self { address, http, app, folder, stop: Some(stop), running }
    }

    pub(crate) async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn router(&self) -> pb::router_service_client::RouterServiceClient<Channel> {
        pb::router_service_client::RouterServiceClient::new(self.channel().await)
    }

    pub(crate) async fn references(&self) -> pb::reference_service_client::ReferenceServiceClient<Channel> {
        pb::reference_service_client::ReferenceServiceClient::new(self.channel().await)
    }

    pub(crate) async fn admin(&self) -> pb::admin_service_client::AdminServiceClient<Channel> {
        pb::admin_service_client::AdminServiceClient::new(self.channel().await)
    }

    /// Asks it to stop, as a signal would; [`TestServer::stopped`] waits for the end.
    pub(crate) fn ask_to_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until it has stopped, at most 30 s.
    pub(crate) async fn stopped(mut self) -> TempDir {
        self.ask_to_stop();
        tokio::time::timeout(Duration::from_secs(30), self.running).await.unwrap().unwrap();
        self.folder
    }
}

pub(crate) fn text(text: &str) -> Option<pb::Input> {
    Some(pb::Input { input: Some(pb::input::Input::Text(text.to_owned())) })
}

pub(crate) fn route_request(prompt: &str) -> pb::RouteRequest {
    pb::RouteRequest { input: text(prompt), ..pb::RouteRequest::default() }
}

pub(crate) fn complete_request(prompt: &str) -> pb::CompleteRequest {
    pb::CompleteRequest { input: text(prompt), ..pb::CompleteRequest::default() }
}

/// Calls until it succeeds, at most 10 s: for what becomes true soon after something else.
pub(crate) async fn until_ok<T>(call: impl AsyncFn() -> Result<T, tonic::Status>) -> T {
    let begun = std::time::Instant::now();
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(status) if begun.elapsed() > Duration::from_secs(10) => panic!("still {status:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
