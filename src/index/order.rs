//! In which order the nodes of a graph are numbered: those of upper layers first, as [`super::links`] wants it, and
//! within a layer neighbours near each other, so that a walk finds them in the same pages of memory.

use std::collections::VecDeque;

/// The rows in their new order. `links` are those of each row, layer by layer; a row without layers is on the bottom.
pub(super) fn of_rows(links: &[Vec<Vec<u32>>]) -> Vec<u32> {
    let level = |row: u32| links.get(row as usize).map_or(0, |layers| layers.len().saturating_sub(1));
    let mut order = breadth_first(links);
    // Stable: within a level the order stays. The first node is one of the top layer, where a search begins.
    order.sort_by_key(|row| std::cmp::Reverse(level(*row)));
    order
}

/// Rows as a walk along the bottom layer meets them, from wherever it has not been.
fn breadth_first(links: &[Vec<Vec<u32>>]) -> Vec<u32> {
    let mut order = Vec::with_capacity(links.len());
    let mut met = vec![false; links.len()];
    let mut waiting = VecDeque::new();
    for start in 0..links.len() as u32 {
        waiting.push_back(start);
        while let Some(row) = waiting.pop_front() {
            let Some(met) = met.get_mut(row as usize).filter(|met| !**met) else { continue };
            *met = true;
            order.push(row);
            waiting.extend(links.get(row as usize).and_then(|layers| layers.first()).into_iter().flatten());
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_layers_come_first_and_each_row_once() {
        let links =
            vec![vec![vec![4]], vec![vec![0], vec![3]], vec![], vec![vec![1], vec![1], vec![]], vec![vec![0, 1]]];
        assert_eq!(of_rows(&links), [3, 1, 0, 4, 2]);
        assert!(of_rows(&[]).is_empty());
    }
}
