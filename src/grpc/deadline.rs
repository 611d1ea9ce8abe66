//! The caller's deadline, from the `grpc-timeout` header, a little shortened so that the answer arrives in time.

use std::time::{Duration, Instant};

use tonic::Request;
use tonic::codegen::http::HeaderMap;

/// Kept back of every deadline for the way home: a twentieth, at most this.
const MARGIN: Duration = Duration::from_millis(5);

/// Of a call; found among its request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadline {
    /// When work for the call must be done.
    pub(super) work: Instant,
    /// When its answer must be on the way at the latest: half of the margin later.
    pub(super) answer: Instant,
}

impl Deadline {
    /// `None` if the caller set no timeout, or an unreadable one. `arrival` is when the headers came: the time that
    /// the rest of the message took is the caller's.
    pub(super) fn of(headers: &HeaderMap, arrival: Instant) -> Option<Self> {
        let timeout = parse(headers.get("grpc-timeout")?.to_str().ok()?)?;
        let margin = MARGIN.min(timeout / 20);
        Some(Self { work: arrival.checked_add(timeout - margin)?, answer: arrival.checked_add(timeout - margin / 2)? })
    }
}

/// When work for the request must be done.
pub(super) fn of<T>(request: &Request<T>) -> Option<Instant> {
    request.extensions().get::<Deadline>().map(|deadline| deadline.work)
}

/// At most eight digits and a unit, see
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests>.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read() {
        let table = [
            ("250m", Some(Duration::from_millis(250))),
            ("1S", Some(Duration::from_secs(1))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("7u", Some(Duration::from_micros(7))),
            ("123456789m", None),
            ("m", None),
            ("", None),
            ("1x", None),
            ("-1S", None),
            ("1é", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_margin_is_kept_back() {
        let mut headers = HeaderMap::new();
        let now = Instant::now();
        let after = |micros: u64| now + Duration::from_micros(micros);
        assert_eq!(Deadline::of(&headers, now), None);
        headers.insert("grpc-timeout", "1S".parse().unwrap());
        assert_eq!(Deadline::of(&headers, now), Some(Deadline { work: after(995_000), answer: after(997_500) }));
        headers.insert("grpc-timeout", "20m".parse().unwrap());
        assert_eq!(Deadline::of(&headers, now), Some(Deadline { work: after(19_000), answer: after(19_500) }));
    }
}
