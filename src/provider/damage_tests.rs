//! Damaged answers of every wire format: a clear end each time, and never a panic.

use proptest::prelude::*;

use super::stream::Decoder;
use super::stream::tests::decode_all;

/// Replaces, removes or doubles bytes at random places.
pub(super) fn damaged(whole: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let damage = (any::<prop::sample::Index>(), any::<u8>(), 0..4u8);
    prop::collection::vec(damage, 0..6).prop_map(move |damages| {
        let mut bytes = whole.to_vec();
        for (place, byte, kind) in damages {
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                1 => {}
                2 => bytes.insert(at, byte),
                _ => bytes.truncate(at.max(1)),
            }
        }
        bytes
    })
}

/// Values where others are expected: no form is taken for granted.
fn odd_value() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["null", "0", "-1", "1e400", "\"\"", "[]", "{}", "[{}]", "true", "[null]", "\"\\ud800\""])
}

/// An event of the stream with one of its values replaced.
pub(super) fn odd(whole: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let places: Vec<usize> = whole.match_indices(':').map(|(at, _)| at + 1).collect();
    (prop::sample::select(places), odd_value()).prop_map(move |(at, value)| {
        let rest = &whole[at..];
        let end = rest.find([',', '}', ']', '\n']).unwrap_or(rest.len());
        format!("{}{value}{}", &whole[..at], &rest[end..]).into_bytes()
    })
}

fn ends<D: Decoder>(bytes: &[u8], decoder: D) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // `decode_all` itself asserts that there is one end, and nothing behind it.
    let _ = runtime.block_on(decode_all(bytes, 64, decoder));
}

macro_rules! formats {
    ($($family:ident),*) => {$(
        mod $family {
            use super::*;

            const STREAM: &str =
                include_str!(concat!("../../tests/golden/wire/", stringify!($family), "/stream_tools.sse"));
            const ANSWER: &str =
                include_str!(concat!("../../tests/golden/wire/", stringify!($family), "/answer_tools.json"));

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(128))]

                #[test]
                fn streams_end(bytes in prop_oneof![damaged(STREAM.as_bytes()), odd(STREAM)]) {
                    ends(&bytes, crate::provider::$family::tests::decoder());
                }

                #[test]
                fn answers_are_answers_or_errors(bytes in prop_oneof![damaged(ANSWER.as_bytes()), odd(ANSWER)]) {
                    let _ = crate::provider::$family::tests::whole(&bytes);
                }
            }
        }
    )*};
}

formats!(openai, anthropic, gemini);
