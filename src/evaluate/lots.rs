//! Numbers drawn from a seed: the same on every machine and with every release of any crate.

/// SplitMix64: Steele, Lea, Flood (2014), "Fast splittable pseudorandom number generators".
#[derive(Debug, Clone)]
pub(super) struct Lots(u64);

impl Lots {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `bound`; 0 for a bound of 0. Its bias is below one in 2^32 for bounds below 2^32.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// In [-1, 1).
    pub(super) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_published_sequence() {
        let mut lots = Lots::new(1_234_567);
        assert_eq!([lots.next(), lots.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn draws_stay_within_their_bounds() {
        let mut lots = Lots::new(7);
        assert!((0..1000).all(|_| lots.below(3) < 3 && (-1.0..1.0).contains(&lots.unit())));
        assert_eq!(lots.below(0), 0);
    }
}
