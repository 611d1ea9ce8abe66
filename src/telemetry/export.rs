//! Hands spans over to the collector, batch after batch, from a task of its own. Whatever the collector does, requests
//! do not notice: what it does not take in time is lost, counted and told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use super::config::add_headers;
use super::losses::{LossCounts, Teller};

/// Spans of one batch, as OpenTelemetry's batch processors have it.
const BATCH_SPANS: usize = 512;

/// A batch that is not full waits so long for more.
const GATHERING: Duration = Duration::from_secs(1);

/// A batch is offered so often, with these pauses between; then it is lost.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// The collector and how it is spoken to.
#[derive(Debug)]
pub(super) struct Collector {
    pub(super) endpoint: String,
    pub(super) timeout: Duration,
    pub(super) headers: MetadataMap,
}

impl Collector {
    /// Connects when the first batch is sent, and anew whenever it has to.
    fn client(&self) -> Result<TraceServiceClient<Channel>, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(self.endpoint.clone())?.connect_timeout(self.timeout);
        let endpoint = match self.endpoint.starts_with("https:") {
            true => endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?,
            false => endpoint,
        };
        Ok(TraceServiceClient::new(endpoint.connect_lazy()))
    }

    /// How many spans of the batch the collector refused.
    async fn send(
        &self,
        client: &mut TraceServiceClient<Channel>,
        batch: &ExportTraceServiceRequest,
    ) -> Result<u64, Status> {
        let mut request = Request::new(batch.clone());
        request.set_timeout(self.timeout);
        add_headers(request.metadata_mut(), &self.headers);
        // The deadline in the request is for those who keep it.
        match tokio::time::timeout(self.timeout, client.export(request)).await {
            Ok(answer) => {
                let refused = answer?.into_inner().partial_success.map_or(0, |partial| partial.rejected_spans);
                Ok(u64::try_from(refused).unwrap_or(0))
            }
            Err(_) => Err(Status::deadline_exceeded("no answer")),
        }
    }
}

/// The other end of the queue that traces fill. Run it as a task.
#[derive(Debug)]
pub struct Export {
    spans: mpsc::Receiver<SpanData>,
    collector: Collector,
    resource: ResourceAttributesWithSchema,
    losses: Arc<LossCounts>,
    teller: Teller,
    /// Spans of the batch that is being handed over.
    under_way: usize,
    /// Why the last batch was lost.
    trouble: Option<Code>,
}

impl Export {
    pub(super) fn new(
        spans: mpsc::Receiver<SpanData>,
        collector: Collector,
        resource: &Resource,
        losses: Arc<LossCounts>,
    ) -> Self {
        let (teller, resource) = (Teller::default(), resource.into());
        Self { spans, collector, resource, losses, teller, under_way: 0, trouble: None }
    }

    /// Until `stop`; then what is queued is handed over, for at most the configured timeout.
    pub async fn run(mut self, stop: CancellationToken) {
        let most = self.collector.timeout;
        let overdue = async {
            stop.cancelled().await;
            tokio::time::sleep(most).await;
        };
        tokio::select! {
            () = self.work(&stop) => {}
            () = overdue => {}
        }
        self.spans.close();
        let mut left = std::mem::take(&mut self.under_way);
        while self.spans.try_recv().is_ok() {
            left += 1;
        }
        self.losses.undelivered(left);
        self.tell(true);
    }

    async fn work(&mut self, stop: &CancellationToken) {
        let mut client = match self.collector.client() {
            Ok(client) => client,
            Err(error) => {
                tracing::error!(error = %super::chain(&error), "no traces are sent");
                return;
            }
        };
        while let Some(batch) = self.gather(stop).await {
            self.hand_over(&mut client, batch).await;
            self.tell(false);
        }
    }

    /// `None` once it is to stop and nothing is left.
    async fn gather(&mut self, stop: &CancellationToken) -> Option<Vec<SpanData>> {
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            taken = self.spans.recv_many(&mut batch, BATCH_SPANS) => {
                if taken == 0 {
                    return None;
                }
            }
            () = stop.cancelled() => return None,
        }
        let more = async {
            while batch.len() < BATCH_SPANS {
                let room = BATCH_SPANS - batch.len();
                if self.spans.recv_many(&mut batch, room).await == 0 {
                    return;
                }
            }
        };
        tokio::select! {
            () = more => {}
            () = tokio::time::sleep(GATHERING) => {}
            () = stop.cancelled() => {}
        }
        Some(batch)
    }

    async fn hand_over(&mut self, client: &mut TraceServiceClient<Channel>, batch: Vec<SpanData>) {
        let spans = batch.len();
        self.under_way = spans;
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let sent = self.insist(client, &ExportTraceServiceRequest { resource_spans }).await;
        self.under_way = 0;
        match sent {
            Ok(rejected) => self.losses.rejected(rejected),
            Err(code) => {
                self.losses.undelivered(spans);
                self.trouble = Some(code);
            }
        }
    }

    async fn insist(
        &self,
        client: &mut TraceServiceClient<Channel>,
        batch: &ExportTraceServiceRequest,
    ) -> Result<u64, Code> {
        let mut pauses = PAUSES.into_iter();
        loop {
            match self.collector.send(client, batch).await {
                Ok(rejected) => return Ok(rejected),
                Err(status) => match pauses.next().filter(|_| may_pass(status.code())) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(status.code()),
                },
            }
        }
    }

    /// By its code alone: what a collector writes beside it may be anything.
    fn tell(&mut self, last_words: bool) {
        let losses = self.losses.read();
        if self.teller.is_due(&losses, Instant::now(), last_words) {
            let (overflowed, undelivered, rejected) = (losses.overflowed, losses.undelivered, losses.rejected);
            let code = self.trouble.map(tracing::field::debug);
            tracing::warn!(overflowed, undelivered, rejected, code, "spans were lost, counted since the start");
        }
    }
}

/// Whether it is worth trying again: <https://opentelemetry.io/docs/specs/otlp/#failures>.
fn may_pass(code: Code) -> bool {
    use Code::{Aborted, Cancelled, DataLoss, DeadlineExceeded, OutOfRange, ResourceExhausted, Unavailable};
    matches!(code, Aborted | Cancelled | DataLoss | DeadlineExceeded | OutOfRange | ResourceExhausted | Unavailable)
}
