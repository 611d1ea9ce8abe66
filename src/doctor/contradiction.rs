//! Prompts whose route the others of the set contradict: wrong labels, mostly, or the edge of a route.

use super::examined::Examined;
use super::finding::{Finding, Kind};
use super::limits::Limits;

/// Neighbours that count as having decided a prompt.
const DECIDERS: usize = 5;

/// For each prompt, how many prompts of other routes are lost to its route with it among their nearest.
pub(super) fn harms(set: &Examined) -> Vec<u64> {
    let sizes = set.sizes();
    let mut harms = vec![0; set.prompts.len()];
    for (_, prompt, verdict) in set.judged().filter(|(_, prompt, verdict)| set.lost(&sizes, prompt, verdict)) {
        let Some((winner, _)) = verdict.winner else { continue };
        let deciders = verdict.near.iter().map(|near| near.prompt as usize);
        let of_winner = deciders.filter(|at| set.prompts.get(*at).is_some_and(|other| other.route == winner));
        for at in of_winner.take(DECIDERS) {
            if let Some(harm) = harms.get_mut(at) {
                *harm += u64::from(prompt.route != winner);
            }
        }
    }
    harms
}

pub(super) fn check(set: &Examined, limits: &Limits, harms: &[u64], findings: &mut Vec<Finding>) {
    let sizes = set.sizes();
    for (at, prompt, verdict) in set.judged() {
        let Some((winner, confidence)) = verdict.winner else { continue };
        if f64::from(confidence) < limits.contradiction || !set.lost(&sizes, prompt, verdict) {
            continue;
        }
        let (own, other) = (set.name(prompt.route), set.name(winner));
        let what = format!("labelled {own}, but the others of the set say {other} ({:.0} %)", confidence * 100.0);
        let harm = 1 + harms.get(at).copied().unwrap_or_default();
        // Itself, then who speaks against it.
        let against = verdict.near.iter().map(|near| near.prompt as usize);
        let against = against.filter(|near| set.prompts.get(*near).is_some_and(|other| other.route == winner));
        let about: Vec<usize> = std::iter::once(at).chain(against.take(3)).collect();
        findings.push(Finding::new(Kind::Contradicted, vec![own, other], harm, what).about(set, &about));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::examined::samples::{bring_near, examined};

    #[test]
    fn wrong_labels_are_found_and_weighed() {
        let mut set = examined(&[
            ("a", "one", "b", 0.95),
            ("a", "two", "a", 1.0),
            ("b", "three", "a", 0.9),
            ("b", "four", "b", 0.9),
            ("b", "five", "a", 0.6),
            ("c", "alone", "a", 1.0),
        ]);
        bring_near(&mut set, 2, 0, 0.9);
        bring_near(&mut set, 4, 0, 0.9);
        let harms = harms(&set);
        assert_eq!(harms, [2, 0, 1, 0, 1, 0]);
        let mut findings = Vec::new();
        check(&set, &Limits::default(), &harms, &mut findings);
        let brief: Vec<_> = findings.iter().map(|of| (of.prompts[0].id.as_str(), of.harm, of.count)).collect();
        assert_eq!(brief, [("p0", 3, 3), ("p2", 2, 2)], "the fifth is doubtful only, the sixth has no others");
        assert_eq!(findings[0].what, "labelled a, but the others of the set say b (95 %)");
    }
}
