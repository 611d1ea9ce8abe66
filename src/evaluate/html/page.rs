//! The page: key figures, then one section for each question, each picture with the table that it shows.

use super::bars::{Bar, bars};
use super::element::{Element, element};
use super::tables::{Datum, table, tall};
use super::{map as picture, matrix, trust};
use crate::evaluate::bill::Bill;
use crate::evaluate::confusion::excerpt;
use crate::evaluate::evaluation::{Evaluation, Subject};
use crate::evaluate::map::Map;
use crate::evaluate::report::Report;
use crate::evaluate::stability::Stability;
use crate::evaluate::wording::{assumptions, interval, money, percent, route};

/// Nothing may be loaded and nothing may run, whatever a text holds.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

pub(super) fn page(evaluation: &Evaluation, map: Option<&Map>) -> String {
    let Evaluation { subject, report, stability, bill } = evaluation;
    let title = format!("Evaluation of {}", subject.set);
    let head = element("head")
        .child(element("meta").with("charset", "utf-8"))
        .child(element("meta").with("http-equiv", "Content-Security-Policy").with("content", POLICY))
        .child(element("meta").with("name", "viewport").with("content", "width=device-width, initial-scale=1"))
        .child(element("title").text(&title))
        .child(element("style").verbatim(include_str!("style.css")));
    let sections = [
        Some(alone(report)),
        calibration(report),
        confusions(report),
        Some(routes(report)),
        map.filter(|map| !map.points.is_empty()).map(references),
        out_of_scope(report),
        stability.as_ref().map(flips),
        bill.as_ref().map(costs),
        latency(report),
    ];
    let main = element("main")
        .child(header(&title, subject))
        .child(tiles(evaluation))
        .children(sections.into_iter().flatten());
    let mut page = String::from("<!doctype html>");
    element("html").with("lang", "en").child(head).child(element("body").child(main)).write(&mut page);
    page.push('\n');
    page
}

fn section(title: &str, note: &str) -> Element {
    element("section").child(element("h2").text(title)).child(element("p").text(note))
}

fn beside(picture: Element, table: Element) -> Element {
    element("div").class("beside").child(picture).child(table)
}

fn header(title: &str, subject: &Subject) -> Element {
    element("header")
        .child(element("h1").text(title))
        .child(element("p").text(subject.line()))
        .child(element("p").text(format!("embedding model {}", subject.model)))
}

fn tiles(evaluation: &Evaluation) -> Element {
    let report = &evaluation.report;
    let tile = |number: String, name: &str, note: String| {
        element("div")
            .class("tile")
            .child(element("span").text(name))
            .child(element("b").text(number))
            .child(element("span").text(note))
    };
    let accuracy = if report.out_of_scope.is_some() { &report.in_scope } else { &report.accuracy };
    let alone = &report.decided_alone;
    let mut shown = vec![
        tile(percent(accuracy.share), "accuracy in scope", interval(accuracy)),
        tile(percent(report.macro_f1), "macro F1", "every route weighs the same".to_owned()),
        tile(percent(alone.share.share), "decided alone", format!("{} of those right", percent(alone.accuracy.share))),
    ];
    if let Some(calibration) = &report.calibration {
        let note = format!("Brier {:.3}", calibration.brier);
        shown.push(tile(format!("{:.3}", calibration.ece), "calibration error (ECE)", note));
    }
    if let Some(best) = report.out_of_scope.as_ref().and_then(|scope| scope.separation.first()) {
        let note = format!("FPR at 95 % TPR {}", percent(Some(best.fpr_at_95_tpr)));
        shown.push(tile(format!("{:.3}", best.auroc), "out of scope (AUROC)", note));
    }
    if let Some(stability) = &evaluation.stability {
        let note = "mean over the kinds of perturbation".to_owned();
        shown.push(tile(percent(stability.mean_flips), "routes that flip", note));
    }
    if let Some(dearest) = evaluation.bill.as_ref().and_then(|bill| bill.alternatives.first()) {
        let note = format!("against everything to {}", dearest.target);
        shown.push(tile(percent(dearest.saved), "saved by routing", note));
    }
    if let Some(latency) = &report.latency {
        let note = format!("p99 {:.1} ms", latency.p99_ms);
        shown.push(tile(format!("{:.1} ms", latency.p50_ms), "latency, median", note));
    }
    element("div").class("tiles").children(shown)
}

/// A key to a picture: pairs of a colour (or a shape) and its meaning.
fn legend(keys: &[(&str, &str, &str)]) -> Element {
    let key = |(class, style, text): &(&str, &str, &str)| {
        element("span").child(element("i").class(class).with("style", style)).text(text)
    };
    element("p").class("legend").children(keys.iter().map(key))
}

fn alone(report: &Report) -> Element {
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

fn calibration(report: &Report) -> Option<Element> {
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

fn confusions(report: &Report) -> Option<Element> {
    let blocks = matrix::blocks(&report.matrix);
    if blocks.is_empty() {
        return None;
    }
    let note = "Rows: the right route; columns: the route that was chosen. Routes that are taken for one another stand \
        together, the block with the most errors first. Point at a cell for its names.";
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
    let (first, rest) = match matrix::whole(&report.matrix) {
        Some(whole) => (whole, blocks),
        None => (element("div").children(blocks), Vec::new()),
    };
    let section = section.child(beside(first, worst));
    if rest.is_empty() {
        return Some(section);
    }
    let closer = element("h3").text("The worst blocks, closer");
    Some(section.child(closer).child(element("div").class("beside even").children(rest)))
}

fn routes(report: &Report) -> Element {
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

fn references(map: &Map) -> Element {
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

fn out_of_scope(report: &Report) -> Option<Element> {
    let scope = report.out_of_scope.as_ref()?;
    let note = format!(
        "Of the prompts that belong to no route, {} were given none; of those given none, {} belong to none. Below: how \
         well a threshold on each number would tell them apart.",
        percent(scope.recall.share),
        percent(scope.precision.share)
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

fn flips(stability: &Stability) -> Element {
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

fn costs(bill: &Bill) -> Element {
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

fn latency(report: &Report) -> Option<Element> {
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
