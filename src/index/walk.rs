//! Searching a graph: greedily down to a layer, there best-first with `ef` candidates.
//! Algorithms 2 and 5 of Malkov and Yashunin, <https://arxiv.org/abs/1603.09320>.

use super::codes::{Codes, QueryCodes};
use super::links::Links;
use super::scratch::Scratch;

/// What is walked: also a graph that is still being built, as far as it is linked.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) codes: &'a Codes,
    pub(super) links: &'a Links,
}

impl Ground<'_> {
    /// Fills the scratch's pool with the `ef` nearest nodes that it finds, beginning where the upper layers lead to and
    /// at some nodes more. The graph has at least one node.
    pub(super) fn walk(self, more: impl Iterator<Item = u32>, query: &QueryCodes, ef: usize, scratch: &mut Scratch) {
        let entry = self.entry(0, query, scratch);
        self.walk_in(0, std::iter::once(entry).chain(more), query, ef, scratch);
    }

    /// Fills the scratch's pool with the `ef` nearest nodes of a layer that it finds, beginning at `starts`.
    pub(super) fn walk_in(
        self,
        layer: usize,
        starts: impl Iterator<Item = u32>,
        query: &QueryCodes,
        ef: usize,
        scratch: &mut Scratch,
    ) {
        let Self { codes, links } = self;
        let Scratch { visited, pool, fresh, scores } = scratch;
        visited.begin(links.size(layer));
        pool.begin(ef);
        fresh.clear();
        fresh.extend(starts.filter(|node| visited.insert(*node)));
        codes.scores(query, fresh, scores);
        for (node, score) in fresh.iter().zip(scores.iter()) {
            pool.offer(*node, *score);
        }
        while let Some(node) = pool.follow() {
            if let Some(next) = pool.next() {
                links.fetch(layer, next);
            }
            fresh.clear();
            fresh.extend(links.of(layer, node).filter(|link| visited.insert(*link)));
            codes.scores(query, fresh, scores);
            for (node, score) in fresh.iter().zip(scores.iter()) {
                if pool.offer(*node, *score) {
                    links.fetch(layer, *node);
                }
            }
        }
    }

    /// The node to which the layers above `layer` lead.
    pub(super) fn entry(self, layer: usize, query: &QueryCodes, scratch: &mut Scratch) -> u32 {
        (layer + 1..self.links.layers()).rev().fold(0, |node, layer| self.descend(layer, node, query, scratch))
    }

    /// The node of a layer from which no link leads nearer, beginning at `node`.
    fn descend(self, layer: usize, node: u32, query: &QueryCodes, scratch: &mut Scratch) -> u32 {
        let Scratch { fresh, scores, .. } = scratch;
        self.codes.scores(query, &[node], scores);
        let (mut nearest, mut best) = (node, scores.first().copied().unwrap_or(i32::MIN));
        loop {
            fresh.clear();
            fresh.extend(self.links.of(layer, nearest));
            self.codes.scores(query, fresh, scores);
            let before = best;
            for (node, score) in fresh.iter().zip(scores.iter()) {
                if *score > best {
                    (nearest, best) = (*node, *score);
                }
            }
            if best == before {
                return nearest;
            }
        }
    }
}
