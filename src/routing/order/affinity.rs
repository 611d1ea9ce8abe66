//! Session affinity by rendezvous hashing: each target gets a number from the key and its own name, and the highest wins.
//! If one goes, only its own sessions move; if one comes, it takes its share of each and nothing else moves (Thaler and
//! Ravishankar, "Using name-based mappings to increase hit rates", 1998). With weights as in Schindelhauer and Schomaker,
//! "Weighted distributed hash tables", 2005: -weight / ln(u).

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::routing::target::Target;

/// The sessions' place first, behind it the places that they would move to.
pub(super) fn ranks(key: &str, targets: &[Arc<Target>]) -> Vec<f64> {
    targets.iter().map(|target| -score(key, target)).collect()
}

fn score(key: &str, target: &Target) -> f64 {
    -f64::from(target.weight.get()) / uniform(key, target.name.as_str()).ln()
}

/// In (0, 1). The same on every machine and in every version, so that replicas agree.
fn uniform(key: &str, name: &str) -> f64 {
    let mut hash = Sha256::new();
    hash.update((key.len() as u64).to_le_bytes());
    hash.update(key);
    hash.update(name);
    let digest: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    // The 53 bits that a double holds, and half a step so that it is never 0.
    let bits = u64::from_le_bytes([a, b, c, d, e, f, g, h]) >> 11;
    (bits as f64 + 0.5) / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::reference::TargetName;

    fn targets(weights: &[(&str, u32)]) -> Vec<Arc<Target>> {
        let target = |(name, weight): &(&str, u32)| {
            let bare = Target::new(TargetName::new(name).unwrap(), "p", "m");
            Arc::new(Target { weight: NonZeroU32::new(*weight).unwrap(), ..bare })
        };
        weights.iter().map(target).collect()
    }

    fn place<'a>(key: &str, targets: &'a [Arc<Target>]) -> &'a str {
        let ranks = ranks(key, targets);
        let first = (0..ranks.len()).min_by(|one, other| ranks[*one].total_cmp(&ranks[*other])).unwrap();
        targets[first].name.as_str()
    }

    #[test]
    fn only_the_sessions_of_a_target_that_goes_move() {
        let (all, fewer) = (targets(&[("a", 1), ("b", 1), ("c", 1)]), targets(&[("c", 1), ("a", 1)]));
        let mut moved = 0;
        for session in 0..1_000 {
            let key = format!("session {session}");
            let before = place(&key, &all);
            assert_eq!(before, place(&key, &all));
            if before == "b" {
                moved += 1;
            } else {
                assert_eq!(place(&key, &fewer), before, "whatever their order");
            }
        }
        assert!((250..420).contains(&moved), "{moved}");
    }

    #[test]
    fn sessions_are_shared_by_weight() {
        let all = targets(&[("a", 3), ("b", 1)]);
        let at_a = (0..2_000).filter(|session| place(&format!("{session}"), &all) == "a").count();
        assert!((1_400..1_600).contains(&at_a), "{at_a} of 2000, 1500 were to be expected");
    }
}
