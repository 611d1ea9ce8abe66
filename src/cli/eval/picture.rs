//! The map of the references: which of them, who is near whom, and who is contradicted.

use std::sync::Arc;

use rayon::prelude::*;

use crate::cli::CommandError;
use crate::cli::references::{References, blocking};
use crate::doctor::{Limits, Verdict};
use crate::embed::{EmbedError, Embedding};
use crate::evaluate::{Contradiction, Map, Point, draw, layout};
use crate::index::{FlatIndex, VectorIndex, VectorMatrix};
use crate::reference::Snapshot;

/// Most points of the picture: more cannot be told apart, and a page should open at once.
const MAX_POINTS: usize = 3_000;
/// Neighbours that draw a point to them; UMAP's default is 15.
const NEIGHBOURS: usize = 12;

/// Of a large set, as many references of each route as there is room for, drawn from the seed.
pub(super) async fn draw_map(references: &References, verdicts: &[Verdict], seed: u64) -> Result<Map, CommandError> {
    let snapshot = &references.snapshot;
    let name = |route: u32| snapshot.route(route).map(|route| route.name.to_string()).unwrap_or_default();
    let names: Vec<String> = (0..snapshot.routes.len()).map(|route| name(route as u32)).collect();
    let prompts: Vec<(&str, &str)> = snapshot
        .references
        .iter()
        .map(|of| (names.get(of.route as usize).map_or("", String::as_str), &*of.text))
        .collect();
    let rows = draw(&prompts, room(snapshot), seed);
    let vectors = Arc::clone(&references.vectors);
    let shown = rows.clone();
    let places = blocking(move || place(&vectors, &shown)).await??;
    let limit = Limits::default().contradiction;
    let point = |(row, place): (&usize, [f32; 2])| {
        let reference = snapshot.references.get(*row)?;
        let winner = verdicts.get(*row).and_then(|verdict| verdict.winner);
        let other = winner.filter(|(route, confidence)| *route != reference.route && f64::from(*confidence) >= limit);
        let contradicted = other.map(|(route, confidence)| Contradiction { route: name(route), confidence });
        let (id, text) = (reference.id.to_string(), reference.text.to_string());
        Some(Point { place, route: reference.route as usize, id, text, contradicted })
    };
    let points = rows.iter().zip(places).filter_map(point).collect();
    Ok(Map { routes: names, points, references: snapshot.references.len() })
}

/// Prompts of each route that there is room for: what small routes leave goes to the large ones.
fn room(snapshot: &Snapshot) -> usize {
    let mut sizes = vec![0usize; snapshot.routes.len()];
    for reference in &snapshot.references {
        if let Some(size) = sizes.get_mut(reference.route as usize) {
            *size += 1;
        }
    }
    let shown = |room: usize| sizes.iter().map(|size| room.min(*size)).sum::<usize>();
    let (mut least, mut most) = (0, MAX_POINTS);
    while least < most {
        let middle = (least + most).div_ceil(2);
        if shown(middle) <= MAX_POINTS { least = middle } else { most = middle - 1 }
    }
    least
}

fn place(vectors: &VectorMatrix, rows: &[usize]) -> Result<Vec<[f32; 2]>, EmbedError> {
    let mut shown = VectorMatrix::with_capacity(rows.len(), vectors.dimension());
    for row in rows {
        shown.push(&Embedding::stored(vectors.row(*row).to_vec(), vectors.dimension())?)?;
    }
    let shown = Arc::new(shown.finish());
    let index = FlatIndex::new(Arc::clone(&shown));
    let near = |row: usize| {
        let own = Embedding::stored(shown.row(row).to_vec(), shown.dimension())?;
        Ok(index.nearest(&own, NEIGHBOURS + 1).into_iter().map(|hit| hit.row).collect())
    };
    let near: Vec<Vec<u32>> = (0..shown.rows()).into_par_iter().map(near).collect::<Result<_, EmbedError>>()?;
    let rows: Vec<&[f32]> = shown.iter().collect();
    Ok(layout(&rows, &near))
}
