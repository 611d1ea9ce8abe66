//! Targets side by side: each in numbers, where they differ, and what failed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::check::bounded;
use super::golden::Case;
use super::run::{Terms, Trials};
use super::summary::TargetSummary;
use super::trial::Trial;
use crate::routing::Target;

/// What was measured, as `--json` writes it. Answers are in it, bounded to 200 characters each.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub subject: Subject,
    /// In the order in which they were named.
    pub targets: Vec<TargetSummary>,
    /// Prompts that some targets passed more often than others.
    pub differences: Vec<Difference>,
    /// Every check that did not hold and every call without an answer, by line and target.
    pub failures: Vec<Failure>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Subject {
    /// The golden file.
    pub golden: String,
    pub prompts: usize,
    pub repeat: u32,
    pub concurrency: usize,
    pub is_streamed: bool,
    /// `false`: it was stopped, and not all calls were made.
    pub is_complete: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    pub id: String,
    pub line: u64,
    /// By target; one that was not asked yet is left out.
    pub passes: BTreeMap<String, Passes>,
}

/// Of one prompt's calls to one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Passes {
    pub passed: u32,
    pub calls: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    pub id: String,
    pub line: u64,
    pub target: String,
    /// From 0.
    pub repeat: u32,
    /// The key of the golden file, or `answer` where there was none.
    pub check: &'static str,
    pub expected: String,
    pub found: String,
    /// Why generation ended; `None` without an answer.
    pub finish: Option<String>,
}

impl Subject {
    pub fn new(golden: String, cases: &[Case], terms: Terms, trials: &Trials) -> Self {
        let Terms { concurrency, repeat, is_streamed, .. } = terms;
        Self { golden, prompts: cases.len(), repeat, concurrency, is_streamed, is_complete: trials.is_complete }
    }
}

impl Report {
    /// `trials` are those of `cases` and `targets`, in the order that [`super::Replay::run`] gives them.
    pub fn of(subject: Subject, cases: &[Case], targets: &[Target], trials: &[Trial]) -> Self {
        let summary = |(at, target)| {
            let of_target: Vec<Trial> = trials.iter().filter(|trial| trial.target == at).cloned().collect();
            TargetSummary::of(target, &of_target)
        };
        Self {
            subject,
            targets: targets.iter().enumerate().map(summary).collect(),
            differences: differences(cases, targets, trials),
            failures: failures(cases, targets, trials),
        }
    }

    /// Targets that passed fewer of their calls than this share, and those that were not called at all.
    pub fn below(&self, share: f64) -> impl Iterator<Item = &TargetSummary> {
        self.targets.iter().filter(move |target| target.passed.share.is_none_or(|passed| passed < share))
    }
}

fn differences(cases: &[Case], targets: &[Target], trials: &[Trial]) -> Vec<Difference> {
    let mut passes: BTreeMap<usize, BTreeMap<String, Passes>> = BTreeMap::new();
    for trial in trials {
        let Some(target) = targets.get(trial.target) else { continue };
        let of = passes.entry(trial.case).or_default().entry(target.name.to_string()).or_default();
        of.calls += 1;
        of.passed += u32::from(trial.passed());
    }
    let differing = passes.into_iter().filter(|(_, passes)| differ(passes.values().copied()));
    differing
        .filter_map(|(at, passes)| {
            let case = cases.get(at)?;
            Some(Difference { id: case.id.clone(), line: case.line, passes })
        })
        .collect()
}

/// Whether the shares of passes differ; calls are few, so that the products are exact.
fn differ(mut passes: impl Iterator<Item = Passes>) -> bool {
    let times = |a: u32, b: u32| u64::from(a) * u64::from(b);
    let first = passes.next();
    first.is_some_and(|first| passes.any(|of| times(of.passed, first.calls) != times(first.passed, of.calls)))
}

fn failures(cases: &[Case], targets: &[Target], trials: &[Trial]) -> Vec<Failure> {
    let mut by_line: Vec<&Trial> = trials.iter().filter(|trial| !trial.passed()).collect();
    by_line.sort_by_key(|trial| (trial.case, trial.target, trial.repeat));
    let mut failures = Vec::new();
    for trial in by_line {
        let (Some(case), Some(target)) = (cases.get(trial.case), targets.get(trial.target)) else { continue };
        let failure = |check, expected: &str, found: &str, finish: Option<&str>| Failure {
            id: case.id.clone(),
            line: case.line,
            target: target.name.to_string(),
            repeat: trial.repeat,
            check,
            expected: expected.to_owned(),
            found: found.to_owned(),
            finish: finish.map(str::to_owned),
        };
        match &trial.outcome {
            Err(none) => {
                let found = bounded(&format!("{}: {}", none.kind, none.message));
                failures.push(failure("answer", "an answer", &found, None));
            }
            Ok(judged) => failures.extend(
                judged
                    .judgement
                    .mismatches
                    .iter()
                    .map(|at| failure(at.check, &at.expected, &at.found, Some(&judged.finish))),
            ),
        }
    }
    failures
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::provider::ChatRequest;
    use crate::reference::TargetName;
    use crate::replay::Check;
    use crate::replay::trial::samples::{failing, lapsed, passing, unanswered};

    fn case(line: u64) -> Case {
        let checks = vec![Check::Exact("Bern".to_owned())];
        Case { id: format!("line {line}"), line, request: Arc::new(ChatRequest::default()), checks }
    }

    /// Two targets and four prompts, sent twice, of which the second target misses some.
    pub(in crate::replay) fn report(is_complete: bool, trials: &[Trial]) -> Report {
        let cases: Vec<Case> = (1..=4).map(case).collect();
        let target = |name: &str, model: &str| Target::new(TargetName::new(name).unwrap(), "openai", model);
        let targets = [target("large", "gpt-large"), target("small", "gpt-small")];
        let subject = Subject {
            golden: "golden.jsonl".to_owned(),
            prompts: 4,
            repeat: 2,
            concurrency: 4,
            is_streamed: true,
            is_complete,
        };
        Report::of(subject, &cases, &targets, trials)
    }

    pub(in crate::replay) fn trials() -> Vec<Trial> {
        let large = (0..4).flat_map(|case| (0..2).map(move |repeat| passing(case, 0, repeat)));
        let small = [
            passing(0, 1, 0),
            passing(0, 1, 1),
            passing(1, 1, 0),
            failing(1, 1, 1),
            lapsed(2, 1),
            Trial { repeat: 1, ..lapsed(2, 1) },
            unanswered(3, 1, "timeout"),
            Trial { repeat: 1, ..unanswered(3, 1, "status 500") },
        ];
        large.chain(small).collect()
    }

    #[test]
    fn prompts_on_which_targets_differ_are_told() {
        let report = report(true, &trials());
        let brief: Vec<_> = report
            .differences
            .iter()
            .map(|at| (at.line, at.passes["large"].passed, at.passes["small"].passed, at.passes["small"].calls))
            .collect();
        assert_eq!(brief, [(2, 2, 1, 2), (3, 2, 0, 2), (4, 2, 0, 2)]);
    }

    #[test]
    fn a_target_that_was_not_asked_does_not_differ() {
        let some = [passing(0, 0, 0), passing(0, 0, 1), passing(0, 1, 0), failing(1, 0, 0)];
        assert!(report(false, &some).differences.is_empty(), "one of one is as good as two of two");
    }

    #[test]
    fn every_failure_is_told_by_line() {
        let report = report(true, &trials());
        let brief: Vec<_> = report.failures.iter().map(|at| (at.line, at.repeat, at.check)).collect();
        let expected =
            [(2, 1, "exact"), (3, 0, "json_schema"), (3, 1, "json_schema"), (4, 0, "answer"), (4, 1, "answer")];
        assert_eq!(brief, expected);
        assert_eq!(report.failures[0].finish.as_deref(), Some("stop"));
        assert_eq!(report.failures[3].found, "timeout: no answer after 100 ms");
    }

    #[test]
    fn a_target_falls_below_by_its_share_or_without_calls() {
        let below = |report: &Report, share: f64| report.below(share).map(|at| at.target.clone()).collect::<Vec<_>>();
        let found = report(true, &trials());
        assert_eq!(below(&found, 1.0), ["small"]);
        assert!(below(&found, 3.0 / 8.0).is_empty());
        assert_eq!(below(&report(false, &[passing(0, 0, 0)]), 0.0), ["small"]);
    }
}
