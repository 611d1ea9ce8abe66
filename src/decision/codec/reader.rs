//! Little-endian bytes, read. Numbers are finite, lengths are possible.

use crate::error::ModelBytesError;

pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn raw(&mut self, count: usize) -> Result<&'a [u8], ModelBytesError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ModelBytesError::EndsEarly)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ModelBytesError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(ModelBytesError::EndsEarly)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// A byte that is 0 or 1.
    pub(super) fn flag(&mut self, what: &'static str) -> Result<bool, ModelBytesError> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(ModelBytesError::Impossible(what)),
        }
    }

    pub(super) fn u32(&mut self) -> Result<u32, ModelBytesError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn f32(&mut self, what: &'static str) -> Result<f32, ModelBytesError> {
        let value = f32::from_le_bytes(self.array()?);
        if value.is_finite() { Ok(value) } else { Err(ModelBytesError::Impossible(what)) }
    }

    pub(super) fn f64(&mut self, what: &'static str) -> Result<f64, ModelBytesError> {
        let value = f64::from_le_bytes(self.array()?);
        if value.is_finite() { Ok(value) } else { Err(ModelBytesError::Impossible(what)) }
    }

    /// The length of a sequence of items of `bytes` bytes, that many of which are there.
    pub(super) fn length(&mut self, bytes: usize) -> Result<usize, ModelBytesError> {
        let length = u64::from_le_bytes(self.array()?);
        let possible = usize::try_from(length).ok().filter(|length| *length <= self.0.len() / bytes.max(1));
        possible.ok_or(ModelBytesError::EndsEarly)
    }

    pub(super) fn f32s(&mut self, what: &'static str) -> Result<Vec<f32>, ModelBytesError> {
        let length = self.length(4)?;
        (0..length).map(|_| self.f32(what)).collect()
    }

    pub(super) fn f64s(&mut self, what: &'static str) -> Result<Vec<f64>, ModelBytesError> {
        let length = self.length(8)?;
        (0..length).map(|_| self.f64(what)).collect()
    }

    pub(super) fn end(&self) -> Result<(), ModelBytesError> {
        if self.0.is_empty() { Ok(()) } else { Err(ModelBytesError::TrailingBytes(self.0.len())) }
    }
}
