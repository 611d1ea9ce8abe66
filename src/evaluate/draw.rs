//! A few references of each route, drawn from a seed: how good would the set be with so many prompts a route?
//!
//! Each prompt has a lot, made of the seed and its words alone; a route keeps the prompts with the lowest lots. So draws
//! are nested (the 5 are among the 10), and do not depend on the order of files or on a generator's version.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// Positions of at most `shots` prompts of each route, in the order of `prompts` (route, text).
pub fn draw(prompts: &[(&str, &str)], shots: usize, seed: u64) -> Vec<usize> {
    let mut routes: BTreeMap<&str, Vec<(u64, usize)>> = BTreeMap::new();
    for (at, (route, text)) in prompts.iter().enumerate() {
        routes.entry(route).or_default().push((lot(text, seed), at));
    }
    let mut drawn: Vec<usize> = Vec::new();
    for lots in routes.values_mut() {
        lots.sort_unstable();
        drawn.extend(lots.iter().take(shots).map(|(_, at)| *at));
    }
    drawn.sort_unstable();
    drawn
}

/// At most `rows` positions of `texts`, drawn in the same way, in their order.
pub fn sample(texts: &[&str], rows: usize, seed: u64) -> Vec<usize> {
    let one_route: Vec<(&str, &str)> = texts.iter().map(|text| ("", *text)).collect();
    draw(&one_route, rows, seed)
}

fn lot(text: &str, seed: u64) -> u64 {
    let digest: [u8; 32] = Sha256::new_with_prefix(seed.to_le_bytes()).chain_update(text).finalize().into();
    digest.iter().take(8).fold(0, |lot, byte| lot << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn draws_are_nested_and_complete(routes in prop::collection::vec(0u8..4, 0..60), shots in 1usize..8, seed in any::<u64>()) {
            let texts: Vec<(String, String)> =
                routes.iter().enumerate().map(|(at, route)| (format!("r{route}"), format!("text {at}"))).collect();
            let prompts: Vec<(&str, &str)> = texts.iter().map(|(route, text)| (route.as_str(), text.as_str())).collect();
            let few = draw(&prompts, shots, seed);
            let more = draw(&prompts, shots + 1, seed);
            prop_assert!(few.iter().all(|at| more.contains(at)) && few.is_sorted());
            for route in 0..4 {
                let of = |drawn: &[usize]| drawn.iter().filter(|at| routes[**at] == route).count();
                let all: Vec<usize> = (0..routes.len()).collect();
                prop_assert_eq!(of(&few), of(&all).min(shots));
            }
        }
    }

    #[test]
    fn the_seed_and_the_words_decide() {
        let texts: Vec<String> = (0..100).map(|at| format!("text {at}")).collect();
        let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert_eq!(sample(&refs, 10, 13), sample(&refs, 10, 13));
        assert_ne!(sample(&refs, 10, 13), sample(&refs, 10, 14));
        let turned: Vec<&str> = refs.iter().rev().copied().collect();
        let words = |of: &[&str], drawn: Vec<usize>| {
            let mut words: Vec<String> = drawn.into_iter().map(|at| of[at].to_owned()).collect();
            words.sort();
            words
        };
        assert_eq!(words(&refs, sample(&refs, 10, 13)), words(&turned, sample(&turned, 10, 13)));
    }
}
