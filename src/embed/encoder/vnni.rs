//! Sums of products of bytes with AVX-512 VNNI: `vpdpbusd` adds four products to a sum of 32 bits at once.
//!
//! The one file with `unsafe`: pulp has no safe name for that instruction.

use std::arch::x86_64::{__m512i, _mm512_dpbusd_epi32};

use pulp::core_arch::x86::Avx512vnni;
use pulp::x86::V4;

use crate::byte::{COLUMNS, Codes, Kernel, Product, Quads};

/// Proof that the CPU has AVX-512 with VNNI.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vnni {
    _v4: V4,
    _vnni: Avx512vnni,
}

impl Vnni {
    pub fn try_new(v4: V4) -> Option<Self> {
        Avx512vnni::try_new().map(|vnni| Self { _v4: v4, _vnni: vnni })
    }

    #[expect(unsafe_code, reason = "a function for a CPU feature is called; `self` proves that it is there")]
    pub fn run(self, product: Product<'_>, weights: &[Quads]) {
        // SAFETY: `self` exists only where all of these features were detected.
        unsafe { run(product, Sums { weights }) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vnni,avx2,fma")]
fn run(product: Product<'_>, kernel: Sums<'_>) {
    product.with_kernel::<V4>(kernel);
}

#[derive(Clone, Copy)]
struct Sums<'a> {
    weights: &'a [Quads],
}

impl Kernel for Sums<'_> {
    #[inline(always)]
    fn sums<const R: usize>(self, rows: [&Codes; R], at: usize) -> [[i32; COLUMNS]; R] {
        let mut sums: [__m512i; R] = [pulp::cast([0i32; 16]); R];
        for (at, weights) in self.weights[at].iter().enumerate() {
            for (row, sum) in rows.iter().zip(&mut sums) {
                let quad = row.as_flattened().as_chunks::<4>().0[at];
                let codes: __m512i = pulp::cast([i32::from_le_bytes(quad); 16]);
                *sum = add_products(*sum, codes, pulp::cast(weights.0));
            }
        }
        let mut unpacked = [[0; COLUMNS]; R];
        for (unpacked, sum) in unpacked.iter_mut().zip(sums) {
            *unpacked = pulp::cast(sum);
        }
        unpacked
    }
}

#[inline(always)]
#[expect(unsafe_code, reason = "the intrinsic is inlined into `run`, which has the feature")]
fn add_products(sums: __m512i, codes: __m512i, weights: __m512i) -> __m512i {
    // SAFETY: only called from `Vnni::run`, which exists only where the feature was detected.
    unsafe { _mm512_dpbusd_epi32(sums, codes, weights) }
}
