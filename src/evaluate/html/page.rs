//! The page: key figures, then one section for each question, each picture with the table that it shows.

use super::decisions::{alone, calibration, confusions, routes};
use super::element::{Element, element};
use super::surroundings::{costs, flips, latency, out_of_scope, references};
use crate::evaluate::evaluation::{Evaluation, Subject};
use crate::evaluate::map::Map;
use crate::evaluate::wording::{interval, percent};

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
