//! Sections on what stands around the decisions: references, prompts out of scope, perturbations, money and time.

use super::bars::{Bar, bars};
use super::element::{Element, element};
use super::frame::{beside, section};
use super::map as picture;
use super::tables::{Datum, table, tall};
use crate::evaluate::bill::Bill;
use crate::evaluate::confusion::excerpt;
use crate::evaluate::map::Map;
use crate::evaluate::report::Report;
use crate::evaluate::stability::Stability;
use crate::evaluate::wording::{assumptions, interval, money, percent, route};

pub(super) fn references(map: &Map) -> Element {
    let shown = if map.points.len() < map.references {
        format!("{} of {} references, drawn from the seed", map.points.len(), map.references)
    } else {
        format!("All {} references", map.references)
    };
    let note = format!(
        "{shown}. Neighbours stand near each other; distances far across mean nothing. Point at one to read it and to \
         see its route alone. A ring marks what the other references contradict: perhaps a wrong label."
    );
    let mut doubted: Vec<_> = map.points.iter().filter_map(|at| Some((at, at.contradicted.as_ref()?))).collect();
    doubted.sort_by(|a, b| b.1.confidence.total_cmp(&a.1.confidence));
    let name = |at: usize| map.routes.get(at).cloned().unwrap_or_default();
    let rows = doubted.iter().map(|(point, other)| {
        vec![
            Datum::Keyed(picture::colour(point.route), name(point.route)),
            Datum::Word(other.route.clone()),
            Datum::Number(format!("{:.2}", other.confidence)),
            Datum::Words(excerpt(&point.text)),
            Datum::Word(point.id.clone()),
        ]
    });
    let section = section("The references", &note).child(picture::map(map));
    if doubted.is_empty() {
        return section;
    }
    let title = format!("Contradicted by the others: {}", doubted.len());
    section
        .child(element("h3").text(title))
        .child(tall(&["its route", "the others say", "#confidence", "text", "id"], rows))
}

pub(super) fn out_of_scope(report: &Report) -> Option<Element> {
    let scope = report.out_of_scope.as_ref()?;
    let precision = match scope.precision.share {
        Some(share) => format!("of those given none, {} belong to none", percent(Some(share))),
        None => "no prompt was given none".to_owned(),
    };
    let note = format!(
        "Of the prompts that belong to no route, {} were given none; {precision}. Below: how well a threshold on each \
         number would tell them apart.",
        percent(scope.recall.share)
    );
    let all = scope.separation.iter().map(|by| ("all", by));
    let kinds = scope.kinds.iter().flat_map(|kind| kind.separation.iter().map(|by| (kind.kind.as_str(), by)));
    let rows = all.chain(kinds).map(|(kind, by)| {
        vec![
            Datum::Word(kind.to_owned()),
            Datum::Word(by.signal.as_str().to_owned()),
            Datum::Number(format!("{:.4}", by.auroc)),
            Datum::Number(percent(Some(by.fpr_at_95_tpr))),
            Datum::Number(format!("{:.3}", by.threshold)),
        ]
    });
    let header = ["kind", "by", "#AUROC", "#FPR at 95 % TPR", "#threshold there"];
    Some(section("Prompts that belong nowhere", &note).child(table(&header, rows)))
}

pub(super) fn flips(stability: &Stability) -> Element {
    let note = format!(
        "{} prompts, each written a little differently (seed {}): {} change their route, in the mean over the kinds.",
        stability.prompts,
        stability.seed,
        percent(stability.mean_flips)
    );
    let bar = |kind: &crate::evaluate::stability::KindFlips| Bar {
        name: kind.kind.to_owned(),
        value: kind.flips.share.unwrap_or_default(),
        label: percent(kind.flips.share),
        class: "bar",
    };
    let picture = bars("Routes that flip", &stability.kinds.iter().map(bar).collect::<Vec<_>>());
    let kinds = stability.kinds.iter().map(|kind| {
        vec![
            Datum::Word(kind.kind.to_owned()),
            Datum::Number(kind.flips.hits.to_string()),
            Datum::Number(kind.broken.to_string()),
            Datum::Number(kind.mended.to_string()),
            Datum::Number(kind.doubted.to_string()),
            Datum::Number(kind.confidence_change.map_or("-".to_owned(), |change| format!("{change:+.3}"))),
        ]
    });
    let header = ["kind", "#flips", "#broken", "#mended", "#doubted", "#confidence"];
    let examples = stability.kinds.iter().flat_map(|kind| kind.examples.iter().map(move |flip| (kind.kind, flip)));
    let examples = examples.map(|(kind, flip)| {
        vec![
            Datum::Word(kind.to_owned()),
            Datum::Words(excerpt(&flip.before)),
            Datum::Word(route(flip.route_before.as_deref())),
            Datum::Words(excerpt(&flip.after)),
            Datum::Word(route(flip.route_after.as_deref())),
        ]
    });
    let routes = stability.routes.iter().filter(|of| of.flips.hits > 0).map(|of| {
        vec![
            Datum::Word(route(of.route.as_deref())),
            Datum::Number(percent(of.flips.share)),
            Datum::Word(interval(&of.flips)),
        ]
    });
    section("Whether decisions hold", &note)
        .child(beside(picture, table(&header, kinds)))
        .child(element("h3").text("For example"))
        .child(tall(&["kind", "as it was", "route", "as it became", "route"], examples))
        .child(element("h3").text("By route, over all kinds"))
        .child(tall(&["route", "#flips", "95 % interval"], routes))
}

pub(super) fn costs(bill: &Bill) -> Element {
    let cost = |value: f64| money(value, &bill.currency);
    let bar = |name: String, value: f64, class: &'static str| Bar { name, value, label: cost(value), class };
    let mut shown: Vec<Bar> =
        bill.alternatives.iter().map(|at| bar(format!("all to {}", at.target), at.cost, "bar rest")).collect();
    shown.push(bar("with routing".to_owned(), bill.routed, "bar"));
    shown.push(bar("were all decided rightly".to_owned(), bill.ideal, "bar best"));
    shown.sort_by(|a, b| b.value.total_cmp(&a.value));
    let targets = bill.shares.iter().map(|share| {
        vec![
            Datum::Word(share.target.clone()),
            Datum::Number(percent(Some(share.share))),
            Datum::Number(cost(share.cost)),
        ]
    });
    let llm = bill.llm.iter().map(|llm| {
        vec![
            Datum::Word("the LLM stage's calls".to_owned()),
            Datum::Number(percent(Some(llm.share))),
            Datum::Number(cost(llm.cost)),
        ]
    });
    let misplaced = format!(
        "{} of {} prompts go to a dearer target than their right route's, {} to a cheaper one.",
        bill.misplaced.dearer, bill.prompts, bill.misplaced.cheaper
    );
    let facts = element("div")
        .child(table(&["with routing", "#of prompts", "#cost"], targets.chain(llm)))
        .child(element("p").class("legend").text(misplaced));
    section("What 1,000 such prompts would cost", &assumptions(bill)).child(beside(bars("Costs", &shown), facts))
}

pub(super) fn latency(report: &Report) -> Option<Element> {
    let all = report.latency.as_ref()?;
    let row = |name: String, share: String, right: String, at: &crate::evaluate::Latency| {
        let ms = |value: f64| Datum::Number(format!("{value:.2}"));
        let times = [ms(at.p50_ms), ms(at.p90_ms), ms(at.p99_ms), ms(at.max_ms)];
        let mut row = vec![Datum::Word(name), Datum::Number(share), Datum::Number(right)];
        row.extend(times);
        row
    };
    let mut rows = vec![row("all decisions".to_owned(), "100.0 %".to_owned(), percent(report.accuracy.share), all)];
    for of in &report.stages {
        rows.push(row(
            format!("decided by: {}", of.stage),
            percent(of.share.share),
            percent(of.accuracy.share),
            &of.latency,
        ));
    }
    for of in &report.steps {
        rows.push(row(format!("step: {}", of.step), String::new(), String::new(), &of.latency));
    }
    let header = ["", "#of prompts", "#right", "#p50 ms", "#p90 ms", "#p99 ms", "#max ms"];
    Some(section("Time", "On the machine and under the load of this run.").child(table(&header, rows)))
}
