//! Server-sent events, parsed from bytes in pieces of any size (WHATWG HTML, section 9.2.6).
//!
//! Our own parser, because the `eventsource-stream` crate (0.2.3) buffers without limit, waits for ever after an invalid
//! byte, and panics on a byte order mark. An event that is not closed by an empty line is dropped, as the standard says.

use std::collections::VecDeque;
use std::mem;

use super::error::Error;

/// Longest event in bytes.
pub(super) const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// Type and data of one event. The type is empty where the stream gave none; ids and retry times are of no use here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) data: String,
}

/// Holds at most one unfinished event, bounded by `limit`.
pub(super) struct Parser {
    limit: usize,
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    after_cr: bool,
    first_line: bool,
}

impl Parser {
    /// `limit`: longest event in bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, line: Vec::new(), event: Event::default(), has_data: false, after_cr: false, first_line: true }
    }

    /// Takes the next bytes and appends the events that they complete. After an error the parser is of no further use;
    /// events completed before the fault are in `events`.
    pub(super) fn push(&mut self, mut bytes: &[u8], events: &mut VecDeque<Event>) -> Result<(), Error> {
        while !bytes.is_empty() {
            // CR LF is one line end, also when the two come in different pieces.
            if mem::take(&mut self.after_cr)
                && let Some(rest) = bytes.strip_prefix(b"\n")
            {
                bytes = rest;
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                return self.extend(bytes);
            };
            let (head, tail) = bytes.split_at(end);
            self.extend(head)?;
            self.after_cr = tail.first() == Some(&b'\r');
            bytes = tail.get(1..).unwrap_or_default();
            events.extend(self.end_line()?);
        }
        Ok(())
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.event.data.len() + self.line.len() + bytes.len() > self.limit {
            return Err(Error::TooLarge { limit_bytes: self.limit });
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    /// Line ends are ASCII, so that a whole line is whole UTF-8, wherever the pieces were cut.
    fn end_line(&mut self) -> Result<Option<Event>, Error> {
        let line = mem::take(&mut self.line);
        let line = std::str::from_utf8(&line).map_err(|_| Error::malformed("an event is not UTF-8"))?;
        let line = if mem::take(&mut self.first_line) { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        if line.is_empty() {
            let event = mem::take(&mut self.event);
            return Ok(mem::take(&mut self.has_data).then_some(event));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.event.name),
            _ => {} // a comment (empty field name), `id`, `retry`, or unknown
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 64;

    fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<(String, String)>, Option<Error>) {
        let (mut parser, mut events) = (Parser::new(LIMIT), VecDeque::new());
        let fault = pieces.into_iter().find_map(|piece| parser.push(piece, &mut events).err());
        (events.into_iter().map(|event| (event.name, event.data)).collect(), fault)
    }

    fn check(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(name, data)| ((*name).to_owned(), (*data).to_owned())).collect();
        assert_eq!(parse([text.as_bytes()]), (expected, None), "{text:?}");
    }

    #[test]
    fn events_are_parsed_as_the_standard_says() {
        check("data: a\n\n", &[("", "a")]);
        check("data:a\r\n\r\ndata:  b\r\rdata\n\n", &[("", "a"), ("", " b"), ("", "")]);
        check("event: x\ndata: 1\ndata: 2\nid: 7\nretry: 9\n\n", &[("x", "1\n2")]);
        check("\u{feff}data: a\n\n: ping\n\nevent: y\n\ndata: b: c\n\n", &[("", "a"), ("", "b: c")]);
        check("data: never closed\n", &[]);
        check("<html>\n<body>\n\n", &[]);
        check("", &[]);
    }

    #[test]
    fn faults_are_reported_after_the_events_before_them() {
        let too_large = format!("data: a\n\ndata: {}\n\n", "x".repeat(LIMIT));
        let (events, fault) = parse([too_large.as_bytes()]);
        assert_eq!((events.len(), fault), (1, Some(Error::TooLarge { limit_bytes: LIMIT })));

        let many_lines = "data: 0123456789\n".repeat(10);
        assert_eq!(parse([many_lines.as_bytes()]).1, Some(Error::TooLarge { limit_bytes: LIMIT }));

        let (events, fault) = parse([b"data: a\n\ndata: \xff\n\n".as_slice()]);
        assert_eq!(events.len(), 1);
        assert!(matches!(fault, Some(Error::Malformed { .. })));
    }

    const WORDS: [&str; 10] = ["\n", "\r\n", "\r", "data:", "data: ", "event: ", ":", "é🦀", "\u{feff}", "[DONE]"];

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            6 => proptest::sample::select(&WORDS[..]).prop_map(|text| text.as_bytes().to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 0..4),
        ];
        proptest::collection::vec(word, 0..40).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(bytes in bytes(), cuts in proptest::collection::vec(any::<u16>(), 0..8)) {
            let whole = parse([bytes.as_slice()]);
            prop_assert_eq!(&parse(bytes.chunks(1)), &whole);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut) % (bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            prop_assert_eq!(&parse(cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]])), &whole);
        }
    }
}
