//! The report for a reader at a terminal. The JSON is for machines; nothing here needs to stay the same.

mod frame;
mod money;
mod right;
mod trust;

use comfy_table::Table;

use super::evaluation::Evaluation;
use super::report::Report;
use super::stability::Stability;
use super::wording::{percent, route};
use frame::{align_right, bare, headed, omitted, proportion, section};

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

/// The report as text, without colours, ending with a line end.
pub fn render(evaluation: &Evaluation, layout: Layout) -> String {
    let Evaluation { subject, report, stability, bill } = evaluation;
    let mut text = String::new();
    frame::paragraph(&mut text, &subject.line(), layout);
    text.push('\n');
    text.push_str(&summary(report, layout));
    trust::write(&mut text, report, layout);
    right::write(&mut text, report, layout);
    if let Some(stability) = stability {
        flips(&mut text, stability, layout);
    }
    if let Some(bill) = bill {
        money::write(&mut text, bill, layout);
    }
    text
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
    table.add_row(proportion("Decided alone, by the policy", &report.decided_alone.share));
    table.add_row(proportion("Accuracy of those", &report.decided_alone.accuracy));
    for list in report.shortlists.iter().filter(|list| list.routes > 1) {
        table.add_row(proportion(format!("Among the {} likeliest", list.routes), &list.holds));
    }
    if let Some(at) = &report.latency {
        let note = format!("p90 {:.2}, p99 {:.2}, max {:.2}", at.p90_ms, at.p99_ms, at.max_ms);
        table.add_row(vec!["Latency, median".to_owned(), format!("{:.2} ms", at.p50_ms), note]);
    }
    for of in &report.steps {
        let note = format!("p90 {:.2}, p99 {:.2}, max {:.2}", of.latency.p90_ms, of.latency.p99_ms, of.latency.max_ms);
        table.add_row(vec![format!("… of it {}", of.step), format!("{:.2} ms", of.latency.p50_ms), note]);
    }
    for of in report.stages.iter().filter(|_| report.stages.len() > 1) {
        let right = format!("{} right, median {:.2} ms", percent(of.accuracy.share), of.latency.p50_ms);
        table.add_row(vec![format!("Decided by: {}", of.stage), percent(of.share.share), right]);
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

fn flips(text: &mut String, stability: &Stability, layout: Layout) {
    let mut kinds = headed(layout, &["kind", "flips", "95 %", "broken", "mended", "doubted", "confidence"]);
    for kind in &stability.kinds {
        kinds.add_row(vec![
            kind.kind.to_owned(),
            percent(kind.flips.share),
            format!("{:.1} to {:.1}", kind.flips.low * 100.0, kind.flips.high * 100.0),
            kind.broken.to_string(),
            kind.mended.to_string(),
            kind.doubted.to_string(),
            kind.confidence_change.map_or("-".to_owned(), |change| format!("{change:+.3}")),
        ]);
    }
    align_right(&mut kinds, 1..7);
    let mean = percent(stability.mean_flips);
    let title = format!("Stability: {mean} of {} prompts flip, mean over the kinds", stability.prompts);
    section(text, &title, &kinds);
    let flipping: Vec<_> = stability.routes.iter().filter(|of| of.flips.hits > 0).collect();
    if flipping.is_empty() {
        return;
    }
    let mut routes: Table = headed(layout, &["route", "flips", "95 %"]);
    for of in flipping.iter().take(layout.rows) {
        routes.add_row(proportion(route(of.route.as_deref()), &of.flips));
    }
    align_right(&mut routes, 1..2);
    section(text, "Flips by route, over all kinds", &routes);
    omitted(text, flipping.len(), layout.rows);
}

/// The first three names.
fn listed(names: &[&str]) -> String {
    let first: Vec<_> = names.iter().take(3).copied().collect();
    match names.len().saturating_sub(first.len()) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evaluate::evaluation::samples::evaluation;
    use crate::evaluate::golden;
    use crate::evaluate::outcome::samples::outcomes;
    use crate::evaluate::report::Grounds;

    #[test]
    fn a_report_reads_well() {
        let text = render(&evaluation(), Layout { width: 80, rows: 2 });
        golden::check("evaluate/golden/table.txt", &text);
    }

    #[test]
    fn the_whole_as_json_is_stable() {
        let json = serde_json::to_value(evaluation()).unwrap();
        let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let subject = ["set", "references", "routes", "index", "recall_at_10", "model", "shots", "seed", "prompts"];
        let rest = ["concurrency", "seconds", "report", "stability", "bill"];
        assert_eq!(keys, subject.into_iter().chain(rest).collect::<Vec<_>>());
        let parts = [&json["stability"], &json["bill"]].map(|part| format!("{part:#}\n")).concat();
        golden::check("evaluate/golden/parts.json", &parts);
    }

    #[test]
    fn an_empty_report_is_a_summary() {
        let empty =
            Evaluation { report: Report::of(&[], &Grounds::default()), stability: None, bill: None, ..evaluation() };
        let text = render(&empty, Layout::default());
        assert!(text.contains("no rows") && !text.contains("Routes"), "{text}");
    }

    proptest! {
        #[test]
        fn lines_fit_the_width(rows in outcomes(), width in 72u16..140) {
            let grounds = Grounds { routes: ["a", "b", "c"].map(str::to_owned).into(), ..Grounds::default() };
            let text = render(&Evaluation { report: Report::of(&rows, &grounds), ..evaluation() }, Layout { width, rows: 20 });
            for line in text.lines() {
                prop_assert!(line.chars().count() <= usize::from(width), "{line:?} is wider than {width}");
            }
        }
    }
}
