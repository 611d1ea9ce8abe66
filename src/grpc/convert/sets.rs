//! Reference sets, routes, prompts and reports.

use std::collections::HashSet;

use tonic::Status;

use super::super::pb;
use super::super::violation::{Violations, field, name};
use crate::publish::BuildReport;
use crate::reference::{
    Fallback, MAX_TEXT_BYTES, Precondition, PromptEdit, ReferenceId, ReferencePrompt, ReferenceSet, Revision, Route,
    RouteName, SetEdit, SetName, SetPolicy, TargetName,
};

const MAX_DESCRIPTION_BYTES: usize = 4_096;
const MAX_TARGETS: usize = 32;

/// A message made from a domain value, where inference needs the name.
pub(crate) trait Domain<T> {
    fn from_domain(value: T) -> Self;
}

impl Domain<ReferencePrompt> for pb::ReferencePrompt {
    fn from_domain(prompt: ReferencePrompt) -> Self {
        prompt.into()
    }
}

pub(crate) fn precondition(expected: Option<Revision>) -> Precondition {
    expected.map_or(Precondition::None, Precondition::Revision)
}

pub(crate) fn set_edit(set: Option<pb::ReferenceSet>) -> Result<SetEdit, Status> {
    let set = set.ok_or_else(|| field("set", "is missing"))?;
    let mut violations = Violations::default();
    let set_name = name(&mut violations, "set.name", &set.name, SetName::new);
    check_description(&mut violations, "set.description", &set.description);
    let policy = policy(&mut violations, set.policy.unwrap_or_default());
    let edit = set_name.map(|name| SetEdit { name, description: set.description, policy });
    violations.finish(edit)
}

/// Puts back what the update mask does not name.
pub(crate) fn keep_unmasked(edit: &mut SetEdit, present: &ReferenceSet, paths: &[String]) -> Result<(), Status> {
    for path in paths {
        if !matches!(path.as_str(), "description" | "policy") {
            return Err(field("update_mask", format!("{path:?} is neither `description` nor `policy`")));
        }
    }
    let named = |field: &str| paths.iter().any(|path| path == field);
    if !named("description") {
        edit.description.clone_from(&present.description);
    }
    if !named("policy") {
        edit.policy = present.policy.clone();
    }
    Ok(())
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
            match name(violations, "set.policy.default_route", &policy.default_route, RouteName::new) {
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

pub(crate) fn route(route: Option<pb::Route>) -> Result<Route, Status> {
    let route = route.ok_or_else(|| field("route", "is missing"))?;
    let mut violations = Violations::default();
    let route_name = name(&mut violations, "route.name", &route.name, RouteName::new);
    check_description(&mut violations, "route.description", &route.description);
    if route.targets.len() > MAX_TARGETS {
        let targets = route.targets.len();
        violations.add("route.targets", format!("has {targets} entries, at most {MAX_TARGETS} are allowed"));
    }
    let targets = route.targets.iter().enumerate();
    let targets = targets
        .filter_map(|(at, target)| name(&mut violations, &format!("route.targets[{at}]"), target, TargetName::new))
        .collect();
    let route = route_name.map(|name| Route {
        name,
        description: route.description,
        min_score: route.min_score,
        min_similarity: route.min_similarity,
        targets,
        revision: 0,
    });
    for (field, what) in route.as_ref().map(Route::faults).unwrap_or_default() {
        violations.add(format!("route.{field}"), what);
    }
    violations.finish(route)
}

/// All prompts of a call, or every fault in them.
pub(crate) fn prompt_edits(
    writes: impl Iterator<Item = (Option<pb::ReferencePrompt>, Option<Revision>)>,
) -> Result<Vec<PromptEdit>, Status> {
    let mut violations = Violations::default();
    let mut edits = Vec::new();
    let mut ids = HashSet::new();
    for (at, (prompt, expected)) in writes.enumerate() {
        let Some(prompt) = prompt else {
            violations.add(format!("prompts[{at}].prompt"), "is missing");
            continue;
        };
        let id = (!prompt.id.is_empty())
            .then(|| name(&mut violations, &format!("prompts[{at}].id"), &prompt.id, ReferenceId::new))
            .flatten();
        if id.as_ref().is_some_and(|id| !ids.insert(id.clone())) {
            violations.add(format!("prompts[{at}].id"), format!("{:?} stands here twice", prompt.id));
        }
        let route = name(&mut violations, &format!("prompts[{at}].route"), &prompt.route, RouteName::new);
        if prompt.text.trim().is_empty() {
            violations.add(format!("prompts[{at}].text"), "holds no text beside white space");
        }
        if prompt.text.len() > MAX_TEXT_BYTES {
            let bytes = prompt.text.len();
            let what = format!("has {bytes} bytes, at most {MAX_TEXT_BYTES} are allowed");
            violations.add(format!("prompts[{at}].text"), what);
        }
        let edit = route.map(|route| PromptEdit { id, route, text: prompt.text, precondition: precondition(expected) });
        edits.extend(edit);
    }
    violations.check()?;
    Ok(edits)
}

pub(crate) fn prompt_deletes(
    deletes: Vec<pb::ReferencePromptDelete>,
) -> Result<Vec<(ReferenceId, Precondition)>, Status> {
    let mut violations = Violations::default();
    let mut ids: Vec<(ReferenceId, Precondition)> = Vec::with_capacity(deletes.len());
    let mut seen = HashSet::new();
    for (at, delete) in deletes.into_iter().enumerate() {
        let field = format!("prompts[{at}].id");
        let Some(id) = name(&mut violations, &field, &delete.id, ReferenceId::new) else { continue };
        if !seen.insert(id.clone()) {
            violations.add(field, format!("{:?} stands here twice", delete.id));
        }
        ids.push((id, precondition(delete.expected_revision)));
    }
    violations.check()?;
    Ok(ids)
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

impl From<SetPolicy> for pb::SetPolicy {
    fn from(policy: SetPolicy) -> Self {
        let (fallback, default_route) = match policy.fallback {
            Fallback::BestGuess => (pb::FallbackKind::BestGuess, String::new()),
            Fallback::Abstain => (pb::FallbackKind::Abstain, String::new()),
            Fallback::DefaultRoute(route) => (pb::FallbackKind::DefaultRoute, route.to_string()),
        };
        Self {
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
        }
    }
}
