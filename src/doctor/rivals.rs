//! Routes that lose to others, and routes that cannot be told apart.

use std::collections::BTreeMap;

use super::examined::Examined;
use super::finding::{Finding, Kind};
use super::limits::Limits;

/// Fewer losses say nothing.
const FEWEST: usize = 3;

pub(super) fn check(set: &Examined, limits: &Limits, findings: &mut Vec<Finding>) {
    let sizes = set.sizes();
    let mut lost: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    let mut pairs: BTreeMap<(u32, u32), Vec<usize>> = BTreeMap::new();
    for (at, prompt, verdict) in set.judged().filter(|(_, prompt, verdict)| set.lost(&sizes, prompt, verdict)) {
        let Some((winner, _)) = verdict.winner else { continue };
        lost.entry(prompt.route).or_default().push(at);
        pairs.entry((prompt.route.min(winner), prompt.route.max(winner))).or_default().push(at);
    }
    let size = |route: u32| sizes.get(route as usize).copied().unwrap_or_default();
    for (route, prompts) in lost {
        let (name, of) = (set.name(route), size(route));
        let won = of.saturating_sub(prompts.len());
        let finding = if won == 0 {
            Finding::new(
                Kind::RouteNeverWins,
                vec![name],
                of as u64,
                format!("none of its {of} prompts is decided for it by the others"),
            )
        } else if (won as f64) < limits.own_share * of as f64 && prompts.len() >= FEWEST {
            let what = format!("only {won} of its {of} prompts are decided for it by the others");
            Finding::new(Kind::RouteWeak, vec![name], prompts.len() as u64, what)
        } else {
            continue;
        };
        findings.push(finding.about(set, &prompts));
    }
    for ((first, second), prompts) in pairs {
        let all = size(first) + size(second);
        if prompts.len() < FEWEST || (prompts.len() as f64) < limits.confusion * all as f64 {
            continue;
        }
        let what = format!(
            "{} of the {all} prompts of {} and {} are decided for the other of the two",
            prompts.len(),
            set.name(first),
            set.name(second)
        );
        let routes = vec![set.name(first), set.name(second)];
        findings.push(Finding::new(Kind::RoutesConfused, routes, prompts.len() as u64, what).about(set, &prompts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::examined::samples::examined;

    fn kinds(rows: &[(&str, &str, &str, f32)]) -> Vec<(Kind, Vec<String>, u64)> {
        let mut findings = Vec::new();
        check(&examined(rows), &Limits::default(), &mut findings);
        findings.into_iter().map(|of| (of.kind, of.routes, of.harm)).collect()
    }

    #[test]
    fn losers_and_rivals_are_named() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut rows = vec![("a", "x", "b", 0.6); 4];
        rows.extend([("b", "x", "b", 0.9); 20]);
        let expected = [(Kind::RouteNeverWins, names(&["a"]), 4), (Kind::RoutesConfused, names(&["a", "b"]), 4)];
        assert_eq!(kinds(&rows), expected);
        rows.extend([("a", "x", "a", 0.6); 3]);
        assert_eq!(kinds(&rows)[0], (Kind::RouteWeak, names(&["a"]), 4));
        rows.extend([("a", "x", "a", 0.6); 30]);
        assert_eq!(kinds(&rows), []);
        assert_eq!(kinds(&[("a", "x", "b", 1.0), ("b", "y", "a", 1.0)]), [], "one prompt has no others of its route");
    }
}
