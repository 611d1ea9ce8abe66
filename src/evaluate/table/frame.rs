//! What all tables of the report are made of.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ContentArrangement, LineStyle, Table};

use super::Layout;
use crate::evaluate::proportion::Proportion;
use crate::evaluate::wording::{interval, percent};

/// Without a header.
pub(super) fn bare(layout: Layout) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(layout.width);
    table
}

pub(super) fn headed(layout: Layout, header: &[&str]) -> Table {
    let mut table = bare(layout);
    table.load_style(NOTHING.header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_header(header.iter().map(Cell::new));
    table
}

pub(super) fn align_right(table: &mut Table, columns: std::ops::Range<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

pub(super) fn section(text: &mut String, title: &str, table: &Table) {
    text.push('\n');
    text.push_str(title);
    text.push('\n');
    text.push_str(&table.trim_fmt());
    text.push('\n');
}

pub(super) fn omitted(text: &mut String, all: usize, shown: usize) {
    let more = all.saturating_sub(shown);
    if more > 0 {
        text.push_str(&format!(" {more} more not shown\n"));
    }
}

pub(super) fn proportion(name: impl Into<String>, of: &Proportion) -> Vec<String> {
    vec![name.into(), percent(of.share), interval(of)]
}

/// Running text, broken at the width.
pub(super) fn paragraph(text: &mut String, words: &str, layout: Layout) {
    let mut column = 0;
    for word in words.split_whitespace() {
        let width = word.chars().count();
        if column > 0 && column + 1 + width >= usize::from(layout.width) {
            text.push('\n');
            column = 0;
        }
        text.push(' ');
        text.push_str(word);
        column += width + 1;
    }
    text.push('\n');
}
