use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tonic::codegen::http::HeaderMap;
use tracing::{Span, field, info, warn};

use super::*;
use crate::config::LogFormat;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// What is logged while `work` is done, with or without a collector.
fn logged(level: &str, format: LogFormat, traced: bool, work: impl FnOnce()) -> String {
    let config = TelemetryConfig { otlp_endpoint: Some("http://127.0.0.1:1".to_owned()), ..TelemetryConfig::default() };
    let traces = Traces::new(&config, &|_| None).unwrap().filter(|_| traced);
    let lines = Lines::default();
    let log = LogConfig { level: level.to_owned(), format };
    let writer = lines.clone();
    let subscriber = subscriber(&log, traces.as_ref().map(|(traces, _)| traces), false, move || writer.clone());
    tracing::subscriber::with_default(subscriber, work);
    lines.text()
}

fn work_on_a_request() {
    let headers = HeaderMap::from_iter([("x-request-id".parse().unwrap(), "r1".parse().unwrap())]);
    let call = step!("call", otel.kind = "server");
    let request = call.in_scope(|| request_span(&headers));
    call.in_scope(|| {
        request.in_scope(|| {
            Span::current().record("decision_id", field::display("d1"));
        });
    });
    call.in_scope(|| request.in_scope(|| step!("attempt").in_scope(|| warn!("first"))));
    request.in_scope(|| warn!("second"));
}

#[test]
fn log_lines_of_a_request_share_its_ids_whatever_is_logged_and_traced() {
    for level in ["trace", "info", "warn", "semroute::telemetry=warn"] {
        for traced in [false, true] {
            let text = logged(level, LogFormat::Json, traced, work_on_a_request);
            let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(lines.len(), 2, "{level} {traced}: {text}");
            for line in &lines {
                assert_eq!(line["span"]["decision_id"], "d1", "{level} {traced}: {text}");
                assert_eq!(line["span"]["request_id"], "r1", "{level} {traced}: {text}");
                assert_eq!(line["spans"].as_array().unwrap().len(), 1, "steps are the traces' affair: {text}");
            }
        }
    }
    let text = logged("info", LogFormat::Text, false, work_on_a_request);
    assert!(text.contains("decision_id=d1") && text.contains("request_id=\"r1\""), "{text}");
}

#[test]
fn without_a_collector_no_step_is_made() {
    logged("trace", LogFormat::Json, false, || assert!(step!("decide", cost = unwanted()).is_disabled()));
    logged("error", LogFormat::Json, true, || assert!(!step!("decide").is_disabled()));
}

fn unwanted() -> u64 {
    panic!("fields of a step that nobody sees are not computed")
}

#[test]
fn ids_that_are_too_long_or_not_text_are_left_out() {
    let long = "x".repeat(129);
    for (id, expected) in [(b"a b".as_slice(), Some("a b")), (long.as_bytes(), None), (b"\xff", None)] {
        let value = tonic::codegen::http::HeaderValue::from_bytes(id).unwrap();
        let headers = HeaderMap::from_iter([("x-request-id".parse().unwrap(), value)]);
        assert_eq!(request_id(&headers), expected);
    }
    logged("off", LogFormat::Text, false, || info!("nothing"));
}

#[test]
fn of_what_aws_says_only_errors_are_logged_whatever_is_configured() {
    for level in ["trace", "info,aws_x=trace", "aws_x::http=trace"] {
        let text = logged(level, LogFormat::Text, false, || {
            tracing::trace!(target: "aws_x::http", "an answer");
            warn!(target: "aws_x::http", "an answer");
            tracing::error!(target: "aws_x::http", "no connection");
        });
        assert!(text.contains("no connection") && !text.contains("an answer"), "{level}: {text}");
    }
}

#[test]
fn providers_are_told_the_trace_only_where_it_is_configured() {
    let check = |propagate: bool| {
        let endpoint = Some("http://127.0.0.1:1".to_owned());
        let config = TelemetryConfig { otlp_endpoint: endpoint, propagate, ..TelemetryConfig::default() };
        let (traces, _export) = Traces::new(&config, &|_| None).unwrap().unwrap();
        let log = LogConfig::default();
        tracing::subscriber::with_default(subscriber(&log, Some(&traces), false, io::sink), || {
            assert_eq!(traceparent(), None, "outside of any step");
            let caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
            let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), caller.parse().unwrap())]);
            let call = step!("call");
            follow(&call, &headers);
            call.in_scope(|| step!("provider").in_scope(traceparent))
        })
    };
    assert_eq!(check(false), None);
    let told = check(true).unwrap();
    assert!(told.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && told.ends_with("-01"), "{told}");
    assert!(!told.contains("00f067aa0ba902b7"), "the parent is our step, not the caller's: {told}");
}
