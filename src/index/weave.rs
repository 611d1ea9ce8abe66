//! Linking the nodes of one layer: algorithm 1 of Malkov and Yashunin, <https://arxiv.org/abs/1603.09320>, in batches.
//!
//! The nodes of a batch look for their neighbours in the graph as it was before, all at once, and are linked then: no
//! thread waits for another, and the result does not depend on how they run. A batch is a small part of what is linked
//! already, as in ParlayANN, <https://arxiv.org/abs/2305.04359>: that costs no recall that could be measured.

use rayon::prelude::*;

use super::codes::Codes;
use super::levels::mixed;
use super::links::Links;
use super::scratch;
use super::select::{select, select_again};
use super::walk::Ground;
use super::watch::{BuildWatch, Stopped};

/// A batch is at most one in so many of the nodes that are linked before it.
const BATCH_ONE_IN: usize = 50;

/// Most nodes of a batch: some seconds of a core.
const MAX_BATCH: usize = 8_192;

/// A layer without links.
pub(super) struct Layer<'a> {
    pub(super) codes: &'a Codes,
    /// 0 at the bottom.
    pub(super) number: usize,
    /// So many nodes, the first ones, are in the layer above too, where they are linked already.
    pub(super) upper: usize,
    /// For each node after those, one of them that is near it.
    pub(super) entries: &'a [u32],
    /// Candidates for a node's links.
    pub(super) ef: usize,
}

impl Layer<'_> {
    pub(super) fn weave(&self, links: &mut Links, watch: &BuildWatch) -> Result<(), Stopped> {
        let size = links.size(self.number);
        let mut woven = vec![false; size];
        for batch in batches(self.upper, size) {
            let found: Vec<Vec<u32>> = batch.par_iter().map(|node| self.neighbours(*node, links, &woven)).collect();
            self.link(links, &batch, &found);
            for node in &batch {
                if let Some(woven) = woven.get_mut(*node as usize) {
                    *woven = true;
                }
            }
            // At the bottom each row is counted once.
            watch.inserted(if self.number == 0 { batch.len() } else { 0 })?;
        }
        Ok(())
    }

    /// What a node is to be linked to.
    fn neighbours(&self, node: u32, links: &Links, woven: &[bool]) -> Vec<u32> {
        let is_woven = |node: &u32| woven.get(*node as usize).copied().unwrap_or(false);
        let entry = (node as usize).checked_sub(self.upper).and_then(|at| self.entries.get(at)).copied();
        // A node of the layer above begins at those that it is linked to there.
        let above = links.of(self.number + 1, node);
        let starts = entry.into_iter().chain(above).chain(std::iter::once(0)).filter(is_woven);
        scratch::with(|scratch| {
            let (ground, query) = (Ground { codes: self.codes, links }, self.codes.query_of(node));
            ground.walk_in(self.number, starts, &query, self.ef, scratch);
            select(self.codes, scratch.pool.scored(), links.room(self.number))
        })
    }

    /// Links each node of a batch to what it found, and what it found to it.
    fn link(&self, links: &mut Links, batch: &[u32], found: &[Vec<u32>]) {
        let mut back = Vec::with_capacity(found.iter().map(Vec::len).sum());
        for (node, found) in batch.iter().zip(found) {
            links.set(self.number, *node, found);
            back.extend(found.iter().map(|to| (*to, *node)));
        }
        back.par_sort_unstable();
        let of_nodes: Vec<&[(u32, u32)]> = back.chunk_by(|a, b| a.0 == b.0).collect();
        let longer = |new: &&[(u32, u32)]| {
            let (node, _) = *new.first()?;
            let all = links.of(self.number, node).chain(new.iter().map(|(_, new)| *new)).collect();
            Some((node, select_again(self.codes, node, all, links.room(self.number))))
        };
        let longer: Vec<(u32, Vec<u32>)> = of_nodes.par_iter().filter_map(longer).collect();
        for (node, to) in longer {
            links.set(self.number, node, &to);
        }
    }
}

/// The nodes of a layer in the order in which they are linked: the first one alone, those of the layer above, the rest.
/// A batch is drawn from all over the layer, so that its nodes are far from each other, and then put in order, so that
/// searches that follow each other go to the same places.
fn batches(upper: usize, size: usize) -> Vec<Vec<u32>> {
    let mut drawn: Vec<u32> = (0..size as u32).collect();
    drawn.sort_by_cached_key(|node| (*node > 0, *node as usize >= upper, mixed(u64::from(*node))));
    let (mut batches, mut rest, mut linked) = (Vec::new(), drawn.as_slice(), 0usize);
    while !rest.is_empty() {
        let (batch, others) = rest.split_at((linked / BATCH_ONE_IN).clamp(1, MAX_BATCH).min(rest.len()));
        let mut batch = batch.to_vec();
        batch.sort_unstable();
        linked += batch.len();
        batches.push(batch);
        rest = others;
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_have_each_node_once_and_the_upper_ones_first() {
        let all = batches(40, 5_000);
        assert_eq!(all[0], [0]);
        let mut seen: Vec<u32> = Vec::new();
        for batch in &all {
            assert!(batch.is_sorted() && batch.len() <= (seen.len() / BATCH_ONE_IN).max(1));
            seen.extend(batch);
        }
        assert!(seen[..40].iter().all(|node| *node < 40));
        seen.sort_unstable();
        assert_eq!(seen, (0..5_000).collect::<Vec<u32>>());
        assert!(batches(0, 0).is_empty());
    }

    /// 8,192 and no more, however many there are.
    #[test]
    fn a_batch_is_over_in_seconds() {
        assert_eq!(batches(0, 500_000).iter().map(Vec::len).max(), Some(MAX_BATCH));
    }
}
