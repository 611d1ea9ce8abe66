//! Axes, and the way from numbers to places in a picture.

use super::element::{Element, element};

/// Room around the plot for numbers and names.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 26.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 46.0;

/// A picture of fixed size with two linear axes that begin at 0.
pub(super) struct Plot {
    pub(super) width: f64,
    pub(super) height: f64,
    /// What stands at the far end of each axis.
    pub(super) most_x: f64,
    pub(super) most_y: f64,
}

impl Plot {
    pub(super) fn x(&self, value: f64) -> f64 {
        LEFT + value / self.most_x * (self.width - LEFT - RIGHT)
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        self.height - BOTTOM - value / self.most_y * (self.height - TOP - BOTTOM)
    }

    /// The picture with grid, numbers and names of the axes; what is measured goes on top.
    pub(super) fn svg(&self, name: &str, x: Axis<'_>, y: Axis<'_>) -> Element {
        let frame = svg(self.width, self.height, name);
        let line = |class: &str, from: (f64, f64), to: (f64, f64)| {
            element("line").class(class).at("x1", from.0).at("y1", from.1).at("x2", to.0).at("y2", to.1)
        };
        let label = |x: f64, y: f64, anchor: &str, text: String| {
            element("text").class("tick").at("x", x).at("y", y).with("text-anchor", anchor).text(text)
        };
        let (left, right, bottom) = (self.x(0.0), self.x(self.most_x), self.y(0.0));
        let mut grid = element("g");
        for at in ticks(self.most_x) {
            let place = self.x(at);
            grid = grid.child(line("grid", (place, bottom), (place, TOP)));
            grid = grid.child(label(place, bottom + 16.0, "middle", x.number(at)));
        }
        for at in ticks(self.most_y) {
            let place = self.y(at);
            grid = grid.child(line("grid", (left, place), (right, place)));
            grid = grid.child(label(left - 7.0, place + 4.0, "end", y.number(at)));
        }
        let middle = (TOP + bottom) / 2.0;
        let upright = format!("rotate(-90 14 {middle})");
        frame
            .child(grid)
            .child(label((left + right) / 2.0, self.height - 8.0, "middle", x.name.to_owned()).with("font-weight", 600))
            .child(label(14.0, middle, "middle", y.name.to_owned()).with("transform", upright).with("font-weight", 600))
    }
}

/// A picture without axes.
pub(super) fn svg(width: f64, height: f64, name: &str) -> Element {
    let (width, height) = (width.ceil(), height.ceil());
    element("svg")
        .with("viewBox", format!("0 0 {width} {height}"))
        .with("role", "img")
        .with("aria-label", name)
        .with("style", format!("max-width:{width}px"))
}

#[derive(Clone, Copy)]
pub(super) struct Axis<'a> {
    pub(super) name: &'a str,
    /// Whether numbers are shares, to be shown in per cent.
    pub(super) share: bool,
}

impl Axis<'_> {
    fn number(self, value: f64) -> String {
        let value = if self.share { value * 100.0 } else { value };
        let rounded = (value * 100.0).round() / 100.0;
        if self.share { format!("{rounded} %") } else { format!("{rounded}") }
    }
}

/// From 0 in steps of 1, 2 or 5 times a power of ten, at most seven of them.
fn ticks(most: f64) -> Vec<f64> {
    let rough = most / 6.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(most);
    (0..=6).map(|at| f64::from(at) * step).take_while(|at| *at <= most * 1.001).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let close = |most: f64, expected: &[f64]| {
            let found = ticks(most);
            assert_eq!(found.len(), expected.len(), "{most}: {found:?}");
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{most}: {found:?}");
        };
        close(1.0, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        close(0.06, &[0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06]);
        close(0.24, &[0.0, 0.05, 0.1, 0.15, 0.2]);
        close(7.0, &[0.0, 2.0, 4.0, 6.0]);
    }
}
