//! The composition root: puts the parts together in their order. No logic of its own.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::calendar::Calendar;
use crate::classify::{Cascade, ExactCache, LlmConfig, LlmStage, follow_spend};
use crate::config::{self, Config};
use crate::dispatch::Dispatcher;
use crate::embed::{
    BatchLimits, BertSource, EmbedError, EmbedQueue, EmbedWorkers, Embedder, Encoder, EncoderConfig, QueueConfig,
    Spread, TextTokeniser, tune,
};
use crate::govern::audit::{Audit, AuditConfig, LogError};
use crate::govern::keys::{KeyStore, Keys, Ledger, follow_key_spend};
use crate::grpc;
use crate::learn::{Learning, RecorderParts};
use crate::metrics::{Metrics, MetricsError, Sources};
use crate::model::{self, ModelError, ModelFiles, PullOptions, Registry, SharedProgress};
use crate::provider::Providers;
use crate::publish::{BuildError, Builder, IndexFolder, LiveSets, is_half_taken, sync_files};
use crate::reference::{FileError, NameError, SetName, SnapshotCell, Store, StoreError, read_directory};
use crate::routing::routes_without_llm;
use crate::store::SqliteStore;
use crate::telemetry::chain;

/// Why the service could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("the embedding model cannot be used")]
    Embed(#[from] EmbedError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("the reference prompts in files cannot be used")]
    Files(#[from] FileError),
    #[error("{path} cannot be read")]
    ReadFolder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("providers cannot be used:{}", .0.iter().map(|error| format!("\n  {}", chain(error))).collect::<String>())]
    Providers(Box<Vec<crate::provider::BuildError>>),
    #[error("provider {0:?} of the LLM stage is not configured")]
    LlmProvider(String),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error("the audit log cannot be used")]
    Audit(#[from] LogError),
    #[error("a thread panicked while the audit log was opened")]
    AuditPanicked,
}

/// A model with its threads.
pub struct Embedding {
    pub files: ModelFiles,
    pub queue: EmbedQueue,
    pub workers: EmbedWorkers,
    pub threads: usize,
}

impl Embedding {
    /// Gets the model `name` if it is not there, loads it and starts the threads.
    pub async fn start(config: &Config, name: &str, progress: &SharedProgress) -> Result<Self, StartError> {
        let model = Registry::new(&config.models_dir).find(name)?;
        let files = model::pull(&model, &pull_options(config), progress).await?;
        let threads = match config.embedding.workers {
            0 => std::thread::available_parallelism().map_or(1, NonZero::get),
            workers => workers,
        };
        let settings = config.embedding.clone();
        let loaded = files.clone();
        let (queue, workers) = tokio::task::spawn_blocking(move || load(&loaded, &settings, threads))
            .await
            .map_err(|_| EmbedError::Panicked { step: "loading the model" })??;
        Ok(Self { files, queue, workers, threads })
    }

    pub fn builder(&self, config: &Config, store: Arc<dyn Store>) -> Builder {
        let dimension = self.files.manifest().dimension;
        let folder = IndexFolder::new(config.indexes_path());
        Builder::new(store, self.queue.clone(), self.files.fingerprint(), dimension, config.index.clone(), folder)
    }
}

/// Options of a model's download, as the configuration and the environment have them.
pub fn pull_options(config: &Config) -> PullOptions {
    let defaults = PullOptions::default();
    let endpoint = config.embedding.hub_endpoint.clone().or_else(config::hub_endpoint);
    PullOptions {
        folder: config.embedding.model_source.clone(),
        hub_endpoint: endpoint.unwrap_or_else(|| defaults.hub_endpoint.clone()),
        hub_cache: config::hub_cache(),
        ..defaults
    }
}

/// Most cores that help with one prompt: of more, each has too few tokens to be worth waiting for.
const MAX_HELPERS: usize = 3;

fn load(
    files: &ModelFiles,
    config: &config::EmbeddingConfig,
    threads: usize,
) -> Result<(EmbedQueue, EmbedWorkers), EmbedError> {
    let manifest = files.manifest();
    let tokeniser = TextTokeniser::from_file(&files.tokenizer().path, manifest.max_tokens)?;
    let source = BertSource {
        config: files.config().path.clone(),
        weights: files.weights().path.clone(),
        pooling: manifest.pooling,
        dimension: manifest.dimension,
        max_tokens: manifest.max_tokens,
    };
    let settings = EncoderConfig { precision: config.precision, instruction_set: config.instruction_set };
    let encoder = Encoder::load(&source, settings)?;
    tracing::info!(precision = config.precision.as_str(), instructions = encoder.instructions(), "encoder loaded");
    let tuned = tune(config.batch_tokens, &tokeniser, &mut encoder.clone())?;
    let encoder = match config.spread {
        true => Spread::helped(encoder, threads.saturating_sub(1).min(MAX_HELPERS), config.niceness)?,
        false => Spread::never(encoder),
    };
    let embedders = (0..threads).map(|_| Box::new(encoder.clone()) as Box<dyn Embedder>).collect();
    let batch = BatchLimits { tokens: tuned.batch_tokens, rows: config.batch_prompts };
    let (capacity, max_wait) = (config.queue_capacity, config.max_wait);
    EmbedQueue::start(
        &tokeniser,
        embedders,
        QueueConfig { capacity, max_wait, batch, niceness: config.niceness, pace: tuned.pace },
    )
}

/// What every part of a running service shares.
pub struct App {
    pub config: Config,
    pub embedding: Embedding,
    pub store: Arc<dyn Store>,
    pub builder: Builder,
    pub live: LiveSets,
    pub cascade: Cascade,
    pub learning: Learning,
    pub keys: Keys,
    pub metrics: Metrics,
    pub audit: Audit,
    pub providers: Providers,
    pub dispatcher: Dispatcher,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

impl App {
    /// Starts the model and opens the store; serves no set yet: see [`crate::publish::LiveSets`].
    pub async fn start(config: Config, progress: &SharedProgress) -> Result<Self, StartError> {
        let providers = Providers::build(&config.providers, &config::environment)
            .map_err(|errors| StartError::Providers(Box::new(errors)))?;
        let sqlite = Arc::new(SqliteStore::open(&config.store_path()).await?);
        let (store, key_store): (Arc<dyn Store>, Arc<dyn KeyStore>) = (sqlite.clone(), sqlite);
        let keys = Keys::open(key_store, Ledger::new(Calendar::now()), config.auth.clone()).await?;
        let embedding = Embedding::start(&config, &config.embedding.model, progress).await?;
        let builder = embedding.builder(&config, Arc::clone(&store));
        let live = LiveSets::new(Arc::clone(&store), builder.clone(), SnapshotCell::default());
        let llm = match &config.llm {
            Some(llm) => Some(Arc::new(llm_stage(&providers, llm, &config)?)),
            None => None,
        };
        if let Some(llm) = &llm {
            llm.budget().recall(store.as_ref()).await?;
        }
        let cache = ExactCache::new(&config.cache, live.snapshots().clone());
        let parts = RecorderParts {
            store: Arc::clone(&store),
            served: live.snapshots().clone(),
            embed: embedding.queue.clone(),
            model: embedding.files.fingerprint(),
        };
        let learning = Learning::new(config.feedback.clone(), llm.as_deref().map(LlmStage::model), parts);
        let audit = open_audit(config.audit.clone(), config.data_dir.clone()).await?;
        let dispatcher = Dispatcher::new(providers.clone(), config.dispatch.clone());
        let sources = Sources {
            live: live.clone(),
            learning: learning.clone(),
            queue: embedding.queue.clone(),
            cache: cache.clone(),
            budget: llm.as_ref().map(|llm| llm.budget().clone()),
            health: dispatcher.health().clone(),
            keys: keys.clone(),
            model: embedding.files.manifest().name.clone(),
            audit: audit.clone(),
        };
        let metrics = Metrics::new(sources, grpc::methods())?;
        let counted = metrics.clone();
        let dispatcher = dispatcher.observed_by(Arc::new(move |attempt| counted.attempted(attempt)));
        let cascade =
            Cascade::new(embedding.queue.clone(), llm).caching(cache).mending(config.embedding.mend_typing_errors);
        Ok(Self {
            config,
            embedding,
            store,
            builder,
            live,
            cascade,
            learning,
            keys,
            metrics,
            audit,
            providers,
            dispatcher,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Starts what goes on beside the requests, until `stop`.
    pub fn start_tasks(&self) {
        self.tasks.spawn(self.live.clone().follow(self.stop.clone()));
        self.tasks.spawn(self.learning.clone().run(self.stop.clone()));
        if let Some(probe) = &self.config.dispatch.probe {
            self.tasks.spawn(self.dispatcher.clone().probe(probe.clone(), self.stop.clone()));
        }
        self.tasks.spawn(self.keys.clone().follow(self.stop.clone()));
        self.tasks.spawn(follow_key_spend(self.keys.clone(), self.stop.clone()));
        if let Some(llm) = self.cascade.llm() {
            let (budget, store) = (llm.budget().clone(), Arc::clone(&self.store));
            self.tasks.spawn(follow_spend(budget, store, self.stop.clone()));
        }
    }
}

async fn open_audit(config: AuditConfig, data_dir: PathBuf) -> Result<Audit, StartError> {
    let mac = config.mac_key(config::environment)?;
    let opened = tokio::task::spawn_blocking(move || Audit::start(config, &data_dir, mac)).await;
    Ok(opened.map_err(|_| StartError::AuditPanicked)??)
}

fn llm_stage(providers: &Providers, llm: &LlmConfig, config: &Config) -> Result<LlmStage, StartError> {
    let provider = providers.get(&llm.provider);
    let provider = provider.ok_or_else(|| StartError::LlmProvider(llm.provider.clone()))?;
    Ok(LlmStage::new(Arc::clone(provider), llm.clone()).kept_from(routes_without_llm(&config.routing())))
}

/// Takes sets of the configured folder into the store that it does not have yet, or not yet wholly; returns their
/// names.
pub async fn import_new_sets(store: &dyn Store, folder: &Path) -> Result<Vec<SetName>, StartError> {
    let mut imported = Vec::new();
    for (name, path) in set_folders(folder)? {
        let present = match store.get_set(&name).await {
            Ok(present) => Some(present),
            Err(StoreError::UnknownSet { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if present.as_ref().is_some_and(|present| present.published.is_some()) {
            continue;
        }
        let files = read_directory(&path)?;
        if let Some(present) = present
            && !is_half_taken(store, &present, &files).await?
        {
            continue;
        }
        sync_files(store, files).await?;
        imported.push(name);
    }
    Ok(imported)
}

/// Names of the sets that the configured folder holds.
pub fn sets_in_files(folder: &Path) -> Result<Vec<SetName>, StartError> {
    Ok(set_folders(folder)?.into_iter().map(|(name, _)| name).collect())
}

/// Folders that hold a set.toml, by name.
pub(crate) fn set_folders(folder: &Path) -> Result<Vec<(SetName, PathBuf)>, StartError> {
    let failed = |source| StartError::ReadFolder { path: folder.to_owned(), source };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(name) = name.filter(|_| path.join("set.toml").is_file()) {
            folders.push((SetName::new(name)?, path));
        }
    }
    folders.sort();
    Ok(folders)
}
