//! The vectors of a set: one row a reference prompt.

use ndarray::{Array2, ArrayView2};

use crate::embed::{EmbedError, Embedding};

/// Unit vectors, row-major, (rows, dimension), single precision.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorMatrix(Array2<f32>);

impl VectorMatrix {
    /// Room for `rows` vectors of `dimension`.
    pub fn with_capacity(rows: usize, dimension: usize) -> VectorMatrixBuilder {
        VectorMatrixBuilder { values: Vec::with_capacity(rows * dimension), dimension }
    }

    pub fn rows(&self) -> usize {
        self.0.nrows()
    }

    pub fn dimension(&self) -> usize {
        self.0.ncols()
    }

    /// Row `row` as a slice, or an empty one beyond the end.
    pub fn row(&self, row: usize) -> &[f32] {
        let from = row.saturating_mul(self.dimension());
        let values = self.0.as_slice().unwrap_or_default();
        values.get(from..from + self.dimension()).unwrap_or_default()
    }

    /// (rows, dimension)
    pub fn view(&self) -> ArrayView2<'_, f32> {
        self.0.view()
    }

    /// All rows in order.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.0.as_slice().unwrap_or_default().chunks_exact(self.dimension().max(1))
    }
}

/// Takes one embedding after the other.
pub struct VectorMatrixBuilder {
    values: Vec<f32>,
    dimension: usize,
}

impl VectorMatrixBuilder {
    /// `WrongDimension` if the embedding does not fit.
    pub fn push(&mut self, embedding: &Embedding) -> Result<(), EmbedError> {
        if embedding.dimension() != self.dimension {
            return Err(EmbedError::WrongDimension { expected: self.dimension, found: embedding.dimension() });
        }
        self.values.extend_from_slice(embedding.as_slice());
        Ok(())
    }

    pub fn finish(self) -> VectorMatrix {
        let rows = self.values.len().checked_div(self.dimension).unwrap_or(0);
        // The length is a multiple of the dimension, as `push` only adds whole rows.
        VectorMatrix(Array2::from_shape_vec((rows, self.dimension), self.values).unwrap_or_default())
    }
}
