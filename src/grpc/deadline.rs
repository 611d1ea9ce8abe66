//! The caller's deadline, from the `grpc-timeout` header, a little shortened so that the answer arrives in time.

use std::time::{Duration, Instant};

use tonic::metadata::MetadataMap;

/// Kept back of every deadline for the way home: a twentieth, at most this.
const MARGIN: Duration = Duration::from_millis(5);

/// The moment by which work for this request must be done; `None` if the caller set no timeout (or an unreadable one).
pub(super) fn of(metadata: &MetadataMap, now: Instant) -> Option<Instant> {
    let timeout = parse(metadata.get("grpc-timeout")?.to_str().ok()?)?;
    now.checked_add(timeout - MARGIN.min(timeout / 20))
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
        let mut metadata = MetadataMap::new();
        let now = Instant::now();
        assert_eq!(of(&metadata, now), None);
        metadata.insert("grpc-timeout", "1S".parse().unwrap());
        assert_eq!(of(&metadata, now), Some(now + Duration::from_millis(995)));
        metadata.insert("grpc-timeout", "20m".parse().unwrap());
        assert_eq!(of(&metadata, now), Some(now + Duration::from_millis(19)));
    }
}
