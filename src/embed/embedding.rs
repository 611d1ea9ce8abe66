//! The vector of a text. Finite, unit-norm and of a known dimension by construction.

use std::sync::Arc;

use super::error::EmbedError;

/// How far the norm of a stored vector may be from 1: single precision sums over thousands of components stay below.
const NORM_TOLERANCE: f32 = 1e-3;

/// A finite vector of norm 1. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding(Arc<[f32]>);

impl Embedding {
    /// Scales `values` to norm 1. `NotFinite` if a component is NaN or infinite, `ZeroNorm` if all are zero.
    pub fn normalised(mut values: Vec<f32>) -> Result<Self, EmbedError> {
        let norm = norm(&values)?;
        if norm == 0.0 {
            return Err(EmbedError::ZeroNorm);
        }
        values.iter_mut().for_each(|value| *value /= norm);
        Ok(Self(values.into()))
    }

    /// Takes a vector that was stored: it must have `dimension` components and norm 1.
    pub fn stored(values: Vec<f32>, dimension: usize) -> Result<Self, EmbedError> {
        if values.len() != dimension {
            return Err(EmbedError::WrongDimension { expected: dimension, found: values.len() });
        }
        let norm = norm(&values)?;
        if (norm - 1.0).abs() > NORM_TOLERANCE {
            return Err(EmbedError::NotUnitNorm { norm });
        }
        Ok(Self(values.into()))
    }

    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    pub fn dimension(&self) -> usize {
        self.0.len()
    }
}

fn norm(values: &[f32]) -> Result<f32, EmbedError> {
    if let Some(component) = values.iter().position(|value| !value.is_finite()) {
        return Err(EmbedError::NotFinite { component });
    }
    let squares: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
    Ok(squares.sqrt() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finite_unit_vectors_exist() {
        let unit = Embedding::normalised(vec![3.0, 4.0]).unwrap();
        assert_eq!(unit.as_slice(), [0.6, 0.8]);
        assert!(Embedding::stored(unit.as_slice().to_vec(), 2).is_ok());
        assert!(matches!(Embedding::normalised(vec![0.0, f32::NAN]), Err(EmbedError::NotFinite { component: 1 })));
        assert!(matches!(Embedding::normalised(vec![0.0; 4]), Err(EmbedError::ZeroNorm)));
        assert!(matches!(Embedding::stored(vec![1.0, 1.0], 2), Err(EmbedError::NotUnitNorm { .. })));
        assert!(matches!(Embedding::stored(vec![1.0], 2), Err(EmbedError::WrongDimension { expected: 2, found: 1 })));
    }
}
