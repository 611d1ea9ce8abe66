//! The same prompt more than once: harmless within a route, contradictory across routes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::examined::Examined;
use super::finding::{Finding, Kind};
use super::limits::Limits;
use super::verdict::plain;

pub(super) fn check(set: &Examined, limits: &Limits, harms: &[u64], findings: &mut Vec<Finding>) {
    let texts: Vec<String> = set.prompts.iter().map(|prompt| plain(&prompt.text)).collect();
    exact(set, &texts, harms, findings);
    near(set, limits, &texts, harms, findings);
}

fn exact(set: &Examined, texts: &[String], harms: &[u64], findings: &mut Vec<Finding>) {
    let mut groups: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, text) in texts.iter().enumerate() {
        groups.entry(text).or_default().push(at);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().filter(|group| group.len() > 1).collect();
    groups.sort_unstable();
    let mut within: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for group in groups {
        let routes: BTreeSet<u32> = group.iter().filter_map(|at| set.prompts.get(*at)).map(|at| at.route).collect();
        if routes.len() > 1 {
            let what = format!("the same text stands in {} routes", routes.len());
            let names = routes.iter().map(|route| set.name(*route)).collect();
            let harm = group.iter().filter_map(|at| harms.get(*at)).sum::<u64>() + group.len() as u64 - 1;
            findings.push(Finding::new(Kind::DuplicateAcrossRoutes, names, harm, what).about(set, &group));
        } else if let Some(route) = routes.first() {
            within.entry(*route).or_default().extend(group);
        }
    }
    for (route, prompts) in within {
        let what = format!("{} prompts differ from others of the route in case and punctuation only", prompts.len());
        findings.push(Finding::new(Kind::Duplicate, vec![set.name(route)], 0, what).about(set, &prompts));
    }
}

/// One finding for each pair of routes.
fn near(set: &Examined, limits: &Limits, texts: &[String], harms: &[u64], findings: &mut Vec<Finding>) {
    let mut pairs: BTreeMap<(u32, u32), BTreeSet<(usize, usize)>> = BTreeMap::new();
    for (at, prompt, verdict) in set.judged() {
        for near in verdict.near.iter().take_while(|near| f64::from(near.similarity) >= limits.near_duplicate) {
            let other_at = near.prompt as usize;
            let Some(other) = set.prompts.get(other_at) else { continue };
            if other.route != prompt.route && texts.get(at) != texts.get(other_at) {
                let routes = (prompt.route.min(other.route), prompt.route.max(other.route));
                pairs.entry(routes).or_default().insert((at.min(other_at), at.max(other_at)));
            }
        }
    }
    for ((first, second), pairs) in pairs {
        let (first, second) = (set.name(first), set.name(second));
        let what = match pairs.len() {
            1 => format!("two prompts of {first} and {second} say nearly the same"),
            count => format!("{count} pairs of prompts of {first} and {second} say nearly the same"),
        };
        let prompts: Vec<usize> = pairs.into_iter().flat_map(|(a, b)| [a, b]).collect();
        let mut each = prompts.clone();
        each.sort_unstable();
        each.dedup();
        let harm = each.iter().filter_map(|at| harms.get(*at)).sum();
        let finding = Finding::new(Kind::NearDuplicateAcrossRoutes, vec![first, second], harm, what);
        // Pairs stay beside each other in the list; the count is that of prompts.
        findings.push(Finding { count: each.len() as u64, ..finding.about(set, &prompts) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::examined::samples::{bring_near, examined};

    #[test]
    fn duplicates_across_routes_are_worse_than_within() {
        let mut set = examined(&[
            ("a", "Where is my card?", "a", 1.0),
            ("a", "where is my card", "a", 1.0),
            ("b", "Where's my money?", "b", 1.0),
            ("a", "where s my money", "b", 1.0),
            ("b", "where is the money", "b", 1.0),
        ]);
        bring_near(&mut set, 0, 2, 0.97);
        bring_near(&mut set, 2, 3, 1.0);
        bring_near(&mut set, 1, 4, 0.9);
        let mut findings = Vec::new();
        check(&set, &Limits::default(), &[0; 5], &mut findings);
        let brief: Vec<_> = findings
            .iter()
            .map(|of| (of.kind, of.prompts.iter().map(|prompt| prompt.id.as_str()).collect::<Vec<_>>()))
            .collect();
        let expected = [
            (Kind::DuplicateAcrossRoutes, vec!["p2", "p3"]),
            (Kind::Duplicate, vec!["p0", "p1"]),
            (Kind::NearDuplicateAcrossRoutes, vec!["p0", "p2"]),
        ];
        assert_eq!(brief, expected);
    }
}
