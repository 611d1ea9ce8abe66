//! `semroute eval`: how good the decisions are on labelled prompts that are not among the references.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::building::BuildBar;
use super::progress::{Bar, ModelProgress, Unit, note};
use super::{CommandError, Exit, print};
use crate::app::Embedding;
use crate::classify::{Cascade, ClassifyOptions, Decision, Purpose, Stage};
use crate::config::Config;
use crate::embed::EmbedQueue;
use crate::evaluate::{Layout, Outcome, Report, render};
use crate::index::BuildWatch;
use crate::prompt::{Prompt, words_of};
use crate::publish::{BuildError, Draft, describe};
use crate::reference::{
    LabelledText, NO_ROUTE, PromptEdit, SetFiles, SetName, Snapshot, Store, StoreError, read_labelled, read_set,
};
use crate::store::SqliteStore;

/// Longest test prompt in bytes.
const MAX_PROMPT_BYTES: usize = 16 << 20;

/// Measure decisions on labelled prompts.
///
/// Every test prompt is classified as a server would, without the LLM stage. Prompts of --oos belong to no route:
/// there, and where the label is `oos` or `none`, choosing none is right. Test prompts must not be among the
/// references.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  semroute eval --test held-out.jsonl\n  \
    semroute eval --references train.jsonl --test test.jsonl --oos oos.jsonl --json > report.json")]
pub struct EvalArgs {
    /// References: a JSONL file with `text` and `label` (or `route`) in each line, or a set's folder.
    #[arg(long, value_name = "PATH", conflicts_with = "set")]
    references: Option<PathBuf>,
    /// References: the live version of this set in the store [default: the configured default set].
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
    /// Labelled prompts to classify: JSONL with `text` and `label`.
    #[arg(long, value_name = "PATH")]
    test: PathBuf,
    /// Prompts that belong to no route: JSONL with `text`.
    #[arg(long, value_name = "PATH")]
    oos: Option<PathBuf>,
    /// Prompts classified at once [default: one a thread].
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

pub async fn run(args: EvalArgs, config: Config) -> Result<Exit, CommandError> {
    // Files first: a fault in them is better heard of before a minute of embedding.
    let in_scope = |row: &LabelledText| !matches!(row.label.as_str(), NO_ROUTE | "oos");
    let mut rows: Vec<(LabelledText, bool)> = read_labelled(&args.test)?
        .into_iter()
        .map(|row| (in_scope(&row), row))
        .map(|(scope, row)| (row, scope))
        .collect();
    if let Some(path) = &args.oos {
        rows.extend(read_labelled(path)?.into_iter().map(|row| (row, false)));
    }
    let references = args.references.as_deref().map(read_references).transpose()?;
    let embedding = Embedding::start(&config, &config.embedding.model, &ModelProgress::shared()).await?;
    let snapshot = match references {
        Some(files) => build(&files, &embedding, &config).await?,
        None => load(&args, &embedding, &config).await?,
    };
    let concurrency = args.concurrency.unwrap_or(embedding.threads).clamp(1, embedding.queue.capacity());
    let cascade = Cascade::new(embedding.queue.clone(), None);

    let bar = Bar::new("Classifying", Unit::Items, Some(rows.len() as u64));
    let begun = Instant::now();
    let mut outcomes = Vec::with_capacity(rows.len());
    let mut running = stream::iter(rows)
        .map(|(row, in_scope)| classify(&cascade, &snapshot, row, in_scope))
        .buffer_unordered(concurrency);
    while let Some(outcome) = running.try_next().await? {
        outcomes.push(outcome);
        bar.set(outcomes.len() as u64);
    }
    bar.finish();

    let known: BTreeSet<String> = snapshot.routes.iter().map(|route| route.name.to_string()).collect();
    let report = Report::of(&outcomes, &known);
    let seconds = begun.elapsed().as_secs_f64();
    print(&if args.json {
        json!({
            "references": snapshot.references.len(),
            "index": snapshot.index_report.kind.as_str(),
            "recall_at_10": snapshot.index_report.recall_at_10,
            "model": snapshot.model,
            "concurrency": concurrency,
            "seconds": seconds,
            "report": report,
        })
        .to_string()
    } else {
        let rate = outcomes.len() as f64 / seconds.max(1e-9);
        format!(
            "{} references, {} routes, {} index; {} prompts at {rate:.0} a second, {concurrency} at once\n\n{}",
            snapshot.references.len(),
            snapshot.routes.len(),
            snapshot.index_report.kind.as_str(),
            outcomes.len(),
            render(&report, Layout::default()),
        )
    })?;
    Ok(Exit::Success)
}

fn read_references(path: &Path) -> Result<SetFiles, CommandError> {
    let files = read_set(path)?;
    files.warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
    Ok(files)
}

/// A snapshot in memory; nothing is stored.
async fn build(files: &SetFiles, embedding: &Embedding, config: &Config) -> Result<Arc<Snapshot>, CommandError> {
    let texts: Vec<&PromptEdit> = files.prompts.iter().collect();
    let bar = Bar::new("Embedding the references", Unit::Items, Some(texts.len() as u64));
    let mut draft = Draft::new(&files.edit, &files.routes, embedding.files.manifest().dimension);
    // Like lengths together: little padding in a batch.
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|at| texts.get(*at).map_or(0, |edit| edit.text.len()));
    let mut embedded =
        stream::iter(order).map(|at| embed(&embedding.queue, &texts, at)).buffered(embedding.threads * 16);
    let mut done = 0;
    while let Some((edit, vector)) = embedded.try_next().await? {
        draft.push(edit, &vector)?;
        done += 1;
        bar.set(done);
    }
    drop(embedded);
    bar.finish();
    let (model, index) = (embedding.files.fingerprint(), config.index.clone());
    let described = describe(&embedding.queue, draft.routes()).await?;
    note("Fitting the decision model");
    let finish = move || draft.finish_fitted(model, &index, described, &BuildWatch::default());
    let snapshot =
        tokio::task::spawn_blocking(finish).await.map_err(|panic| CommandError::Panicked(panic.to_string()))?;
    snapshot.map(|(snapshot, _)| Arc::new(snapshot)).map_err(|stopped| CommandError::Build(BuildError::from(stopped)))
}

async fn embed<'a>(
    queue: &EmbedQueue,
    texts: &[&'a PromptEdit],
    at: usize,
) -> Result<(&'a PromptEdit, crate::embed::Embedding), CommandError> {
    let edit = texts.get(at).copied().ok_or_else(|| CommandError::Panicked("a row is missing".to_owned()))?;
    let embedded = queue.embed_patiently(words_of(&edit.text)).await?;
    Ok((edit, embedded.embedding))
}

async fn load(args: &EvalArgs, embedding: &Embedding, config: &Config) -> Result<Arc<Snapshot>, CommandError> {
    let set = SetName::new(args.set.as_deref().unwrap_or(&config.default_set))?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&config.store_path()).await?);
    let version = match store.get_set(&set).await {
        Ok(present) => present.published,
        Err(StoreError::UnknownSet { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let version = version.ok_or_else(|| CommandError::NotPublished(set.clone()))?;
    Ok(embedding.builder(config, store).load(&set, version, &BuildBar::new(set.as_str())).await?)
}

async fn classify(
    cascade: &Cascade,
    snapshot: &Arc<Snapshot>,
    row: LabelledText,
    in_scope: bool,
) -> Result<Outcome, CommandError> {
    let prompt = Prompt::from_text(&row.text, MAX_PROMPT_BYTES)?;
    let options = ClassifyOptions {
        neighbours: 1,
        allow_llm: false,
        deadline: None,
        purpose: Purpose::Answer,
        target_accuracy: None,
    };
    let begun = Instant::now();
    let decision: Decision = cascade.decide(Arc::clone(snapshot), &prompt, options).await?;
    let latency = begun.elapsed();
    // The vote's winner, whether or not it was chosen: an abstention too has a confidence.
    let winner = decision.scores().first();
    Ok(Outcome {
        latency,
        text: row.text,
        expected: in_scope.then(|| row.label.to_string()),
        predicted: decision.route().map(|route| route.name.to_string()),
        decided_alone: decision.stage == Stage::Embedding,
        score: winner.map_or(0.0, |winner| winner.score),
        margin: decision.margin(),
        similarity: winner.map_or(-1.0, |winner| winner.similarity),
    })
}
