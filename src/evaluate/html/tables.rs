//! Tables of the page.

use super::element::{Element, element};

/// What a cell holds.
pub(super) enum Datum {
    Word(String),
    /// A text that somebody wrote: long, and set back.
    Words(String),
    Number(String),
    Good(String),
    Bad(String),
    /// The colour of a route, and its name.
    Keyed(String, String),
}

impl Datum {
    fn cell(self) -> Element {
        let cell = element("td");
        match self {
            Self::Word(text) => cell.text(text),
            Self::Words(text) => cell.class("words").text(text),
            Self::Number(text) => cell.class("n").text(text),
            Self::Good(text) => cell.class("n good").text(text),
            Self::Bad(text) => cell.class("n bad").text(text),
            Self::Keyed(colour, name) => {
                let key = element("span").class("key").with("style", format!("background:{colour}"));
                cell.class("keyed").child(key).text(name)
            }
        }
    }
}

/// `header`: names of the columns; those of numbers begin with `#`, which is not shown.
pub(super) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<Datum>>) -> Element {
    let head = header.iter().map(|name| match name.strip_prefix('#') {
        Some(name) => element("th").class("n").text(name),
        None => element("th").text(name),
    });
    let head = element("thead").child(element("tr").children(head));
    let row = |row: Vec<Datum>| element("tr").children(row.into_iter().map(Datum::cell));
    element("div")
        .class("scroll")
        .child(element("table").child(head).child(element("tbody").children(rows.into_iter().map(row))))
}

/// The same in a box that scrolls.
pub(super) fn tall(header: &[&str], rows: impl IntoIterator<Item = Vec<Datum>>) -> Element {
    element("div").class("tall").child(table(header, rows))
}
