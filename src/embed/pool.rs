//! One embedding for a text that was read in two windows.

use super::embedding::Embedding;
use super::error::EmbedError;

/// The mean, each window weighing as its tokens, scaled to norm 1: near to the mean over all tokens that the model
/// itself would take, and a short tail does not outweigh a full head. Windows that cancel out leave the head.
pub(super) fn pool(windows: &[(usize, Embedding)]) -> Result<Embedding, EmbedError> {
    let (_, head) = windows.first().ok_or(EmbedError::ZeroNorm)?;
    if windows.len() == 1 {
        return Ok(head.clone());
    }
    let mut sum = vec![0.0f32; head.dimension()];
    for (tokens, embedding) in windows {
        for (sum, value) in sum.iter_mut().zip(embedding.as_slice()) {
            *sum += value * *tokens as f32;
        }
    }
    Ok(Embedding::normalised(sum).unwrap_or_else(|_| head.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_weigh_as_their_tokens() {
        let unit = |x: f32, y: f32| Embedding::normalised(vec![x, y]).unwrap();
        let (x, y) = (unit(1.0, 0.0), unit(0.0, 1.0));
        assert_eq!(pool(&[(7, x.clone())]).unwrap(), x);
        assert_eq!(pool(&[(3, x.clone()), (4, y)]).unwrap(), unit(3.0, 4.0));
        assert_eq!(pool(&[(3, x.clone()), (3, unit(-1.0, 0.0))]).unwrap(), x);
        assert!(pool(&[]).is_err());
    }
}
