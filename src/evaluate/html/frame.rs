//! What all sections of the page are made of.

use super::element::{Element, element};

pub(super) fn section(title: &str, note: &str) -> Element {
    element("section").child(element("h2").text(title)).child(element("p").text(note))
}

pub(super) fn beside(picture: Element, table: Element) -> Element {
    element("div").class("beside").child(picture).child(table)
}

/// A key to a picture: pairs of a colour (or a shape) and its meaning.
pub(super) fn legend(keys: &[(&str, &str, &str)]) -> Element {
    let key = |(class, style, text): &(&str, &str, &str)| {
        element("span").child(element("i").class(class).with("style", style)).text(text)
    };
    element("p").class("legend").children(keys.iter().map(key))
}
