//! Which candidates a node is linked to: algorithm 4 of Malkov and Yashunin, <https://arxiv.org/abs/1603.09320>.
//!
//! A candidate is left out if it is as near to one that was taken as it is to the node: the search gets there by way
//! of that one.

use super::codes::Codes;
use super::scratch::{self, Scratch};

/// Of the candidates in the scratch's pool, which are those of `node`.
pub(super) fn select(codes: &Codes, node: u32, most: usize, scratch: &mut Scratch) -> Vec<u32> {
    let near: Vec<u32> = scratch.pool.nodes().filter(|near| *near != node).collect();
    diverse(codes, node, near, most, scratch)
}

/// Of links that may have become too many, which are kept.
pub(super) fn select_again(codes: &Codes, node: u32, links: Vec<u32>, most: usize) -> Vec<u32> {
    if links.len() <= most {
        return links;
    }
    scratch::with(|scratch| diverse(codes, node, links, most, scratch))
}

fn diverse(codes: &Codes, node: u32, near: Vec<u32>, most: usize, scratch: &mut Scratch) -> Vec<u32> {
    let Scratch { scores, .. } = scratch;
    codes.scores(&codes.query_of(node), &near, scores);
    let mut candidates: Vec<(i32, u32)> = scores.iter().copied().zip(near).collect();
    candidates.sort_unstable_by_key(|(score, near)| (std::cmp::Reverse(*score), *near));
    let mut taken: Vec<u32> = Vec::with_capacity(most);
    for (score, near) in candidates {
        if taken.len() == most {
            break;
        }
        let query = codes.query_of(near);
        let covered = taken.chunks(CHUNK).any(|taken| {
            codes.scores(&query, taken, scores);
            scores.iter().any(|other| *other >= score)
        });
        if !covered {
            taken.push(near);
        }
    }
    taken
}

/// Taken ones that a candidate is compared with at once.
const CHUNK: usize = 4;
