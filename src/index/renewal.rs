//! A new version's index out of the one before: rows that are gone are marked, rows that are new stand beside the
//! graph and are scanned. Seconds instead of minutes for a large set that changed a little.

use std::collections::HashMap;

use super::file::RowKey;
use super::frozen::{DELETED, HnswIndex};
use super::matrix::VectorMatrix;

/// Rows that are scanned at each search, at most: some 40 microseconds.
const MAX_SCANNED: usize = 1_000;

/// The graph is built anew when more than one in so many of its nodes is deleted. Walking through them costs time.
const DELETED_ONE_IN: usize = 5;

/// What the new rows need that the old index does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewed {
    pub deleted: usize,
    pub scanned: usize,
}

/// Makes `index`, whose nodes have the keys `old`, that of the rows with the keys `new` and these vectors. Rows are
/// the same if their keys and their vectors are. `None` if too much has changed for that.
pub fn renew(
    index: HnswIndex,
    old: &[RowKey],
    new: &[RowKey],
    vectors: &VectorMatrix,
) -> Option<(HnswIndex, Vec<RowKey>, Renewed)> {
    let linked = index.linked();
    let mut rows_of: HashMap<&RowKey, Vec<u32>> = HashMap::with_capacity(new.len());
    // The last row is taken first: from the end, so that equal rows keep their order.
    for (row, key) in new.iter().enumerate().rev() {
        rows_of.entry(key).or_default().push(row as u32);
    }
    let mut taken = vec![false; new.len()];
    let mut take = |node: usize, key: &RowKey| {
        let rows = rows_of.get_mut(key)?;
        let row = *rows.last().filter(|row| index.codes.is(node, vectors.row(**row as usize)))?;
        rows.pop();
        *taken.get_mut(row as usize)? = true;
        Some(row)
    };
    let mut rows: Vec<u32> =
        old.iter().take(linked).enumerate().map(|(node, key)| take(node, key).unwrap_or(DELETED)).collect();
    let deleted = rows.iter().filter(|row| **row == DELETED).count();
    let scanned: Vec<u32> = (0..new.len() as u32).filter(|row| !is(&taken, *row)).collect();
    let told = scanned.iter().all(|row| index.codes.reaches(vectors.row(*row as usize)));
    if !told || scanned.len() > MAX_SCANNED || deleted * DELETED_ONE_IN > linked {
        return None;
    }
    let mut keys: Vec<RowKey> = old.iter().take(linked).copied().collect();
    let mut codes = index.codes.resized(linked, linked + scanned.len());
    for (node, row) in (linked..).zip(&scanned) {
        codes.set(node, vectors.row(*row as usize));
        keys.push(new.get(*row as usize).copied().unwrap_or_default());
    }
    let renewed = Renewed { deleted, scanned: scanned.len() };
    rows.extend(scanned);
    Some((HnswIndex { codes, rows, live: new.len(), ..index }, keys, renewed))
}

fn is(marks: &[bool], row: u32) -> bool {
    marks.get(row as usize).copied().unwrap_or(false)
}

#[cfg(test)]
#[path = "renewal_tests.rs"]
mod tests;
