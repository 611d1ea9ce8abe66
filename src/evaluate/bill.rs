//! What the test's prompts would cost with routing and without: an expectation under assumptions that stand beside it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::outcome::Outcome;
use super::prices::{Price, Prices};

/// What nobody knows before the prompts are answered.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Assumptions {
    /// Tokens of an answer, whatever target gives it.
    pub output_tokens: f64,
    /// Tokens that callers send beside the prompt: system prompt, earlier turns, tools.
    pub added_input_tokens: f64,
    /// Tokens of the LLM stage's question beside the prompt: instructions, routes, examples.
    pub llm_input_tokens: f64,
    pub llm_output_tokens: f64,
}

/// Where prompts go.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Places {
    /// The first target of each route.
    pub routes: BTreeMap<String, String>,
    /// That of prompts without a route.
    pub default: Option<String>,
}

/// All costs are for 1,000 prompts like those of the test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bill {
    pub currency: String,
    pub assumptions: Assumptions,
    pub prompts: u64,
    /// Mean tokens of a prompt, as the embedding model's tokeniser counts them.
    pub prompt_tokens: f64,
    /// What each target gets with routing, dearest share first.
    pub shares: Vec<TargetShare>,
    /// The LLM stage's calls; `None`: it has no price.
    pub llm: Option<LlmShare>,
    /// With routing, the LLM stage included.
    pub routed: f64,
    /// With every prompt where its right route sends it, and without the LLM stage: the least for these targets.
    pub ideal: f64,
    /// With everything sent to one target, dearest first.
    pub alternatives: Vec<Alternative>,
    /// Rows that go to a target other than their right route's.
    pub misplaced: Misplaced,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetShare {
    pub target: String,
    pub prompts: u64,
    /// Of all prompts.
    pub share: f64,
    pub cost: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LlmShare {
    /// Prompts that are not decided alone, of all.
    pub share: f64,
    pub cost: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alternative {
    pub target: String,
    pub cost: f64,
    /// What routing saves of it; below 0: routing costs more. `None` if it costs nothing.
    pub saved: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Misplaced {
    /// To a dearer target than needed: money.
    pub dearer: u64,
    /// To a cheaper target: perhaps a worse answer.
    pub cheaper: u64,
}

/// Targets that prompts go to and that have no price, or routes that go nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BillError {
    #[error("prompts go to targets without a price: {}", .0.join(", "))]
    Unpriced(Vec<String>),
    #[error("prompts of {0} have no target: give `default` in the prices, or configure targets")]
    Nowhere(String),
    #[error("a bill needs prompts")]
    NoPrompts,
}

impl Bill {
    pub fn of(
        outcomes: &[Outcome],
        prices: &Prices,
        places: &Places,
        assumptions: Assumptions,
    ) -> Result<Self, BillError> {
        if outcomes.is_empty() {
            return Err(BillError::NoPrompts);
        }
        let rows = outcomes.iter().map(|outcome| Row::of(outcome, prices, places)).collect::<Result<Vec<_>, _>>()?;
        let unpriced: BTreeSet<&str> = rows.iter().filter_map(|row| row.unpriced).collect();
        if !unpriced.is_empty() {
            return Err(BillError::Unpriced(unpriced.into_iter().map(str::to_owned).collect()));
        }
        let scale = 1000.0 / rows.len() as f64;
        let input = |row: &Row<'_>| row.tokens + assumptions.added_input_tokens;
        let cost = |price: &Price, row: &Row<'_>| price.of(input(row), assumptions.output_tokens) * scale;
        let shares = shares(&rows, cost);
        let llm = prices.llm.map(|price| llm_share(&rows, price, assumptions, scale));
        let routed = shares.iter().map(|share| share.cost).sum::<f64>() + llm.map_or(0.0, |llm| llm.cost);
        let mut alternatives: Vec<Alternative> = prices
            .targets
            .iter()
            .map(|(target, price)| (target, rows.iter().map(|row| cost(price, row)).sum::<f64>()))
            .map(|(target, cost)| (target, cost, (cost > 0.0).then(|| 1.0 - routed / cost)))
            .map(|(target, cost, saved)| Alternative { target: target.clone(), cost, saved })
            .collect();
        alternatives.sort_by(|a, b| b.cost.total_cmp(&a.cost));
        let differs = |row: &&Row<'_>, dearer: bool| {
            let (sent, right) = (cost(&row.sent.1, row), cost(&row.right.1, row));
            if dearer { sent > right } else { sent < right }
        };
        Ok(Self {
            currency: prices.currency.clone(),
            assumptions,
            prompts: rows.len() as u64,
            prompt_tokens: rows.iter().map(|row| row.tokens).sum::<f64>() / rows.len() as f64,
            ideal: rows.iter().map(|row| cost(&row.right.1, row)).sum(),
            misplaced: Misplaced {
                dearer: rows.iter().filter(|row| differs(row, true)).count() as u64,
                cheaper: rows.iter().filter(|row| differs(row, false)).count() as u64,
            },
            shares,
            llm,
            routed,
            alternatives,
        })
    }
}

/// A prompt with the targets that it goes to and should go to.
struct Row<'a> {
    tokens: f64,
    asks_llm: bool,
    sent: (&'a str, Price),
    right: (&'a str, Price),
    unpriced: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn of(outcome: &Outcome, prices: &'a Prices, places: &'a Places) -> Result<Self, BillError> {
        let sent = place(outcome.predicted.as_deref(), places)?;
        // A route that the set does not have goes where what has no route goes.
        let right = place(outcome.expected.as_deref(), places)?;
        let priced = |target: &'a str| prices.targets.get(target).copied();
        let free = Price { input: 0.0, output: 0.0 };
        Ok(Self {
            tokens: outcome.tokens as f64,
            asks_llm: !outcome.decided_alone,
            sent: (sent, priced(sent).unwrap_or(free)),
            right: (right, priced(right).unwrap_or(free)),
            unpriced: [sent, right].into_iter().find(|target| priced(target).is_none()),
        })
    }
}

fn place<'a>(route: Option<&str>, places: &'a Places) -> Result<&'a str, BillError> {
    let of_route = route.and_then(|route| places.routes.get(route));
    let nowhere = || BillError::Nowhere(route.map_or("no route".to_owned(), |route| format!("route {route}")));
    of_route.or(places.default.as_ref()).map(String::as_str).ok_or_else(nowhere)
}

fn shares(rows: &[Row<'_>], cost: impl Fn(&Price, &Row<'_>) -> f64) -> Vec<TargetShare> {
    let mut sums: BTreeMap<&str, (u64, f64)> = BTreeMap::new();
    for row in rows {
        let sum = sums.entry(row.sent.0).or_default();
        sum.0 += 1;
        sum.1 += cost(&row.sent.1, row);
    }
    let all = rows.len() as f64;
    let share = |(target, (prompts, cost)): (&str, (u64, f64))| TargetShare {
        target: target.to_owned(),
        prompts,
        share: prompts as f64 / all,
        cost,
    };
    let mut shares: Vec<_> = sums.into_iter().map(share).collect();
    shares.sort_by(|a, b| b.cost.total_cmp(&a.cost));
    shares
}

fn llm_share(rows: &[Row<'_>], price: Price, assumptions: Assumptions, scale: f64) -> LlmShare {
    let asked = || rows.iter().filter(|row| row.asks_llm);
    let of = |row: &Row<'_>| price.of(row.tokens + assumptions.llm_input_tokens, assumptions.llm_output_tokens);
    LlmShare { share: asked().count() as f64 / rows.len() as f64, cost: asked().map(of).sum::<f64>() * scale }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evaluate::outcome::samples::{outcome, outcomes};

    const ASSUMED: Assumptions = Assumptions {
        output_tokens: 100.0,
        added_input_tokens: 90.0,
        llm_input_tokens: 490.0,
        llm_output_tokens: 10.0,
    };

    fn prices() -> Prices {
        let text = "currency = 'USD'\n[targets]\nlarge = { input = 10, output = 20 }\nsmall = { input = 1, output = 2 }\n\
            [llm]\ninput = 1\noutput = 1";
        Prices::parse(text).unwrap()
    }

    fn places() -> Places {
        let routes = [("a", "large"), ("b", "small")].map(|(route, target)| (route.to_owned(), target.to_owned()));
        Places { routes: routes.into(), default: Some("large".to_owned()) }
    }

    #[test]
    fn the_bill_adds_up() {
        let rows = [
            outcome("a", "a", 1.0),
            outcome("b", "b", 1.0),
            outcome("b", "a", 1.0),
            Outcome { decided_alone: false, ..outcome("a", "b", 1.0) },
        ];
        let bill = Bill::of(&rows, &prices(), &places(), ASSUMED).unwrap();
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        // A prompt costs 0.003 at the large target and 0.0003 at the small one; the LLM stage 0.00051.
        close(bill.shares[0].cost, 1.5);
        close(bill.shares[1].cost, 0.15);
        close(bill.llm.unwrap().cost, 0.1275);
        close(bill.routed, 1.7775);
        close(bill.ideal, 1.65);
        assert_eq!(bill.alternatives[0].target, "large");
        close(bill.alternatives[0].cost, 3.0);
        close(bill.alternatives[0].saved.unwrap(), 1.0 - 1.7775 / 3.0);
        assert_eq!(bill.misplaced, Misplaced { dearer: 1, cheaper: 1 });
    }

    #[test]
    fn what_has_no_price_is_named() {
        let rows = [outcome("a", "a", 1.0), outcome("", "", 1.0)];
        let nowhere = Places { default: None, ..places() };
        let failed = |prices: &Prices, places: &Places| Bill::of(&rows, prices, places, ASSUMED).unwrap_err();
        assert_eq!(failed(&prices(), &nowhere), BillError::Nowhere("no route".to_owned()));
        let mut few = prices();
        few.targets.remove("large");
        assert_eq!(failed(&few, &places()), BillError::Unpriced(vec!["large".to_owned()]));
        assert_eq!(Bill::of(&[], &prices(), &places(), ASSUMED), Err(BillError::NoPrompts));
    }

    proptest! {
        #[test]
        fn costs_are_between_those_of_the_targets(rows in outcomes()) {
            let Ok(bill) = Bill::of(&rows, &prices(), &places(), ASSUMED) else { return Ok(()) };
            let (most, least) = (bill.alternatives[0].cost, bill.alternatives[1].cost);
            let sent: f64 = bill.shares.iter().map(|share| share.cost).sum();
            prop_assert!(least - 1e-9 <= sent && sent <= most + 1e-9);
            prop_assert!(least - 1e-9 <= bill.ideal && bill.ideal <= most + 1e-9);
            prop_assert_eq!(bill.shares.iter().map(|share| share.prompts).sum::<u64>(), rows.len() as u64);
        }
    }
}
