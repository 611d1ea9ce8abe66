use std::sync::Arc;

use proptest::prelude::*;

use super::super::tests_support::random_matrix;
use super::super::watch::BuildWatch;
use super::super::{FlatIndex, Hit, IndexConfig};
use super::*;
use crate::embed::Embedding;

const ROWS: usize = 600;

fn key(at: usize) -> RowKey {
    (at as u128).to_be_bytes()
}

/// Some rows of a matrix, as a version of its own.
fn version(vectors: &VectorMatrix, rows: &[usize]) -> (VectorMatrix, Vec<RowKey>) {
    let mut part = VectorMatrix::with_capacity(rows.len(), vectors.dimension());
    rows.iter().for_each(|row| {
        let vector = Embedding::stored(vectors.row(*row).to_vec(), vectors.dimension()).unwrap();
        part.push(&vector).unwrap();
    });
    (part.finish(), rows.iter().map(|row| key(*row)).collect())
}

fn first(vectors: &VectorMatrix) -> (HnswIndex, Vec<RowKey>) {
    let (matrix, keys) = version(vectors, &(0..ROWS).collect::<Vec<_>>());
    let config = IndexConfig { m: 8, ef_construction: 60, ..IndexConfig::default() };
    let index = HnswIndex::build(&matrix, &config, &BuildWatch::default()).unwrap();
    let node_keys = index.rows.iter().map(|row| keys[*row as usize]).collect();
    (index, node_keys)
}

/// Compares with the exact scan; similarities are rounded.
fn expect_exact(index: &HnswIndex, vectors: VectorMatrix, k: usize) {
    let vectors = Arc::new(vectors);
    let flat = FlatIndex::new(Arc::clone(&vectors));
    let (mut found, mut wanted) = (0, 0);
    for row in (0..vectors.rows()).step_by(7) {
        let exact = flat.nearest_to(vectors.row(row), k);
        let least = exact.last().unwrap().similarity - 1e-5;
        let hits: Vec<Hit> = index.nearest_to(vectors.row(row), k);
        assert_eq!(hits.len(), exact.len());
        wanted += exact.len();
        found += hits.iter().filter(|hit| flat.similarity(vectors.row(row), hit.row) >= least).count();
        for hit in hits {
            assert!((flat.similarity(vectors.row(row), hit.row) - hit.similarity).abs() < 1e-4, "row {}", hit.row);
        }
    }
    assert!(found * 100 >= wanted * 97, "{found} of {wanted}");
}

#[test]
fn of_rows_that_are_pinned_each_is_found_once() {
    let vectors = random_matrix(ROWS + 50, 16, 6);
    let (index, keys) = first(&vectors);
    let rows: Vec<usize> = (ROWS..ROWS + 50).chain((0..ROWS).filter(|row| row % 10 != 3)).collect();
    let (matrix, new) = version(&vectors, &rows);
    let (mut index, ..) = renew(index, &keys, &new, &matrix).unwrap();
    // New rows, which are scanned, and old ones under their new numbers; the last is of no row.
    let pinned = [0, 49, 50, 51, 300, rows.len() as u32];
    super::super::VectorIndex::pin(&mut index, &pinned);
    for row in pinned.into_iter().take(5) {
        let hits = index.nearest_to(matrix.row(row as usize), 20);
        assert_eq!(hits[0].row, row);
        let mut found: Vec<u32> = hits.iter().map(|hit| hit.row).collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), 20, "a row is found twice: {hits:?}");
    }
    expect_exact(&index, matrix, 10);
}

#[test]
fn what_was_deleted_is_not_found_and_what_is_new_is() {
    let vectors = random_matrix(ROWS + 50, 16, 6);
    let (index, keys) = first(&vectors);
    let rows: Vec<usize> = (ROWS..ROWS + 50).chain((0..ROWS).filter(|row| row % 10 != 3)).collect();
    let (matrix, new) = version(&vectors, &rows);
    let (index, node_keys, renewed) = renew(index, &keys, &new, &matrix).unwrap();
    assert_eq!(renewed, Renewed { deleted: 60, scanned: 50 });
    assert_eq!(node_keys.len(), ROWS + 50);
    expect_exact(&index, matrix, 20);

    // And once more: what was deleted comes back, what was new goes.
    let (matrix, new) = version(&vectors, &(0..ROWS).collect::<Vec<_>>());
    let (index, _, renewed) = renew(index, &node_keys, &new, &matrix).unwrap();
    assert_eq!(renewed, Renewed { deleted: 0, scanned: 0 });
    expect_exact(&index, matrix, 20);
}

#[test]
fn too_many_changes_ask_for_a_new_graph() {
    let vectors = random_matrix(ROWS + MAX_SCANNED + 1, 16, 6);
    let all = vectors.rows();
    let renewed = |rows: Vec<usize>| {
        let (index, keys) = first(&vectors);
        let (matrix, new) = version(&vectors, &rows);
        renew(index, &keys, &new, &matrix).map(|(_, _, renewed)| renewed)
    };
    assert_eq!(renewed((0..ROWS - 120).collect()), Some(Renewed { deleted: 120, scanned: 0 }));
    assert_eq!(renewed((0..ROWS - 121).collect()), None);
    assert_eq!(renewed((0..all - 1).collect()), Some(Renewed { deleted: 0, scanned: MAX_SCANNED }));
    assert_eq!(renewed((0..all).collect()), None);
}

#[test]
fn a_changed_vector_is_a_new_row() {
    let vectors = random_matrix(ROWS, 16, 6);
    let (index, keys) = first(&vectors);
    // Row 5 now has the vector that row 6 had, as if its text had been embedded anew.
    let rows: Vec<usize> = (0..ROWS).map(|row| if row == 5 { 6 } else { row }).collect();
    let (matrix, _) = version(&vectors, &rows);
    let new: Vec<RowKey> = (0..ROWS).map(key).collect();
    let (index, _, renewed) = renew(index, &keys, &new, &matrix).unwrap();
    assert_eq!(renewed, Renewed { deleted: 1, scanned: 1 });
    expect_exact(&index, matrix, 10);
}

#[test]
fn a_component_that_codes_cannot_say_asks_for_a_new_graph() {
    let vectors = random_matrix(ROWS, 16, 6);
    let (index, keys) = first(&vectors);
    let (mut values, mut new) = (VectorMatrix::with_capacity(ROWS + 1, 16), keys_of(ROWS));
    for row in vectors.iter() {
        values.push(&Embedding::stored(row.to_vec(), 16).unwrap()).unwrap();
    }
    let mut axis = vec![0.0; 16];
    axis[3] = 1.0;
    values.push(&Embedding::normalised(axis).unwrap()).unwrap();
    new.push(key(ROWS));
    assert!(renew(index, &keys, &new, &values.finish()).is_none());
}

fn keys_of(rows: usize) -> Vec<RowKey> {
    (0..rows).map(key).collect()
}

#[test]
fn equal_rows_are_told_apart_by_number() {
    let vectors = random_matrix(ROWS, 16, 6);
    let (index, mut keys) = first(&vectors);
    keys.iter_mut().take(3).for_each(|key| *key = [1; 16]);
    let rows: Vec<usize> = index.rows.iter().map(|row| *row as usize).collect();
    let (matrix, mut new) = version(&vectors, &rows);
    new.iter_mut().take(3).for_each(|key| *key = [1; 16]);
    let (_, _, renewed) = renew(index, &keys, &new, &matrix).unwrap();
    assert_eq!(renewed, Renewed { deleted: 0, scanned: 0 });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn no_live_row_is_missed(kept in prop::collection::vec(prop::bool::weighted(0.85), ROWS), k in 1usize..700) {
        let vectors = random_matrix(ROWS, 16, 6);
        let (index, keys) = first(&vectors);
        let rows: Vec<usize> = (0..ROWS).filter(|row| kept[*row]).collect();
        let (matrix, new) = version(&vectors, &rows);
        if let Some((index, ..)) = renew(index, &keys, &new, &matrix) {
            let hits = index.nearest_to(matrix.row(0), k);
            prop_assert_eq!(hits.len(), k.min(rows.len()));
            prop_assert_eq!(hits[0].row, 0);
        }
    }
}
