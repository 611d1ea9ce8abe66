//! A run's report for a reader at a terminal. The JSON is for machines; nothing here needs to stay the same.

use comfy_table::{CellAlignment, Table, presets};

use super::report::{Quantiles, Report};
use super::search::Step;

/// The report as text, without a line end.
pub fn render(report: &Report) -> String {
    let mut text = format!("{}\n\n{}\n", headline(report), counts(report));
    text.push_str(&format!("\n{}\n", times(report).trim_fmt()));
    if !report.stages.is_empty() {
        let stages: Vec<String> =
            report.stages.iter().map(|stage| format!("{} {:.1} %", stage.stage, stage.share * 100.0)).collect();
        text.push_str(&format!("\ndecided by: {}\n", stages.join(", ")));
    }
    text.push_str(&prompts(report));
    for warning in &report.warnings {
        text.push_str(&format!("\nWARNING: {warning}"));
    }
    text.trim_end().to_owned()
}

fn headline(report: &Report) -> String {
    let profile = &report.profile;
    let pace = match (profile.rate_per_second, profile.concurrency) {
        (Some(rate), _) => format!("open loop at {rate} a second"),
        (_, concurrency) => format!("closed loop, {} at a time", concurrency.unwrap_or_default()),
    };
    let stopped = if profile.interrupted { ", stopped early" } else { "" };
    format!(
        "{} on {}: {pace}, {:.1} s{stopped}, {} connections",
        report.method, report.server, profile.seconds, profile.connections
    )
}

fn counts(report: &Report) -> String {
    let (requests, throughput) = (&report.requests, &report.throughput);
    let mut text = format!(
        "offered {:.1} a second, answered {:.1}, goodput {:.1} (OK within {} ms)\n{} due: {} OK",
        throughput.offered_per_second,
        throughput.answered_per_second,
        throughput.goodput_per_second,
        report.profile.timeout_ms,
        requests.due,
        requests.ok,
    );
    let rest = [
        (requests.ok_late, "of these late"),
        (requests.failed, "failed"),
        (requests.unanswered, "of these without an answer"),
        (requests.not_sent, "not sent"),
        (requests.unfinished, "unfinished"),
    ];
    for (count, what) in rest.into_iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!(", {count} {what}"));
    }
    text.push_str(&format!("; at most {} under way", report.generator.in_flight_peak));
    text
}

fn times(report: &Report) -> Table {
    let mut table = plain(&["ms", "COUNT", "MEAN", "P50", "P90", "P99", "P99.9", "MAX"]);
    let rows = [
        ("latency, from when it was due", report.latency_ms),
        ("service, from when it was sent", report.service_ms),
        ("first event", report.first_event_ms),
        ("first text", report.first_text_ms),
    ];
    for (name, quantiles) in rows {
        add(&mut table, name, quantiles);
    }
    for failed in &report.errors {
        add(&mut table, failed.code, failed.service_ms);
    }
    add(&mut table, "sent late by", report.generator.lag_ms);
    right(&mut table, 1..8);
    table
}

fn add(table: &mut Table, name: &str, quantiles: Option<Quantiles>) {
    if let Some(at) = quantiles {
        let times = [at.mean, at.p50, at.p90, at.p99, at.p99_9, at.max].map(|time| format!("{time:.2}"));
        table.add_row([name.to_owned(), at.count.to_string()].into_iter().chain(times));
    }
}

fn prompts(report: &Report) -> String {
    let prompts = &report.prompts;
    let mut text = format!("prompts: {} novel, {} repeated", prompts.novel, prompts.repeated);
    if let Some(tokens) = prompts.mean_tokens {
        text.push_str(&format!("; {tokens:.1} tokens on average, at most {}", prompts.most_tokens));
    }
    if prompts.truncated > 0 {
        text.push_str(&format!("; {:.1} % read in part", prompts.truncated_share * 100.0));
    }
    text.push_str(&format!("\n  {} different ones from {}", prompts.distinct, prompts.source));
    if prompts.marked > 0 {
        text.push_str(&format!("; {} with a mark at the end, to be novel", prompts.marked));
    }
    text.push('\n');
    text
}

/// The steps of a search for a rate.
pub fn render_search(steps: &[Step], slo_ms: f64, found: Option<f64>) -> String {
    let mut table = plain(&["RATE", "GOODPUT", "P99 ms", "FAILED", ""]);
    for step in steps {
        let verdict = if step.sustained { "sustained" } else { step.why.as_str() };
        table.add_row([
            format!("{:.1}", step.rate_per_second),
            format!("{:.1}", step.goodput_per_second),
            step.p99_ms.map_or_else(|| "-".to_owned(), |p99| format!("{p99:.2}")),
            step.failed.to_string(),
            verdict.to_owned(),
        ]);
    }
    right(&mut table, 0..4);
    let found = match found {
        Some(rate) => format!("sustained: {rate:.1} a second with a p99 below {slo_ms} ms and no failures"),
        None => format!("no rate was sustained with a p99 below {slo_ms} ms and no failures"),
    };
    format!("{}\n\n{found}", table.trim_fmt())
}

fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

fn right(table: &mut Table, columns: std::ops::Range<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::{Failed, samples};

    #[test]
    fn a_report_reads_well() {
        let mut report = samples::report();
        report.requests.failed = 9;
        report.errors = vec![Failed {
            code: "RESOURCE_EXHAUSTED",
            count: 9,
            unanswered: 0,
            latency_ms: None,
            service_ms: Some(samples::quantiles(3.0)),
        }];
        report.warnings = vec!["9 connections were lost".to_owned()];
        let text = render(&report);
        assert_eq!(text, include_str!("golden/report.txt").trim_end(), "\n{text}");
    }

    #[test]
    fn a_report_without_answers_has_no_times() {
        let report = Report { latency_ms: None, service_ms: None, stages: Vec::new(), ..samples::report() };
        let text = render(&report);
        assert!(!text.contains("latency") && !text.contains("decided by"), "{text}");
    }

    #[test]
    fn a_search_shows_its_steps() {
        let step = Step {
            rate_per_second: 35.0,
            sustained: false,
            why: "3 failed".to_owned(),
            p99_ms: None,
            goodput_per_second: 30.0,
            failed: 3,
        };
        let text = render_search(&[step], 25.0, Some(30.0));
        assert!(
            text.contains("3 failed")
                && text.ends_with("sustained: 30.0 a second with a p99 below 25 ms and no failures")
        );
        assert!(render_search(&[], 25.0, None).contains("no rate was sustained"));
    }
}
