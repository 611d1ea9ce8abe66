//! Calls at a steady rate, each at its own time whatever became of those before it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use hdrhistogram::Histogram;
use semroute::grpc::pb;
use semroute::grpc::pb::router_service_client::RouterServiceClient;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::service::input;

/// Deadline of each call.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of a call.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// From when it was due.
    pub(crate) due: Instant,
    pub(crate) took: Duration,
    /// `Err`: its code, and whether text had come before.
    pub(crate) result: Result<(), (tonic::Code, bool)>,
    pub(crate) attempts: usize,
}

/// `streams`: every second call is a stream.
pub(crate) async fn at_rate(channels: &[Channel], per_second: f64, time: Duration, streams: bool) -> Vec<Outcome> {
    let begun = Instant::now();
    let calls = (per_second * time.as_secs_f64()) as usize;
    let mut set = JoinSet::new();
    for number in 0..calls {
        let due = begun + Duration::from_secs_f64(number as f64 / per_second);
        tokio::time::sleep_until(due.into()).await;
        let client = RouterServiceClient::new(channels[number % channels.len()].clone());
        set.spawn(call(client, due, streams && number % 2 == 1));
    }
    set.join_all().await
}

pub(crate) fn request() -> Request<pb::CompleteRequest> {
    let mut request = Request::new(pb::CompleteRequest { input: Some(input()), ..pb::CompleteRequest::default() });
    request.set_timeout(PATIENCE);
    request
}

async fn call(mut client: RouterServiceClient<Channel>, due: Instant, streams: bool) -> Outcome {
    let (result, attempts) = if streams { streamed(&mut client).await } else { whole(&mut client).await };
    Outcome { due, took: due.elapsed(), result, attempts }
}

async fn whole(client: &mut RouterServiceClient<Channel>) -> (Result<(), (tonic::Code, bool)>, usize) {
    match client.complete(request()).await {
        Ok(response) => (Ok(()), response.into_inner().served.map_or(0, |served| served.attempts.len())),
        Err(status) => (Err((status.code(), false)), 0),
    }
}

/// A stream to its end.
pub(crate) async fn streamed(client: &mut RouterServiceClient<Channel>) -> (Result<(), (tonic::Code, bool)>, usize) {
    let mut begun = false;
    let mut attempts = 0;
    let mut read = async || -> Result<(), Status> {
        let mut events = client.complete_stream(request_of_long()).await?.into_inner();
        while let Some(event) = events.next().await {
            match event?.event {
                Some(pb::complete_event::Event::Text(_)) => begun = true,
                Some(pb::complete_event::Event::Served(served)) => attempts = served.attempts.len(),
                _ => {}
            }
        }
        Ok(())
    };
    let result = read().await;
    (result.map_err(|status| (status.code(), begun)), attempts)
}

/// With time for a slow stream.
fn request_of_long() -> Request<pb::CompleteRequest> {
    let mut request = request();
    request.set_timeout(Duration::from_secs(90));
    request
}

/// What became of many calls, in milliseconds.
pub(crate) struct Summary {
    pub(crate) calls: usize,
    pub(crate) failures: usize,
    /// Streams that broke after text had come: no failover may mend them.
    pub(crate) broken: usize,
    pub(crate) attempts: usize,
    codes: BTreeMap<String, usize>,
    times: Histogram<u64>,
}

impl Summary {
    pub(crate) fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Self {
        let times = Histogram::new(3).unwrap();
        let mut all = Self { calls: 0, failures: 0, broken: 0, attempts: 0, codes: BTreeMap::new(), times };
        for outcome in outcomes {
            all.calls += 1;
            all.attempts += outcome.attempts;
            let _ = all.times.record(outcome.took.as_micros() as u64);
            if let Err((code, begun)) = outcome.result {
                all.failures += usize::from(!begun);
                all.broken += usize::from(begun);
                *all.codes.entry(format!("{code:?}")).or_default() += 1;
            }
        }
        all
    }

    /// In milliseconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        self.times.value_at_quantile(share) as f64 / 1e3
    }

    pub(crate) fn success(&self) -> f64 {
        1.0 - self.failures as f64 / (self.calls - self.broken).max(1) as f64
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "calls": self.calls, "failures": self.failures, "broken_streams": self.broken, "success": self.success(),
            "codes": self.codes, "p50_ms": self.quantile(0.5), "p90_ms": self.quantile(0.9), "p99_ms": self.quantile(0.99),
            "max_ms": self.quantile(1.0),
        })
    }
}
