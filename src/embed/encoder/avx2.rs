//! Sums of products of bytes with AVX2: `vpmaddubsw` adds two products in 16 bits, four of them are added in 16 bits
//! too before `vpmaddwd` widens them. Measured on a Zen 3 core: 110 products a nanosecond, where widening after each
//! two gave 96, and products of 16 bits 72.

use std::arch::x86_64::__m256i;

use pulp::x86::V3;

use crate::byte::{COLUMNS, Codes, Kernel, Steps};

#[derive(Clone, Copy)]
pub(super) struct Avx2<'a> {
    pub simd: V3,
    pub weights: &'a [Steps],
}

impl Kernel for Avx2<'_> {
    #[inline(always)]
    fn sums<const R: usize>(self, rows: [&Codes; R], at: usize) -> [[i32; COLUMNS]; R] {
        let Self { simd, weights } = self;
        let ones = simd.avx._mm256_set1_epi16(1);
        let mut sums: [[__m256i; 2]; R] = [[pulp::cast([0u8; 32]); 2]; R];
        // One half of the columns at a time: eight sums and four vectors of weights fit the registers, with both
        // halves the compiler keeps the weights there and spills the sums.
        for half in 0..2 {
            for (at, halves) in weights[at].iter().enumerate() {
                let step = &halves[half];
                let [first, second, third, fourth] = step.weights;
                let vectors: [__m256i; 4] =
                    [pulp::cast(first), pulp::cast(second), pulp::cast(third), pulp::cast(fourth)];
                for (row, sums) in rows.iter().zip(&mut sums) {
                    let (quads, _) = row[at].as_chunks::<4>();
                    let mut lanes: __m256i = pulp::cast(step.offset);
                    for (codes, vector) in quads.iter().zip(vectors) {
                        let codes = simd.avx._mm256_set1_epi32(i32::from_le_bytes(*codes));
                        lanes = simd.avx2._mm256_add_epi16(lanes, simd.avx2._mm256_maddubs_epi16(codes, vector));
                    }
                    sums[half] = simd.avx2._mm256_add_epi32(sums[half], simd.avx2._mm256_madd_epi16(lanes, ones));
                }
            }
        }
        let mut unpacked = [[0; COLUMNS]; R];
        for (unpacked, sums) in unpacked.iter_mut().zip(sums) {
            *unpacked = pulp::cast(sums);
        }
        unpacked
    }
}
