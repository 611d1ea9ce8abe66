//! From where on something is worth a finding.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Limits {
    /// Least confidence of the others in another route for a prompt to be called contradicted, in [0, 1].
    pub contradiction: f64,
    /// Least cosine similarity of near-duplicates, in [-1, 1]. With all-MiniLM-L6-v2, 0.95 is a word or two of
    /// difference.
    pub near_duplicate: f64,
    /// Most of two routes' prompts that may be lost to each other, in [0, 1].
    pub confusion: f64,
    /// Least share of a route's prompts that its own route wins, in [0, 1].
    pub own_share: f64,
    /// Fewest prompts of a route.
    pub prompts: usize,
    /// Most times that a route may have more (or fewer) prompts than the median.
    pub imbalance: f64,
    /// Share of a route's prompts from which on something that they have in common is a habit, in [0, 1].
    pub habit: f64,
    /// Share of the other routes' prompts up to which a habit gives the route away, in [0, 1].
    pub habit_elsewhere: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            contradiction: 0.8,
            near_duplicate: 0.95,
            confusion: 0.1,
            own_share: 0.5,
            prompts: 10,
            imbalance: 20.0,
            habit: 0.9,
            habit_elsewhere: 0.3,
        }
    }
}
