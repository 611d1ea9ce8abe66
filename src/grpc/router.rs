//! RouterService: decide, and carry the decision out.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::admission::Admission;
use super::convert::{self, Classification};
use super::delivery::{self, Terms};
use super::record::{self, Recording};
use super::status::{self, from_embed};
use super::{deadline, pb};
use crate::classify::{Cascade, ClassifyOptions, Decision, Purpose};
use crate::dispatch::Dispatcher;
use crate::govern::audit::{Audit, Method};
use crate::learn::{Correction, Learning};
use crate::metrics::Metrics;
use crate::publish::LiveSets;
use crate::reference::{SetName, Snapshot, TargetName};
use crate::routing::{Plan, RoutingTable};

/// Most prompts in one RouteBatch.
const MAX_BATCH: usize = 1_000;

/// Prompts of one batch that are classified at once: enough for every worker, without crowding others out.
const BATCH_IN_FLIGHT: usize = 16;

/// What the service works with. Clone it freely.
#[derive(Clone)]
pub struct RouterParts {
    pub live: LiveSets,
    pub cascade: Cascade,
    pub learning: Learning,
    pub routing: Arc<RoutingTable>,
    pub dispatcher: Dispatcher,
    pub default_set: SetName,
    /// Longest input of a request in bytes.
    pub max_prompt_bytes: usize,
    /// Time for a completion whose caller set no deadline.
    pub default_timeout: Duration,
    pub admission: Admission,
    pub metrics: Metrics,
    pub audit: Audit,
    /// Where streams are delivered.
    pub tasks: TaskTracker,
    /// Ends the streams that are still under way when the drain time is over.
    pub cut_off: CancellationToken,
}

#[derive(Clone)]
pub struct RouterService(RouterParts);

type Answer<T> = Result<Response<T>, Status>;

impl RouterService {
    pub fn new(parts: RouterParts) -> Self {
        Self(parts)
    }

    async fn decide(
        &self,
        request: &Classification,
        deadline: Option<Instant>,
        purpose: Purpose,
    ) -> Result<Decision, Status> {
        let snapshot = self.snapshot(request)?;
        let options = ClassifyOptions {
            neighbours: request.neighbours,
            allow_llm: request.allow_llm,
            target_accuracy: request.target_accuracy,
            deadline,
            purpose,
        };
        let asked = self.0.metrics.asked(deadline);
        let decided = self.0.cascade.decide(snapshot, &request.prompt, options).await;
        asked.settle(&decided);
        if let Ok(decision) = &decided {
            self.0.learning.decided(decision, &request.prompt.text());
        }
        decided.map_err(|error| from_embed(&error))
    }

    fn enter(&self) -> Result<OwnedSemaphorePermit, Status> {
        self.0.admission.enter().inspect_err(|_| self.0.metrics.refused_for_concurrency())
    }

    fn snapshot(&self, request: &Classification) -> Result<Arc<Snapshot>, Status> {
        let set = request.set.as_ref().unwrap_or(&self.0.default_set);
        self.0.live.snapshots().get(set.as_str()).ok_or_else(|| match self.0.live.problem(set.as_str()) {
            Some(problem) => status::not_served(set, &problem),
            None => status::unknown_set(set),
        })
    }

    /// `None` if no route applies.
    fn plan(&self, decision: &Decision, pin: Option<&TargetName>) -> Option<Plan> {
        decision.route().map(|route| self.0.routing.plan(&decision.snapshot.set, route, pin))
    }

    pub(super) async fn route_one(
        &self,
        request: pb::RouteRequest,
        deadline: Option<Instant>,
        mut recording: Recording,
    ) -> Result<pb::RouteResponse, Status> {
        let answer = self.route_recorded(request, deadline, &mut recording).await;
        recording.end(answer).await
    }

    async fn route_recorded(
        &self,
        request: pb::RouteRequest,
        deadline: Option<Instant>,
        recording: &mut Recording,
    ) -> Result<pb::RouteResponse, Status> {
        let request = convert::classification(request, self.0.max_prompt_bytes)?;
        recording.asked(&request.prompt);
        let decision = self.decide(&request, deadline, Purpose::Answer).await?;
        recording.decided(&decision);
        let plan = self.plan(&decision, None);
        if let Some(plan) = &plan {
            recording.planned(plan);
        }
        let plan = plan.as_ref().map(pb::Plan::from);
        Ok(pb::RouteResponse { decision: Some(pb::Decision::of(&decision, request.explain)), plan })
    }

    fn record(&self, method: Method, metadata: &MetadataMap) -> Result<Recording, Status> {
        Recording::begin(&self.0.audit, &self.0.tasks, method, metadata)
    }

    async fn complete_recorded(
        &self,
        request: pb::CompleteRequest,
        deadline: Option<Instant>,
        recording: &mut Recording,
    ) -> Result<pb::CompleteResponse, Status> {
        let request = convert::completion(request, self.0.max_prompt_bytes)?;
        let (decision, plan) = self.prepare(&request, deadline, recording).await?;
        let until = self.until(deadline);
        let dispatched = self.0.dispatcher.complete(&plan, &request.chat, until, request.max_attempts).await;
        recording.dispatched(&dispatched);
        let dispatched = dispatched.map_err(|error| status::from_dispatch(&error))?;
        Ok(pb::CompleteResponse {
            text: dispatched.completion.text.clone(),
            served: Some(convert::served(&dispatched)),
            decision: Some(pb::Decision::of(&decision, request.classification.explain)),
        })
    }

    /// A request without a deadline gets the configured one.
    fn until(&self, deadline: Option<Instant>) -> Instant {
        deadline.unwrap_or_else(|| Instant::now() + self.0.default_timeout)
    }

    /// The decision and the plan that it leads to; an error if there is no route to follow.
    async fn prepare(
        &self,
        request: &convert::Completion,
        deadline: Option<Instant>,
        recording: &mut Recording,
    ) -> Result<(Decision, Plan), Status> {
        recording.asked(&request.classification.prompt);
        let decision = self.decide(&request.classification, deadline, Purpose::Completion).await?;
        recording.decided(&decision);
        match self.plan(&decision, request.pin_target.as_ref()) {
            Some(plan) => {
                recording.planned(&plan);
                Ok((decision, plan))
            }
            None => Err(status::no_route(&decision)),
        }
    }
}

#[tonic::async_trait]
impl pb::router_service_server::RouterService for RouterService {
    async fn route(&self, request: Request<pb::RouteRequest>) -> Answer<pb::RouteResponse> {
        let _place = self.enter()?;
        let deadline = deadline::of(&request);
        let (metadata, _, request) = request.into_parts();
        let recording = self.record(Method::Route, &metadata)?;
        let response = self.route_one(request, deadline, recording).await?;
        Ok(echo_request_id(&metadata, Response::new(response)))
    }

    async fn route_batch(&self, request: Request<pb::RouteBatchRequest>) -> Answer<pb::RouteBatchResponse> {
        let _place = self.enter()?;
        let deadline = deadline::of(&request);
        let (metadata, _, request) = request.into_parts();
        let count = request.requests.len();
        if count == 0 || count > MAX_BATCH {
            return Err(super::violation::field(
                "requests",
                format!("has {count} entries, must have 1 to {MAX_BATCH}"),
            ));
        }
        let headers = &metadata;
        let results = stream::iter(request.requests)
            .map(|request| async move {
                let answer = match self.record(Method::RouteBatch, headers) {
                    Ok(recording) => self.route_one(request, deadline, recording).await,
                    Err(status) => Err(status),
                };
                let result = match answer {
                    Ok(response) => pb::route_result::Result::Response(response),
                    Err(status) => pb::route_result::Result::Error(status::to_message(&status)),
                };
                pb::RouteResult { result: Some(result) }
            })
            .buffered(BATCH_IN_FLIGHT)
            .collect()
            .await;
        Ok(echo_request_id(&metadata, Response::new(pb::RouteBatchResponse { results })))
    }

    async fn complete(&self, request: Request<pb::CompleteRequest>) -> Answer<pb::CompleteResponse> {
        let _place = self.enter()?;
        let deadline = deadline::of(&request);
        let (metadata, _, request) = request.into_parts();
        let mut recording = self.record(Method::Complete, &metadata)?;
        let answer = self.complete_recorded(request, deadline, &mut recording).await;
        Ok(echo_request_id(&metadata, Response::new(recording.end(answer).await?)))
    }

    async fn feedback(&self, request: Request<pb::FeedbackRequest>) -> Answer<pb::FeedbackResponse> {
        let _place = self.enter()?;
        let (metadata, _, request) = request.into_parts();
        let correction = convert::correction(request, self.0.max_prompt_bytes)?;
        // A prompt that comes without its set is one of the default set, unless its decision is remembered.
        let default_set = correction.text.is_some().then(|| self.0.default_set.clone());
        let recorded = self.0.learning.correct(Correction { default_set, ..correction }).await;
        let recorded = recorded.map_err(|error| status::from_correction(&error))?;
        Ok(echo_request_id(&metadata, Response::new(convert::feedback(recorded))))
    }

    type CompleteStreamStream = Pin<Box<dyn Stream<Item = Result<pb::CompleteEvent, Status>> + Send>>;

    async fn complete_stream(&self, request: Request<pb::CompleteRequest>) -> Answer<Self::CompleteStreamStream> {
        let place = self.enter()?;
        let deadline = deadline::of(&request);
        let (metadata, _, request) = request.into_parts();
        let mut recording = self.record(Method::CompleteStream, &metadata)?;
        let prepared = async {
            let request = convert::completion(request, self.0.max_prompt_bytes)?;
            let (decision, plan) = self.prepare(&request, deadline, &mut recording).await?;
            Ok::<_, Status>((request, decision, plan))
        };
        let (request, decision, plan) = match prepared.await {
            Ok(prepared) => prepared,
            Err(status) => return recording.end(Err(status)).await,
        };
        let decided = pb::Decision::of(&decision, request.classification.explain);
        let first = pb::CompleteEvent { event: Some(pb::complete_event::Event::Decision(decided)) };
        let until = self.until(deadline);
        let events = self.0.dispatcher.stream(&plan, Arc::new(request.chat), until, request.max_attempts);
        let events = stream::once(async { Ok(first) }).chain(record::follow(events, recording));
        let terms = Terms { until, cut_off: self.0.cut_off.clone(), place };
        let stream = delivery::deliver(events, terms, &self.0.tasks);
        Ok(echo_request_id(&metadata, Response::new(Box::pin(stream) as Self::CompleteStreamStream)))
    }
}

/// Gives the caller's `x-request-id` back.
fn echo_request_id<T>(metadata: &MetadataMap, mut response: Response<T>) -> Response<T> {
    if let Some(id) = metadata.get("x-request-id") {
        response.metadata_mut().insert("x-request-id", id.clone());
    }
    response
}
