//! Makes every node of a graph reachable from the first one.
//!
//! The builder keeps a node's nearest links when it has too many, whatever that cuts off: of thousands of equal
//! vectors each is linked to its equals only, and nodes to which nobody links are never found.

use super::codes::{Codes, QueryCodes};
use super::links::Links;
use super::scratch;
use super::walk::walk;

/// Candidates among which a node with room for one more link is looked for.
const CANDIDATES: usize = 64;

/// A link that replaces another may cut something off in turn; so often it is looked at again.
const ROUNDS: usize = 4;

/// Links what cannot be reached; returns how many nodes still cannot. Those are found by no search.
pub(super) fn connect(codes: &Codes, links: &mut Links) -> usize {
    for _ in 0..ROUNDS {
        let mut reached = vec![false; links.size(0)];
        reach(links, 0, &mut reached);
        let lost: Vec<u32> = (0..links.size(0) as u32).filter(|node| !is(&reached, *node)).collect();
        if lost.is_empty() {
            return 0;
        }
        for node in lost {
            // An earlier repair may have brought it back.
            if !is(&reached, node) {
                link_to(codes, links, node);
                reach(links, node, &mut reached);
            }
        }
    }
    let mut reached = vec![false; links.size(0)];
    reach(links, 0, &mut reached);
    reached.iter().filter(|reached| !**reached).count()
}

fn is(reached: &[bool], node: u32) -> bool {
    reached.get(node as usize).copied().unwrap_or(true)
}

/// Marks what can be reached from `start` along the bottom layer.
fn reach(links: &Links, start: u32, reached: &mut [bool]) {
    let mut waiting = vec![start];
    while let Some(node) = waiting.pop() {
        if let Some(mark) = reached.get_mut(node as usize).filter(|mark| !**mark) {
            *mark = true;
            waiting.extend(links.of(0, node));
        }
    }
}

/// Links a near node that a search finds to `lost`: the nearest one that has room, else the nearest in the place of
/// its farthest link.
fn link_to(codes: &Codes, links: &mut Links, lost: u32) {
    let query = query_of(codes, lost);
    let near: Vec<u32> = scratch::with(|scratch| {
        walk(codes, links, &query, CANDIDATES, scratch);
        scratch.pool.nodes().filter(|node| *node != lost).collect()
    });
    if !near.iter().any(|node| links.add(0, *node, lost))
        && let Some(nearest) = near.first()
    {
        links.replace_last(0, *nearest, lost);
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
        assert_eq!(connect(&codes, &mut links), 0);
        let mut reached = vec![false; 90];
        reach(&links, 0, &mut reached);
        assert!(reached.iter().all(|reached| *reached));
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
        assert_eq!(connect(&codes, &mut links), 0);
    }
}
