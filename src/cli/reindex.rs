//! `semroute reindex`: the offline job that builds and publishes a version of a set.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use comfy_table::{Table, presets};
use serde_json::json;

use super::building::BuildBar;
use super::progress::{ModelProgress, note};
use super::{CommandError, Exit, print};
use crate::app::Embedding;
use crate::config::Config;
use crate::publish::{BuildError, BuildReport, BuildRequest, Built, sync_files};
use crate::reference::{Route, SetFiles, SetName, Store, StoreError, read_set};
use crate::store::SqliteStore;

/// Embed, index, check and publish a reference set.
///
/// Works on the store directly, beside a running server, which takes the new version up within seconds. Only texts
/// without an embedding are embedded. Progress is saved as it comes: a job that was killed is resumed by the next one.
/// The version before stays live until the last step, and can be had back with Rollback.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  semroute reindex\n  semroute reindex --set support --files ./support.jsonl\n  \
    semroute reindex --all --json")]
pub struct ReindexArgs {
    /// The set [default: the configured default set, or the name of --files].
    #[arg(long)]
    set: Option<String>,
    /// First make the set's draft equal to these files: a folder with set.toml and <route>.jsonl, or a JSONL file
    /// whose lines have `text` and `route`. Such a file says nothing of the set's policy, of descriptions and of
    /// targets: a set that is there keeps them.
    #[arg(long, value_name = "PATH")]
    files: Option<PathBuf>,
    /// Embed every text anew, and build even if nothing changed.
    #[arg(long)]
    all: bool,
    /// Embed with this model instead of the configured one. A server serves the version once it runs with it too.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Least recall@10 of an HNSW index.
    #[arg(long, value_name = "SHARE", default_value_t = 0.9, value_parser = share)]
    min_recall: f32,
    /// Most by which the share of prompts that agree with their neighbours may fall.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share)]
    max_agreement_drop: f32,
    /// Publish whatever the checks find.
    #[arg(long)]
    force: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// From 0 to 1. NaN, which parses as a number, would let everything pass.
fn share(text: &str) -> Result<f32, String> {
    let share = text.parse::<f32>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

pub async fn run(args: ReindexArgs, config: Config) -> Result<Exit, CommandError> {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&config.store_path()).await?);
    let set = prepare_set(&args, &config, store.as_ref()).await?;
    let model = args.model.clone().unwrap_or_else(|| config.embedding.model.clone());
    let embedding = Embedding::start(&config, &model, &ModelProgress::shared()).await?;
    let request = BuildRequest {
        all: args.all,
        rebuild: false,
        expected_revision: None,
        min_recall: (!args.force).then_some(args.min_recall),
        max_agreement_drop: (!args.force).then_some(args.max_agreement_drop),
    };
    let builder = embedding.builder(&config, store);
    match builder.build(&set, &request, &BuildBar::new(set.as_str())).await {
        Ok(built) => {
            print(&if args.json { as_json(&set, &built) } else { as_text(&set, &built) })?;
            Ok(Exit::Success)
        }
        Err(error @ (BuildError::LowRecall { .. } | BuildError::Disagreement { .. })) => {
            note(&format!("{set} was not published: {error}. Use --force to publish it all the same."));
            Ok(Exit::Failure)
        }
        Err(error) => Err(error.into()),
    }
}

async fn prepare_set(args: &ReindexArgs, config: &Config, store: &dyn Store) -> Result<SetName, CommandError> {
    let Some(path) = &args.files else {
        return Ok(SetName::new(args.set.as_deref().unwrap_or(&config.default_set))?);
    };
    let mut files = read_set(path)?;
    if let Some(name) = &args.set {
        files.edit.name = SetName::new(name)?;
    }
    files.warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
    if !path.is_dir() {
        keep_what_is_unsaid(store, &mut files).await?;
    }
    let set = files.edit.name.clone();
    let synced = sync_files(store, files).await?;
    note(&format!("{set}: {} prompts in {}, {} deleted", synced.prompts, path.display(), synced.deleted));
    Ok(set)
}

/// A file of prompts alone does not take the rest away from a set that has it.
async fn keep_what_is_unsaid(store: &dyn Store, files: &mut SetFiles) -> Result<(), CommandError> {
    let present = match store.get_set(&files.edit.name).await {
        Ok(present) => present,
        Err(StoreError::UnknownSet { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let known = store.list_routes(&present.name).await?;
    for route in &mut files.routes {
        if let Some(known) = known.iter().find(|known| known.name == route.name) {
            *route = Route { revision: route.revision, ..known.clone() };
        }
    }
    files.edit.description = present.description;
    files.edit.policy = present.policy;
    Ok(())
}

fn as_json(set: &SetName, built: &Built) -> String {
    json!({ "set": set, "changed": built.changed, "report": built.report }).to_string()
}

/// What the decision model is expected to do, as rows of a table.
fn fit_rows(report: &BuildReport) -> Vec<(&'static str, String)> {
    let Some(fit) = &report.fit else {
        let why = report.fit_refused.as_deref().unwrap_or("the version was built without one");
        return vec![("decision model", format!("none: {why}; the neighbours' vote decides"))];
    };
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let found = format!(
        "{} of {} held-out prompts right, ECE {:.3}, fitted in {:.1} s",
        percent(fit.accuracy),
        fit.held_out,
        fit.calibration_error,
        fit.seconds
    );
    let mut rows = vec![("decision model", found)];
    match &fit.expected {
        Some(expected) if expected.alone > 0.0 => {
            let (right, least) = (percent(expected.accuracy_alone), percent(expected.accuracy_alone_at_least));
            let alone = format!("{} from confidence {:.2} on", percent(expected.alone), expected.threshold);
            rows.push(("decides alone", format!("{alone}; {right} of them right, at least {least}")));
        }
        Some(expected) if expected.reached => rows.push(("decides alone", "nothing: that costs least".to_owned())),
        Some(_) => rows.push(("decides alone", "nothing: what the policy asks for cannot be reached".to_owned())),
        None => rows.push(("decides alone", "by the policy's bounds on the vote".to_owned())),
    }
    if let Some(expected) = &fit.expected {
        rows.push(("to the LLM", percent(1.0 - expected.alone)));
        rows.extend(expected.cost_per_1000.map(|cost| ("cost of 1,000", format!("{cost:.2}"))));
    }
    rows
}

fn as_text(set: &SetName, built: &Built) -> String {
    let BuildReport { version, .. } = built.report;
    if !built.changed {
        return format!("{set}: nothing has changed since version {version}, which is live. --all builds it anew.");
    }
    let report = &built.report;
    let share = |value: Option<f32>| value.map_or("-".to_owned(), |value| format!("{:.1} %", value * 100.0));
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let rows = [
        ("version", version.to_string()),
        ("routes", report.routes.to_string()),
        ("prompts", report.prompts.to_string()),
        ("embedded", format!("{} in {:.1} s", report.embedded, report.embed_seconds)),
        ("index", format!("{} in {:.1} s", report.index.as_str(), report.index_seconds)),
        ("recall@10", share(report.recall_at_10)),
        ("agreement", format!("{} (before: {})", share(report.agreement), share(report.previous_agreement))),
        ("relabelled", report.relabelled.to_string()),
    ];
    for (what, value) in rows.into_iter().chain(fit_rows(report)) {
        table.add_row([what.to_owned(), value]);
    }
    let mut text = format!("{set} is live\n{table}");
    for relabelled in &report.relabelled_examples {
        let short: String = relabelled.text.chars().take(60).collect();
        text.push_str(&format!("\n  {:?}: {} -> {}", short, relabelled.before, relabelled.after));
    }
    text
}
