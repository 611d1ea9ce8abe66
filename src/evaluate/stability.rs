//! Whether decisions hold when a prompt is written a little differently: case, punctuation, white space, typing errors,
//! politeness, quotes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::proportion::Proportion;

/// Most examples of a kind that are kept.
const MAX_EXAMPLES: usize = 3;

/// What was decided on a prompt, written in one way.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    pub text: String,
    /// What was answered.
    pub route: Option<String>,
    pub confidence: f32,
    pub decided_alone: bool,
}

/// A prompt as it was, and as one kind of perturbation left it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial<'a> {
    pub kind: &'static str,
    pub expected: Option<&'a str>,
    pub before: &'a Said,
    /// `None`: this kind left the prompt as it was.
    pub after: Option<Said>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stability {
    pub prompts: u64,
    pub seed: u64,
    /// The mean over the kinds of the share of prompts whose route flips; `None` without prompts.
    pub mean_flips: Option<f64>,
    /// Most flips first.
    pub kinds: Vec<KindFlips>,
    /// Over all kinds, most flips first; routes without a flip too. Of the route that is expected.
    pub routes: Vec<RouteFlips>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KindFlips {
    pub kind: &'static str,
    /// Prompts whose route flips, of all prompts. Those that the kind does not change cannot flip.
    pub flips: Proportion,
    /// Prompts that it changes.
    pub changed: u64,
    /// Right before and wrong after.
    pub broken: u64,
    /// Wrong before and right after.
    pub mended: u64,
    /// Decided alone before and not after.
    pub doubted: u64,
    /// Mean of the confidence after less that before, over what it changes; `None` if it changes nothing.
    pub confidence_change: Option<f64>,
    pub examples: Vec<Flip>,
}

/// One prompt that is decided differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flip {
    pub before: String,
    pub after: String,
    pub route_before: Option<String>,
    pub route_after: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteFlips {
    /// `None`: prompts out of scope.
    pub route: Option<String>,
    /// Of the route's prompts in all kinds.
    pub flips: Proportion,
}

impl Trial<'_> {
    fn flips(&self) -> bool {
        self.after.as_ref().is_some_and(|after| after.route != self.before.route)
    }

    fn is_right(&self, said: &Said) -> bool {
        said.route.as_deref() == self.expected
    }
}

impl Stability {
    /// `trials` has one row for each prompt and kind.
    pub fn of(trials: &[Trial<'_>], seed: u64) -> Self {
        let mut of_kinds: BTreeMap<&'static str, Vec<&Trial<'_>>> = BTreeMap::new();
        let mut of_routes: BTreeMap<Option<&str>, Vec<bool>> = BTreeMap::new();
        for trial in trials {
            of_kinds.entry(trial.kind).or_default().push(trial);
            of_routes.entry(trial.expected).or_default().push(trial.flips());
        }
        let mut kinds: Vec<_> = of_kinds.into_iter().map(|(kind, trials)| KindFlips::of(kind, &trials)).collect();
        kinds.sort_by(|a, b| share(&b.flips).total_cmp(&share(&a.flips)));
        let of_route = |(route, flips): (Option<&str>, Vec<bool>)| RouteFlips {
            route: route.map(str::to_owned),
            flips: Proportion::count(flips),
        };
        let mut routes: Vec<_> = of_routes.into_iter().map(of_route).collect();
        routes.sort_by(|a, b| share(&b.flips).total_cmp(&share(&a.flips)));
        let mean = kinds.iter().map(|kind| share(&kind.flips)).sum::<f64>() / kinds.len().max(1) as f64;
        Self {
            prompts: kinds.first().map_or(0, |kind| kind.flips.rows),
            seed,
            mean_flips: (!kinds.is_empty()).then_some(mean),
            kinds,
            routes,
        }
    }
}

impl KindFlips {
    fn of(kind: &'static str, trials: &[&Trial<'_>]) -> Self {
        let changed: Vec<(&Trial<'_>, &Said)> =
            trials.iter().filter_map(|trial| trial.after.as_ref().map(|after| (*trial, after))).collect();
        let count = |holds: &dyn Fn(&Trial<'_>, &Said) -> bool| {
            changed.iter().filter(|(trial, after)| holds(trial, after)).count() as u64
        };
        let change: f64 =
            changed.iter().map(|(trial, after)| f64::from(after.confidence) - f64::from(trial.before.confidence)).sum();
        let flip = |(trial, after): &(&Trial<'_>, &Said)| Flip {
            before: trial.before.text.clone(),
            after: after.text.clone(),
            route_before: trial.before.route.clone(),
            route_after: after.route.clone(),
        };
        Self {
            kind,
            flips: Proportion::count(trials.iter().map(|trial| trial.flips())),
            changed: changed.len() as u64,
            broken: count(&|trial, after| trial.is_right(trial.before) && !trial.is_right(after)),
            mended: count(&|trial, after| !trial.is_right(trial.before) && trial.is_right(after)),
            doubted: count(&|trial, after| trial.before.decided_alone && !after.decided_alone),
            confidence_change: (!changed.is_empty()).then(|| change / changed.len() as f64),
            examples: changed.iter().filter(|(trial, _)| trial.flips()).take(MAX_EXAMPLES).map(flip).collect(),
        }
    }
}

fn share(of: &Proportion) -> f64 {
    of.share.unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::evaluate) fn said(route: &str, confidence: f32) -> Said {
        let decided_alone = confidence >= 0.5;
        Said { text: format!("to {route}"), route: Some(route.to_owned()), confidence, decided_alone }
    }

    #[test]
    fn flips_are_counted_by_kind_and_route() {
        let before = [said("a", 0.9), said("b", 0.8)];
        let trial =
            |kind, at: usize, expected, after| Trial { kind, expected: Some(expected), before: &before[at], after };
        let trials = [
            trial("case", 0, "a", Some(said("a", 0.7))),
            trial("case", 1, "b", Some(said("a", 0.4))),
            trial("quotes", 0, "a", None),
            trial("quotes", 1, "b", Some(said("b", 0.8))),
            trial("typos", 0, "a", Some(said("b", 0.6))),
            trial("typos", 1, "b", Some(said("c", 0.2))),
        ];
        let found = Stability::of(&trials, 13);
        let kinds: Vec<_> = found
            .kinds
            .iter()
            .map(|kind| (kind.kind, kind.flips.hits, kind.changed, kind.broken, kind.doubted))
            .collect();
        assert_eq!(kinds, [("typos", 2, 2, 2, 1), ("case", 1, 2, 1, 1), ("quotes", 0, 1, 0, 0)]);
        assert_eq!((found.prompts, found.mean_flips), (2, Some(0.5)));
        assert!((found.kinds[1].confidence_change.unwrap() + 0.3).abs() < 1e-6);
        let routes: Vec<_> =
            found.routes.iter().map(|of| (of.route.as_deref(), of.flips.hits, of.flips.rows)).collect();
        assert_eq!(routes, [(Some("b"), 2, 3), (Some("a"), 1, 3)]);
        assert_eq!(found.kinds[1].examples[0].route_after.as_deref(), Some("a"));
        assert_eq!(Stability::of(&[], 1).mean_flips, None);
    }
}
