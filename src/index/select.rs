//! Which candidates a node is linked to: algorithm 4 of Malkov and Yashunin, <https://arxiv.org/abs/1603.09320>.
//!
//! A candidate is left out if it is as near to one that was taken as it is to the node: a search gets there by way of
//! that one. Of equal vectors a node is so linked to one, and has links left that lead elsewhere.

use super::codes::Codes;

/// Taken ones that a candidate is compared with at once. Most candidates fall to the first few.
const COMPARED: usize = 4;

/// At most `most` of the candidates, which come with their scores, best first.
pub(super) fn select(codes: &Codes, candidates: impl Iterator<Item = (i32, u32)>, most: usize) -> Vec<u32> {
    let (mut taken, mut scores) = (Vec::with_capacity(most), Vec::with_capacity(COMPARED));
    for (score, candidate) in candidates {
        if taken.len() == most {
            break;
        }
        let query = codes.query_of(candidate);
        let is_covered = taken.chunks(COMPARED).any(|taken| {
            codes.scores(&query, taken, &mut scores);
            scores.iter().any(|other| *other >= score)
        });
        if !is_covered {
            taken.push(candidate);
        }
    }
    taken
}

/// At most `most` of a node's links, of which there may be more by now.
pub(super) fn select_again(codes: &Codes, node: u32, links: Vec<u32>, most: usize) -> Vec<u32> {
    if links.len() <= most {
        return links;
    }
    let mut scores = Vec::new();
    codes.scores(&codes.query_of(node), &links, &mut scores);
    let mut candidates: Vec<(i32, u32)> = scores.into_iter().zip(links).collect();
    candidates.sort_unstable_by_key(|(score, link)| (std::cmp::Reverse(*score), *link));
    select(codes, candidates.into_iter(), most)
}

#[cfg(test)]
mod tests {
    use super::super::VectorMatrix;
    use super::super::codes::step_for;
    use super::*;
    use crate::embed::Embedding;

    /// Nodes on a circle, at these angles in degrees.
    fn circle(angles: &[f32]) -> Codes {
        let mut vectors = VectorMatrix::with_capacity(angles.len(), 2);
        for angle in angles {
            let (y, x) = angle.to_radians().sin_cos();
            vectors.push(&Embedding::normalised(vec![x, y]).unwrap()).unwrap();
        }
        let vectors = vectors.finish();
        Codes::encode(&vectors, step_for(&vectors), &(0..angles.len() as u32).collect::<Vec<_>>())
    }

    #[test]
    fn a_link_in_each_direction_is_kept() {
        // Node 2 lies behind node 1, node 4 behind node 3.
        let codes = circle(&[0.0, 20.0, 35.0, -30.0, -50.0, 20.0]);
        assert_eq!(select_again(&codes, 0, vec![4, 2, 3, 1], 3), [1, 3]);
        assert_eq!(select_again(&codes, 0, vec![4, 2, 3, 1], 1), [1]);
        assert_eq!(select_again(&codes, 0, vec![4, 2, 3, 1], 4), [4, 2, 3, 1], "there is room for all");
        assert_eq!(select_again(&codes, 0, vec![5, 1, 3], 2), [1, 3], "one of equals is enough");
    }
}
