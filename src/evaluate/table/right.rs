//! What is right and what is wrong: routes, confusions, prompts out of scope.

use comfy_table::{ColumnConstraint, Table, Width};

use super::Layout;
use super::frame::{align_right, bare, headed, omitted, proportion, section};
use crate::evaluate::confusion::Confusion;
use crate::evaluate::report::Report;
use crate::evaluate::routes::RouteScore;
use crate::evaluate::scope::{OutOfScope, Separation};
use crate::evaluate::wording::{percent, route};

const BAR_CELLS: usize = 8;
/// A bar is only drawn where there is room to spare.
const BAR_FROM_WIDTH: u16 = 80;

pub(super) fn write(text: &mut String, report: &Report, layout: Layout) {
    if !report.routes.is_empty() {
        section(text, "Routes, worst first", &routes(&report.routes, layout));
        omitted(text, report.routes.len(), layout.rows);
    }
    if !report.confusions.is_empty() {
        section(text, "Commonest confusions", &confusions(&report.confusions, layout));
        omitted(text, report.confusions.len(), layout.rows);
    }
    if let Some(scope) = &report.out_of_scope {
        section(text, "Out of scope", &out_of_scope(scope, layout));
    }
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
        table.add_row(separation(format!("AUROC by {}", by.signal.as_str()), by));
    }
    for kind in &scope.kinds {
        // The best number alone: the rest are in the JSON and on the page.
        let best = kind.separation.iter().max_by(|a, b| a.auroc.total_cmp(&b.auroc));
        table.add_row(proportion(format!("{}: recall", kind.kind), &kind.recall));
        if let Some(by) = best {
            table.add_row(separation(format!("{}: AUROC by {}", kind.kind, by.signal.as_str()), by));
        }
    }
    align_right(&mut table, 1..2);
    table
}

fn separation(name: String, by: &Separation) -> Vec<String> {
    let passed = percent(Some(by.fpr_at_95_tpr));
    vec![name, format!("{:.3}", by.auroc), format!("FPR at 95 % TPR {passed}, from {:.3}", by.threshold)]
}

fn bar(share: f64) -> String {
    "█".repeat((share.clamp(0.0, 1.0) * BAR_CELLS as f64).round() as usize)
}
