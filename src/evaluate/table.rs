//! The report for a reader at a terminal. The JSON is for machines; nothing here needs to stay the same.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, Width};

use super::confusion::Confusion;
use super::proportion::Proportion;
use super::report::Report;
use super::routes::RouteScore;
use super::scope::OutOfScope;

const BAR_CELLS: usize = 12;
/// A bar is only drawn where there is room to spare.
const BAR_FROM_WIDTH: u16 = 80;

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Columns of the terminal. Below 60 lines may run over.
    pub width: u16,
    /// Most rows of the tables of routes and of confusions.
    pub rows: usize,
}

impl Default for Layout {
    fn default() -> Self {
        Self { width: 100, rows: 20 }
    }
}

/// The report as text: summary, routes, confusions, out of scope; without colours, ending with a line end.
pub fn render(report: &Report, layout: Layout) -> String {
    let mut text = summary(report, layout);
    if !report.routes.is_empty() {
        section(&mut text, "Routes, worst first", &routes(&report.routes, layout));
        omitted(&mut text, report.routes.len(), layout.rows);
    }
    if !report.confusions.is_empty() {
        section(&mut text, "Commonest confusions", &confusions(&report.confusions, layout));
        omitted(&mut text, report.confusions.len(), layout.rows);
    }
    if let Some(scope) = &report.out_of_scope {
        section(&mut text, "Out of scope", &out_of_scope(scope, layout));
    }
    text
}

fn section(text: &mut String, title: &str, table: &Table) {
    text.push('\n');
    text.push_str(title);
    text.push('\n');
    text.push_str(&table.trim_fmt());
    text.push('\n');
}

fn omitted(text: &mut String, all: usize, shown: usize) {
    let more = all.saturating_sub(shown);
    if more > 0 {
        text.push_str(&format!(" {more} more not shown\n"));
    }
}

fn summary(report: &Report, layout: Layout) -> String {
    let mut table = bare(layout);
    table.add_row(proportion("Accuracy", &report.accuracy));
    if report.out_of_scope.is_some() {
        table.add_row(proportion("Accuracy in scope", &report.in_scope));
    }
    if report.refused_in_scope.hits > 0 {
        table.add_row(proportion("In scope, but no route chosen", &report.refused_in_scope));
    }
    table.add_row(vec!["Macro F1".to_owned(), percent(report.macro_f1), String::new()]);
    table.add_row(proportion("Decided alone", &report.decided_alone.share));
    table.add_row(proportion("Accuracy of those", &report.decided_alone.accuracy));
    for at in &report.coverage {
        let note = at.threshold.map(|least| format!("score from {least:.3}, with hindsight")).unwrap_or_default();
        table.add_row(vec![format!("Decidable at {} %", at.accuracy_percent), percent(Some(at.share)), note]);
    }
    if let Some(at) = &report.latency {
        let note = format!("p90 {:.2}, p99 {:.2}, max {:.2}", at.p90_ms, at.p99_ms, at.max_ms);
        table.add_row(vec!["Latency, median".to_owned(), format!("{:.2} ms", at.p50_ms), note]);
    }
    if !report.unknown_routes.is_empty() {
        let rows: u64 = report.unknown_routes.iter().map(|unknown| unknown.rows).sum();
        let names: Vec<_> = report.unknown_routes.iter().map(|unknown| unknown.route.as_str()).collect();
        let note = format!("expected, but not in the reference set: {}", listed(&names));
        table.add_row(vec!["Rows of unknown routes".to_owned(), rows.to_string(), note]);
    }
    align_right(&mut table, 1..2);
    format!("{}\n", table.trim_fmt())
}

fn routes(scores: &[RouteScore], layout: Layout) -> Table {
    let bars = layout.width >= BAR_FROM_WIDTH;
    let mut table = headed(layout, &["route", "F1", "precision", "recall", "rows", "predicted"]);
    if bars {
        table.set_header(["route", "F1", "precision", "recall", "rows", "predicted", ""]);
    }
    for score in scores.iter().take(layout.rows) {
        let name = if score.known { score.route.clone() } else { format!("{} (unknown)", score.route) };
        let mut row = vec![
            name,
            percent(Some(score.f1)),
            percent(score.precision),
            percent(score.recall),
            score.support.to_string(),
            score.predicted.to_string(),
        ];
        if bars {
            row.push(bar(score.f1));
        }
        table.add_row(row);
    }
    align_right(&mut table, 1..6);
    table
}

fn confusions(confusions: &[Confusion], layout: Layout) -> Table {
    let mut table = headed(layout, &["expected", "chosen", "rows", "for example"]);
    for confusion in confusions.iter().take(layout.rows) {
        table.add_row(vec![
            route(confusion.expected.as_deref()),
            route(confusion.predicted.as_deref()),
            confusion.rows.to_string(),
            confusion.examples.first().cloned().unwrap_or_default(),
        ]);
    }
    // The example takes what the names leave.
    let name = ColumnConstraint::UpperBoundary(Width::Percentage(25));
    table.set_constraints([name, name]);
    align_right(&mut table, 2..3);
    table
}

fn out_of_scope(scope: &OutOfScope, layout: Layout) -> Table {
    let mut table = bare(layout);
    table.add_row(proportion("Recall", &scope.recall));
    table.add_row(proportion("Precision", &scope.precision));
    for by in &scope.separation {
        let passed = percent(Some(by.fpr_at_95_tpr));
        let note = format!("FPR at 95 % TPR {passed}, from {:.3}", by.threshold);
        table.add_row(vec![format!("AUROC by {}", by.signal.as_str()), format!("{:.3}", by.auroc), note]);
    }
    align_right(&mut table, 1..2);
    table
}

fn bare(layout: Layout) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(layout.width);
    table
}

fn headed(layout: Layout, header: &[&str]) -> Table {
    let mut table = bare(layout);
    table.load_style(NOTHING.header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_header(header.iter().map(Cell::new));
    table
}

fn align_right(table: &mut Table, columns: std::ops::Range<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn proportion(name: &str, of: &Proportion) -> Vec<String> {
    let note = match of.share {
        Some(_) => format!("{:.1} to {:.1}, {} of {}", of.low * 100.0, of.high * 100.0, of.hits, of.rows),
        None => "no rows".to_owned(),
    };
    vec![name.to_owned(), percent(of.share), note]
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

fn route(name: Option<&str>) -> String {
    name.unwrap_or("(none)").to_owned()
}

/// The first three names.
fn listed(names: &[&str]) -> String {
    let first: Vec<_> = names.iter().take(3).copied().collect();
    match names.len().saturating_sub(first.len()) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

fn bar(share: f64) -> String {
    "█".repeat((share.clamp(0.0, 1.0) * BAR_CELLS as f64).round() as usize)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::evaluate::outcome::samples::{outcome, outcomes};

    fn known() -> BTreeSet<String> {
        ["a", "b", "c"].map(str::to_owned).into()
    }

    #[test]
    fn a_report_reads_well() {
        let mut rows = vec![outcome("", "", 0.25), outcome("", "a", 0.5), outcome("gone", "b", 0.5)];
        rows.extend((0..6).map(|_| outcome("a", "a", 0.75)));
        rows.extend((0..3).map(|_| outcome("b", "a", 0.625)));
        let text = render(&Report::of(&rows, &known()), Layout { width: 80, rows: 2 });
        assert_eq!(text.trim_end(), include_str!("golden/table.txt").trim_end(), "\n{text}");
    }

    #[test]
    fn an_empty_report_is_a_summary() {
        let text = render(&Report::of(&[], &BTreeSet::new()), Layout::default());
        assert!(text.contains("no rows") && !text.contains("Routes"), "{text}");
    }

    proptest! {
        #[test]
        fn lines_fit_the_width(rows in outcomes(), width in 60u16..140) {
            let text = render(&Report::of(&rows, &known()), Layout { width, rows: 20 });
            for line in text.lines() {
                prop_assert!(line.chars().count() <= usize::from(width), "{line:?} is wider than {width}");
            }
        }
    }
}
