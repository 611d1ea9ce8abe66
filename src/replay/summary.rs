//! One target's trials in numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::trial::{Judged, Trial};
use crate::evaluate::{Latency, Proportion};
use crate::money::Money;
use crate::routing::Target;

/// Calls are counted, not prompts: with repeats there are more of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetSummary {
    pub target: String,
    pub provider: String,
    pub model: String,
    pub region: Option<String>,
    /// Of all calls, those that brought an answer which holds all that was expected.
    pub passed: Proportion,
    pub answered: u64,
    /// Of the answers that should have obeyed a schema; `None` if there are none.
    pub schema: Option<Adherence>,
    /// Answers that the provider's content rules, or the model itself, withheld wholly or in part.
    pub refusals: u64,
    /// Prompts that passed at one time and failed at another.
    pub unsteady: u64,
    /// Calls without an answer, by kind.
    pub errors: BTreeMap<String, u64>,
    /// Calls that waited until their target had rested, as its provider had asked. The wait is in no latency.
    pub rested: u64,
    /// Of answers, from the call to their end.
    pub latency: Option<Latency>,
    /// Of streamed answers, from the call to the first text.
    pub first_text: Option<Latency>,
    pub tokens: Tokens,
    pub cost: Cost,
}

/// To JSON schemas.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Adherence {
    pub adheres: Proportion,
    /// The others, by kind: `fenced` (right, but in a fence), `not_json`, `invalid`.
    pub lapses: BTreeMap<&'static str, u64>,
}

/// As the provider counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tokens {
    pub input: u64,
    pub output: u64,
    /// Of the input.
    pub cached_input: u64,
    /// Of the output.
    pub reasoning: u64,
    /// Answers of which no usage was told.
    pub unreported: u64,
}

/// By the configured prices.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Cost {
    /// In units of the prices' currency, of all calls whose cost is known. `None`: of none it is.
    pub known: Option<f64>,
    /// Answers whose cost is not known: without a usage, or a price.
    pub unknown: u64,
}

impl TargetSummary {
    /// From this target's trials, by case.
    pub(super) fn of(target: &Target, trials: &[Trial]) -> Self {
        let judged = || trials.iter().filter_map(Trial::judged);
        let mut errors = BTreeMap::new();
        for failure in trials.iter().filter_map(|trial| trial.outcome.as_ref().err()) {
            *errors.entry(failure.kind.clone()).or_default() += 1;
        }
        Self {
            target: target.name.to_string(),
            provider: target.provider.clone(),
            model: target.model.clone(),
            region: target.region.clone(),
            passed: Proportion::of(trials.iter().filter(|trial| trial.passed()).count() as u64, trials.len() as u64),
            answered: judged().count() as u64,
            schema: adherence(judged()),
            refusals: judged().filter(|judged| judged.is_refusal).count() as u64,
            unsteady: trials.chunk_by(|one, next| one.case == next.case).filter(|of| is_mixed(of)).count() as u64,
            errors,
            rested: trials.iter().filter(|trial| trial.rested).count() as u64,
            latency: Latency::of(judged().map(|judged| judged.latency)),
            first_text: Latency::of(judged().filter_map(|judged| judged.first_text)),
            tokens: tokens(trials),
            cost: cost(trials),
        }
    }
}

fn is_mixed(trials: &[Trial]) -> bool {
    trials.iter().any(Trial::passed) && !trials.iter().all(Trial::passed)
}

fn adherence<'a>(judged: impl Iterator<Item = &'a Judged>) -> Option<Adherence> {
    let (mut adhering, mut rows, mut lapses) = (0, 0, BTreeMap::new());
    for schema in judged.filter_map(|judged| judged.judgement.schema.as_ref()) {
        rows += 1;
        match schema {
            Ok(()) => adhering += 1,
            Err(lapse) => *lapses.entry(lapse.kind()).or_default() += 1,
        }
    }
    (rows > 0).then(|| Adherence { adheres: Proportion::of(adhering, rows), lapses })
}

/// Calls that failed count with what is known of them.
fn tokens(trials: &[Trial]) -> Tokens {
    let mut tokens = Tokens::default();
    for trial in trials {
        let usage = trial.outcome.as_ref().map_or_else(|failure| failure.usage, |judged| judged.usage);
        match usage {
            Some(usage) => {
                tokens.input = tokens.input.saturating_add(usage.input_tokens);
                tokens.output = tokens.output.saturating_add(usage.output_tokens);
                tokens.cached_input = tokens.cached_input.saturating_add(usage.cached_input_tokens);
                tokens.reasoning = tokens.reasoning.saturating_add(usage.reasoning_tokens);
            }
            None => tokens.unreported += u64::from(trial.outcome.is_ok()),
        }
    }
    tokens
}

fn cost(trials: &[Trial]) -> Cost {
    let of = |trial: &Trial| trial.outcome.as_ref().map_or_else(|failure| failure.cost, |judged| judged.cost);
    let known: Vec<Money> = trials.iter().filter_map(of).collect();
    let unknown = trials.iter().filter(|trial| trial.outcome.is_ok() && of(trial).is_none()).count() as u64;
    Cost { known: (!known.is_empty()).then(|| known.into_iter().sum::<Money>().units()), unknown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Usage;
    use crate::reference::TargetName;
    use crate::replay::trial::samples::{failing, judged, lapsed, passing, unanswered};

    fn summary(trials: &[Trial]) -> TargetSummary {
        TargetSummary::of(&Target::new(TargetName::new("t").unwrap(), "p", "m"), trials)
    }

    #[test]
    fn calls_are_counted_by_how_they_went() {
        let adhering = Judged {
            judgement: crate::replay::Judgement { schema: Some(Ok(())), ..Default::default() },
            ..judged(400)
        };
        let refused = Judged { is_refusal: true, ..judged(500) };
        let trials = [
            passing(0, 0, 0),
            failing(0, 0, 1),
            Trial { outcome: Ok(adhering), ..passing(1, 0, 0) },
            lapsed(2, 0),
            unanswered(3, 0, "timeout"),
            unanswered(4, 0, "status 500"),
            unanswered(5, 0, "timeout"),
            Trial { outcome: Ok(refused), ..passing(6, 0, 0) },
        ];
        let found = summary(&trials);
        assert_eq!((found.passed.hits, found.passed.rows, found.answered), (3, 8, 5));
        assert_eq!((found.refusals, found.unsteady), (1, 1));
        let schema = found.schema.unwrap();
        assert_eq!((schema.adheres.hits, schema.adheres.rows), (1, 2));
        assert_eq!(schema.lapses, BTreeMap::from([("fenced", 1)]));
        let errors = [("status 500", 1), ("timeout", 2)].map(|(kind, count)| (kind.to_owned(), count));
        assert_eq!(found.errors, BTreeMap::from(errors));
        let latency = found.latency.unwrap();
        assert_eq!([latency.p50_ms, latency.p99_ms], [300.0, 500.0], "calls without an answer have no latency");
        assert_eq!(found.first_text.unwrap().p50_ms, 150.0);
        assert_eq!((found.tokens.input, found.tokens.output, found.tokens.unreported), (15, 10, 0));
        assert_eq!(found.cost, Cost { known: Some(0.005), unknown: 0 });
    }

    #[test]
    fn what_is_not_known_is_counted_and_not_taken_for_zero() {
        let unknown = Judged { usage: None, cost: None, first_text: None, ..judged(1) };
        let unpriced = Judged { cost: None, ..judged(1) };
        let trial = |case: usize, judged: Judged| Trial { outcome: Ok(judged), ..passing(case, 0, 0) };
        let found = summary(&[trial(0, unknown.clone()), trial(1, unpriced.clone())]);
        assert_eq!((found.tokens.input, found.tokens.unreported), (3, 1));
        assert_eq!(found.cost, Cost { known: None, unknown: 2 });
        assert_eq!((found.first_text.unwrap().max_ms, found.schema), (0.0, None));
        assert_eq!(summary(&[trial(0, unknown), passing(1, 0, 0)]).cost, Cost { known: Some(0.001), unknown: 1 });
        let nothing = summary(&[]);
        assert_eq!((nothing.passed.share, nothing.latency, nothing.cost.known), (None, None, None));
    }

    #[test]
    fn a_failed_call_costs_what_is_known_of_it() {
        let mut trial = unanswered(0, 0, "truncated");
        if let Err(failure) = &mut trial.outcome {
            failure.usage = Some(Usage::new(7, 1));
            failure.cost = Some(Money::from_units(0.5));
        }
        let found = summary(&[trial, unanswered(1, 0, "connect")]);
        assert_eq!((found.tokens.input, found.tokens.unreported), (7, 0));
        assert_eq!(found.cost, Cost { known: Some(0.5), unknown: 0 });
    }
}
