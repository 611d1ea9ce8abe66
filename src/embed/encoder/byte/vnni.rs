//! Sums of products of bytes with AVX-512 VNNI: `vpdpbusd` adds four products to a sum of 32 bits at once.
//!
//! The one file with `unsafe`: pulp has no safe name for that instruction.

use std::arch::x86_64::{__m512, __m512i, _mm512_dpbusd_epi32};

use pulp::core_arch::x86::Avx512vnni;
use pulp::x86::V4;

use super::product::Product;
use super::weights::Block;
use super::{COLUMNS, Kernel, QUAD, Rows};

/// Vectors of a panel.
const VECTORS: usize = COLUMNS / 16;

/// Proof that the CPU has AVX-512 with VNNI.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vnni {
    v4: V4,
    _vnni: Avx512vnni,
}

impl Vnni {
    pub fn try_new(v4: V4) -> Option<Self> {
        Avx512vnni::try_new().map(|vnni| Self { v4, _vnni: vnni })
    }

    #[expect(unsafe_code, reason = "a function for a CPU feature is called; `self` proves that it is there")]
    pub(super) fn run(self, product: Product<'_>) {
        // SAFETY: `self` exists only where all of these features were detected.
        unsafe { run(product, self) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vnni,avx2,fma")]
fn run(product: Product<'_>, kernel: Vnni) {
    product.with_kernel::<V4>(kernel);
}

impl Kernel for Vnni {
    #[inline(always)]
    fn add(self, rows: Rows<'_>, block: &Block, _next: &Block, sums: &mut [[f32; COLUMNS]]) {
        let simd = self.v4.avx512f;
        let (scales, totals): ([__m512; VECTORS], [__m512; VECTORS]) =
            (pulp::cast(block.scales), pulp::cast(block.totals));
        for ((codes, scale), sums) in rows.iter().zip(sums) {
            // Even and odd quads apart: the instruction takes five cycles, and there are two vectors only.
            let mut products: [[__m512i; VECTORS]; 2] = pulp::cast([0u8; 2 * 64 * VECTORS]);
            for (at, (quad, weights)) in codes.0.as_chunks::<QUAD>().0.iter().zip(&block.codes).enumerate() {
                let quad: __m512i = pulp::cast([i32::from_le_bytes(*quad); 16]);
                for (sum, weights) in products[at % 2].iter_mut().zip(weights.as_chunks::<64>().0) {
                    *sum = add_products(*sum, quad, pulp::cast(*weights));
                }
            }
            let [even, odd] = products;
            let values: [__m512; VECTORS] = pulp::cast(*sums);
            let (step, offset) = (simd._mm512_set1_ps(scale.step), simd._mm512_set1_ps(scale.offset));
            let values: [__m512; VECTORS] = std::array::from_fn(|at| {
                let products = simd._mm512_cvtepi32_ps(simd._mm512_add_epi32(even[at], odd[at]));
                let value = simd._mm512_fmadd_ps(simd._mm512_mul_ps(products, scales[at]), step, values[at]);
                simd._mm512_fmadd_ps(totals[at], offset, value)
            });
            *sums = pulp::cast(values);
        }
    }
}

#[inline(always)]
#[expect(unsafe_code, reason = "the intrinsic is inlined into `run`, which has the feature")]
fn add_products(sums: __m512i, codes: __m512i, weights: __m512i) -> __m512i {
    // SAFETY: only called with a `Vnni`, which exists only where the feature was detected.
    unsafe { _mm512_dpbusd_epi32(sums, codes, weights) }
}
