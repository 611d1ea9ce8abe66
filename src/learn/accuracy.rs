//! How right the decisions on a set's own reference prompts are, each with itself left out, and how right they would be
//! with some prompts more. Today the neighbours' vote decides, as it does when a version is built.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::classify::{VOTERS, vote};
use crate::embed::Embedding;
use crate::index::{FlatIndex, VectorIndex, VectorMatrix};
use crate::reference::{Neighbour, RouteIndex};

/// Prompts whose vote is taken, evenly spread over the set.
const SAMPLE: usize = 2_000;

/// Vectors that are compared at most, in all: some seconds on one core.
const MAX_COMPARISONS: usize = 40_000_000;

/// A labelled prompt.
#[derive(Debug, Clone)]
pub struct Example {
    pub route: RouteIndex,
    pub embedding: Embedding,
}

/// A prompt that is asked, with its own route and its nearest among the others.
struct Asked {
    example: Example,
    neighbours: Vec<Neighbour>,
}

/// Reference prompts, ready to be asked again and again with other prompts added.
pub struct Examination {
    asked: Vec<Asked>,
    /// Of all references.
    count: u32,
}

impl Examination {
    /// `None` if there are fewer than two references, or vectors of different dimensions. On the caller's thread.
    pub fn of(references: &[Example]) -> Option<Self> {
        let count = references.len();
        let first = references.first().filter(|_| count >= 2)?;
        let mut matrix = VectorMatrix::with_capacity(count, first.embedding.dimension());
        for example in references {
            matrix.push(&example.embedding).ok()?;
        }
        let index = FlatIndex::new(Arc::new(matrix.finish()));
        let sample = (MAX_COMPARISONS / count).clamp(200, SAMPLE);
        let asked = references.iter().enumerate().step_by(count.div_ceil(sample)).map(|(row, example)| {
            let hits = index.nearest(&example.embedding, VOTERS + 1).into_iter();
            let others = hits.filter(|hit| hit.row as usize != row);
            let neighbours = others.filter_map(|hit| {
                let route = references.get(hit.row as usize)?.route;
                Some(Neighbour { reference: hit.row, route, similarity: hit.similarity })
            });
            Asked { example: example.clone(), neighbours: neighbours.collect() }
        });
        Some(Self { asked: asked.collect(), count: u32::try_from(count).ok()? })
    }

    /// Share of the sampled references whose own route is decided on by all others and those `added`, in [0, 1].
    pub fn accuracy(&self, added: &[Example]) -> f32 {
        let right = self.asked.iter().filter(|asked| self.is_right(asked, added)).count();
        right as f32 / self.asked.len().max(1) as f32
    }

    fn is_right(&self, asked: &Asked, added: &[Example]) -> bool {
        let more = (self.count..).zip(added).map(|(reference, example)| asked.neighbour(reference, example));
        let mut neighbours: Vec<Neighbour> = asked.neighbours.iter().copied().chain(more).collect();
        neighbours.sort_by(nearer);
        asked.is_right_by(&neighbours)
    }

    /// Those of the candidates, by their places, with which the accuracy is not worse than without: all, if all
    /// together do no harm; else one after the other, each beside those that were found good before it.
    pub fn harmless(&self, candidates: &[Example]) -> Vec<usize> {
        if self.accuracy(candidates) >= self.accuracy(&[]) {
            return (0..candidates.len()).collect();
        }
        let mut trial = Trial::of(&self.asked);
        let candidates = (self.count..).zip(candidates).enumerate();
        let good = candidates.filter(|(_, (reference, candidate))| trial.takes(*reference, candidate));
        good.map(|(place, _)| place).collect()
    }
}

impl Asked {
    fn neighbour(&self, reference: u32, example: &Example) -> Neighbour {
        let similarity = super::near::similarity(&example.embedding, &self.example.embedding).clamp(-1.0, 1.0);
        Neighbour { reference, route: example.route, similarity }
    }

    fn is_right_by(&self, neighbours: &[Neighbour]) -> bool {
        vote(neighbours).first().is_some_and(|first| first.route == self.example.route)
    }
}

fn nearer(one: &Neighbour, other: &Neighbour) -> Ordering {
    other.similarity.total_cmp(&one.similarity).then(one.reference.cmp(&other.reference))
}

/// Candidates one by one: only the votes that a candidate takes part in are counted again.
struct Trial<'a> {
    asked: &'a [Asked],
    standing: Vec<Standing>,
}

/// Who votes on a prompt at present, and whether that is right.
struct Standing {
    voters: Vec<Neighbour>,
    right: bool,
}

impl<'a> Trial<'a> {
    fn of(asked: &'a [Asked]) -> Self {
        let standing = asked.iter().map(|asked| {
            let voters: Vec<Neighbour> = asked.neighbours.iter().copied().take(VOTERS).collect();
            Standing { right: asked.is_right_by(&voters), voters }
        });
        Self { asked, standing: standing.collect() }
    }

    /// Takes a candidate in if no fewer prompts are right with it.
    fn takes(&mut self, reference: u32, candidate: &Example) -> bool {
        let (mut changed, mut gain) = (Vec::new(), 0i64);
        for (at, (asked, standing)) in self.asked.iter().zip(&self.standing).enumerate() {
            let neighbour = asked.neighbour(reference, candidate);
            let place = standing.voters.partition_point(|voter| nearer(voter, &neighbour).is_lt());
            if place >= VOTERS {
                continue;
            }
            let mut voters = standing.voters.clone();
            voters.insert(place, neighbour);
            voters.truncate(VOTERS);
            let right = asked.is_right_by(&voters);
            gain += i64::from(right) - i64::from(standing.right);
            changed.push((at, Standing { voters, right }));
        }
        if gain < 0 {
            return false;
        }
        for (at, standing) in changed {
            if let Some(place) = self.standing.get_mut(at) {
                *place = standing;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(route: RouteIndex, degrees: f32) -> Example {
        let (sin, cos) = degrees.to_radians().sin_cos();
        Example { route, embedding: Embedding::normalised(vec![cos, sin]).unwrap() }
    }

    #[test]
    fn what_makes_the_vote_worse_is_found_out() {
        let near_zero = [0.0, 1.0, 2.0, 3.0].map(|degrees| example(0, degrees));
        let near_ninety = [90.0, 91.0, 92.0, 93.0].map(|degrees| example(1, degrees));
        let references: Vec<Example> = near_zero.into_iter().chain(near_ninety).collect();
        let examination = Examination::of(&references).unwrap();
        assert_eq!(examination.accuracy(&[]), 1.0);
        assert_eq!(examination.harmless(&[example(0, 4.0), example(1, 89.0)]), [0, 1]);
        // Mislabelled ones, so many that they outvote what is there.
        let wrong = [0.5, 1.5, 2.5, 0.2, 1.2, 2.2].map(|degrees| example(1, degrees));
        assert!(examination.accuracy(&wrong) < 1.0);
        let mixed: Vec<Example> = [example(0, 5.0)].into_iter().chain(wrong).collect();
        let good = examination.harmless(&mixed);
        assert!(good.contains(&0) && good.len() < mixed.len(), "{good:?}");
        let good: Vec<Example> = good.into_iter().map(|place| mixed[place].clone()).collect();
        assert_eq!(examination.accuracy(&good), 1.0);
    }

    #[test]
    fn too_few_references_tell_nothing() {
        assert!(Examination::of(&[]).is_none());
        assert!(Examination::of(&[example(0, 1.0)]).is_none());
        let other = Example { route: 0, embedding: Embedding::normalised(vec![1.0, 0.0, 0.0]).unwrap() };
        assert!(Examination::of(&[example(0, 1.0), other]).is_none());
    }
}
