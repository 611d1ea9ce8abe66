//! Asks the HTTP port, byte by byte.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Status, head and body of an answer.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Page {
    send(address, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap()
}

/// `None` if the connection ends without an answer.
pub(crate) async fn send(address: SocketAddr, request: &[u8]) -> Option<Page> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    // The other side may have heard enough before the end.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Page { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
}

/// Samples by name and labels as they are written, such as `semroute_requests_total{code="OK",method="x"}`.
pub(crate) struct Samples(BTreeMap<String, f64>);

impl Samples {
    pub(crate) async fn of(address: SocketAddr) -> Self {
        let page = get(address, "/metrics").await;
        assert_eq!(page.status, 200, "{}", page.body);
        assert!(page.head.contains("content-type: text/plain; version=0.0.4"), "{}", page.head);
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        };
        Self(page.body.lines().filter(|line| !line.starts_with('#')).map(sample).collect())
    }

    /// 0 if there is no such sample.
    pub(crate) fn value(&self, sample: &str) -> f64 {
        self.0.get(sample).copied().unwrap_or_default()
    }

    pub(crate) fn has(&self, sample: &str) -> bool {
        self.0.contains_key(sample)
    }

    /// Of all samples of a name whose labels hold all of `labels`.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let of =
            |sample: &str| sample.split('{').next() == Some(name) && labels.iter().all(|label| sample.contains(label));
        self.0.iter().filter(|(sample, _)| of(sample)).map(|(_, value)| value).sum()
    }
}
