//! Inner products of codes: whole numbers of 8 and 16 bits, summed in 32. With AVX2 by its own instructions, since the
//! compiler makes half as much of the plain loop, which is for every other CPU.

use pulp::Arch;

use super::fetch::fetch;

/// Sums may wrap, but the callers' scales leave no room for that: see [`super::codes`].
#[derive(Debug, Clone, Copy)]
pub(super) struct CodeDot(Arch);

impl CodeDot {
    pub(super) fn new() -> Self {
        Self(Arch::new())
    }

    /// Inner product of two rows of one length.
    pub(super) fn of_rows(self, a: &[i8], b: &[i8]) -> i32 {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Arch::V3(simd) => simd.vectorize(
                #[inline(always)]
                || avx2::of_rows(simd, a, b),
            ),
            arch => arch.dispatch(
                #[inline(always)]
                || plain(a, b),
            ),
        }
    }

    /// Inner products of a query with those rows of `plane` that `nodes` names, in their order. `scores` is emptied
    /// first; a row beyond the plane's end scores 0.
    pub(super) fn of_query(self, query: &[i16], plane: &[i8], nodes: &[u32], scores: &mut Vec<i32>) {
        scores.clear();
        scores.resize(nodes.len(), 0);
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Arch::V3(simd) => simd.vectorize(
                #[inline(always)]
                || {
                    each(
                        query,
                        plane,
                        nodes,
                        scores,
                        #[inline(always)]
                        |rows| avx2::of_query(simd, query, rows),
                    );
                },
            ),
            arch => arch.dispatch(
                #[inline(always)]
                || {
                    each(
                        query,
                        plane,
                        nodes,
                        scores,
                        #[inline(always)]
                        |[a, b, c, d]| [plain(query, a), plain(query, b), plain(query, c), plain(query, d)],
                    );
                },
            ),
        }
    }
}

/// Rows at once. Each of them waits for memory, and so they wait together.
const ROWS: usize = 4;

/// Rows that are asked of memory before they are needed.
const AHEAD: usize = 2 * ROWS;

/// Not a `map` anywhere: what is not inlined is compiled without the wide instructions.
#[inline(always)]
fn each(query: &[i16], plane: &[i8], nodes: &[u32], scores: &mut [i32], four: impl Fn([&[i8]; ROWS]) -> [i32; ROWS]) {
    for node in nodes.iter().take(AHEAD) {
        fetch(row_of(plane, *node, query.len()));
    }
    for (at, scores) in scores.chunks_mut(ROWS).enumerate() {
        for node in nodes.iter().skip(at * ROWS + AHEAD).take(ROWS) {
            fetch(row_of(plane, *node, query.len()));
        }
        let mut rows = [&[] as &[i8]; ROWS];
        for (row, node) in rows.iter_mut().zip(nodes.iter().skip(at * ROWS)) {
            *row = row_of(plane, *node, query.len());
        }
        let sums = four(rows);
        for (score, sum) in scores.iter_mut().zip(sums) {
            *score = sum;
        }
    }
}

#[inline(always)]
fn row_of(plane: &[i8], node: u32, length: usize) -> &[i8] {
    let from = node as usize * length;
    plane.get(from..from + length).unwrap_or_default()
}

/// Sums of whole numbers may be taken in any order, so the compiler needs no lanes spelled out.
#[inline(always)]
fn plain<T: Copy + Into<i32>>(query: &[T], row: &[i8]) -> i32 {
    query.iter().zip(row).fold(0i32, |sum, (x, y)| sum.wrapping_add((*x).into() * i32::from(*y)))
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use pulp::x86::V3;
    use pulp::{cast, i8x16, i16x16, i32x8};

    use super::{ROWS, plain};

    /// Numbers that a register takes.
    const STEP: usize = 16;

    #[inline(always)]
    pub(super) fn of_rows(simd: V3, a: &[i8], b: &[i8]) -> i32 {
        let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<STEP>(), b.as_chunks::<STEP>());
        let mut sum: i32x8 = cast([0i32; 8]);
        for (x, y) in a.iter().zip(b) {
            sum = add(simd, sum, wide(simd, x), wide(simd, y));
        }
        total(sum).wrapping_add(plain(rest_a, rest_b))
    }

    #[inline(always)]
    pub(super) fn of_query(simd: V3, query: &[i16], rows: [&[i8]; ROWS]) -> [i32; ROWS] {
        let [a, b, c, d] = rows;
        if [a, b, c, d].iter().any(|row| row.len() != query.len()) {
            // The last few.
            return [few(simd, query, a), few(simd, query, b), few(simd, query, c), few(simd, query, d)];
        }
        let zero: i32x8 = cast([0i32; 8]);
        let (mut sum_a, mut sum_b, mut sum_c, mut sum_d) = (zero, zero, zero, zero);
        let (steps, rest) = query.as_chunks::<STEP>();
        let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<STEP>(), b.as_chunks::<STEP>());
        let ((c, rest_c), (d, rest_d)) = (c.as_chunks::<STEP>(), d.as_chunks::<STEP>());
        for ((((x, a), b), c), d) in steps.iter().zip(a).zip(b).zip(c).zip(d) {
            let x: i16x16 = cast(*x);
            sum_a = add(simd, sum_a, x, wide(simd, a));
            sum_b = add(simd, sum_b, x, wide(simd, b));
            sum_c = add(simd, sum_c, x, wide(simd, c));
            sum_d = add(simd, sum_d, x, wide(simd, d));
        }
        [
            total(sum_a).wrapping_add(plain(rest, rest_a)),
            total(sum_b).wrapping_add(plain(rest, rest_b)),
            total(sum_c).wrapping_add(plain(rest, rest_c)),
            total(sum_d).wrapping_add(plain(rest, rest_d)),
        ]
    }

    #[inline(always)]
    fn few(simd: V3, query: &[i16], row: &[i8]) -> i32 {
        let ((steps, rest), (row, rest_row)) = (query.as_chunks::<STEP>(), row.as_chunks::<STEP>());
        let mut sum: i32x8 = cast([0i32; 8]);
        for (x, y) in steps.iter().zip(row) {
            sum = add(simd, sum, cast(*x), wide(simd, y));
        }
        total(sum).wrapping_add(plain(rest, rest_row))
    }

    #[inline(always)]
    fn wide(simd: V3, row: &[i8; STEP]) -> i16x16 {
        let row: i8x16 = cast(*row);
        simd.convert_i8x16_to_i16x16(row)
    }

    #[inline(always)]
    fn add(simd: V3, sum: i32x8, x: i16x16, y: i16x16) -> i32x8 {
        simd.wrapping_add_i32x8(sum, simd.multiply_wrapping_add_adjacent_i16x16(x, y))
    }

    #[inline(always)]
    fn total(sum: i32x8) -> i32 {
        let lanes: [i32; 8] = cast(sum);
        lanes.iter().fold(0i32, |sum, lane| sum.wrapping_add(*lane))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sums_are_exact(pairs in prop::collection::vec((any::<i16>(), any::<i8>()), 0..300), rows in 1usize..7) {
            let (query, row): (Vec<i16>, Vec<i8>) = pairs.into_iter().unzip();
            let plane: Vec<i8> = (0..rows).flat_map(|at| row.iter().map(move |code| code.wrapping_add(at as i8))).collect();
            let nodes: Vec<u32> = (0..rows as u32).rev().chain([99]).collect();
            let mut scores = vec![7];
            CodeDot::new().of_query(&query, &plane, &nodes, &mut scores);
            prop_assert_eq!(scores.len(), nodes.len());
            for (node, score) in nodes.iter().zip(&scores).take(rows) {
                let row = &plane[*node as usize * row.len()..][..row.len()];
                let plain: i64 = query.iter().zip(row).map(|(x, y)| i64::from(*x) * i64::from(*y)).sum();
                prop_assert_eq!(*score, plain as i32);
            }
            prop_assert_eq!(scores[rows], 0, "a row that is not there");

            let narrow: Vec<i8> = query.iter().map(|x| *x as i8).collect();
            let plain: i64 = narrow.iter().zip(&row).map(|(x, y)| i64::from(*x) * i64::from(*y)).sum();
            prop_assert_eq!(i64::from(CodeDot::new().of_rows(&narrow, &row)), plain);
        }
    }
}
