//! Sections on the decisions: how sure, how true, and what is taken for what.

use super::element::{Element, element};
use super::frame::{beside, legend, section};
use super::tables::{Datum, table, tall};
use super::{matrix, trust};
use crate::evaluate::report::Report;
use crate::evaluate::wording::{interval, percent, route};

pub(super) fn alone(report: &Report) -> Element {
    let note = "Only prompts that are surer than a threshold are decided without help. The set's own thresholds were \
        fixed on its references, without a look at this test; hindsight takes the best threshold for this very test, \
        which nobody can know beforehand.";
    let mut rows = vec![vec![
        Datum::Word("the set's policy".to_owned()),
        Datum::Number(percent(report.decided_alone.share.share)),
        Datum::Number(percent(report.decided_alone.accuracy.share)),
    ]];
    for own in &report.own_thresholds {
        let aim = f64::from(own.threshold.accuracy_percent) / 100.0;
        let accuracy = percent(own.accuracy.share);
        rows.push(vec![
            Datum::Word(format!("own threshold for {} %", own.threshold.accuracy_percent)),
            Datum::Number(percent(own.share.share)),
            match own.accuracy.share {
                Some(reached) if reached >= aim => Datum::Good(accuracy),
                Some(_) => Datum::Bad(accuracy),
                None => Datum::Number(accuracy),
            },
        ]);
    }
    for at in &report.coverage {
        rows.push(vec![
            Datum::Word(format!("hindsight, at {} %", at.accuracy_percent)),
            Datum::Number(percent(Some(at.share))),
            Datum::Number(format!("≥ {} %", at.accuracy_percent)),
        ]);
    }
    let mut facts = element("div").child(table(&["", "#decided alone", "#right, of those"], rows));
    let section = section("What can be decided alone", note);
    let Some(curve) = &report.risk else { return section.child(facts) };
    let areas =
        format!("area under the curve (AURC) {:.4}, of which {:.4} is due to the order", curve.aurc, curve.excess_aurc);
    facts = facts.child(element("p").class("legend").text(areas));
    let keys = legend(&[
        ("key diamond", "background:var(--warm)", "the set's policy"),
        ("key", "background:var(--good)", "own thresholds"),
        ("key", "background:var(--card);border:2px solid var(--main)", "hindsight"),
        ("key", "background:var(--wash)", "95 % interval"),
    ]);
    let picture = element("div").child(trust::risk(report, curve)).child(keys);
    section.child(beside(picture, facts))
}

pub(super) fn calibration(report: &Report) -> Option<Element> {
    let found = report.calibration.as_ref()?;
    let note = "Of the prompts that were given a confidence of 80 %, four in five should be right: the points should lie \
        on the dashed line. Grey bars: how many prompts each bin has. Prompts in scope only.";
    let rows = found.bins.iter().map(|bin| {
        vec![
            Datum::Word(format!("{:.0} to {:.0} %", bin.from * 100.0, bin.to * 100.0)),
            Datum::Number(bin.accuracy.rows.to_string()),
            Datum::Number(percent(Some(bin.confidence))),
            Datum::Number(percent(bin.accuracy.share)),
        ]
    });
    let figures = format!(
        "ECE {:.4} over 15 bins of equal width, {:.4} over 15 of equal mass; Brier {:.4}, over all routes {:.4}; mean \
         confidence less accuracy {:+.4}",
        found.ece, found.ece_equal_mass, found.brier, found.brier_of_routes, found.bias
    );
    let facts = element("div")
        .child(table(&["confidence", "#prompts", "#mean", "#right"], rows))
        .child(element("p").class("legend").text(figures));
    Some(section("Whether confidences can be believed", note).child(beside(trust::reliability(found), facts)))
}

pub(super) fn confusions(report: &Report) -> Option<Element> {
    if report.matrix.routes.is_empty() {
        return None;
    }
    let note = "Rows: the right route; columns: the route that was chosen. Routes that are taken for one another stand \
        together, the block with the most errors first; of many routes, that block is shown beside the whole. Point at \
        a cell for its names.";
    let rows = report.confusions.iter().map(|confusion| {
        vec![
            Datum::Word(route(confusion.expected.as_deref())),
            Datum::Word(route(confusion.predicted.as_deref())),
            Datum::Number(confusion.rows.to_string()),
            Datum::Words(confusion.examples.join(" · ")),
        ]
    });
    let worst = tall(&["right", "chosen", "#prompts", "for example"], rows);
    let section = section("What is taken for what", note);
    let section = match (matrix::worst(&report.matrix), matrix::whole(&report.matrix)) {
        (Some(worst), Some(whole)) => section.child(beside(worst, whole)),
        (Some(only), None) | (None, Some(only)) => section.child(only),
        (None, None) => section,
    };
    Some(section.child(element("h3").text("Commonest first")).child(worst))
}

pub(super) fn routes(report: &Report) -> Element {
    let rows = report.routes.iter().map(|score| {
        let name = if score.known { score.route.clone() } else { format!("{} (not in the set)", score.route) };
        vec![
            Datum::Word(name),
            Datum::Number(percent(Some(score.f1))),
            Datum::Number(percent(score.precision)),
            Datum::Number(percent(score.recall)),
            Datum::Number(score.support.to_string()),
            Datum::Number(score.predicted.to_string()),
        ]
    });
    let mut section = section("Route by route", "Worst first.");
    section = section.child(tall(&["route", "#F1", "#precision", "#recall", "#prompts", "#chosen"], rows));
    if report.shortlists.is_empty() {
        return section;
    }
    let lists = report.shortlists.iter().map(|list| {
        let among =
            if list.routes == 1 { "the likeliest".to_owned() } else { format!("the {} likeliest", list.routes) };
        vec![Datum::Word(among), Datum::Number(percent(list.holds.share)), Datum::Word(interval(&list.holds))]
    });
    section
        .child(
            element("h3")
                .text("How often the right route is among the likeliest: what an LLM that chooses from them can reach"),
        )
        .child(table(&["among", "#prompts", "95 % interval"], lists))
}
