//! Lines of a file, one at a time in one buffer. A line may be of any length; one that is too long is skipped, not held.

use std::io::{self, BufRead, Read};

use super::fault::Wrong;

/// Longest line in bytes, without its line end. Room for the longest text with every character escaped.
pub const MAX_LINE_BYTES: usize = 1024 * 1024;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Reads lines that are not blank, with their numbers.
pub(crate) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), number: 0 }
    }

    /// The next line that is not blank and its number from 1, or what makes it unreadable; `None` at the end.
    /// A byte order mark at the start is no part of the first line.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Result<&str, Wrong>)>> {
        loop {
            self.buffer.clear();
            let read = (&mut self.reader).take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut self.buffer)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if read > MAX_LINE_BYTES && !self.buffer.ends_with(b"\n") {
                self.reader.skip_until(b'\n')?;
                return Ok(Some((self.number, Err(Wrong::LineTooLong))));
            }
            if self.number == 1 && self.buffer.starts_with(BOM) {
                self.buffer.drain(..BOM.len());
            }
            if !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        let line = std::str::from_utf8(&self.buffer).map_err(|error| Wrong::NotUtf8 { byte: error.valid_up_to() + 1 });
        Ok(Some((self.number, line.map(str::trim_ascii))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], expected: &[(u64, Result<&str, Wrong>)]) {
        let mut lines = Lines::new(input);
        for line in expected {
            assert_eq!(lines.next().unwrap().as_ref(), Some(line));
        }
        assert_eq!(lines.next().unwrap(), None);
    }

    #[test]
    fn lines_are_numbered_and_blank_ones_skipped() {
        check(b"", &[]);
        check(b"\n \r\n\t\n", &[]);
        check(b"one\n\n  three\r\nfour", &[(1, Ok("one")), (3, Ok("three")), (4, Ok("four"))]);
        check(b"\xef\xbb\xbfone\n\xef\xbb\xbftwo", &[(1, Ok("one")), (2, Ok("\u{feff}two"))]);
        check(b"\xef\xbb\xbf\ntwo", &[(2, Ok("two"))]);
        check(b"a\nb\xffc\nd", &[(1, Ok("a")), (2, Err(Wrong::NotUtf8 { byte: 2 })), (3, Ok("d"))]);
    }

    #[test]
    fn a_line_of_the_greatest_length_is_read_and_a_longer_one_skipped() {
        let most = "x".repeat(MAX_LINE_BYTES);
        check(format!("{most}\nb").as_bytes(), &[(1, Ok(&most)), (2, Ok("b"))]);
        check(most.as_bytes(), &[(1, Ok(&most))]);
        check(format!("{most}y\nb").as_bytes(), &[(1, Err(Wrong::LineTooLong)), (2, Ok("b"))]);
        check(format!("{most}{most}{most}").as_bytes(), &[(1, Err(Wrong::LineTooLong))]);
    }

    #[test]
    fn the_buffer_does_not_grow_with_the_file() {
        let file = format!("{}\n", "y".repeat(99)).repeat(100_000);
        let mut lines = Lines::new(file.as_bytes());
        while lines.next().unwrap().is_some() {}
        assert_eq!(lines.number, 100_000);
        assert!(lines.buffer.capacity() < 1024, "the buffer holds {} bytes", lines.buffer.capacity());
    }
}
