//! The references on a plane, coloured by route; those that the others contradict have a ring.

use super::element::{Element, element};
use super::plot::svg;
use crate::evaluate::confusion::excerpt;
use crate::evaluate::map::{Map, Point};

const WIDTH: f64 = 1120.0;
const HEIGHT: f64 = 680.0;
const EDGE: f64 = 26.0;
/// Of a label: pixels a character, and a line.
const LETTER: f64 = 6.9;
const LINE: f64 = 15.0;
/// Turn of the colour from route to route: the golden angle, so that neighbours in the list are far apart in hue.
const TURN: f64 = 137.508;

pub(super) fn map(map: &Map) -> Element {
    let scale = Scale::of(map);
    let mut groups: Vec<Element> = map.routes.iter().enumerate().map(|(at, _)| group(at)).collect();
    for point in &map.points {
        let Some(slot) = groups.get_mut(point.route) else { continue };
        let drawn = dot(point, map, &scale);
        let taken = std::mem::replace(slot, element("g"));
        *slot = match &point.contradicted {
            Some(_) => taken.child(drawn).child(ring(point, &scale)),
            None => taken.child(drawn),
        };
    }
    svg(WIDTH, HEIGHT, "Map of the references").class("map").children(groups).child(labels(map, &scale))
}

fn group(route: usize) -> Element {
    element("g").class("route").with("fill", colour(route))
}

/// Middling light, so that it can be told from both backgrounds.
pub(super) fn colour(route: usize) -> String {
    let hue = (route as f64 * TURN) % 360.0;
    let light = [50, 60, 42].get(route % 3).copied().unwrap_or(50);
    format!("hsl({hue:.0} 68% {light}%)")
}

fn dot(point: &Point, map: &Map, scale: &Scale) -> Element {
    let (x, y) = scale.place(point);
    let route = map.routes.get(point.route).map_or("", String::as_str);
    let mut tip = format!("{}\n{route} · {}", excerpt(&point.text), point.id);
    if let Some(other) = &point.contradicted {
        tip.push_str(&format!("\nthe others say {} ({:.2})", other.route, other.confidence));
    }
    element("circle").class("point").at("cx", x).at("cy", y).with("r", 4).tip(tip)
}

fn ring(point: &Point, scale: &Scale) -> Element {
    let (x, y) = scale.place(point);
    element("circle").class("ring").at("cx", x).at("cy", y).with("r", 7)
}

/// The name of each route where its points are, as far as names do not cover each other; routes with most points first.
fn labels(map: &Map, scale: &Scale) -> Element {
    let mut routes: Vec<(usize, Vec<(f64, f64)>)> = (0..map.routes.len())
        .map(|at| (at, map.points.iter().filter(|point| point.route == at).map(|point| scale.place(point)).collect()))
        .collect();
    routes.sort_by_key(|(at, places): &(usize, Vec<_>)| (std::cmp::Reverse(places.len()), *at));
    let mut taken: Vec<(f64, f64, f64)> = Vec::new();
    let mut labels = element("g").with("pointer-events", "none");
    for (at, places) in routes {
        let (Some((x, y)), Some(name)) = (middle(&places), map.routes.get(at)) else { continue };
        let half = name.chars().count() as f64 * LETTER / 2.0;
        let x = x.clamp(half + 2.0, (WIDTH - half - 2.0).max(half + 2.0));
        let free = taken.iter().all(|(u, v, other)| (x - u).abs() > half + other || (y - v).abs() > LINE);
        if free {
            taken.push((x, y, half));
            labels = labels.child(
                element("text").class("halo").at("x", x).at("y", y + 4.0).with("text-anchor", "middle").text(name),
            );
        }
    }
    labels
}

/// The medians: a few points far off do not draw the label away.
fn middle(places: &[(f64, f64)]) -> Option<(f64, f64)> {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    Some((median(places.iter().map(|at| at.0).collect())?, median(places.iter().map(|at| at.1).collect())?))
}

/// From places in no unit to pixels.
struct Scale {
    least: [f64; 2],
    span: [f64; 2],
}

impl Scale {
    fn of(map: &Map) -> Self {
        let axis = |at: usize| {
            let values = || map.points.iter().filter_map(|point| point.place.get(at)).map(|value| f64::from(*value));
            let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
            if least <= most { (least, (most - least).max(1e-9)) } else { (0.0, 1.0) }
        };
        let (x, y) = (axis(0), axis(1));
        Self { least: [x.0, y.0], span: [x.1, y.1] }
    }

    fn place(&self, point: &Point) -> (f64, f64) {
        let along = |value: f32, least: f64, span: f64, pixels: f64| {
            EDGE + (f64::from(value) - least) / span * (pixels - 2.0 * EDGE)
        };
        let ([x, y], [least_x, least_y], [span_x, span_y]) = (point.place, self.least, self.span);
        (along(x, least_x, span_x, WIDTH), along(y, least_y, span_y, HEIGHT))
    }
}
