//! Searching a frozen graph: greedily down to the bottom layer, there best-first with `ef` candidates.
//! Algorithms 2 and 5 of Malkov and Yashunin, <https://arxiv.org/abs/1603.09320>.

use super::codes::{Codes, QueryCodes};
use super::links::Links;
use super::scratch::Scratch;

/// Fills the scratch's pool with the `ef` nearest nodes that it finds, beginning where the upper layers lead to and at
/// the landmarks. The graph has at least one node.
pub(super) fn walk(
    codes: &Codes,
    links: &Links,
    landmarks: &[u32],
    query: &QueryCodes,
    ef: usize,
    scratch: &mut Scratch,
) {
    let entry = (1..links.layers()).rev().fold(0, |node, layer| descend(codes, links, query, layer, node, scratch));
    let starts: Vec<u32> = std::iter::once(entry).chain(landmarks.iter().copied()).collect();
    walk_in(codes, links, 0, &starts, query, ef, scratch);
}

/// Fills the scratch's pool with the `ef` nearest nodes of a layer that it finds, beginning at `starts`.
pub(super) fn walk_in(
    codes: &Codes,
    links: &Links,
    layer: usize,
    starts: &[u32],
    query: &QueryCodes,
    ef: usize,
    scratch: &mut Scratch,
) {
    let Scratch { visited, pool, fresh, scores } = scratch;
    visited.begin(links.size(layer));
    pool.begin(ef);
    fresh.clear();
    fresh.extend(starts.iter().copied().filter(|node| visited.insert(*node)));
    codes.scores(query, fresh, scores);
    fresh.iter().zip(scores.iter()).for_each(|(node, score)| pool.offer(*node, *score));
    while let Some(node) = pool.follow() {
        fresh.clear();
        fresh.extend(links.of(layer, node).filter(|link| visited.insert(*link)));
        codes.scores(query, fresh, scores);
        for (node, score) in fresh.iter().zip(scores.iter()) {
            pool.offer(*node, *score);
        }
    }
}

/// The node of a layer from which no link leads nearer, beginning at `node`.
pub(super) fn descend(
    codes: &Codes,
    links: &Links,
    query: &QueryCodes,
    layer: usize,
    node: u32,
    scratch: &mut Scratch,
) -> u32 {
    let Scratch { fresh, scores, .. } = scratch;
    codes.scores(query, &[node], scores);
    let (mut nearest, mut best) = (node, scores.first().copied().unwrap_or(i32::MIN));
    loop {
        fresh.clear();
        fresh.extend(links.of(layer, nearest));
        codes.scores(query, fresh, scores);
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
