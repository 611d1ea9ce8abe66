//! Little-endian bytes, written.

#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    pub(super) fn f32(&mut self, value: f32) {
        self.raw(&value.to_le_bytes());
    }

    pub(super) fn f64(&mut self, value: f64) {
        self.raw(&value.to_le_bytes());
    }

    pub(super) fn length(&mut self, length: usize) {
        self.raw(&(length as u64).to_le_bytes());
    }

    pub(super) fn f32s(&mut self, values: &[f32]) {
        self.length(values.len());
        self.0.reserve(values.len() * 4);
        values.iter().for_each(|value| self.f32(*value));
    }

    pub(super) fn f64s(&mut self, values: &[f64]) {
        self.length(values.len());
        values.iter().for_each(|value| self.f64(*value));
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}
