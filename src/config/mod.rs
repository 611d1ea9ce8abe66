//! The configuration: a TOML file, then the environment over it. Every fault is reported at once, with its path.
//!
//! The only module that reads environment variables. Names of the form `SEMROUTE__SERVER__LISTEN` set the field
//! `server.listen`; keys of providers are read from the variables that the configuration names. Two of OpenTelemetry's
//! own variables are taken where nothing else says where traces go.

mod faults;
mod merge;
mod otel;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

pub use faults::{ConfigError, Fault};

use crate::classify::{CacheConfig, LlmConfig};
use crate::dispatch::DispatchConfig;
use crate::embed::{InstructionSet, Precision};
use crate::govern::AuthConfig;
use crate::govern::audit::AuditConfig;
use crate::grpc::TlsConfig;
use crate::http::HttpConfig;
use crate::index::IndexConfig;
use crate::learn::FeedbackConfig;
use crate::money::Currency;
use crate::provider::{DEMO, Kind, ProviderConfig, Providers};
use crate::reference::{NameError, SetName, TargetName};
use crate::routing::{DataPolicy, RoutingConfig, SetConfig, TargetConfig};
use crate::telemetry::TelemetryConfig;

/// The file that is read if none is named and it exists.
pub const DEFAULT_FILE: &str = "semroute.toml";

/// Everything that can be set. Every field has a default; unknown fields are faults.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The folder of the store, made if it is missing.
    pub data_dir: PathBuf,
    /// The folder of the embedding models.
    pub models_dir: PathBuf,
    /// Sets in this folder are taken into the store if it does not have them yet.
    pub reference_prompts_dir: PathBuf,
    /// The reference set of requests that name none.
    pub default_set: String,
    pub server: ServerConfig,
    /// Who may call.
    pub auth: AuthConfig,
    pub http: HttpConfig,
    pub embedding: EmbeddingConfig,
    pub index: IndexConfig,
    pub cache: CacheConfig,
    pub llm: Option<LlmConfig>,
    /// Without it no prompt is remembered.
    pub feedback: Option<FeedbackConfig>,
    pub dispatch: DispatchConfig,
    pub audit: AuditConfig,
    /// Where a route without targets is sent, in order. Empty: the first configured target, or the built-in demo.
    pub default_targets: Vec<TargetName>,
    pub providers: Vec<ProviderConfig>,
    pub targets: Vec<TargetConfig>,
    /// What may be done with anybody's data.
    pub policy: DataPolicy,
    /// Of all prices.
    pub currency: Currency,
    /// Rules by set, and rules and targets by route; the targets go before those in the store.
    pub sets: BTreeMap<SetName, SetConfig>,
    pub log: LogConfig,
    /// Without a collector no trace is made.
    pub telemetry: TelemetryConfig,
}

/// `[server]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    pub listen: SocketAddr,
    /// `[server.tls]`; without it the port speaks plain HTTP/2.
    pub tls: Option<TlsConfig>,
    /// Longest input of a request in bytes, 1 to 16 MiB.
    pub max_prompt_bytes: usize,
    /// Longest message in bytes, 64 KiB to 64 MiB.
    pub max_message_bytes: usize,
    /// Requests under way at once; one more is refused.
    pub max_concurrent_requests: usize,
    /// Time for a completion whose caller set no deadline.
    #[serde(with = "humantime_serde")]
    pub default_timeout: Duration,
    /// How long requests under way may take at shutdown.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 50051)),
            tls: None,
            max_prompt_bytes: 1 << 20,
            max_message_bytes: 8 << 20,
            max_concurrent_requests: 1024,
            default_timeout: Duration::from_secs(600),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// `[embedding]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddingConfig {
    /// A folder in `models_dir`.
    pub model: String,
    /// Of the model's linear layers: `int8` or `f32`.
    pub precision: Precision,
    /// The widest instructions to use: `portable`, `avx2` or `avx512`; left out: the widest that the CPU has.
    pub instruction_set: Option<InstructionSet>,
    /// Threads; 0: one a core.
    pub workers: usize,
    /// How much nicer the threads are than the rest of the process, 0 to 19, so that answers and refusals need not wait
    /// for them. On Linux only.
    pub niceness: u8,
    /// Whether a prompt that is alone is spread over the cores of idle workers, where that turns out to be faster.
    pub spread: bool,
    /// Prompts waiting for a thread; one more is refused.
    pub queue_capacity: usize,
    /// Longest time that a prompt may wait for a thread; one that would wait longer is refused. A queue that is never
    /// shorter than a second is no burst that it takes up: it makes all wait, and does no more work for it.
    #[serde(with = "humantime_serde")]
    pub max_wait: Duration,
    /// Most tokens of a batch; 0: found by a measurement at the start.
    pub batch_tokens: usize,
    /// Most prompts of a batch.
    pub batch_prompts: usize,
    /// Where the model may be copied from, before any download.
    pub model_source: Option<PathBuf>,
    /// The Hugging Face Hub or a mirror of it.
    pub hub_endpoint: Option<String>,
}

impl Default for EmbeddingConfig {
    fn default() -> Self {
        Self {
            model: "all-MiniLM-L6-v2".to_owned(),
            precision: Precision::default(),
            instruction_set: None,
            workers: 0,
            niceness: 5,
            spread: true,
            queue_capacity: 512,
            max_wait: Duration::from_secs(1),
            batch_tokens: 0,
            batch_prompts: 64,
            model_source: None,
            hub_endpoint: None,
        }
    }
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`) or directives such as `info,semroute::dispatch=debug`.
    pub level: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Text,
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from(".semroute"),
            models_dir: PathBuf::from("models"),
            reference_prompts_dir: PathBuf::from("reference-prompts"),
            default_set: "assistant".to_owned(),
            server: ServerConfig::default(),
            auth: AuthConfig::default(),
            http: HttpConfig::default(),
            embedding: EmbeddingConfig::default(),
            index: IndexConfig::default(),
            cache: CacheConfig::default(),
            llm: None,
            feedback: None,
            dispatch: DispatchConfig::default(),
            audit: AuditConfig::default(),
            default_targets: Vec::new(),
            providers: Vec::new(),
            targets: Vec::new(),
            policy: DataPolicy::default(),
            currency: Currency::default(),
            sets: BTreeMap::new(),
            log: LogConfig::default(),
            telemetry: TelemetryConfig::default(),
        }
    }
}

impl Config {
    /// Reads `file` (or [`DEFAULT_FILE`] if it exists) and the environment.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let present = file.map(Path::to_owned).or_else(|| {
            let default = PathBuf::from(DEFAULT_FILE);
            default.exists().then_some(default)
        });
        let text = match &present {
            Some(path) => {
                std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.clone(), source })?
            }
            None => String::new(),
        };
        let place = present.map_or_else(|| "the environment".to_owned(), |path| path.display().to_string());
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::parse(&text, variables, &place)
    }

    /// From the text of a file and variables; `place` names them in errors.
    pub fn parse(
        text: &str,
        variables: impl Iterator<Item = (String, String)>,
        place: &str,
    ) -> Result<Self, ConfigError> {
        let mut table: toml::Table = toml::from_str(text)
            .map_err(|error| ConfigError::Syntax { place: place.to_owned(), what: error.to_string() })?;
        let variables: Vec<(String, String)> = variables.collect();
        let mut found = merge::environment(&mut table, variables.iter().cloned());
        found.extend(otel::environment(&mut table, &variables));
        let (config, unreadable, cuts) = faults::read::<Self>(table);
        found.extend(unreadable);
        let restored = |fault: Fault| Fault { path: cuts.restore(&fault.path), ..fault };
        found.extend(config.faults().into_iter().map(restored));
        if found.is_empty() { Ok(config) } else { Err(ConfigError::Faults { place: place.to_owned(), faults: found }) }
    }

    /// The set of requests that name none.
    pub fn default_set(&self) -> Result<SetName, NameError> {
        SetName::new(&self.default_set)
    }

    pub fn store_path(&self) -> PathBuf {
        self.data_dir.join("semroute.db")
    }

    /// The folder of saved indexes.
    pub fn indexes_path(&self) -> PathBuf {
        self.data_dir.join("indexes")
    }

    /// Everything that reads well but cannot be right.
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut add = |path: String, what: String| faults.push(Fault { path, what });
        if let Err(error) = self.default_set() {
            add("default_set".to_owned(), error.to_string());
        }
        let bounds = [
            ("server.max_prompt_bytes", self.server.max_prompt_bytes, 1, 16 << 20),
            ("server.max_message_bytes", self.server.max_message_bytes, 64 << 10, 64 << 20),
            ("server.max_concurrent_requests", self.server.max_concurrent_requests, 1, 1_000_000),
            ("embedding.workers", self.embedding.workers, 0, 256),
            ("embedding.niceness", usize::from(self.embedding.niceness), 0, 19),
            ("embedding.queue_capacity", self.embedding.queue_capacity, 1, 1_000_000),
            ("embedding.batch_tokens", self.embedding.batch_tokens, 0, 1_000_000),
            ("embedding.batch_prompts", self.embedding.batch_prompts, 1, 1_024),
        ];
        for (path, value, least, most) in bounds {
            if value < least || value > most {
                add(path.to_owned(), format!("is {value}, must be from {least} to {most}"));
            }
        }
        let spans = [
            ("server.default_timeout", self.server.default_timeout, 1, 86_400),
            ("server.drain_timeout", self.server.drain_timeout, 0, 3_600),
        ];
        for (path, value, least, most) in spans {
            if value < Duration::from_secs(least) || value > Duration::from_secs(most) {
                add(path.to_owned(), format!("is {} s, must be from {least} to {most} s", value.as_secs_f64()));
            }
        }
        let max_wait = self.embedding.max_wait;
        if max_wait.is_zero() || max_wait > Duration::from_secs(3_600) {
            let found = humantime_serde::re::humantime::format_duration(max_wait);
            add("embedding.max_wait".to_owned(), format!("is {found}, must be more than 0 and at most 1 h"));
        }
        if self.log.level.parse::<tracing_subscriber::filter::Targets>().is_err() {
            add("log.level".to_owned(), format!("{:?} is neither a level nor directives", self.log.level));
        }
        let mut below = |path: &str, found: Vec<(String, String)>| {
            for (field, what) in found {
                add(format!("{path}.{field}"), what);
            }
        };
        if let Some(tls) = &self.server.tls {
            below("server.tls", tls.faults());
        }
        below("auth", self.auth.faults());
        below("index", self.index.faults());
        below("cache", self.cache.faults());
        below("dispatch", self.dispatch.faults());
        below("audit", self.audit.faults());
        below("telemetry", self.telemetry.faults());
        if let Some(llm) = &self.llm {
            below("llm", llm.faults());
        }
        if let Some(feedback) = &self.feedback {
            below("feedback", feedback.faults());
        }
        for (path, what) in Providers::faults(&self.providers) {
            add(format!("providers{path}"), what);
        }
        for (path, what) in self.routing().faults() {
            add(path, what);
        }
        faults.extend(self.dangling_names());
        faults
    }

    /// The targets, as routing wants them: without default targets, the first target is the default.
    pub fn routing(&self) -> RoutingConfig {
        let mut default_targets = self.default_targets.clone();
        if default_targets.is_empty() {
            default_targets.extend(self.targets.first().map(|target| target.name.clone()));
        }
        let providers = self.providers.iter().map(|provider| provider.name.clone());
        RoutingConfig {
            targets: self.targets.clone(),
            default_targets,
            policy: self.policy.clone(),
            sets: self.sets.clone(),
            currency: self.currency.clone(),
            providers: providers.chain([DEMO.to_owned()]).collect(),
            llm: self.llm.as_ref().and_then(llm_place),
        }
    }

    fn has_provider(&self, name: &str) -> bool {
        name == DEMO || self.providers.iter().any(|provider| provider.name == name)
    }

    /// The LLM stage's provider if it is none, and targets of a provider that answers no chat.
    fn dangling_names(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut add = |path: String, what: String| faults.push(Fault { path, what });
        if let Some(llm) = self.llm.as_ref().filter(|llm| !self.has_provider(&llm.provider)) {
            add("llm.provider".to_owned(), format!("{:?} is not among the providers", llm.provider));
        }
        for (at, target) in self.targets.iter().enumerate() {
            let provider = self.providers.iter().find(|provider| provider.name == target.provider);
            if provider.is_some_and(|provider| provider.kind == Kind::SystemOne) {
                let what = format!("{:?} takes typed questions only: it can serve the LLM stage", target.provider);
                add(format!("targets[{at}].provider"), what);
            }
        }
        faults
    }
}

/// Where the LLM stage asks, as routing knows places. Its name is never told. What it costs is in its budget; without any
/// price there it is taken for free, as the budget takes it.
fn llm_place(llm: &LlmConfig) -> Option<TargetConfig> {
    Some(TargetConfig {
        region: llm.region.clone(),
        certifications: llm.certifications.clone(),
        retention: llm.retention,
        prices: Some(llm.budget.prices()),
        ..TargetConfig::new(TargetName::new("llm").ok()?, &llm.provider, &llm.model)
    })
}

/// Reads a variable that the configuration names, such as a provider's key.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The key that commands send to a server, if the environment has one: `SEMROUTE_KEY`.
pub fn caller_key() -> Option<String> {
    environment("SEMROUTE_KEY").filter(|key| !key.is_empty())
}

/// Where the Hugging Face Hub keeps what others have downloaded, if that is to be known.
pub fn hub_cache() -> Option<PathBuf> {
    let home = environment("HF_HOME").map(PathBuf::from);
    let default = || environment("HOME").map(|home| PathBuf::from(home).join(".cache/huggingface"));
    home.or_else(default).map(|home| home.join("hub"))
}

/// The Hub's address or that of a mirror, if the environment names one.
pub fn hub_endpoint() -> Option<String> {
    environment("HF_ENDPOINT")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        match Config::parse(text, std::iter::empty(), "test") {
            Ok(_) => Vec::new(),
            Err(ConfigError::Faults { faults, .. }) => faults.into_iter().map(|fault| fault.path).collect(),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn an_empty_file_has_the_defaults() {
        let config = Config::parse("", std::iter::empty(), "test").unwrap();
        assert_eq!(config.server.listen.port(), 50051);
        assert_eq!(config.embedding.model, "all-MiniLM-L6-v2");
    }

    #[test]
    fn all_faults_are_listed_at_once_with_their_path() {
        let text = r#"
            data_dri = "x"
            default_targets = ["nobody"]
            [server]
            listen = "everywhere"
            max_prompt_bytes = 0
            [index]
            m = "many"
            ef_search = 3
            [embedding]
            wrokers = 2
            [[providers]]
            name = "a"
            kind = "openai"
            base_url = "http://127.0.0.1:1/v1"
            [[targets]]
            name = "t"
            provider = "b"
            model = "m"
            [sets.assistant.routes.maths]
            targets = ["t", "u"]
        "#;
        let mut found = faults(text);
        found.sort();
        assert_eq!(
            found,
            [
                "data_dri",
                "default_targets[0]",
                "embedding.wrokers",
                "index.ef_search",
                "index.m",
                "server.listen",
                "server.max_prompt_bytes",
                "sets.assistant.routes.maths.targets[1]",
                "targets[0].provider",
            ]
        );
    }

    #[test]
    fn the_caches_size_is_a_number_or_a_text() {
        let size = |text: &str| Config::parse(text, std::iter::empty(), "test").map(|config| config.cache.max_bytes.0);
        for (text, bytes) in [("", 64 << 20), ("cache.max_bytes = 0", 0), ("cache.max_bytes = \"2 GiB\"", 2 << 30)] {
            assert_eq!(size(text).unwrap(), bytes, "{text}");
        }
        for wrong in ["-1", "\"64 MiX\"", "1.5", "\"2000 GiB\"", "true"] {
            assert_eq!(faults(&format!("[cache]\nmax_bytes = {wrong}\n")), ["cache.max_bytes"], "{wrong}");
        }
        assert_eq!(faults("cache.ttl = '0s'"), ["cache.ttl"]);
    }

    #[test]
    fn nan_and_wrong_types_are_faults() {
        assert_eq!(faults("[llm]\nprovider = \"demo\"\nmodel = 3\n"), ["llm.model"]);
        assert_eq!(faults("[server]\ndrain_timeout = \"soon\"\n"), ["server.drain_timeout"]);
        assert_eq!(faults("targets = 7\n"), ["targets"]);
        assert_eq!(faults("http.listen = 'everywhere'\nhttp.port = 1\n"), ["http.listen", "http.port"]);
        let first_unreadable =
            "[[targets]]\nname = \"t\"\n[[targets]]\nname = \"u\"\nprovider = \"x\"\nmodel = \"m\"\n";
        assert_eq!(faults(first_unreadable), ["targets[0]", "targets[1].provider"]);
    }

    #[test]
    fn the_budget_is_checked_and_a_typed_provider_is_no_target() {
        let text = r#"
            [llm]
            provider = "typed"
            model = "jev-latest"
            [llm.budget]
            max_share = 2
            max_spend_per_day = 1
            [feedback]
            near = 2
            [feedback.accept]
            agreeing = 0
            [[providers]]
            name = "typed"
            kind = "systemone"
            base_url = "http://127.0.0.1:1/v1"
            [[targets]]
            name = "t"
            provider = "typed"
            model = "m"
        "#;
        assert_eq!(
            faults(text),
            [
                "llm.budget.max_share",
                "llm.budget.max_spend_per_day",
                "feedback.near",
                "feedback.accept.agreeing",
                "targets[0].provider",
            ]
        );
    }

    #[test]
    fn syntax_errors_name_the_line() {
        let error = Config::parse("a = \n", std::iter::empty(), "test").unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
    }

    #[test]
    fn the_environment_goes_over_the_file() {
        let variables = [
            ("SEMROUTE__SERVER__LISTEN", "127.0.0.1:7"),
            ("SEMROUTE__EMBEDDING__WORKERS", "3"),
            ("SEMROUTE__DATA_DIR", "/tmp/x"),
            ("SEMROUTE_OTHER", "ignored"),
        ];
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let config = Config::parse("[embedding]\nworkers = 1\n", variables, "test").unwrap();
        assert_eq!(config.server.listen.port(), 7);
        assert_eq!(config.embedding.workers, 3);
        assert_eq!(config.data_dir, Path::new("/tmp/x"));
    }
}
