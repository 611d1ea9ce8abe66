//! A collector of traces on loopback that behaves as a test wants it to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

#[derive(Clone, Copy)]
pub(crate) enum Manner {
    Takes,
    /// Says that it did not take so many.
    Rejects(i64),
    Fails(Code),
    Hangs,
}

/// Dropping it closes its port.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    running: JoinHandle<()>,
}

struct Seen {
    manner: Manner,
    batches: Mutex<Vec<(Option<String>, ExportTraceServiceRequest)>>,
}

#[tonic::async_trait]
impl TraceService for Seen {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let key = request.metadata().get("x-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
        self.batches.lock().unwrap().push((key, request.into_inner()));
        let partial = |rejected_spans| ExportTracePartialSuccess { rejected_spans, error_message: "full".to_owned() };
        match self.manner {
            Manner::Takes => Ok(Response::new(ExportTraceServiceResponse::default())),
            Manner::Rejects(spans) => {
                Ok(Response::new(ExportTraceServiceResponse { partial_success: Some(partial(spans)) }))
            }
            Manner::Fails(code) => Err(Status::new(code, "go away")),
            Manner::Hangs => std::future::pending().await,
        }
    }
}

impl Collector {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen { manner, batches: Mutex::default() });
        let service = TraceServiceServer::from_arc(Arc::clone(&seen));
        let running = tokio::spawn(async move {
            Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
        });
        Self { address, seen, running }
    }

    /// The `x-key` of every batch.
    pub(crate) fn keys(&self) -> Vec<Option<String>> {
        self.seen.batches.lock().unwrap().iter().map(|(key, _)| key.clone()).collect()
    }

    /// All batches as they were sent.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.seen.batches.lock().unwrap().iter().flat_map(|(_, batch)| batch.encode_to_vec()).collect()
    }

    pub(crate) fn service(&self) -> String {
        let batches = self.seen.batches.lock().unwrap();
        let resource = batches[0].1.resource_spans[0].resource.as_ref().unwrap();
        attributes(&resource.attributes)["service.name"].clone()
    }

    pub(crate) fn tree(&self) -> Tree {
        let batches = self.seen.batches.lock().unwrap();
        let resources = batches.iter().flat_map(|(_, batch)| &batch.resource_spans);
        Tree(resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.running.abort();
    }
}

pub(crate) struct Tree(pub(crate) Vec<Span>);

impl Tree {
    /// Every span as `parent > span`, in the order of their begins; the parent `-` is none of these.
    pub(crate) fn edges(&self) -> Vec<String> {
        let mut spans: Vec<&Span> = self.0.iter().collect();
        spans.sort_by_key(|span| span.start_time_unix_nano);
        spans.iter().map(|span| format!("{} > {}", self.parent(span), span.name)).collect()
    }

    pub(crate) fn parent(&self, span: &Span) -> &str {
        let parent = self.0.iter().find(|other| other.span_id == span.parent_span_id);
        parent.map_or("-", |parent| parent.name.as_str())
    }

    /// The only span of this name.
    pub(crate) fn one(&self, name: &str) -> &Span {
        let mut named = self.0.iter().filter(|span| span.name == name);
        let found = named.next().unwrap_or_else(|| panic!("no span {name} in {:?}", self.edges()));
        assert!(named.next().is_none(), "several spans {name} in {:?}", self.edges());
        found
    }

    /// The span of this name whose parent is the caller's.
    pub(crate) fn one_of_caller(&self, name: &str) -> &Span {
        let root = |span: &&Span| span.name == name && !span.parent_span_id.is_empty() && self.parent(span) == "-";
        self.0.iter().find(root).unwrap_or_else(|| panic!("no such {name} in {:?}", self.edges()))
    }

    pub(crate) fn attributes(&self, name: &str) -> BTreeMap<String, String> {
        attributes(&self.one(name).attributes)
    }
}

/// Values as text.
pub(crate) fn attributes(pairs: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|pair| (pair.key.clone(), text(pair.value.as_ref().and_then(|value| value.value.as_ref()))))
        .collect()
}

fn text(value: Option<&any_value::Value>) -> String {
    match value {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::BoolValue(value)) => value.to_string(),
        Some(any_value::Value::IntValue(value)) => value.to_string(),
        Some(any_value::Value::DoubleValue(value)) => value.to_string(),
        Some(any_value::Value::ArrayValue(array)) => {
            format!("{:?}", array.values.iter().map(|value| text(value.value.as_ref())).collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    }
}
