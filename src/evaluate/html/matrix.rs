//! The confusion matrix as pictures: the whole without names where there are many routes, and its worst block with them.

use super::element::{Element, element};
use super::plot::svg;
use crate::evaluate::matrix::{Block, Cell, Matrix};

/// Up to so many routes the whole matrix has names.
const NAMED: usize = 16;
/// Side of the whole matrix.
const WHOLE: f64 = 560.0;
/// Side of a cell with a number.
const CELL: f64 = 30.0;
/// Of a name: pixels a character.
const LETTER: f64 = 6.9;
const MAX_NAME_CHARS: usize = 26;

/// Rows in all of each expected route, for shares.
fn totals(matrix: &Matrix) -> Vec<u64> {
    let mut totals = vec![0; matrix.routes.len()];
    for cell in &matrix.cells {
        if let Some(total) = totals.get_mut(cell.row) {
            *total += cell.rows;
        }
    }
    totals
}

/// The whole matrix if there are many routes; `None`: [`worst`] shows all of it.
pub(super) fn whole(matrix: &Matrix) -> Option<Element> {
    let routes = matrix.routes.len();
    if routes <= NAMED {
        return None;
    }
    let totals = totals(matrix);
    let side = WHOLE / routes as f64;
    let square = |x: usize, y: usize, routes: usize, class: &str| {
        let place = |at: usize| at as f64 * side;
        element("rect")
            .class(class)
            .at("x", place(x))
            .at("y", place(y))
            .at("width", routes as f64 * side)
            .at("height", routes as f64 * side)
    };
    let mut picture = svg(WHOLE, WHOLE, "Confusion matrix").child(square(0, 0, routes, "frame"));
    for cell in &matrix.cells {
        let shown = square(cell.column, cell.row, 1, class(cell));
        picture = picture.child(shown.with("fill-opacity", opacity(cell, &totals)).tip(told(cell, matrix)));
    }
    let framed = matrix.blocks.iter().filter(|block| block.errors > 0 && block.routes > 1);
    Some(picture.children(framed.map(|block| square(block.from, block.from, block.routes, "frame"))))
}

/// The block with the most errors, with names and numbers; all of a small matrix. `None`: there is no error in a block.
pub(super) fn worst(matrix: &Matrix) -> Option<Element> {
    let all = Block { from: 0, routes: matrix.routes.len(), errors: 1 };
    let whole = matrix.routes.len() <= NAMED;
    let shown = if whole { Some(&all) } else { matrix.blocks.first() };
    shown.filter(|block| block.routes > 0 && block.errors > 0).map(|at| block(matrix, at))
}

/// Room for names: beside the cells, above them, and behind the last one, where its slanting name ends.
struct Room {
    left: f64,
    top: f64,
    right: f64,
}

impl Room {
    fn of<'a>(names: impl Iterator<Item = &'a String>) -> Self {
        let longest = names.map(|name| name.chars().count().min(MAX_NAME_CHARS)).max().unwrap_or_default();
        let width = longest as f64 * LETTER;
        let slant = width * std::f64::consts::FRAC_1_SQRT_2;
        Self { left: (width + 14.0).max(150.0), top: slant + 22.0, right: slant }
    }

    fn square(&self, row: usize, column: usize) -> Element {
        element("rect")
            .at("x", self.left + column as f64 * CELL)
            .at("y", self.top + row as f64 * CELL)
            .with("width", CELL)
            .with("height", CELL)
    }
}

fn block(matrix: &Matrix, block: &Block) -> Element {
    let totals = totals(matrix);
    let names = || matrix.routes.iter().skip(block.from).take(block.routes);
    let room = Room::of(names());
    let side = block.routes as f64 * CELL;
    let mut picture =
        svg(room.left + side + room.right, room.top + side + 8.0, "Routes that are taken for one another");
    for (at, name) in names().enumerate() {
        let middle = (at as f64 + 0.5) * CELL;
        let (x, y) = (room.left + middle, room.top - 8.0);
        let row = element("text").at("x", room.left - 8.0).at("y", room.top + middle + 4.0).with("text-anchor", "end");
        let turned = format!("rotate(-45 {x:.1} {y:.1})");
        let column = element("text").at("x", x).at("y", y).with("transform", turned);
        picture = picture.child(row.text(short(name)).tip(name)).child(column.text(short(name)).tip(name));
    }
    let cells = || (0..block.routes).flat_map(|row| (0..block.routes).map(move |column| (row, column)));
    picture = picture.children(cells().map(|(row, column)| room.square(row, column).class("cell")));
    let inside = |at: usize| at.checked_sub(block.from).filter(|at| *at < block.routes);
    for cell in &matrix.cells {
        let Some((row, column)) = inside(cell.row).zip(inside(cell.column)) else { continue };
        let opacity = (opacity(cell, &totals) * 80.0).round() / 100.0;
        let shown = room.square(row, column).class(class(cell)).with("fill-opacity", opacity);
        let number = element("text")
            .at("x", room.left + (column as f64 + 0.5) * CELL)
            .at("y", room.top + (row as f64 + 0.5) * CELL + 4.0)
            .with("text-anchor", "middle")
            .class("strong")
            .with("pointer-events", "none")
            .text(cell.rows);
        picture = picture.child(shown.tip(told(cell, matrix))).child(number);
    }
    picture.child(element("text").class("tick").at("x", 0.0).at("y", room.top - 8.0).text("expected ↓   chosen →"))
}

fn class(cell: &Cell) -> &'static str {
    if cell.row == cell.column { "hit" } else { "miss" }
}

/// By the share of the expected route's rows; a single row can still be seen.
fn opacity(cell: &Cell, totals: &[u64]) -> f64 {
    let total = totals.get(cell.row).copied().unwrap_or_default().max(1);
    let share = cell.rows as f64 / total as f64;
    let seen = if cell.row == cell.column { 0.12 + 0.6 * share } else { 0.3 + 0.7 * share };
    (seen * 100.0).round() / 100.0
}

fn told(cell: &Cell, matrix: &Matrix) -> String {
    let name = |at: usize| matrix.routes.get(at).map_or("", String::as_str);
    let prompts = if cell.rows == 1 { "prompt" } else { "prompts" };
    format!("{} {prompts} of {}: {}", cell.rows, name(cell.row), name(cell.column))
}

fn short(name: &str) -> String {
    if name.chars().count() <= MAX_NAME_CHARS {
        return name.to_owned();
    }
    name.chars().take(MAX_NAME_CHARS - 1).chain(['…']).collect()
}
