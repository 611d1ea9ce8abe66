//! The HTTP client of all providers and what bounds it: no redirects, no proxy but a configured one, bounded bodies.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, NoProxy, Proxy, Response, redirect};

use super::error::Error;

/// Longest answer in bytes.
pub(super) const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// What is read of an error's body: bytes, and time, so that a hanging body does not hide its status.
const MAX_ERROR_BODY_BYTES: usize = 64 * 1024;
const ERROR_BODY_TIME: Duration = Duration::from_secs(1);

/// What a client is made of.
pub(super) struct Wiring<'a> {
    pub(super) connect_timeout: Duration,
    pub(super) proxy: Option<&'a str>,
    /// Addresses that are called past the proxy, by commas.
    pub(super) past_proxy: Option<&'a str>,
    /// Without it no certificate authorities are loaded, so that a container without any can call a local server.
    pub(super) tls: bool,
}

/// Makes a client. It follows no redirect, since the key would travel along, and takes no proxy from the environment.
/// Responses are never decompressed, so that `MAX_BODY_BYTES` is what the wire carries.
pub(super) fn client(wiring: &Wiring<'_>) -> Result<Client, reqwest::Error> {
    // Another part of the process may have installed one already, which then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut client = Client::builder()
        .user_agent(concat!("semroute/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(wiring.connect_timeout)
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy();
    if let Some(proxy) = wiring.proxy {
        client = client.proxy(Proxy::all(proxy)?.no_proxy(wiring.past_proxy.and_then(NoProxy::from_string)));
    }
    if !wiring.tls {
        client = client.tls_certs_only([]);
    }
    client.build()
}

/// Reads a whole body of at most `limit_bytes`.
pub(super) async fn body(mut response: Response, limit_bytes: usize) -> Result<Vec<u8>, Error> {
    let too_large = Error::TooLarge { limit_bytes };
    if response.content_length().is_some_and(|length| length > limit_bytes as u64) {
        return Err(too_large);
    }
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(Error::from_http)? {
        if body.len() + piece.len() > limit_bytes {
            return Err(too_large);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Reads the beginning of an error's body; what cannot be had in a second is left.
pub(super) async fn error_body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let reading = async {
        while let Ok(Some(piece)) = response.chunk().await {
            body.extend_from_slice(&piece);
            if body.len() >= MAX_ERROR_BODY_BYTES {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(ERROR_BODY_TIME, reading).await;
    body.truncate(MAX_ERROR_BODY_BYTES);
    body
}

/// How long the provider asks us to stay away: `retry-after-ms` (OpenAI, Azure), else `retry-after` in seconds. Its
/// other form, a date, is not read: it would make the answer depend on both clocks.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    retry_after_in(&|name| headers.get(name)?.to_str().ok())
}

/// The same, given a way to look headers up.
pub(super) fn retry_after_in<'a>(header: &dyn Fn(&str) -> Option<&'a str>) -> Option<Duration> {
    let number = |name: &str| header(name)?.trim().parse::<f64>().ok();
    let seconds = number("retry-after-ms").map(|ms| ms / 1000.0).or_else(|| number(RETRY_AFTER.as_str()))?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_seconds_or_milliseconds() {
        let check = |pairs: &[(&'static str, &'static str)], expected: Option<u64>| {
            let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            assert_eq!(retry_after(&HeaderMap::from_iter(pairs)), expected.map(Duration::from_millis), "{expected:?}");
        };
        check(&[("retry-after", "2")], Some(2_000));
        check(&[("retry-after", "7"), ("retry-after-ms", "150")], Some(150));
        check(&[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")], None);
        check(&[("retry-after", "-1")], None);
        check(&[("retry-after", "1e300")], None);
        check(&[], None);
    }
}
