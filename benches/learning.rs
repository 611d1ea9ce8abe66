//! What the loop that learns is worth: CLINC150's training prompts come in random order to a set of five prompts a
//! route; an LLM that knows the true label is asked when the first stage is unsure, and what it says is learned.
//!
//! Real pieces all through: embedding, cascade with the LLM stage, proposals in an SQLite store, the rule of acceptance
//! (one verdict is enough: this LLM does not err), builds of a version from the draft. After every `--publish-every`
//! prompts the rule is applied and the draft published. Prints a JSON line for each such round:
//!
//! `seen`: prompts so far; `llm_share`: of the round's decisions; `alone_accuracy`: of the round's prompts that were
//! decided without the LLM; `accuracy`: of all the round's decisions; `test_accuracy`: of the decision model by itself,
//! on prompts that never come; `references`: in the version that decided; `open`: proposals that were not accepted.
//!
//! Command: `cargo bench --bench learning -- [--prompts N] [--publish-every N] [--test N] [--seed N] [--data FOLDER]
//! [--svg FILE]`; with `--svg`, the shares are drawn against the prompts seen. Skips where `../shared/data/clinc150` or
//! the model is absent. Seed 1.

#![expect(clippy::expect_used, clippy::print_stdout, clippy::print_stderr, reason = "a bench that cannot run stops")]

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use semroute::classify::{Cascade, ClassifyOptions, Decision, LlmAccess, LlmConfig, LlmStage, Purpose, VOTERS};
use semroute::embed::{
    BatchLimits, BertSource, EmbedQueue, EmbedWorkers, Embedder, Embedding, Encoder, EncoderConfig, Precision,
    QueueConfig, TextTokeniser,
};
use semroute::index::IndexConfig;
use semroute::learn::{AcceptConfig, FeedbackConfig, Learning, RecorderParts};
use semroute::model::{ModelFiles, Registry, Silent};
use semroute::prompt::{Prompt, words_of};
use semroute::provider::{ChatRequest, Completion, CompletionStream, Error, FinishReason, Provider};
use semroute::publish::{BuildRequest, Builder, Counters, IndexFolder};
use semroute::reference::{
    Fingerprint, LabelledText, Precondition, PromptEdit, PromptPurpose, ProposalFilter, ProposalState, Route,
    RouteName, SetEdit, SetName, SetPolicy, Snapshot, SnapshotCell, Store, read_labelled,
};
use semroute::store::SqliteStore;

const START: usize = 5;

/// Decisions under way at once.
const AT_ONCE: usize = 16;

/// Knows the label of every prompt; says `none` if it is not among the routes to choose from.
struct Oracle(HashMap<String, String>);

#[async_trait]
impl Provider for Oracle {
    async fn complete(&self, _: &str, request: &Arc<ChatRequest>) -> Result<Completion, Error> {
        let question = request.messages.last().map(|message| message.text.as_str()).unwrap_or_default();
        let prompt = question.split("<prompt>\n").nth(1).and_then(|rest| rest.split("\n</prompt>").next());
        let label = prompt.and_then(|prompt| self.0.get(prompt)).map_or("none", String::as_str);
        let offered = request.response_format.schema().and_then(|schema| {
            schema.schema.pointer("/properties/route/enum").and_then(|names| names.as_array().cloned())
        });
        let offered = offered.unwrap_or_default().iter().any(|name| name == label);
        let text = serde_json::json!({"route": if offered { label } else { "none" }}).to_string();
        Ok(Completion { text, finish: FinishReason::Stop, ..Completion::default() })
    }

    async fn stream(&self, _: &str, _: &Arc<ChatRequest>) -> Result<CompletionStream, Error> {
        Err(Error::Truncated)
    }
}

struct Plan {
    prompts: usize,
    publish_every: usize,
    test: usize,
    seed: u64,
    data: PathBuf,
    svg: Option<PathBuf>,
}

impl Plan {
    /// Cargo adds `--bench`; what is unknown is left alone.
    fn from_arguments() -> Self {
        let arguments: Vec<String> = std::env::args().collect();
        let after = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            arguments.get(at + 1)
        };
        let number = |name: &str, default: usize| after(name).and_then(|text| text.parse().ok()).unwrap_or(default);
        let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/clinc150");
        Self {
            prompts: number("--prompts", usize::MAX),
            publish_every: number("--publish-every", 1_000).max(1),
            test: number("--test", 1_500),
            seed: number("--seed", 1) as u64,
            data: after("--data").map_or(default, PathBuf::from),
            svg: after("--svg").map(PathBuf::from),
        }
    }
}

fn embedder(files: &ModelFiles) -> (EmbedQueue, EmbedWorkers) {
    let manifest = files.manifest();
    let source = BertSource {
        config: files.config().path.clone(),
        weights: files.weights().path.clone(),
        pooling: manifest.pooling,
        dimension: manifest.dimension,
        max_tokens: manifest.max_tokens,
    };
    let tokeniser = TextTokeniser::from_file(&files.tokenizer().path, manifest.max_tokens).expect("it tokenises");
    let config = EncoderConfig { precision: Precision::Int8, instruction_set: None };
    let encoder = Encoder::load(&source, config).expect("the verified model loads");
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let embedders = (0..threads).map(|_| Box::new(encoder.clone()) as Box<dyn Embedder>).collect();
    let batch = BatchLimits { tokens: 512, rows: 64 };
    let queue = QueueConfig { capacity: 4_096, max_wait: Duration::from_secs(600), batch, niceness: 0, pace: None };
    EmbedQueue::start(&tokeniser, embedders, queue).expect("it starts")
}

struct Simulation {
    set: SetName,
    store: Arc<dyn Store>,
    builder: Builder,
    served: SnapshotCell,
    cascade: Cascade,
    learning: Learning,
}

impl Simulation {
    async fn publish(&self) -> Arc<Snapshot> {
        let built = self.builder.build(&self.set, &BuildRequest::default(), &Counters::default()).await;
        let snapshot = built.expect("the draft is built").snapshot;
        self.served.publish(Arc::clone(&snapshot));
        snapshot
    }

    async fn decide(&self, snapshot: &Arc<Snapshot>, row: &LabelledText) -> (Decision, bool) {
        let prompt = Prompt::from_text(&row.text, 1 << 20).expect("a prompt");
        let options = ClassifyOptions {
            neighbours: 5,
            llm: LlmAccess::Allowed,
            deadline: None,
            purpose: Purpose::Answer,
            target_accuracy: None,
        };
        let decided = self.cascade.decide(Arc::clone(snapshot), &prompt, options).await.expect("it decides");
        let right = decided.route().is_some_and(|route| route.name == row.label);
        (decided, right)
    }

    async fn round(&self, snapshot: &Arc<Snapshot>, rows: &[LabelledText]) -> serde_json::Value {
        let decisions: Vec<(Decision, bool)> =
            stream::iter(rows).map(|row| self.decide(snapshot, row)).buffered(AT_ONCE).collect().await;
        for ((decision, _), row) in decisions.iter().zip(rows) {
            self.learning.decided(decision, &Arc::from(row.text.as_str()));
        }
        self.learning.catch_up().await;
        let share = |count: usize, of: usize| count as f64 / of.max(1) as f64;
        let alone: Vec<bool> =
            decisions.iter().filter(|(decision, _)| !decision.llm.was_asked()).map(|(_, right)| *right).collect();
        let right = decisions.iter().filter(|(_, right)| *right).count();
        serde_json::json!({
            "llm_share": share(rows.len() - alone.len(), rows.len()),
            "alone_accuracy": share(alone.iter().filter(|right| **right).count(), alone.len()),
            "accuracy": share(right, rows.len()),
        })
    }

    async fn open(&self) -> usize {
        let state = Some(ProposalState::Open);
        let filter = ProposalFilter { state, limit: 100_000, ..ProposalFilter::default() };
        self.store.list_proposals(&self.set, &filter).await.expect("it lists").len()
    }
}

fn test_accuracy(snapshot: &Snapshot, test: &[(LabelledText, Embedding)]) -> f64 {
    let right = test.iter().filter(|(row, embedding)| {
        let neighbours = snapshot.nearest(embedding, VOTERS);
        let judged = snapshot.judge(embedding, &row.text, &neighbours);
        let winner = judged.and_then(|judged| judged.ranking.first().map(|(route, _)| *route));
        winner.and_then(|route| snapshot.route(route)).is_some_and(|route| route.name == row.label)
    });
    right.count() as f64 / test.len().max(1) as f64
}

async fn embed(queue: &EmbedQueue, rows: &[LabelledText]) -> Vec<(LabelledText, Embedding)> {
    let embedded = stream::iter(rows).map(|row| async move {
        let embedded = queue.embed_patiently(row.text.as_str().into()).await.expect("it embeds");
        (row.clone(), embedded.embedding)
    });
    embedded.buffered(AT_ONCE).collect().await
}

/// The set with its first prompts in the draft; the rest, in the order in which they come.
async fn prepare(store: &dyn Store, set: &SetName, mut rows: Vec<LabelledText>, seed: u64) -> Vec<LabelledText> {
    rows.shuffle(&mut StdRng::seed_from_u64(seed));
    let edit = SetEdit { name: set.clone(), description: String::new(), policy: SetPolicy::default() };
    store.upsert_set(&edit, Precondition::None).await.expect("the set is made");
    let mut taken: BTreeMap<RouteName, usize> = BTreeMap::new();
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for row in rows {
        let count = taken.entry(row.label.clone()).or_default();
        *count += 1;
        if *count <= START { first.push(row) } else { rest.push(row) }
    }
    for label in taken.keys() {
        let route = Route::named(label.clone());
        store.upsert_route(set, &route, Precondition::None).await.expect("the route is made");
    }
    let edits: Vec<PromptEdit> = first
        .into_iter()
        .map(|row| PromptEdit {
            id: None,
            route: row.label,
            text: row.text,
            purpose: PromptPurpose::Reference,
            precondition: Precondition::None,
        })
        .collect();
    store.upsert_prompts(set, &edits).await.expect("the prompts are written");
    rest
}

async fn simulate(plan: Plan, files: ModelFiles, train: Vec<LabelledText>, test: Vec<LabelledText>) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(&folder.path().join("semroute.db")).await.expect("a store");
    let store: Arc<dyn Store> = Arc::new(store);
    let set = SetName::new("clinc150").expect("a name");
    let oracle = Oracle(train.iter().map(|row| (words_of(&row.text).to_string(), row.label.to_string())).collect());
    let rows = prepare(store.as_ref(), &set, train, plan.seed).await;

    let (queue, _workers) = embedder(&files);
    let model: Fingerprint = files.fingerprint();
    let dimension = files.manifest().dimension;
    let indexes = IndexFolder::new(folder.path().join("indexes"));
    let builder =
        Builder::new(Arc::clone(&store), queue.clone(), model.clone(), dimension, IndexConfig::default(), indexes);
    let config: LlmConfig = toml::from_str("provider = 'oracle'\nmodel = 'oracle'").expect("a configuration");
    let llm = Arc::new(LlmStage::new(Arc::new(oracle), config));
    let served = SnapshotCell::default();
    let parts = RecorderParts { store: Arc::clone(&store), served: served.clone(), embed: queue.clone(), model };
    let accept = Some(AcceptConfig { agreeing: 1 });
    let feedback = FeedbackConfig { queue_capacity: 100_000, accept, ..FeedbackConfig::default() };
    let learning = Learning::new(Some(feedback), Some("oracle"), parts);
    let cascade = Cascade::new(queue.clone(), Some(llm));
    let simulation = Simulation { set, store, builder, served, cascade, learning };

    let test = embed(&queue, &test[..plan.test.min(test.len())]).await;
    let rows = &rows[..plan.prompts.min(rows.len())];
    let (begun, mut seen) = (Instant::now(), 0);
    let mut rounds = Vec::new();
    for rows in rows.chunks(plan.publish_every) {
        let snapshot = simulation.publish().await;
        let mut line = simulation.round(&snapshot, rows).await;
        seen += rows.len();
        line["seen"] = seen.into();
        line["references"] = snapshot.references.len().into();
        line["test_accuracy"] = test_accuracy(&snapshot, &test).into();
        line["open"] = simulation.open().await.into();
        line["seconds"] = begun.elapsed().as_secs().into();
        println!("{line}");
        rounds.push(line);
    }
    if let Some(path) = &plan.svg {
        std::fs::write(path, drawn(&rounds)).expect("the plot is written");
    }
    let last = simulation.publish().await;
    let line = serde_json::json!({
        "seen": seen,
        "references": last.references.len(),
        "test_accuracy": test_accuracy(&last, &test),
    });
    println!("{line}");
}

/// The share of LLM calls and the accuracies against the prompts seen, as one picture.
fn drawn(rounds: &[serde_json::Value]) -> String {
    const LINES: [(&str, &str, &str); 4] = [
        ("llm_share", "share asked of the LLM", "#b3541e"),
        ("accuracy", "accuracy of all decisions", "#1b6ca8"),
        ("alone_accuracy", "accuracy of those decided alone", "#2a9d5c"),
        ("test_accuracy", "accuracy on the test set, without the LLM", "#6d4c9f"),
    ];
    let number = |round: &serde_json::Value, field: &str| round[field].as_f64().unwrap_or(0.0);
    let most = rounds.last().map_or(1.0, |round| number(round, "seen").max(1.0));
    let (x, y) = (|seen: f64| 60.0 + 620.0 * seen / most, |share: f64| 20.0 + 300.0 * (1.0 - share));
    let mut svg =
        String::from("<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 700 440' font-family='sans-serif'>");
    for tenth in (0..=10).step_by(2) {
        let (share, at) = (f64::from(tenth) / 10.0, y(f64::from(tenth) / 10.0));
        svg +=
            &format!("<path d='M60 {at}H680' stroke='#ddd'/><text x='50' y='{at}' text-anchor='end'>{share:.1}</text>");
    }
    svg += &format!("<text x='680' y='345' text-anchor='end'>{most} prompts seen</text>");
    for (row, (field, words, colour)) in (0u32..).zip(LINES) {
        let points: Vec<String> = rounds
            .iter()
            .map(|round| format!("{:.1},{:.1}", x(number(round, "seen")), y(number(round, field))))
            .collect();
        let (points, at) = (points.join(" "), 360 + 20 * row);
        svg += &format!("<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='2'/>");
        svg += &format!("<text x='60' y='{at}' fill='{colour}'>{words}</text>");
    }
    svg + "</svg>\n"
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let plan = Plan::from_arguments();
    let read = |file: &str| read_labelled(&plan.data.join(file));
    let (Ok(train), Ok(mut test)) = (read("train.jsonl"), read("test.jsonl")) else {
        eprintln!("skipped: {} holds no CLINC150", plan.data.display());
        return;
    };
    let files = Registry::new(root.join("models")).find("all-MiniLM-L6-v2");
    let files = match files.and_then(|model| model.open(&Silent::shared())) {
        Ok(files) => files,
        Err(error) => {
            eprintln!("skipped: {error}; run `semroute model pull` first");
            return;
        }
    };
    // Those that are left out of a short test are of all routes.
    test.shuffle(&mut StdRng::seed_from_u64(plan.seed));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(simulate(plan, files, train, test));
}
