//! Vectors in two bytes a component: the coarse byte is what the graph is walked with, and with the fine byte
//! similarities are exact to about 1e-5. Half the memory of single precision, and a walk touches a quarter.
//!
//! A component is `(256 coarse + fine) step`; one step serves all vectors, so that whole numbers can be compared.

use super::code_dot::CodeDot;
use super::matrix::VectorMatrix;
use super::plane::Plane;

/// The greatest value of two signed bytes, when the coarse one is rounded to the nearest.
const GREATEST: f32 = (127 * 256 + 127) as f32;

/// Room for vectors that come later with a component somewhat greater than all before.
const HEADROOM: f32 = 1.25;

/// Inner products of codes stay below this: a bit less than what an `i32` holds.
const MAX_SCORE: f32 = (1u32 << 30) as f32;

/// Encoded vectors; a node is a row here, in whatever order the graph wants them.
pub(super) struct Codes {
    dimension: usize,
    step: f32,
    coarse: Plane,
    fine: Plane,
    dot: CodeDot,
}

/// A query, rounded to 16 bits a component.
pub(super) struct QueryCodes {
    pub(super) values: Vec<i16>,
    pub(super) step: f32,
}

impl QueryCodes {
    /// Rounds a query for rows of `stride` components. Its scores order rows as similarities do, whatever its length.
    pub(super) fn of(query: &[f32], stride: usize) -> Self {
        let most = query.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let norm = query.iter().map(|value| value * value).sum::<f32>().sqrt();
        // A row of codes is at most as long as one of 128s: Cauchy and Schwarz bound every partial sum.
        let bound = MAX_SCORE / (128.0 * (stride as f32).sqrt() * norm);
        let scale = (f32::from(i16::MAX) / most).min(bound);
        let mut values = vec![0i16; stride];
        if !(scale.is_finite() && scale > 0.0) {
            return Self { values, step: 0.0 };
        }
        for (code, value) in values.iter_mut().zip(query) {
            *code = (value * scale).round() as i16;
        }
        Self { values, step: scale.recip() }
    }
}

impl Codes {
    /// Encodes `vectors`, row `order[node]` as node `node`.
    pub(super) fn encode(vectors: &VectorMatrix, step: f32, order: &[u32]) -> Self {
        let mut codes = Self::zeroed(order.len(), vectors.dimension(), step);
        for (node, row) in order.iter().enumerate() {
            codes.set(node, vectors.row(*row as usize));
        }
        codes
    }

    pub(super) fn zeroed(nodes: usize, dimension: usize, step: f32) -> Self {
        let plane = || Plane::zeroed(nodes, dimension);
        Self { dimension, step, coarse: plane(), fine: plane(), dot: CodeDot::new() }
    }

    /// What a node's codes stand for.
    pub(super) fn vector(&self, node: u32) -> Vec<f32> {
        let (coarse, fine) = (self.coarse.row(node as usize), self.fine.row(node as usize));
        let value = |(coarse, fine): (&i8, &i8)| (f32::from(*coarse) * 256.0 + f32::from(*fine)) * self.step;
        coarse.iter().zip(fine).take(self.dimension).map(value).collect()
    }

    /// Copies the first `kept` nodes; those up to `total` are to be set.
    pub(super) fn resized(&self, kept: usize, total: usize) -> Self {
        Self { coarse: self.coarse.resized(kept, total), fine: self.fine.resized(kept, total), ..*self }
    }

    pub(super) fn set(&mut self, node: usize, vector: &[f32]) {
        let (coarse, fine) = (self.coarse.row_mut(node), self.fine.row_mut(node));
        for ((coarse, fine), value) in coarse.iter_mut().zip(fine).zip(vector) {
            (*coarse, *fine) = split(*value, self.step);
        }
    }

    /// Whether node `node` is what `vector` is encoded as.
    pub(super) fn is(&self, node: usize, vector: &[f32]) -> bool {
        let codes = self.coarse.row(node).iter().zip(self.fine.row(node));
        vector.len() == self.dimension && codes.zip(vector).all(|((c, f), value)| (*c, *f) == split(*value, self.step))
    }

    /// Whether every component of `vector` lies within what the codes can say.
    pub(super) fn reaches(&self, vector: &[f32]) -> bool {
        vector.iter().all(|value| value.abs() <= self.step * GREATEST)
    }

    pub(super) fn nodes(&self) -> usize {
        self.coarse.rows()
    }

    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    pub(super) fn step(&self) -> f32 {
        self.step
    }

    /// The coarse and the fine bytes, for a file.
    pub(super) fn planes(&self) -> [&[i8]; 2] {
        [self.coarse.all(), self.fine.all()]
    }

    pub(super) fn planes_mut(&mut self) -> [&mut [i8]; 2] {
        [self.coarse.all_mut(), self.fine.all_mut()]
    }

    /// A query as it is compared with these.
    pub(super) fn query(&self, query: &[f32]) -> QueryCodes {
        QueryCodes::of(query, self.coarse.stride())
    }

    /// A node's coarse bytes as a query: for comparing nodes with each other.
    pub(super) fn query_of(&self, node: u32) -> QueryCodes {
        let values = self.coarse.row(node as usize).iter().map(|code| i16::from(*code)).collect();
        QueryCodes { values, step: 256.0 * self.step }
    }

    /// Inner products with the coarse bytes of `nodes`, greater for nearer.
    pub(super) fn scores(&self, query: &QueryCodes, nodes: &[u32], scores: &mut Vec<i32>) {
        self.dot.of_query(&query.values, self.coarse.all(), nodes, scores);
    }

    /// Cosine similarities of `nodes` to the query that was rounded, from both bytes.
    pub(super) fn similarities(&self, query: &QueryCodes, nodes: &[u32]) -> Vec<f32> {
        let (mut coarse, mut fine) = (Vec::new(), Vec::new());
        self.dot.of_query(&query.values, self.coarse.all(), nodes, &mut coarse);
        self.dot.of_query(&query.values, self.fine.all(), nodes, &mut fine);
        let unit = f64::from(self.step) * f64::from(query.step);
        let sums = coarse.into_iter().zip(fine).map(|(coarse, fine)| 256 * i64::from(coarse) + i64::from(fine));
        sums.map(|sum| (sum as f64 * unit) as f32).collect()
    }
}

/// The step that lets every component of `vectors` be said, and greater ones that come later.
pub(super) fn step_for(vectors: &VectorMatrix) -> f32 {
    let most = vectors.iter().flatten().fold(0.0f32, |most, value| most.max(value.abs()));
    // Without vectors any step will do, but for 0.
    if most > 0.0 { most * HEADROOM / GREATEST } else { 1.0 / GREATEST }
}

/// The coarse bytes of all vectors alone.
pub(super) fn coarse(vectors: &VectorMatrix, step: f32) -> Plane {
    let mut plane = Plane::zeroed(vectors.rows(), vectors.dimension());
    for (row, vector) in vectors.iter().enumerate() {
        for (code, value) in plane.row_mut(row).iter_mut().zip(vector) {
            *code = split(*value, step).0;
        }
    }
    plane
}

/// The coarse and the fine byte of a component.
#[inline(always)]
pub(super) fn split(value: f32, step: f32) -> (i8, i8) {
    let whole = (value / step).round().clamp(-GREATEST, GREATEST) as i32;
    let coarse = (whole + 128) >> 8;
    (coarse as i8, (whole - (coarse << 8)) as i8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::dot::Dot;
    use super::super::tests_support::random_matrix;
    use super::*;

    #[test]
    fn similarities_are_those_of_the_vectors() {
        let vectors = random_matrix(200, 100, 4);
        let order: Vec<u32> = (0..200).rev().collect();
        let codes = Codes::encode(&vectors, step_for(&vectors), &order);
        for row in 0..200 {
            let query = vectors.row((row * 7 + 3) % 200);
            let exact = Dot::new().of(query, vectors.row(row));
            let found = codes.similarities(&codes.query(query), &[199 - row as u32])[0];
            assert!((exact - found).abs() < 3e-5, "row {row}: {exact} is taken for {found}");
            assert!(codes.is(199 - row, vectors.row(row)));
            assert!(!codes.is(row, query) || row == 199 - (row * 7 + 3) % 200);
        }
    }

    #[test]
    fn queries_of_any_length_are_taken() {
        let codes = Codes::encode(&random_matrix(3, 8, 1), 0.01, &[0, 1, 2]);
        for query in [vec![0.0; 8], vec![f32::MIN_POSITIVE; 8], vec![1e30; 8], vec![f32::NAN; 8]] {
            let query = codes.query(&query);
            assert!(codes.similarities(&query, &[1])[0].is_finite());
        }
    }

    proptest! {
        #[test]
        fn bytes_give_their_component_back(value in -1.0f32..1.0) {
            let step = 1.0 / GREATEST;
            let (coarse, fine) = split(value, step);
            prop_assert!(((f32::from(coarse) * 256.0 + f32::from(fine)) * step - value).abs() <= step);
        }
    }
}
