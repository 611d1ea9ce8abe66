//! The inner product, with the widest vectors that the CPU at hand has.

use pulp::Arch;

/// Independent sums that the compiler keeps in registers.
const LANES: usize = 32;

/// Cosine similarity of unit vectors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dot(Arch);

impl Dot {
    pub(super) fn new() -> Self {
        Self(Arch::new())
    }

    /// Inner product of two slices of one length.
    pub(super) fn of(self, a: &[f32], b: &[f32]) -> f32 {
        // The closure is compiled once for each instruction set and chosen at run time.
        self.0.dispatch(
            #[inline(always)]
            || lanes(a, b),
        )
    }
}

#[inline(always)]
fn lanes(a: &[f32], b: &[f32]) -> f32 {
    let (chunks_a, rest_a) = a.as_chunks::<LANES>();
    let (chunks_b, rest_b) = b.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (x, y) in chunks_a.iter().zip(chunks_b) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_the_plain_sum(pairs in prop::collection::vec((-1.0f32..1.0, -1.0f32..1.0), 0..500)) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let plain: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            prop_assert!((f64::from(Dot::new().of(&a, &b)) - plain).abs() < 1e-4);
        }
    }
}
