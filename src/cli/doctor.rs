//! `semroute doctor`: what is wrong with a reference set.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::progress::{ModelProgress, note};
use super::references::References;
use super::{CommandError, Exit, print};
use crate::app::Embedding;
use crate::config::Config;
use crate::doctor::{Examined, Limits, Prompt, Severity, diagnose, render};
use crate::reference::{
    NO_ROUTE, Precondition, PromptEdit, PromptPurpose, Route, RouteName, SetEdit, SetPolicy, SetRows, Snapshot,
    read_rows,
};

/// Examine a reference set: list what is wrong with it, most harmful first.
///
/// Every prompt is decided by the others of the set, near-duplicates aside. Where they contradict its label, where texts
/// stand in several routes, where routes lose to each other or are given away by surface habits, a finding says so, with
/// the ids of the prompts and what to do. Harm is the number of the set's prompts that are decided wrongly in connection
/// with it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  semroute doctor\n  semroute doctor --references reference-prompts/support\n  \
    semroute doctor --references train.jsonl --fail-on warning --json\n\n\
    Exit codes: 0 nothing as bad as --fail-on, 1 something is or the command failed, 2 wrong usage.")]
pub struct DoctorArgs {
    /// A set's folder, or a JSONL file with `text` and `label` (or `route`) in each line.
    #[arg(long, value_name = "PATH", conflicts_with = "set")]
    references: Option<PathBuf>,
    /// The live version of this set in the store [default: the configured default set].
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
    /// End with exit code 1 if there is a finding as bad as this.
    #[arg(long, value_enum, default_value_t = FailOn::Error)]
    fail_on: FailOn,
    /// Findings that are shown; --json has all.
    #[arg(long, value_name = "N", default_value_t = 30)]
    rows: usize,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Error,
    Warning,
    Note,
    Never,
}

impl FailOn {
    fn severity(self) -> Option<Severity> {
        match self {
            Self::Error => Some(Severity::Error),
            Self::Warning => Some(Severity::Warning),
            Self::Note => Some(Severity::Note),
            Self::Never => None,
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Least confidence of the others in another route to call a prompt contradicted.
    #[arg(long, value_name = "SHARE", default_value_t = Limits::default().contradiction, value_parser = share)]
    contradiction: f64,
    /// Least cosine similarity of near-duplicates.
    #[arg(long, value_name = "SIMILARITY", default_value_t = Limits::default().near_duplicate, value_parser = share)]
    near_duplicate: f64,
    /// Most of two routes' prompts that may be lost to each other.
    #[arg(long, value_name = "SHARE", default_value_t = Limits::default().confusion, value_parser = share)]
    max_confusion: f64,
    /// Least share of a route's prompts that the others decide for it.
    #[arg(long, value_name = "SHARE", default_value_t = Limits::default().own_share, value_parser = share)]
    min_own_share: f64,
    /// Fewest prompts of a route.
    #[arg(long, value_name = "N", default_value_t = Limits::default().prompts)]
    min_prompts: usize,
    /// Most times that a route may have more or fewer prompts than the median.
    #[arg(long, value_name = "FACTOR", default_value_t = Limits::default().imbalance, value_parser = factor)]
    max_imbalance: f64,
    /// Share of a route's prompts from which on what they have in common is a habit ...
    #[arg(long, value_name = "SHARE", default_value_t = Limits::default().habit, value_parser = share)]
    habit: f64,
    /// ... and share of the other prompts up to which it gives the route away.
    #[arg(long, value_name = "SHARE", default_value_t = Limits::default().habit_elsewhere, value_parser = share)]
    habit_elsewhere: f64,
}

impl LimitArgs {
    fn limits(&self) -> Limits {
        Limits {
            contradiction: self.contradiction,
            near_duplicate: self.near_duplicate,
            confusion: self.max_confusion,
            own_share: self.min_own_share,
            prompts: self.min_prompts,
            imbalance: self.max_imbalance,
            habit: self.habit,
            habit_elsewhere: self.habit_elsewhere,
        }
    }
}

/// From 0 to 1. NaN, which parses as a number, is outside.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse::<f64>().ok().filter(|factor| *factor >= 1.0 && factor.is_finite());
    factor.ok_or_else(|| "must be a number of at least 1".to_owned())
}

pub async fn run(args: DoctorArgs, config: Config) -> Result<Exit, CommandError> {
    let rows = args.references.as_deref().map(read_rows).transpose()?;
    let embedding = Embedding::start(&config, &config.embedding.model, &ModelProgress::shared()).await?;
    let references = match rows {
        Some(rows) => {
            let (edit, routes, prompts) = draft(rows);
            References::built(&edit, &routes, &prompts, &embedding, &config).await?
        }
        None => References::stored(args.set.as_deref(), &embedding, &config).await?,
    };
    let verdicts = references.verdicts().await?;
    let set = Examined { verdicts, ..examined(&references.snapshot) };
    let diagnosis = diagnose(&set, args.limits.limits());
    print(&if args.json {
        serde_json::to_string(&diagnosis).map_err(std::io::Error::from)?
    } else {
        render(&diagnosis, args.rows).trim_end().to_owned()
    })?;
    let bad = args.fail_on.severity().is_some_and(|severity| diagnosis.reaches(severity));
    Ok(if bad { Exit::Failure } else { Exit::Success })
}

/// A set of these rows, with all its faults. Prompts that belong to no route are no references.
fn draft(rows: SetRows) -> (SetEdit, Vec<Route>, Vec<PromptEdit>) {
    let outside = rows.rows.iter().filter(|row| row.label.as_str() == NO_ROUTE).count();
    if outside > 0 {
        note(&format!("{outside} prompts of no route are left out"));
    }
    let prompts: Vec<PromptEdit> = rows
        .rows
        .into_iter()
        .filter(|row| row.label.as_str() != NO_ROUTE)
        .map(|row| PromptEdit {
            id: row.id,
            route: row.label,
            text: row.text,
            purpose: PromptPurpose::Reference,
            precondition: Precondition::None,
        })
        .collect();
    let names: BTreeSet<RouteName> =
        rows.routes.into_iter().chain(prompts.iter().map(|edit| edit.route.clone())).collect();
    let edit = SetEdit { name: rows.name, description: String::new(), policy: SetPolicy::default() };
    (edit, names.into_iter().map(Route::named).collect(), prompts)
}

fn examined(snapshot: &Snapshot) -> Examined {
    let prompts = snapshot.references.iter().map(|reference| Prompt {
        id: reference.id.to_string(),
        route: reference.route,
        text: reference.text.to_string(),
    });
    Examined {
        set: snapshot.set.to_string(),
        routes: snapshot.routes.iter().map(|route| route.name.to_string()).collect(),
        prompts: prompts.collect(),
        verdicts: Vec::new(),
    }
}
