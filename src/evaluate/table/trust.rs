//! What can be decided alone, and whether confidences can be believed.

use super::Layout;
use super::frame::{align_right, bare, headed, paragraph, section};
use crate::evaluate::report::Report;
use crate::evaluate::wording::percent;

pub(super) fn write(text: &mut String, report: &Report, layout: Layout) {
    if !report.coverage.is_empty() {
        alone(text, report, layout);
    }
    let Some(found) = &report.calibration else { return };
    let mut table = bare(layout);
    let mut row = |name: &str, value: f64, note: &str| {
        table.add_row(vec![name.to_owned(), format!("{value:.4}"), note.to_owned()]);
    };
    row("ECE", found.ece, "15 bins of equal width");
    row("ECE", found.ece_equal_mass, "15 bins of equal mass");
    row("Brier", found.brier, "of the confidence in the winner");
    row("Brier", found.brier_of_routes, "over all routes, 0 to 2");
    row("Bias", found.bias, "mean confidence less accuracy");
    if let Some(risk) = &report.risk {
        row("AURC", risk.aurc, "area under the risk-coverage curve");
        row("Excess AURC", risk.excess_aurc, "of it due to the order of confidences");
    }
    align_right(&mut table, 1..2);
    section(text, "Confidence", &table);
    let mut bins = headed(layout, &["confidence", "rows", "mean", "right", "95 %"]);
    for bin in &found.bins {
        bins.add_row(vec![
            format!("{:.0} to {:.0} %", bin.from * 100.0, bin.to * 100.0),
            bin.accuracy.rows.to_string(),
            percent(Some(bin.confidence)),
            percent(bin.accuracy.share),
            format!("{:.1} to {:.1}", bin.accuracy.low * 100.0, bin.accuracy.high * 100.0),
        ]);
    }
    align_right(&mut bins, 1..5);
    section(text, "Reliability", &bins);
}

/// What the set's own thresholds reach, beside what the best threshold for this very test would.
fn alone(text: &mut String, report: &Report, layout: Layout) {
    let header = ["accuracy", "own threshold", "decided alone", "right of those", "with hindsight"];
    let mut table = headed(layout, &header);
    for best in &report.coverage {
        let own = report.own_thresholds.iter().find(|own| own.threshold.accuracy_percent == best.accuracy_percent);
        let threshold = own.map(|own| own.threshold.confidence);
        table.add_row(vec![
            format!("{} %", best.accuracy_percent),
            match threshold {
                Some(Some(confidence)) => format!("{confidence:.3}"),
                Some(None) => "not to be had".to_owned(),
                None => "-".to_owned(),
            },
            percent(own.and_then(|own| own.share.share)),
            percent(own.and_then(|own| own.accuracy.share)),
            percent(Some(best.share)),
        ]);
    }
    align_right(&mut table, 1..5);
    section(text, "Decidable alone", &table);
    let note = "Own thresholds were fixed on the references, without a look at this test. Hindsight takes the best \
        threshold for this very test, which nobody can know beforehand.";
    paragraph(text, note, layout);
}
