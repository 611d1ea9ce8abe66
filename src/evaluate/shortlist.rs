//! How often the right route is among the likeliest few: what an LLM stage that chooses from so many can reach at best.

use serde::Serialize;

use super::outcome::Outcome;
use super::proportion::Proportion;

/// The lengths that are reported; 6 is what the LLM stage is given by default.
const LENGTHS: [usize; 5] = [1, 2, 3, 6, 10];

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Shortlist {
    pub routes: usize,
    /// Rows in scope whose route is among so many likeliest.
    pub holds: Proportion,
}

/// For each length; empty if no row is in scope.
pub(super) fn of(outcomes: &[Outcome]) -> Vec<Shortlist> {
    let in_scope = || outcomes.iter().filter(|outcome| outcome.in_scope());
    if in_scope().next().is_none() {
        return Vec::new();
    }
    let holds = |routes: usize| Proportion::count(in_scope().map(|row| row.rank().is_some_and(|rank| rank < routes)));
    LENGTHS.into_iter().map(|routes| Shortlist { routes, holds: holds(routes) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::outcome::{Ranked, samples::outcome};

    #[test]
    fn longer_lists_hold_more() {
        let ranking = ["b", "c", "a"].map(|route| Ranked { route: route.to_owned(), probability: 0.3 }).to_vec();
        let rows = [outcome("a", "a", 1.0), Outcome { ranking, ..outcome("a", "b", 0.3) }, outcome("", "a", 1.0)];
        let hits: Vec<_> = of(&rows).iter().map(|list| (list.routes, list.holds.hits, list.holds.rows)).collect();
        assert_eq!(hits, [(1, 1, 2), (2, 1, 2), (3, 2, 2), (6, 2, 2), (10, 2, 2)]);
        assert_eq!(of(&rows[2..]), []);
    }
}
