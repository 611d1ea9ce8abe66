//! The report as tables for a terminal.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, LineStyle, Table};

use crate::govern::report::{Quantiles, RouteUse, Summary, TargetUse};

pub(super) fn text(summary: &Summary) -> String {
    let mut text = overview(summary);
    if !summary.routes.is_empty() {
        section(&mut text, "Routes", routes(summary));
    }
    if !summary.targets.is_empty() {
        section(&mut text, "Targets", targets(summary));
    }
    if !summary.alternatives.is_empty() {
        let title = format!(
            "All to one target, by today's prices and the same tokens ({} answers, which cost {})",
            summary.compared_answers,
            money(summary.compared_cost)
        );
        section(&mut text, &title, alternatives(summary));
    }
    text.push_str("\nDoes routing pay?\n");
    if summary.signals.is_empty() {
        text.push_str(" No sign that it does not, as far as this log can tell.\n");
    }
    for signal in &summary.signals {
        text.push_str(&format!(" - {signal}\n"));
    }
    text.trim_end().to_owned()
}

fn overview(summary: &Summary) -> String {
    let period = match (&summary.first, &summary.last) {
        (Some(first), Some(last)) => format!("{first} to {last}"),
        _ => "no requests".to_owned(),
    };
    let all = &summary.completions;
    let codes: Vec<String> = summary.codes.iter().map(|(code, count)| format!("{code} {count}")).collect();
    let llm_cost =
        summary.llm.cost.map_or_else(|| "cost not in the log".to_owned(), |cost| format!("cost {}", money(cost)));
    let mut lines = vec![
        period,
        format!("{} requests: {}", summary.requests, codes.join(", ")),
        format!(
            "{} decisions, {} of them cached; {}",
            summary.decisions,
            share(summary.cached_share),
            times(summary.decision_ms)
        ),
        format!(
            "LLM stage needed for {} ({}), asked {} times, failed {}, {llm_cost}",
            summary.llm.needed,
            share(summary.llm.share),
            summary.llm.asked,
            summary.llm.failed
        ),
        format!(
            "{} completions: {} answered, {} failed, {} cancelled, {} failed over; spend {} ({} with a known cost); {}",
            all.requests,
            all.answered,
            all.failed,
            all.cancelled,
            all.failed_over,
            money(all.spend),
            all.priced,
            times(all.latency_ms)
        ),
    ];
    if summary.lost > 0 {
        lines.push(format!("{} entries were lost, as the log notes: they are in no figure", summary.lost));
    }
    lines.join("\n") + "\n"
}

fn routes(summary: &Summary) -> Table {
    let mut table = headed(&[
        "route",
        "requests",
        "answered",
        "failed",
        "failed over",
        "spend",
        "tokens in",
        "out",
        "p50 ms",
        "p95",
        "p99",
    ]);
    for RouteUse {
        route,
        requests,
        answered,
        failed,
        failed_over,
        spend,
        priced,
        input_tokens,
        output_tokens,
        latency_ms,
        ..
    } in &summary.routes
    {
        let mut row = vec![route.clone()];
        row.extend([requests, answered, failed, failed_over].map(u64::to_string));
        row.push(if *priced > 0 { money(*spend) } else { "-".to_owned() });
        row.extend([input_tokens, output_tokens].map(u64::to_string));
        row.extend(three(*latency_ms));
        table.add_row(row);
    }
    table
}

fn targets(summary: &Summary) -> Table {
    let mut table = headed(&[
        "target",
        "calls",
        "answered",
        "not allowed",
        "spend",
        "tokens in",
        "out",
        "p50 ms",
        "p95",
        "p99",
        "first text p50",
        "failures",
    ]);
    for target in &summary.targets {
        let TargetUse { attempts, answered, refused, spend, priced, input_tokens, output_tokens, .. } = target;
        let failures: Vec<String> = target.failures.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let mut row = vec![target.target.clone()];
        row.extend([attempts, answered, refused].map(u64::to_string));
        row.push(if *priced > 0 { money(*spend) } else { "-".to_owned() });
        row.extend([input_tokens, output_tokens].map(u64::to_string));
        row.extend(three(target.call_ms));
        row.push(target.first_text_ms.map_or_else(|| "-".to_owned(), |times| millis(times.p50)));
        row.push(failures.join(", "));
        table.add_row(row);
    }
    table
}

fn alternatives(summary: &Summary) -> Table {
    let mut table = headed(&["target", "would cost", "routing saved", "would it have done?"]);
    for at in &summary.alternatives {
        let name = if at.is_default { format!("{} (default)", at.target) } else { at.target.clone() };
        let known = if at.doubts.is_empty() {
            "answered and finished as often".to_owned()
        } else {
            format!("not known: {}", at.doubts.join("; "))
        };
        table.add_row(vec![name, money(at.would_cost), money(at.routing_saved), known]);
    }
    table
}

fn headed(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING.header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_header(header.iter().map(Cell::new));
    let is_text = |name: &str| matches!(name, "failures" | "would it have done?");
    for (at, _) in header.iter().enumerate().skip(1).filter(|(_, name)| !is_text(name)) {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn section(text: &mut String, title: &str, table: Table) {
    text.push_str(&format!("\n{title}\n{}\n", table.trim_fmt()));
}

/// With as many digits as say something.
fn money(units: f64) -> String {
    let digits = if units.abs() >= 100.0 {
        0
    } else if units.abs() >= 1.0 {
        2
    } else {
        6
    };
    format!("{units:.digits$}")
}

fn share(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

fn times(times: Option<Quantiles>) -> String {
    times.map_or_else(
        || "no times".to_owned(),
        |times| format!("p50 {} ms, p95 {} ms, p99 {} ms", millis(times.p50), millis(times.p95), millis(times.p99)),
    )
}

fn three(times: Option<Quantiles>) -> [String; 3] {
    times.map_or_else(|| ["-", "-", "-"].map(str::to_owned), |times| [times.p50, times.p95, times.p99].map(millis))
}

fn millis(millis: f64) -> String {
    if millis >= 100.0 { format!("{millis:.0}") } else { format!("{millis:.2}") }
}
