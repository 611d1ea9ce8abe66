//! Makes every node of a graph reachable from the first one.
//!
//! A builder that has too many links for a node leaves some out, whatever that cuts off: nodes to which nobody links are
//! never found. `hnsw_rs` keeps the nearest: of thousands of equal vectors each is then linked to its equals only.

use super::codes::{Codes, QueryCodes};
use super::links::Links;
use super::scratch;
use super::walk::Ground;

/// Candidates among which a node with room for one more link is looked for.
const CANDIDATES: usize = 64;

/// Nearest nodes among which one gives up a link.
const SPREAD: usize = 8;

/// A link that replaces another may cut something off in turn; so often it is looked at again.
const ROUNDS: usize = 4;

/// An island of so many nodes gets a landmark.
const ISLAND: usize = 8;

/// Most landmarks: each search looks at all of them.
const MAX_LANDMARKS: usize = 128;

/// Links what cannot be reached. Returns a node of each island that there was, the largest first: one link in some
/// thousand equal vectors is not found by a search that looks at a hundred, so a search begins at these too.
pub(super) fn connect(codes: &Codes, links: &mut Links) -> Vec<u32> {
    let mut islands: Vec<(usize, u32)> = Vec::new();
    for _ in 0..ROUNDS {
        let mut reached = vec![false; links.size(0)];
        reach(links, 0, &mut reached);
        let lost: Vec<u32> = (0..links.size(0) as u32).filter(|node| !is(&reached, *node)).collect();
        if lost.is_empty() {
            break;
        }
        for node in lost {
            // An earlier repair may have brought it back.
            if !is(&reached, node) {
                link_to(codes, links, node);
                islands.push((reach(links, node, &mut reached), node));
            }
        }
    }
    islands.retain(|(nodes, _)| *nodes >= ISLAND);
    islands.sort_unstable_by_key(|(nodes, node)| (std::cmp::Reverse(*nodes), *node));
    islands.dedup_by_key(|(_, node)| *node);
    islands.into_iter().map(|(_, node)| node).take(MAX_LANDMARKS).collect()
}

fn is(reached: &[bool], node: u32) -> bool {
    reached.get(node as usize).copied().unwrap_or(true)
}

/// Marks what can be reached from `start` along the bottom layer; how many were not marked before.
fn reach(links: &Links, start: u32, reached: &mut [bool]) -> usize {
    let (mut waiting, mut marked) = (vec![start], 0);
    while let Some(node) = waiting.pop() {
        if let Some(mark) = reached.get_mut(node as usize).filter(|mark| !**mark) {
            *mark = true;
            marked += 1;
            waiting.extend(links.of(0, node));
        }
    }
    marked
}

/// Links a near node that a search finds to `lost`: the nearest one that has room, else one of the nearest in the place
/// of its farthest link.
fn link_to(codes: &Codes, links: &mut Links, lost: u32) {
    let query = query_of(codes, lost);
    let near: Vec<u32> = scratch::with(|scratch| {
        Ground { codes, links }.walk(std::iter::empty(), &query, CANDIDATES, scratch);
        scratch.pool.nodes().filter(|node| *node != lost).collect()
    });
    if near.iter().any(|node| links.add(0, *node, lost)) {
        return;
    }
    // Not the same one for all: of equal vectors the first is nearest to every lost one.
    let place = lost as usize % near.len().clamp(1, SPREAD);
    if let Some(full) = near.get(place) {
        links.replace_last(0, *full, lost);
    }
}

fn query_of(codes: &Codes, node: u32) -> QueryCodes {
    codes.query(&codes.vector(node))
}

#[cfg(test)]
mod tests {
    use super::super::codes::step_for;
    use super::super::tests_support::random_matrix;
    use super::*;

    #[test]
    fn islands_are_linked() {
        let vectors = random_matrix(90, 16, 5);
        let order: Vec<u32> = (0..90).collect();
        let codes = Codes::encode(&vectors, step_for(&vectors), &order);
        // Rings of ten, and some nodes to which nobody links.
        let mut links = Links::unlinked(4, &[90]);
        for node in 0..80 {
            links.add(0, node, node / 10 * 10 + (node + 1) % 10);
        }
        for node in 80..90 {
            links.add(0, node, 0);
        }
        let landmarks = connect(&codes, &mut links);
        assert!(landmarks.len() <= 7 && landmarks.iter().all(|node| (10..80).contains(node)), "{landmarks:?}");
        assert_eq!(reach(&links, 0, &mut [false; 90]), 90);
        assert_eq!(links.faulty_layer(), None);
    }

    #[test]
    fn full_lists_of_equal_vectors_give_way() {
        let mut same = super::super::VectorMatrix::with_capacity(40, 2);
        for _ in 0..40 {
            same.push(&crate::embed::Embedding::normalised(vec![1.0, 0.0]).unwrap()).unwrap();
        }
        let same = same.finish();
        let order: Vec<u32> = (0..40).collect();
        let codes = Codes::encode(&same, step_for(&same), &order);
        // Two cliques of full lists.
        let mut links = Links::unlinked(4, &[40]);
        for node in 0..40u32 {
            let clique = if node < 9 { 0..9 } else { 9 + (node - 9) / 9 * 9..(9 + (node - 9) / 9 * 9 + 9).min(40) };
            for to in clique.filter(|to| *to != node) {
                links.add(0, node, to);
            }
        }
        connect(&codes, &mut links);
        assert_eq!(reach(&links, 0, &mut [false; 40]), 40);
    }
}
