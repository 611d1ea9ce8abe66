//! gRPC calls by method and code, and how many are under way.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use prometheus::{IntCounter, IntCounterVec, IntGauge, Result};

use super::book::Book;
use crate::rpc_code::NAMES;

const CANCELLED: usize = 1;
const UNKNOWN: usize = 2;

/// Health, reflection, and what is no method at all.
const OTHER: &str = "other";

/// Clone it freely.
#[derive(Clone)]
pub struct Calls(Arc<Inner>);

struct Inner {
    by_path: HashMap<String, Arc<Method>>,
    other: Arc<Method>,
}

struct Method {
    name: String,
    all: IntCounterVec,
    /// Looked up when a code is first met, so that only those that occur are shown.
    by_code: [OnceLock<Option<IntCounter>>; NAMES.len()],
    /// `None` for what may last for ever, such as a watch of the health.
    under_way: Option<IntGauge>,
}

impl Calls {
    pub(super) fn new(book: &Book, methods: impl IntoIterator<Item = String>) -> Result<Self> {
        let help = "gRPC calls that have ended, by method and status code; other: health, reflection, unknown methods.";
        let all = book.counters("semroute_requests_total", help, &["method", "code"])?;
        let under_way =
            book.gauge("semroute_requests_in_flight", "gRPC calls under way, health and reflection aside.")?;
        let method = |name: &str, under_way: Option<IntGauge>| {
            let by_code = std::array::from_fn(|_| OnceLock::new());
            Arc::new(Method { name: name.to_owned(), all: all.clone(), by_code, under_way })
        };
        let by_path: HashMap<String, Arc<Method>> = methods
            .into_iter()
            .map(|path| {
                let method = method(path.trim_start_matches('/'), Some(under_way.clone()));
                // Shown from the start, so that rates begin at zero.
                method.count(0, 0);
                (path, method)
            })
            .collect();
        Ok(Self(Arc::new(Inner { by_path, other: method(OTHER, None) })))
    }

    /// A call begins. It ends with its [`Call`].
    pub fn begin(&self, path: &str) -> Call {
        let method = Arc::clone(self.0.by_path.get(path).unwrap_or(&self.0.other));
        if let Some(under_way) = &method.under_way {
            under_way.inc();
        }
        Call { method, code: None }
    }
}

impl Method {
    fn count(&self, code: usize, calls: u64) {
        let Some((slot, name)) = self.by_code.get(code).zip(NAMES.get(code)) else { return };
        let counter = slot.get_or_init(|| self.all.get_metric_with_label_values(&[self.name.as_str(), name]).ok());
        if let Some(counter) = counter {
            counter.inc_by(calls);
        }
    }
}

/// A call under way. Dropped without a code, its caller has gone.
pub struct Call {
    method: Arc<Method>,
    code: Option<usize>,
}

impl Call {
    /// For example `semroute.v1.RouterService/Route`; `None` for health, reflection and what is no method of ours.
    pub fn method(&self) -> Option<&str> {
        self.method.under_way.is_some().then_some(self.method.name.as_str())
    }

    /// How it ended: the number of a gRPC code, as text. Anything else counts as UNKNOWN.
    pub fn ended(&mut self, code: &[u8]) {
        let number = std::str::from_utf8(code).ok().and_then(|code| code.parse().ok());
        self.code = Some(number.filter(|number| *number < NAMES.len()).unwrap_or(UNKNOWN));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(under_way) = &self.method.under_way {
            under_way.dec();
        }
        self.method.count(self.code.unwrap_or(CANCELLED), 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_method_and_code() {
        let book = Book::default();
        let calls = Calls::new(&book, ["/a.B/C".to_owned()]).unwrap();
        let end = |path: &str, code: Option<&str>| {
            let mut call = calls.begin(path);
            if let Some(code) = code {
                call.ended(code.as_bytes());
            }
        };
        end("/a.B/C", Some("0"));
        end("/a.B/C", Some("0"));
        end("/a.B/C", Some("8"));
        end("/a.B/C", Some("99"));
        end("/a.B/C", Some("x"));
        end("/a.B/C", None);
        end("/whatever/a?caller=writes", Some("12"));
        let under_way = calls.begin("/a.B/C");
        let text = prometheus::TextEncoder::new().encode_to_string(&book.registry().gather()).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            lines,
            [
                "semroute_requests_in_flight 1",
                "semroute_requests_total{code=\"CANCELLED\",method=\"a.B/C\"} 1",
                "semroute_requests_total{code=\"OK\",method=\"a.B/C\"} 2",
                "semroute_requests_total{code=\"RESOURCE_EXHAUSTED\",method=\"a.B/C\"} 1",
                "semroute_requests_total{code=\"UNIMPLEMENTED\",method=\"other\"} 1",
                "semroute_requests_total{code=\"UNKNOWN\",method=\"a.B/C\"} 2",
            ]
        );
        drop(under_way);
    }
}
