//! Signs that routing does not pay. Each says what was counted, and no more than the log can know.

use std::fmt;

use serde::Serialize;

use super::alternative::Alternative;
use super::tally::{Tally, TargetTally};

/// Fewest answers from which anything is concluded.
const ENOUGH: u64 = 100;

/// A larger share to one target leaves routing little to do.
const MOST: f64 = 0.9;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "signal", rename_all = "snake_case")]
pub enum Signal {
    /// More than nine in ten answers came from one target.
    OneTarget { target: String, share: f64, share_of_spend: Option<f64> },
    /// The LLM stage cost at least as much as routing saved.
    LlmStageCostsMore { cost: f64, saved: f64, against: String },
    /// All at one target would have cost less.
    RoutingCostsMore { target: String, by: f64, is_default: bool },
    /// The same, and the target answered and finished as often on every route.
    CheaperTargetWouldDo { target: String, would_cost: f64, saves: f64 },
}

pub(super) fn signals(tally: &Tally, alternatives: &[Alternative]) -> Vec<Signal> {
    let mut signals = Vec::new();
    let answers: u64 = tally.targets.values().map(TargetTally::answered).sum();
    if answers >= ENOUGH {
        signals.extend(one_target(tally, answers));
    }
    // Of few answers, or where most have no price, nothing is said about money.
    if tally.comparable < ENOUGH || (tally.comparable as f64) < MOST * answers as f64 {
        return signals;
    }
    // Routing has to be cheaper than the dearest target in use, or it saves nothing at all.
    if let Some(dearest) = alternatives.iter().find(|alternative| alternative.was_used) {
        let cost = tally.llm.cost.units();
        let saved = dearest.routing_saved + cost;
        if tally.llm.priced > 0 && cost >= saved {
            signals.push(Signal::LlmStageCostsMore { cost, saved, against: dearest.target.clone() });
        }
    }
    for alternative in alternatives.iter().filter(|alternative| alternative.routing_saved < 0.0) {
        let (target, by) = (alternative.target.clone(), -alternative.routing_saved);
        if alternative.doubts.is_empty() {
            let would_cost = alternative.would_cost;
            signals.push(Signal::CheaperTargetWouldDo { target, would_cost, saves: by });
        } else if alternative.is_default {
            signals.push(Signal::RoutingCostsMore { target, by, is_default: true });
        }
    }
    signals
}

fn one_target(tally: &Tally, answers: u64) -> Option<Signal> {
    let (target, most) = tally.targets.iter().max_by_key(|(_, target)| target.answered())?;
    let share = most.answered() as f64 / answers as f64;
    let spend = tally.completions.cost.units();
    let share_of_spend = (spend > 0.0).then(|| most.cost.units() / spend);
    (share > MOST).then(|| Signal::OneTarget { target: target.clone(), share, share_of_spend })
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: &f64| format!("{:.1} %", share * 100.0);
        match self {
            Self::OneTarget { target, share, share_of_spend } => {
                write!(f, "{} of the answers came from {target}", percent(share))?;
                if let Some(spend) = share_of_spend {
                    write!(f, ", with {} of the spend", percent(spend))?;
                }
                write!(f, ": routing has little to choose here.")
            }
            Self::LlmStageCostsMore { cost, saved, against } => write!(
                f,
                "The LLM stage cost {cost:.4}; routing saved {saved:.4} before that, against sending all to {against}, \
                 the dearest target in use."
            ),
            Self::RoutingCostsMore { target, by, is_default } => write!(
                f,
                "All at {target}{} would have cost {by:.4} less. Whether it would have done as well, this log does not \
                 show.",
                if *is_default { ", the default target," } else { "" }
            ),
            Self::CheaperTargetWouldDo { target, would_cost, saves } => write!(
                f,
                "{target} alone would have cost {would_cost:.4}, {saves:.4} less, and answered and finished as often \
                 on every route. Whether its answers are as good is not in the log: compare them on your own prompts \
                 before you give up routing."
            ),
        }
    }
}
