//! Reference sets, routes, prompts and reports.

use std::collections::{HashMap, HashSet};

use super::super::pb;
use super::super::violation::{Violations, name};
use crate::publish::{BuildReport, FitSummary};
use crate::reference::{
    CostPolicy, Fallback, MAX_TEXT_BYTES, NO_ROUTE, Precondition, PromptEdit, PromptPurpose, ReferenceId,
    ReferencePrompt, ReferenceSet, Revision, Route, RouteName, SetEdit, SetName, SetPolicy, TargetName, TextHash,
};

const MAX_DESCRIPTION_BYTES: usize = 4_096;
const MAX_TARGETS: usize = 32;

pub(crate) fn precondition(expected: Option<Revision>) -> Precondition {
    expected.map_or(Precondition::None, Precondition::Revision)
}

pub(in crate::grpc) fn set_edit(violations: &mut Violations, set: Option<pb::ReferenceSet>) -> Option<SetEdit> {
    let Some(set) = set else {
        violations.add("set", "is missing");
        return None;
    };
    let set_name = name(violations, "set.name", &set.name, SetName::new);
    check_description(violations, "set.description", &set.description);
    let policy = policy(violations, set.policy.unwrap_or_default());
    set_name.map(|name| SetEdit { name, description: set.description, policy })
}

/// Which fields of a set are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::grpc) struct SetMask {
    pub description: bool,
    pub policy: bool,
}

impl SetMask {
    /// An absent mask and an empty one name everything.
    pub fn new(violations: &mut Violations, mask: Option<prost_types::FieldMask>) -> Self {
        let paths = mask.map(|mask| mask.paths).unwrap_or_default();
        for path in &paths {
            if !matches!(path.as_str(), "description" | "policy") {
                violations.add("update_mask", format!("{path:?} is neither `description` nor `policy`"));
            }
        }
        let named = |field: &str| paths.is_empty() || paths.iter().any(|path| path == field);
        Self { description: named("description"), policy: named("policy") }
    }

    pub fn is_whole(self) -> bool {
        self.description && self.policy
    }

    /// Puts back what the mask does not name.
    pub fn keep_unnamed(self, edit: &mut SetEdit, present: &ReferenceSet) {
        if !self.description {
            edit.description.clone_from(&present.description);
        }
        if !self.policy {
            edit.policy = present.policy.clone();
        }
    }
}

/// A name that a route may bear.
pub(super) fn route_name(violations: &mut Violations, field: &str, text: &str) -> Option<RouteName> {
    name(violations, field, text, RouteName::new)
}

fn check_description(violations: &mut Violations, field: &str, description: &str) {
    if description.len() > MAX_DESCRIPTION_BYTES {
        let bytes = description.len();
        violations.add(field, format!("has {bytes} bytes, at most {MAX_DESCRIPTION_BYTES} are allowed"));
    }
}

fn policy(violations: &mut Violations, policy: pb::SetPolicy) -> SetPolicy {
    let defaults = SetPolicy::default();
    let fallback = match policy.fallback() {
        pb::FallbackKind::Unspecified | pb::FallbackKind::BestGuess => Fallback::BestGuess,
        pb::FallbackKind::Abstain => Fallback::Abstain,
        pb::FallbackKind::DefaultRoute => {
            match route_name(violations, "set.policy.default_route", &policy.default_route) {
                Some(route) if route.as_str() == NO_ROUTE => {
                    let what = format!("must not be the reserved route name {NO_ROUTE}");
                    violations.add("set.policy.default_route", what);
                    Fallback::BestGuess
                }
                Some(route) => Fallback::DefaultRoute(route),
                None => Fallback::BestGuess,
            }
        }
    };
    if pb::FallbackKind::try_from(policy.fallback).is_err() {
        violations.add("set.policy.fallback", format!("{} is not a FallbackKind", policy.fallback));
    }
    if !policy.default_route.is_empty() && policy.fallback() != pb::FallbackKind::DefaultRoute {
        violations.add("set.policy.default_route", "is given, but fallback is not FALLBACK_KIND_DEFAULT_ROUTE");
    }
    let policy = SetPolicy {
        target_accuracy: policy.target_accuracy.unwrap_or(defaults.target_accuracy),
        cost: policy.cost.map(Into::into),
        min_in_scope: policy.min_in_scope.unwrap_or(defaults.min_in_scope),
        min_score: policy.min_score.unwrap_or(defaults.min_score),
        min_margin: policy.min_margin.unwrap_or(defaults.min_margin),
        min_similarity: policy.min_similarity.unwrap_or(defaults.min_similarity),
        fallback,
    };
    for (field, what) in policy.faults() {
        violations.add(format!("set.policy.{field}"), what);
    }
    policy
}

pub(in crate::grpc) fn route(violations: &mut Violations, route: Option<pb::Route>) -> Option<Route> {
    let Some(route) = route else {
        violations.add("route", "is missing");
        return None;
    };
    let named = route_name(violations, "route.name", &route.name);
    check_description(violations, "route.description", &route.description);
    if route.targets.len() > MAX_TARGETS {
        let targets = route.targets.len();
        violations.add("route.targets", format!("has {targets} entries, at most {MAX_TARGETS} are allowed"));
    }
    let targets = route.targets.iter().enumerate();
    let targets = targets
        .filter_map(|(at, target)| name(violations, &format!("route.targets[{at}]"), target, TargetName::new))
        .collect();
    let (description, min_score, min_similarity) = (route.description, route.min_score, route.min_similarity);
    let faults =
        |faults: Vec<(&'static str, String)>| faults.into_iter().map(|(field, what)| (format!("route.{field}"), what));
    let Some(name) = named else {
        faults(Route::bound_faults(min_score, min_similarity)).for_each(|(field, what)| violations.add(field, what));
        return None;
    };
    let route = Route { name, description, min_score, min_similarity, targets, revision: 0 };
    faults(route.faults()).for_each(|(field, what)| violations.add(field, what));
    Some(route)
}

/// A prompt of a call that was looked at before.
struct Seen {
    place: usize,
    route: Option<RouteName>,
    /// Whether the id came from the caller, and not from the text.
    named: bool,
}

/// The prompts of a call. `at` is the path of a prompt, by its place.
pub(in crate::grpc) fn prompt_edits(
    violations: &mut Violations,
    at: impl Fn(usize) -> String,
    writes: impl Iterator<Item = (Option<pb::ReferencePrompt>, Option<Revision>)>,
) -> Vec<PromptEdit> {
    let mut edits = Vec::new();
    let mut ids: HashMap<ReferenceId, Seen> = HashMap::new();
    for (place, (prompt, expected)) in writes.enumerate() {
        let path = at(place);
        let Some(prompt) = prompt else {
            violations.add(path, "is missing");
            continue;
        };
        let id = (!prompt.id.is_empty())
            .then(|| name(violations, &format!("{path}.id"), &prompt.id, ReferenceId::new))
            .flatten();
        let route = route_name(violations, &format!("{path}.route"), &prompt.route);
        check_text(violations, &format!("{path}.text"), &prompt.text);

        // Without an id the text gives one: the same prompt twice is let pass, one text with two routes is not.
        let named = !prompt.id.is_empty();
        let taken = if named { id.clone() } else { ReferenceId::new(&TextHash::of(&prompt.text).short()).ok() };
        if let Some(taken) = taken {
            match ids.get(&taken) {
                Some(first) if first.named || named || first.route != route => {
                    let what = format!("{:?} is that of {} too", taken.as_str(), at(first.place));
                    violations.add(format!("{path}.id"), what);
                }
                _ => drop(ids.insert(taken, Seen { place, route: route.clone(), named })),
            }
        }
        let purpose = purpose(violations, &format!("{path}.purpose"), prompt.purpose);
        let precondition = precondition(expected);
        let edit = route.map(|route| PromptEdit { id, route, text: prompt.text, purpose, precondition });
        edits.extend(edit);
    }
    edits
}

fn purpose(violations: &mut Violations, field: &str, value: i32) -> PromptPurpose {
    match pb::PromptPurpose::try_from(value) {
        Ok(pb::PromptPurpose::Unspecified | pb::PromptPurpose::Reference) => PromptPurpose::Reference,
        Ok(pb::PromptPurpose::Evaluation) => PromptPurpose::Evaluation,
        Err(_) => {
            violations.add(field, format!("is {value}: give PROMPT_PURPOSE_REFERENCE or PROMPT_PURPOSE_EVALUATION"));
            PromptPurpose::Reference
        }
    }
}

fn check_text(violations: &mut Violations, field: &str, text: &str) {
    if text.trim().is_empty() {
        violations.add(field, "holds no text beside white space");
    }
    if text.len() > MAX_TEXT_BYTES {
        let bytes = text.len();
        violations.add(field, format!("has {bytes} bytes, at most {MAX_TEXT_BYTES} are allowed"));
    }
}

pub(in crate::grpc) fn prompt_deletes(
    violations: &mut Violations,
    deletes: Vec<pb::ReferencePromptDelete>,
) -> Vec<(ReferenceId, Precondition)> {
    let mut ids: Vec<(ReferenceId, Precondition)> = Vec::with_capacity(deletes.len());
    let mut seen = HashSet::new();
    for (at, delete) in deletes.into_iter().enumerate() {
        let field = format!("prompts[{at}].id");
        let Some(id) = name(violations, &field, &delete.id, ReferenceId::new) else { continue };
        if !seen.insert(id.clone()) {
            violations.add(field, format!("{:?} stands here twice", delete.id));
        }
        ids.push((id, precondition(delete.expected_revision)));
    }
    ids
}

impl From<ReferenceSet> for pb::ReferenceSet {
    fn from(set: ReferenceSet) -> Self {
        Self {
            name: set.name.to_string(),
            description: set.description,
            policy: Some(set.policy.into()),
            revision: set.revision,
            published_version: set.published.unwrap_or(0),
            previous_version: set.previous.unwrap_or(0),
            routes: set.routes,
            prompts: set.prompts,
        }
    }
}

impl From<pb::CostPolicy> for CostPolicy {
    fn from(cost: pb::CostPolicy) -> Self {
        let pb::CostPolicy { wrong_route_cost, llm_cost, llm_latency_cost, llm_accuracy } = cost;
        let llm_accuracy = llm_accuracy.unwrap_or_else(CostPolicy::default_llm_accuracy);
        Self { wrong_route_cost, llm_cost, llm_latency_cost, llm_accuracy }
    }
}

impl From<CostPolicy> for pb::CostPolicy {
    fn from(cost: CostPolicy) -> Self {
        let CostPolicy { wrong_route_cost, llm_cost, llm_latency_cost, llm_accuracy } = cost;
        Self { wrong_route_cost, llm_cost, llm_latency_cost, llm_accuracy: Some(llm_accuracy) }
    }
}

impl From<SetPolicy> for pb::SetPolicy {
    fn from(policy: SetPolicy) -> Self {
        let (fallback, default_route) = match policy.fallback {
            Fallback::BestGuess => (pb::FallbackKind::BestGuess, String::new()),
            Fallback::Abstain => (pb::FallbackKind::Abstain, String::new()),
            Fallback::DefaultRoute(route) => (pb::FallbackKind::DefaultRoute, route.to_string()),
        };
        Self {
            target_accuracy: Some(policy.target_accuracy),
            cost: policy.cost.map(Into::into),
            min_in_scope: Some(policy.min_in_scope),
            min_score: Some(policy.min_score),
            min_margin: Some(policy.min_margin),
            min_similarity: Some(policy.min_similarity),
            fallback: fallback.into(),
            default_route,
        }
    }
}

impl From<Route> for pb::Route {
    fn from(route: Route) -> Self {
        Self {
            name: route.name.to_string(),
            description: route.description,
            min_score: route.min_score,
            min_similarity: route.min_similarity,
            targets: route.targets.iter().map(ToString::to_string).collect(),
            revision: route.revision,
        }
    }
}

impl From<ReferencePrompt> for pb::ReferencePrompt {
    fn from(prompt: ReferencePrompt) -> Self {
        Self {
            id: prompt.id.to_string(),
            route: prompt.route.to_string(),
            text: prompt.text,
            revision: prompt.revision,
            purpose: match prompt.purpose {
                PromptPurpose::Reference => pb::PromptPurpose::Reference,
                PromptPurpose::Evaluation => pb::PromptPurpose::Evaluation,
            }
            .into(),
        }
    }
}

impl From<BuildReport> for pb::BuildReport {
    fn from(report: BuildReport) -> Self {
        Self {
            version: report.version,
            prompts: report.prompts,
            routes: report.routes,
            embedded: report.embedded,
            index: report.index.as_str().to_owned(),
            recall_at_10: report.recall_at_10,
            agreement: report.agreement,
            previous_agreement: report.previous_agreement,
            relabelled: report.relabelled,
            fit: report.fit.map(Into::into),
            fit_refused: report.fit_refused.unwrap_or_default(),
        }
    }
}

impl From<FitSummary> for pb::FitSummary {
    fn from(fit: FitSummary) -> Self {
        let reliability = fit.reliability.into_iter().map(|bin| pb::ReliabilityBin {
            from: bin.from,
            prompts: bin.prompts,
            confidence: bin.confidence,
            accuracy: bin.accuracy,
        });
        Self {
            held_out: fit.held_out,
            accuracy: fit.accuracy,
            calibration_error: fit.calibration_error,
            brier: fit.brier,
            reliability: reliability.collect(),
            scope_auroc_left_out: fit.scope_auroc_left_out,
            scope_auroc_none: fit.scope_auroc_none,
            shortlist_coverage: fit.shortlist_coverage,
            shortlist_length: fit.shortlist_length,
            evaluations: fit.evaluations,
            expected: fit.expected.map(|expected| pb::Expectation {
                threshold: expected.threshold,
                reached: expected.reached,
                alone: expected.alone,
                accuracy_alone: expected.accuracy_alone,
                accuracy_alone_at_least: expected.accuracy_alone_at_least,
                cost_per_1000: expected.cost_per_1000,
            }),
            warnings: fit.warnings,
            changed: fit.changed,
            bytes: fit.bytes,
            seconds: fit.seconds,
        }
    }
}
