//! Rows of signed bytes of one length, each beginning at a cache line.

/// Bytes of a cache line, on every CPU that this is likely to run on. A row that begins in the middle of one costs
/// the memory one line more.
pub(super) const LINE: usize = 64;

/// A matrix of bytes, row-major. Rows are padded with zeros to a multiple of a cache line.
pub(super) struct Plane {
    bytes: Vec<i8>,
    /// Where the first row begins: the first multiple of a line in memory.
    from: usize,
    stride: usize,
    rows: usize,
}

impl Plane {
    pub(super) fn zeroed(rows: usize, dimension: usize) -> Self {
        let stride = stride(dimension);
        let bytes = vec![0i8; rows * stride + LINE - 1];
        // An offset that cannot be had would only cost speed.
        let from = bytes.as_ptr().align_offset(LINE).min(LINE - 1);
        Self { bytes, from, stride, rows }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    pub(super) fn all(&self) -> &[i8] {
        self.bytes.get(self.from..self.from + self.rows * self.stride).unwrap_or_default()
    }

    pub(super) fn all_mut(&mut self) -> &mut [i8] {
        self.bytes.get_mut(self.from..self.from + self.rows * self.stride).unwrap_or_default()
    }

    /// Row `row` with its padding, or an empty slice beyond the end.
    pub(super) fn row(&self, row: usize) -> &[i8] {
        self.all().get(row * self.stride..(row + 1) * self.stride).unwrap_or_default()
    }

    pub(super) fn row_mut(&mut self, row: usize) -> &mut [i8] {
        let stride = self.stride;
        self.all_mut().get_mut(row * stride..(row + 1) * stride).unwrap_or_default()
    }

    /// The first `rows` of these and room for as many as make `total`.
    pub(super) fn resized(&self, rows: usize, total: usize) -> Self {
        let mut resized = Self::zeroed(total, self.stride);
        let kept = rows.min(total).min(self.rows) * self.stride;
        if let (Some(to), Some(of)) = (resized.all_mut().get_mut(..kept), self.all().get(..kept)) {
            to.copy_from_slice(of);
        }
        resized
    }
}

/// Bytes of a row of so many components.
pub(super) fn stride(dimension: usize) -> usize {
    dimension.next_multiple_of(LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_padded_and_begin_at_a_line() {
        let mut plane = Plane::zeroed(3, 65);
        assert_eq!((plane.stride(), plane.rows(), plane.all().len()), (128, 3, 384));
        assert_eq!(plane.row(1).as_ptr().align_offset(LINE), 0);
        plane.row_mut(1).fill(7);
        assert!(plane.row(0).iter().chain(plane.row(2)).all(|byte| *byte == 0));
        assert!(plane.row(3).is_empty());
        let resized = plane.resized(2, 4);
        assert_eq!((resized.row(1), resized.rows()), (plane.row(1), 4));
        assert!(resized.row(3).iter().all(|byte| *byte == 0));
    }
}
