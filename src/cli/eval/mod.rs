//! `semroute eval`: how good the decisions are on labelled prompts that are not among the references.

mod args;
mod costs;
mod measure;
mod picture;

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

pub use args::EvalArgs;

use super::progress::{ModelProgress, note};
use super::references::References;
use super::{CommandError, Exit, print};
use crate::app::Embedding;
use crate::config::Config;
use crate::doctor::Verdict;
use crate::evaluate::{Evaluation, Grounds, Layout, Report, Subject, TARGETS, Threshold, draw, html, render};
use crate::reference::{
    LabelledText, NO_ROUTE, PromptEdit, PromptPurpose, SetFiles, Snapshot, read_labelled, read_set,
};
use measure::{Measure, Row};

/// The other word for "no route", as public data has it.
const OUT_OF_SCOPE: &str = "oos";

pub async fn run(args: EvalArgs, config: Config) -> Result<Exit, CommandError> {
    // Files first: a fault in them is better heard of before a minute of embedding.
    let rows = read_rows(&args)?;
    let prices = args.prices.as_deref().map(costs::read).transpose()?;
    let files = args.references.as_deref().map(|path| read_references(path, &args)).transpose()?;
    let page = args.html.as_deref().map(|path| Ok::<_, CommandError>((path, create(path)?))).transpose()?;

    let embedding = Embedding::start(&config, &config.embedding.model, &ModelProgress::shared()).await?;
    let references = match &files {
        Some(SetFiles { edit, routes, prompts, .. }) => {
            References::built(edit, routes, prompts, &embedding, &config).await?
        }
        None => References::stored(args.set.as_deref(), &embedding, &config).await?,
    };
    let snapshot = &references.snapshot;
    warn_of_known(&rows, snapshot);
    let verdicts = references.verdicts().await?;

    let concurrency = args.concurrency.unwrap_or(embedding.threads).clamp(1, embedding.queue.capacity());
    let mend = config.embedding.mend_typing_errors;
    let measure = Measure::new(&embedding.queue, Arc::clone(snapshot), concurrency, mend);
    let begun = Instant::now();
    let outcomes = measure.outcomes(&rows).await?;
    let subject = Subject {
        set: snapshot.set.to_string(),
        references: snapshot.references.len(),
        routes: snapshot.routes.len(),
        index: snapshot.index_report.kind.as_str().to_owned(),
        recall_at_10: snapshot.index_report.recall_at_10,
        model: snapshot.model.to_string(),
        shots: args.shots.map(|shots| shots as usize),
        seed: args.seed,
        prompts: outcomes.len(),
        concurrency,
        seconds: begun.elapsed().as_secs_f64(),
    };
    let bill = match &prices {
        Some(prices) => Some(costs::bill(&outcomes, prices, args.assumptions.values(), snapshot, &config)?),
        None => None,
    };
    let stability = match args.stability {
        true => Some(measure.stability(&outcomes, args.stability_prompts as usize, args.seed).await?),
        false => None,
    };
    let report = Report::of(&outcomes, &grounds(snapshot, &verdicts));
    let evaluation = Evaluation { subject, report, stability, bill };
    if let Some((path, mut file)) = page {
        let map = picture::draw_map(&references, &verdicts, args.seed).await?;
        let written = file.write_all(html(&evaluation, Some(&map)).as_bytes());
        written.map_err(|source| CommandError::WriteFile { path: path.to_owned(), source })?;
        note(&format!("the report is in {}", path.display()));
    }
    print(&if args.json {
        serde_json::to_string(&evaluation).map_err(std::io::Error::from)?
    } else {
        render(&evaluation, Layout { rows: args.rows, ..Layout::default() })
    })?;
    Ok(Exit::Success)
}

fn create(path: &Path) -> Result<File, CommandError> {
    File::create(path).map_err(|source| CommandError::WriteFile { path: path.to_owned(), source })
}

/// The test's rows, then those out of scope.
fn read_rows(args: &EvalArgs) -> Result<Vec<Row>, CommandError> {
    let in_scope = |row: &LabelledText| !matches!(row.label.as_str(), NO_ROUTE | OUT_OF_SCOPE);
    let mut rows: Vec<Row> =
        read_labelled(&args.test)?.into_iter().map(|row| Row { in_scope: in_scope(&row), row }).collect();
    for path in &args.out_of_scope {
        rows.extend(read_labelled(path)?.into_iter().map(|row| Row { in_scope: false, row }));
    }
    Ok(rows)
}

/// The set in files, or a draw of it.
fn read_references(path: &Path, args: &EvalArgs) -> Result<SetFiles, CommandError> {
    let mut files = read_set(path)?;
    files.warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
    if let Some(shots) = args.shots {
        let all: Vec<PromptEdit> = std::mem::take(&mut files.prompts);
        let (references, evaluation): (Vec<PromptEdit>, Vec<PromptEdit>) =
            all.into_iter().partition(|edit| edit.purpose == PromptPurpose::Reference);
        let prompts: Vec<(&str, &str)> =
            references.iter().map(|edit| (edit.route.as_str(), edit.text.as_str())).collect();
        let drawn: HashSet<usize> = draw(&prompts, shots as usize, args.seed).into_iter().collect();
        let references = references.into_iter().enumerate().filter(|(at, _)| drawn.contains(at));
        files.prompts = references.map(|(_, edit)| edit).chain(evaluation).collect();
    }
    Ok(files)
}

/// A test on what is known already says nothing.
fn warn_of_known(rows: &[Row], snapshot: &Snapshot) {
    let texts: HashSet<&str> = snapshot.references.iter().map(|reference| reference.text.trim()).collect();
    let known = rows.iter().filter(|row| texts.contains(row.row.text.trim())).count();
    if known > 0 {
        note(&format!("warning: {known} of {} test prompts are among the references", rows.len()));
    }
}

/// What the references alone promise: the thresholds of the decision model; without one, those on the confidences of
/// their verdicts on each other, in which a route's only prompt has no others of its route, and says nothing.
fn grounds(snapshot: &Snapshot, verdicts: &[Verdict]) -> Grounds {
    let routes: BTreeSet<String> = snapshot.routes.iter().map(|route| route.name.to_string()).collect();
    if let Some(rule) = &snapshot.rule {
        let threshold = |accuracy_percent: u8| {
            let chosen = rule.threshold_for(f32::from(accuracy_percent) / 100.0).filter(|chosen| chosen.reached);
            Threshold { accuracy_percent, confidence: chosen.map(|chosen| chosen.confidence) }
        };
        let thresholds = TARGETS.into_iter().map(threshold).collect();
        return Grounds { routes, thresholds, min_in_scope: Some(snapshot.policy.min_in_scope) };
    }
    let mut sizes = vec![0usize; snapshot.routes.len()];
    for reference in &snapshot.references {
        if let Some(size) = sizes.get_mut(reference.route as usize) {
            *size += 1;
        }
    }
    let rows = || {
        let judged = snapshot.references.iter().zip(verdicts);
        let judged = judged.filter(|(own, _)| sizes.get(own.route as usize).is_some_and(|size| *size > 1));
        judged.filter_map(|(own, verdict)| verdict.winner.map(|(route, confidence)| (confidence, route == own.route)))
    };
    let thresholds = TARGETS.into_iter().map(|percent| Threshold::fitted(percent, rows())).collect();
    Grounds { routes, thresholds, min_in_scope: None }
}
