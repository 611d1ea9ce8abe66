//! The report for a reader at a terminal. The JSON is for machines; nothing here needs to stay the same.

use std::collections::BTreeMap;
use std::fmt::Display;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::report::{Difference, Failure, Report, Subject};
use super::summary::{Cost, TargetSummary, Tokens};
use crate::evaluate::{Latency, Proportion};

/// Columns of the terminal.
const WIDTH: u16 = 110;

/// Each list of prompts is cut after `rows`; without a line end.
pub fn render(report: &Report, rows: usize) -> String {
    let mut text = format!("{}\n\n{}\n", headline(&report.subject), numbers(report).trim_fmt());
    if !report.differences.is_empty() {
        text.push_str(&format!(
            "\n{} prompts on which the targets differ (passed of calls)\n",
            report.differences.len()
        ));
        text.push_str(&format!("{}\n", differences(report, rows).trim_fmt()));
        omitted(&mut text, report.differences.len(), rows);
    }
    if !report.failures.is_empty() {
        text.push_str(&format!("\n{} failures\n", report.failures.len()));
        report.failures.iter().take(rows).for_each(|failure| text.push_str(&told(failure)));
        omitted(&mut text, report.failures.len(), rows);
    }
    text.trim_end().to_owned()
}

fn headline(subject: &Subject) -> String {
    let Subject { golden, prompts, repeat, concurrency, is_streamed, is_complete } = subject;
    let times = if *repeat > 1 { format!(", {repeat} times each") } else { String::new() };
    let streamed = if *is_streamed { ", streamed" } else { "" };
    let stopped = if *is_complete { "" } else { "; STOPPED before all calls were made" };
    format!("{golden}: {prompts} prompts{times}{streamed}, {concurrency} calls at once to each target{stopped}")
}

/// A row for each number, a column for each target.
fn numbers(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    let targets = &report.targets;
    let mut add = |name: &str, value: &dyn Fn(&TargetSummary) -> String| {
        table.add_row([name.to_owned()].into_iter().chain(targets.iter().map(value)));
    };
    add("", &|at| at.target.clone());
    add("model", &|at| format!("{} ({})", at.model, at.provider));
    add("passed", &|at| share(&at.passed));
    if targets.iter().any(|at| at.schema.is_some()) {
        add("adheres to its schema", &|at| at.schema.as_ref().map_or_else(none, |schema| share(&schema.adheres)));
        for (kind, name) in [("fenced", "  JSON in a fence"), ("not_json", "  no JSON"), ("invalid", "  another form")]
        {
            let lapses =
                |at: &TargetSummary| at.schema.as_ref().map_or(0, |of| of.lapses.get(kind).copied().unwrap_or(0));
            if targets.iter().any(|at| lapses(at) > 0) {
                add(name, &|at| lapses(at).to_string());
            }
        }
    }
    add("refusals", &|at| at.refusals.to_string());
    add("without an answer", &|at| counts(&at.errors));
    if targets.iter().any(|at| at.rested > 0) {
        add("waited for a rest (429)", &|at| at.rested.to_string());
    }
    if report.subject.repeat > 1 {
        add("unsteady prompts", &|at| at.unsteady.to_string());
    }
    add("latency p50 / p90 / p99, ms", &|at| times(at.latency));
    if report.subject.is_streamed {
        add("first text p50 / p90 / p99, ms", &|at| times(at.first_text));
    }
    add("tokens in / out", &|at| tokens(&at.tokens));
    add("cost", &|at| cost(&at.cost));
    right(&mut table, targets.len());
    table
}

fn differences(report: &Report, rows: usize) -> Table {
    let mut table = Table::new();
    let names = report.targets.iter().map(|at| at.target.as_str());
    table.load_style(presets::NOTHING).set_header(["  prompt"].into_iter().chain(names));
    for Difference { id, passes, .. } in report.differences.iter().take(rows) {
        let of = |target: &TargetSummary| {
            passes.get(&target.target).map_or_else(none, |of| format!("{} of {}", of.passed, of.calls))
        };
        table.add_row([format!("  {}", plain(id))].into_iter().chain(report.targets.iter().map(of)));
    }
    right(&mut table, report.targets.len());
    table
}

/// Two lines, or three where generation did not simply end.
fn told(failure: &Failure) -> String {
    let Failure { id, target, repeat, check, expected, found, finish, .. } = failure;
    let again = if *repeat > 0 { format!(", time {}", repeat + 1) } else { String::new() };
    let ended = match finish.as_deref() {
        None | Some("stop") => String::new(),
        Some(finish) => format!(" (ended by {})", plain(finish)),
    };
    format!(
        "  {} at {target}{again}: {check}{ended}\n    expected {}\n    found    {}\n",
        plain(id),
        plain(expected),
        plain(found)
    )
}

/// Answers could steer the terminal: control characters and line ends are written as escapes.
fn plain(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

fn share(of: &Proportion) -> String {
    match of.share {
        None => none(),
        Some(share) => {
            let [share, low, high] = [share, of.low, of.high].map(|share| share * 100.0);
            format!("{share:.1} % ({low:.1} to {high:.1}), {} of {}", of.hits, of.rows)
        }
    }
}

fn counts(errors: &BTreeMap<String, u64>) -> String {
    let total: u64 = errors.values().sum();
    let kinds: Vec<String> = errors.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
    if kinds.is_empty() { total.to_string() } else { format!("{total} ({})", kinds.join(", ")) }
}

fn times(of: Option<Latency>) -> String {
    of.map_or_else(none, |at| format!("{:.0} / {:.0} / {:.0}", at.p50_ms, at.p90_ms, at.p99_ms))
}

fn tokens(tokens: &Tokens) -> String {
    with_unknown(format!("{} / {}", tokens.input, tokens.output), tokens.unreported)
}

fn cost(cost: &Cost) -> String {
    match cost.known {
        None if cost.unknown > 0 => "unknown".to_owned(),
        known => with_unknown(format!("{:.6}", known.unwrap_or(0.0)), cost.unknown),
    }
}

fn with_unknown(known: impl Display, unknown: u64) -> String {
    if unknown == 0 { known.to_string() } else { format!("{known}, {unknown} not known") }
}

fn none() -> String {
    "-".to_owned()
}

fn right(table: &mut Table, columns: usize) {
    for column in 1..=columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn omitted(text: &mut String, all: usize, shown: usize) {
    match all.saturating_sub(shown) {
        0 => {}
        more => text.push_str(&format!("  {more} more are not shown: --rows or --json shows them\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::golden;
    use crate::replay::report::tests::{report, trials};
    use crate::replay::trial::samples::passing;

    #[test]
    fn a_report_reads_well() {
        let text = render(&report(true, &trials()), 4);
        golden::check("replay/golden/report.txt", &format!("{text}\n"));
        assert!(!text.contains('\u{1b}'), "an answer must not steer the terminal");
    }

    #[test]
    fn a_run_that_was_stopped_says_so() {
        let text = render(&report(false, &[]), 4);
        assert!(text.contains("STOPPED") && text.contains('-') && !text.contains("failures"), "{text}");
        assert!(!render(&report(true, &[passing(0, 0, 0)]), 4).contains("STOPPED"));
    }

    #[test]
    fn what_is_not_known_is_said() {
        let check = |known: Option<f64>, unknown: u64, expected: &str| {
            assert_eq!(cost(&Cost { known, unknown }), expected);
        };
        check(None, 3, "unknown");
        check(Some(0.5), 0, "0.500000");
        check(Some(0.5), 3, "0.500000, 3 not known");
        check(None, 0, "0.000000");
    }
}
