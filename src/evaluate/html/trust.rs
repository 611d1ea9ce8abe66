//! Pictures of trust: risk against coverage, and confidence against accuracy.

use super::element::{Element, element};
use super::plot::{Axis, Plot};
use crate::evaluate::calibration::Calibration;
use crate::evaluate::report::Report;
use crate::evaluate::risk::RiskCurve;
use crate::evaluate::wording::percent;

const SIZE: (f64, f64) = (640.0, 400.0);
/// Height of the bars that show how many prompts a bin has, as a share of the axis.
const COUNTS: f64 = 0.16;

/// The risk of what is decided alone, against its share; with the points that the policy, the own thresholds and
/// hindsight choose.
pub(super) fn risk(report: &Report, curve: &RiskCurve) -> Element {
    // What the first few rows do says little and would squeeze the rest.
    let settled = curve.points.iter().filter(|point| point.coverage >= 0.05).map(|point| point.risk);
    let most = settled.fold(0.05, f64::max);
    let plot = Plot { width: SIZE.0, height: SIZE.1, most_x: 1.0, most_y: (most * 1.25).min(1.0) };
    let place = |coverage: f64, risk: f64| (plot.x(coverage), plot.y(risk.min(plot.most_y)));
    let mut line = String::new();
    let mut band = String::new();
    for (at, point) in curve.points.iter().enumerate() {
        let command = if at == 0 { 'M' } else { 'L' };
        let (x, y) = place(point.coverage, point.risk);
        line.push_str(&format!("{command}{x:.1} {y:.1}"));
        let (x, y) = place(point.coverage, point.risk_high);
        band.push_str(&format!("{command}{x:.1} {y:.1}"));
    }
    for point in curve.points.iter().rev() {
        let (x, y) = place(point.coverage, point.risk);
        band.push_str(&format!("L{x:.1} {y:.1}"));
    }
    let mut svg = plot
        .svg(
            "Risk against coverage",
            Axis { name: "decided alone, of all prompts", share: true },
            Axis { name: "wrong, of those", share: true },
        )
        .child(element("path").class("band").with("d", band + "Z"))
        .child(element("path").class("curve").with("d", line));
    for target in &report.coverage {
        let risk = 1.0 - f64::from(target.accuracy_percent) / 100.0;
        if risk <= plot.most_y {
            let (from, y) = place(0.0, risk);
            let ideal = element("line").class("ideal").at("x1", from).at("y1", y).at("x2", plot.x(1.0)).at("y2", y);
            svg = svg.child(ideal);
        }
    }
    for point in marks(report) {
        let (x, y) = place(point.share, point.risk);
        svg = svg.child(mark(point.class, x, y).tip(point.tip));
    }
    svg
}

/// A point on the picture.
struct Mark {
    class: &'static str,
    share: f64,
    risk: f64,
    tip: String,
}

fn marks(report: &Report) -> Vec<Mark> {
    let oracle = report.coverage.iter().filter(|at| at.rows > 0).map(|at| Mark {
        class: "oracle",
        share: at.share,
        risk: risk_at(report, at.share),
        tip: format!("with hindsight, at {} %: {} decided alone", at.accuracy_percent, percent(Some(at.share))),
    });
    let own = report.own_thresholds.iter().filter_map(|own| {
        let (share, accuracy) = (own.share.share?, own.accuracy.share?);
        let aim = own.threshold.accuracy_percent;
        let tip = format!(
            "own threshold for {aim} %: {} decided alone, {} right",
            percent(Some(share)),
            percent(Some(accuracy))
        );
        Some(Mark { class: "own", share, risk: 1.0 - accuracy, tip })
    });
    let alone = &report.decided_alone;
    let policy = alone.share.share.zip(alone.accuracy.share).map(|(share, accuracy)| Mark {
        class: "policy",
        share,
        risk: 1.0 - accuracy,
        tip: format!("the set's policy: {} decided alone, {} right", percent(Some(share)), percent(Some(accuracy))),
    });
    oracle.chain(own).chain(policy).collect()
}

fn risk_at(report: &Report, coverage: f64) -> f64 {
    let mut points = report.risk.iter().flat_map(|curve| &curve.points);
    points.rfind(|point| point.coverage <= coverage + 1e-9).map_or(0.0, |point| point.risk)
}

fn mark(class: &'static str, x: f64, y: f64) -> Element {
    if class == "policy" {
        let turned = format!("rotate(45 {x:.1} {y:.1})");
        return element("rect")
            .class(class)
            .at("x", x - 5.5)
            .at("y", y - 5.5)
            .with("width", 11)
            .with("height", 11)
            .with("transform", turned);
    }
    element("circle").class(class).at("cx", x).at("cy", y).with("r", if class == "own" { 6.5 } else { 5.5 })
}

/// Accuracy against confidence, with the ideal line; the grey bars say how many prompts a bin has.
pub(super) fn reliability(calibration: &Calibration) -> Element {
    let plot = Plot { width: SIZE.0, height: SIZE.1, most_x: 1.0, most_y: 1.0 };
    let mut svg = plot.svg(
        "Reliability: accuracy against confidence",
        Axis { name: "confidence", share: true },
        Axis { name: "accuracy", share: true },
    );
    let most = calibration.bins.iter().map(|bin| bin.accuracy.rows).max().unwrap_or(1).max(1) as f64;
    let bar = |class: &str, from: f64, to: f64, height: f64| {
        element("rect")
            .class(class)
            .at("x", plot.x(from) + 1.0)
            .at("y", plot.y(height))
            .at("width", (plot.x(to) - plot.x(from) - 2.0).max(1.0))
            .at("height", plot.y(0.0) - plot.y(height))
    };
    let line = |class: &str, x1: f64, y1: f64, x2: f64, y2: f64| {
        element("line").class(class).at("x1", plot.x(x1)).at("y1", plot.y(y1)).at("x2", plot.x(x2)).at("y2", plot.y(y2))
    };
    for bin in &calibration.bins {
        let height = bin.accuracy.rows as f64 / most * COUNTS;
        svg = svg.child(bar("count", bin.from, bin.to, height).tip(format!("{} prompts", bin.accuracy.rows)));
    }
    svg = svg.child(line("ideal", 0.0, 0.0, 1.0, 1.0));
    let mut path = String::new();
    for (at, bin) in calibration.bins.iter().enumerate() {
        let accuracy = bin.accuracy.share.unwrap_or_default();
        let command = if at == 0 { 'M' } else { 'L' };
        path.push_str(&format!("{command}{:.1} {:.1}", plot.x(bin.confidence), plot.y(accuracy)));
    }
    svg = svg.child(element("path").class("curve").with("d", path).with("stroke-opacity", 0.45));
    for bin in &calibration.bins {
        let accuracy = bin.accuracy.share.unwrap_or_default();
        let tip = format!(
            "confidence {}, accuracy {}, {} prompts",
            percent(Some(bin.confidence)),
            percent(Some(accuracy)),
            bin.accuracy.rows
        );
        let whisker = line("whisker", bin.confidence, bin.accuracy.low, bin.confidence, bin.accuracy.high);
        svg = svg.child(whisker).child(mark("own", plot.x(bin.confidence), plot.y(accuracy)).tip(tip));
    }
    svg
}
