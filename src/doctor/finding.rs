//! One thing that is wrong, where, and what to do about it.

use serde::Serialize;

use super::examined::Examined;
use crate::evaluate::excerpt;

/// So many prompts are listed in a finding; `count` tells how many there are.
pub(super) const MAX_LISTED: usize = 20;

/// How bad a finding is; the worse is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Probably costs accuracy: look at it.
    Warning,
    /// Certainly wrong.
    Error,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What is wrong, for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    TooFewRoutes,
    RouteWithoutPrompts,
    NamesAlike,
    DuplicateAcrossRoutes,
    RouteNeverWins,
    Contradicted,
    NearDuplicateAcrossRoutes,
    RoutesConfused,
    RouteWeak,
    TooFewPrompts,
    Imbalance,
    Habit,
    Duplicate,
}

impl Kind {
    pub fn severity(self) -> Severity {
        match self {
            Self::TooFewRoutes
            | Self::RouteWithoutPrompts
            | Self::NamesAlike
            | Self::DuplicateAcrossRoutes
            | Self::RouteNeverWins => Severity::Error,
            Self::Contradicted
            | Self::NearDuplicateAcrossRoutes
            | Self::RoutesConfused
            | Self::RouteWeak
            | Self::TooFewPrompts
            | Self::Imbalance
            | Self::Habit => Severity::Warning,
            Self::Duplicate => Severity::Note,
        }
    }

    /// What to do.
    pub fn suggestion(self) -> &'static str {
        match self {
            Self::TooFewRoutes => "Add routes: there is nothing to choose from.",
            Self::RouteWithoutPrompts => "Add prompts, or delete the route: it can never be chosen.",
            Self::NamesAlike => "Make one route of them, or give them names that people can tell apart.",
            Self::DuplicateAcrossRoutes => "Keep the prompt in one route and delete it from the others.",
            Self::RouteNeverWins => {
                "Add prompts that are typical of this route alone, or merge it with the routes that win in its place."
            }
            Self::Contradicted => {
                "If the label is wrong, move the prompt; if it is right, add a few like it, so that it is not alone."
            }
            Self::NearDuplicateAcrossRoutes => {
                "Decide for one route, or word the prompts so that the difference is said."
            }
            Self::RoutesConfused => {
                "Draw the line between them by prompts on both sides of it, or merge them if both go to the same target."
            }
            Self::RouteWeak => "Look at its contradicted prompts first; then add prompts that are typical of it.",
            Self::TooFewPrompts => "Add varied prompts, best of all what people really sent.",
            Self::Imbalance => "Add prompts to the small routes, or thin out the large one.",
            Self::Habit => {
                "Write some of its prompts in the manner of the others, and some of the others in its manner."
            }
            Self::Duplicate => "One of them is enough.",
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooFewRoutes => "too_few_routes",
            Self::RouteWithoutPrompts => "route_without_prompts",
            Self::NamesAlike => "names_alike",
            Self::DuplicateAcrossRoutes => "duplicate_across_routes",
            Self::RouteNeverWins => "route_never_wins",
            Self::Contradicted => "contradicted",
            Self::NearDuplicateAcrossRoutes => "near_duplicate_across_routes",
            Self::RoutesConfused => "routes_confused",
            Self::RouteWeak => "route_weak",
            Self::TooFewPrompts => "too_few_prompts",
            Self::Imbalance => "imbalance",
            Self::Habit => "habit",
            Self::Duplicate => "duplicate",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    pub kind: Kind,
    pub severity: Severity,
    /// Prompts of the set that are decided wrongly by the others and that this has to do with.
    pub harm: u64,
    /// In the order that the words name them.
    pub routes: Vec<String>,
    /// In words.
    pub what: String,
    pub suggestion: &'static str,
    /// Prompts that it is about, in all.
    pub count: u64,
    /// The first of them, at most 20.
    pub prompts: Vec<PromptRef>,
}

/// A prompt, to be found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PromptRef {
    pub id: String,
    pub route: String,
    /// Its beginning, in one line.
    pub text: String,
}

impl Finding {
    pub(super) fn new(kind: Kind, routes: Vec<String>, harm: u64, what: String) -> Self {
        let (severity, suggestion) = (kind.severity(), kind.suggestion());
        Self { kind, severity, harm, routes, what, suggestion, count: 0, prompts: Vec::new() }
    }

    /// About these prompts of the set.
    pub(super) fn about(self, set: &Examined, prompts: &[usize]) -> Self {
        let listed = prompts.iter().take(MAX_LISTED).filter_map(|at| PromptRef::of(set, *at));
        Self { count: prompts.len() as u64, prompts: listed.collect(), ..self }
    }
}

impl PromptRef {
    fn of(set: &Examined, at: usize) -> Option<Self> {
        let prompt = set.prompts.get(at)?;
        Some(Self { id: prompt.id.clone(), route: set.name(prompt.route), text: excerpt(&prompt.text) })
    }
}
