//! The configuration: a TOML file, then the environment over it. Every fault is reported at once, with its path.
//!
//! The only module that reads environment variables. Names of the form `SEMROUTE__SERVER__LISTEN` set the field
//! `server.listen`; keys of providers are read from the variables that the configuration names. Two of OpenTelemetry's
//! own variables are taken where nothing else says where traces go.

mod check;
mod embedding;
mod environment;
mod faults;
mod log;
mod merge;
mod otel;
mod server;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use embedding::EmbeddingConfig;
pub use environment::{caller_key, environment, hub_cache, hub_endpoint};
pub use faults::{ConfigError, Fault};
pub use log::{LogConfig, LogFormat};
pub use server::ServerConfig;

use crate::classify::{CacheConfig, LlmConfig};
use crate::dispatch::DispatchConfig;
use crate::govern::AuthConfig;
use crate::govern::audit::AuditConfig;
use crate::http::HttpConfig;
use crate::index::IndexConfig;
use crate::learn::FeedbackConfig;
use crate::money::Currency;
use crate::provider::{DEMO, ProviderConfig};
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
}

/// Where the LLM stage asks, as routing knows places. Its name is never told. What it costs is in its budget; without
/// any price there it is taken for free, as the budget takes it.
fn llm_place(llm: &LlmConfig) -> Option<TargetConfig> {
    Some(TargetConfig {
        region: llm.region.clone(),
        certifications: llm.certifications.clone(),
        retention: llm.retention,
        prices: Some(llm.budget.prices()),
        ..TargetConfig::new(TargetName::new("llm").ok()?, &llm.provider, &llm.model)
    })
}
