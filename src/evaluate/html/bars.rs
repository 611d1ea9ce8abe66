//! Bars beside their names, for a few numbers of one kind.

use super::element::{Element, element};
use super::plot::svg;

const WIDTH: f64 = 640.0;
const ROW: f64 = 34.0;
const NAMES: f64 = 200.0;
const NUMBERS: f64 = 110.0;
const MAX_NAME_CHARS: usize = 28;

pub(super) struct Bar {
    pub(super) name: String,
    pub(super) value: f64,
    /// As it is to be read.
    pub(super) label: String,
    /// `bar`, with `rest` or `best` for another colour.
    pub(super) class: &'static str,
}

/// Longest bar: the greatest value.
pub(super) fn bars(name: &str, bars: &[Bar]) -> Element {
    let most = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let mut picture = svg(WIDTH, bars.len() as f64 * ROW, name);
    for (at, bar) in bars.iter().enumerate() {
        let top = at as f64 * ROW;
        let length = bar.value.max(0.0) / most * (WIDTH - NAMES - NUMBERS);
        let short: String = bar.name.chars().take(MAX_NAME_CHARS).collect();
        let word = |x: f64| element("text").at("x", x).at("y", top + ROW / 2.0 + 4.0);
        picture = picture
            .child(word(NAMES - 10.0).with("text-anchor", "end").text(short).tip(&bar.name))
            .child(
                element("rect")
                    .class(bar.class)
                    .at("x", NAMES)
                    .at("y", top + 6.0)
                    .at("width", length.max(1.0))
                    .at("height", ROW - 12.0)
                    .with("rx", 3),
            )
            .child(word(NAMES + length + 8.0).class("strong").text(&bar.label));
    }
    picture
}
