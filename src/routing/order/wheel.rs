//! Smooth weighted round robin, as nginx has it: <https://github.com/nginx/nginx/commit/52327e0627f49dbda1e8db695e63a4b0af4448b1>.
//! Weights 5, 1, 1 give a a b a c a a, where a plain round robin would give a a a a a b c.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::routing::target::Target;

/// Most wheels. There is one for each route and set of allowed candidates, and policies can make many of these.
const MAX_WHEELS: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Wheels(Mutex<HashMap<u64, Vec<i64>>>);

impl Wheels {
    /// Ranks of the targets, whose turn it is first; takes the turn. The others follow as their own turns would come.
    ///
    /// Two lists with one `key` (which has 64 bits) would share a wheel, and their shares would be a little off.
    pub(super) fn turn(&self, key: u64, targets: &[Arc<Target>]) -> Vec<f64> {
        let mut wheels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if wheels.len() >= MAX_WHEELS && !wheels.contains_key(&key) {
            // All begin anew, which costs an uneven round each.
            wheels.clear();
        }
        let credits = wheels.entry(key).or_default();
        credits.resize(targets.len(), 0);
        advance(credits, targets)
    }
}

/// Everybody is credited with his weight; the richest goes first and pays what all have got.
fn advance(credits: &mut [i64], targets: &[Arc<Target>]) -> Vec<f64> {
    let weights = targets.iter().map(|target| i64::from(target.weight.get()));
    credits.iter_mut().zip(weights.clone()).for_each(|(credit, weight)| *credit += weight);
    let ranks = credits.iter().map(|credit| -(*credit as f64)).collect();
    // Of equals the first, as the ranks' stable sort takes it.
    let richest = credits.iter_mut().rev().max_by_key(|credit| **credit);
    if let Some(richest) = richest {
        *richest -= weights.sum::<i64>();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::reference::TargetName;

    fn targets(weights: &[u32]) -> Vec<Arc<Target>> {
        let target = |(at, weight): (usize, &u32)| {
            let bare = Target::new(TargetName::new(&format!("t{at}")).unwrap(), "p", "m");
            Arc::new(Target { weight: NonZeroU32::new(*weight).unwrap(), ..bare })
        };
        weights.iter().enumerate().map(target).collect()
    }

    /// Who is first.
    fn first(ranks: &[f64]) -> usize {
        (0..ranks.len()).min_by(|one, other| ranks[*one].total_cmp(&ranks[*other])).unwrap()
    }

    #[test]
    fn turns_are_mixed_as_in_nginx() {
        let (wheels, targets) = (Wheels::default(), targets(&[5, 1, 1]));
        let turns: Vec<usize> = (0..14).map(|_| first(&wheels.turn(7, &targets))).collect();
        assert_eq!(turns, [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn wheels_are_bounded_and_turn_by_themselves() {
        let (wheels, targets) = (Wheels::default(), targets(&[1, 1]));
        for key in 0..2 * MAX_WHEELS as u64 {
            assert_eq!(first(&wheels.turn(key, &targets)), 0, "{key}");
        }
        assert!(wheels.0.lock().unwrap().len() <= MAX_WHEELS);
    }

    proptest! {
        #[test]
        fn in_a_whole_round_each_is_first_as_often_as_its_weight(weights in prop::collection::vec(1u32..20, 1..6)) {
            let (wheels, targets) = (Wheels::default(), targets(&weights));
            let mut turns = vec![0; weights.len()];
            for _ in 0..weights.iter().sum() {
                turns[first(&wheels.turn(0, &targets))] += 1;
            }
            prop_assert_eq!(turns, weights);
        }
    }
}
