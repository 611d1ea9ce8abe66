//! The sums without any instruction by name: the compiler makes of them what the target has.

use std::marker::PhantomData;

use pulp::Simd;

use super::weights::Block;
use super::{COLUMNS, Kernel, QUAD, Rows};
use crate::math;

pub(super) struct Plain<S>(PhantomData<S>);

impl<S> Plain<S> {
    /// For use in code that is compiled for `S`.
    pub fn new(_simd: S) -> Self {
        Self(PhantomData)
    }
}

impl<S> Clone for Plain<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Plain<S> {}

impl<S: Simd> Kernel for Plain<S> {
    #[inline(always)]
    fn add(self, rows: Rows<'_>, block: &Block, _next: &Block, sums: &mut [[f32; COLUMNS]]) {
        for ((codes, scale), sums) in rows.iter().zip(sums) {
            let mut products = [0i32; COLUMNS];
            for (codes, weights) in codes.0.as_chunks::<QUAD>().0.iter().zip(&block.codes) {
                for (sum, weights) in products.iter_mut().zip(weights.as_chunks::<QUAD>().0) {
                    for (code, weight) in codes.iter().zip(weights) {
                        *sum += i32::from(*code) * i32::from(weight.cast_signed());
                    }
                }
            }
            for (column, sum) in sums.iter_mut().enumerate() {
                let scaled = products[column] as f32 * block.scales[column];
                let value = math::mul_add::<S>(scaled, scale.step, *sum);
                *sum = math::mul_add::<S>(block.totals[column], scale.offset, value);
            }
        }
    }
}
