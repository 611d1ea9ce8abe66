//! All findings on a set, most harmful first.

use serde::Serialize;

use super::examined::Examined;
use super::finding::{Finding, Severity};
use super::limits::Limits;
use super::{balance, contradiction, duplicates, habits, rivals};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diagnosis {
    pub set: String,
    pub routes: usize,
    pub prompts: usize,
    /// Prompts of which the others can say anything: not the only one of a route, nor those of an only route.
    pub judged: usize,
    /// Prompts that the others of the set decide for another route than their own.
    pub lost: u64,
    pub errors: usize,
    pub warnings: usize,
    pub notes: usize,
    pub limits: Limits,
    /// By severity, then by harm.
    pub findings: Vec<Finding>,
}

pub fn diagnose(set: &Examined, limits: Limits) -> Diagnosis {
    let sizes = set.sizes();
    let mut lost = vec![0u64; set.routes.len()];
    for (_, prompt, _) in set.judged().filter(|(_, prompt, verdict)| set.lost(&sizes, prompt, verdict)) {
        if let Some(count) = lost.get_mut(prompt.route as usize) {
            *count += 1;
        }
    }
    let harms = contradiction::harms(set);
    let mut findings = Vec::new();
    balance::check(set, &limits, &lost, &mut findings);
    duplicates::check(set, &limits, &harms, &mut findings);
    rivals::check(set, &limits, &mut findings);
    contradiction::check(set, &limits, &harms, &mut findings);
    habits::check(set, &limits, &lost, &mut findings);
    // Stable: what is equally harmful stays in the order in which it was found, which is that of routes and prompts.
    findings.sort_by(|a, b| b.severity.cmp(&a.severity).then(b.harm.cmp(&a.harm)).then(a.kind.cmp(&b.kind)));
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    Diagnosis {
        set: set.set.clone(),
        routes: set.routes.len(),
        prompts: set.prompts.len(),
        judged: set.prompts.iter().filter(|prompt| set.can_judge(&sizes, prompt)).count(),
        lost: lost.iter().sum(),
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        notes: count(Severity::Note),
        limits,
        findings,
    }
}

impl Diagnosis {
    /// Whether there is a finding as bad as this, or worse.
    pub fn reaches(&self, severity: Severity) -> bool {
        self.findings.iter().any(|finding| finding.severity >= severity)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::doctor::examined::samples::{bring_near, examined};
    use crate::evaluate::golden;

    pub(in crate::doctor) fn sick() -> Diagnosis {
        let mut set = examined(&[
            ("billing", "Why was I charged twice?", "billing", 1.0),
            ("billing", "Send me the invoice again", "billing", 0.9),
            ("billing", "Where is my parcel?", "delivery", 0.97),
            ("delivery", "where is my parcel", "delivery", 1.0),
            ("delivery", "When will it arrive?", "delivery", 1.0),
            ("delivery", "Can I change the address?", "account", 0.85),
            ("account", "I want to change my address", "account", 0.7),
            ("account", "Delete my account\u{1b}[2J, please", "account", 0.7),
        ]);
        bring_near(&mut set, 2, 3, 0.999);
        bring_near(&mut set, 5, 6, 0.96);
        diagnose(&set, Limits { prompts: 3, ..Limits::default() })
    }

    #[test]
    fn the_most_harmful_comes_first() {
        let found = sick();
        let brief: Vec<_> = found.findings.iter().map(|of| (of.kind.as_str(), of.severity.as_str(), of.harm)).collect();
        let expected = [
            ("duplicate_across_routes", "error", 2),
            ("contradicted", "warning", 1),
            ("contradicted", "warning", 1),
            ("near_duplicate_across_routes", "warning", 1),
            ("too_few_prompts", "warning", 0),
        ];
        assert_eq!(brief, expected);
        assert_eq!((found.lost, found.errors, found.warnings, found.notes), (2, 1, 4, 0));
        assert!(found.reaches(Severity::Error));
        let healthy = Diagnosis { findings: Vec::new(), ..found };
        assert!(!healthy.reaches(Severity::Note));
    }

    #[test]
    fn the_json_is_stable() {
        let json = format!("{:#}\n", serde_json::to_value(sick()).unwrap());
        golden::check("doctor/golden/diagnosis.json", &json);
    }
}
