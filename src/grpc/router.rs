//! RouterService: decide, and carry the decision out.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt, stream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::convert::{self, Classification};
use super::delivery::{self, Terms};
use super::govern::{Door, check_route};
use super::status::{self, from_embed};
use super::{deadline, pb};
use crate::classify::{Cascade, ClassifyOptions, Decision, Purpose};
use crate::dispatch::Dispatcher;
use crate::govern::Caller;
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
pub(super) struct RouterParts {
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
    pub door: Door,
    pub metrics: Metrics,
    /// Where streams are delivered.
    pub tasks: TaskTracker,
    /// Ends the streams that are still under way when the drain time is over.
    pub cut_off: CancellationToken,
}

#[derive(Clone)]
pub struct RouterService(RouterParts);

type Answer<T> = Result<Response<T>, Status>;

impl RouterService {
    pub(super) fn new(parts: RouterParts) -> Self {
        Self(parts)
    }

    async fn decide(
        &self,
        caller: &Caller,
        request: &Classification,
        deadline: Option<Instant>,
        purpose: Purpose,
    ) -> Result<Decision, Status> {
        let snapshot = self.snapshot(caller, request)?;
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

    fn snapshot(&self, caller: &Caller, request: &Classification) -> Result<Arc<Snapshot>, Status> {
        let set = request.set.as_ref().unwrap_or(&self.0.default_set);
        caller.check_set(set).map_err(|why| status::forbidden(&why))?;
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
        caller: &Caller,
        request: pb::RouteRequest,
        deadline: Option<Instant>,
    ) -> Result<pb::RouteResponse, Status> {
        let request = convert::classification(request, self.0.max_prompt_bytes)?;
        let decision = self.decide(caller, &request, deadline, Purpose::Answer).await?;
        let plan = self.plan(&decision, None);
        let plan = plan.map(|plan| if check_route(caller, &decision).is_err() { plan.refuse_route() } else { plan });
        let plan = plan.as_ref().map(pb::Plan::from);
        Ok(pb::RouteResponse { decision: Some(pb::Decision::of(&decision, request.explain)), plan })
    }

    /// With what the caller has left.
    fn answer<T>(&self, caller: &Caller, metadata: &MetadataMap, answer: T) -> Response<T> {
        let mut response = echo_request_id(metadata, Response::new(answer));
        self.0.door.tell_remainder(caller, response.metadata_mut());
        response
    }

    /// A request without a deadline gets the configured one.
    fn until(&self, deadline: Option<Instant>) -> Instant {
        deadline.unwrap_or_else(|| Instant::now() + self.0.default_timeout)
    }

    /// The decision and the plan that it leads to; an error if there is no route to follow.
    async fn prepare(
        &self,
        caller: &Caller,
        request: &convert::Completion,
        deadline: Option<Instant>,
    ) -> Result<(Decision, Plan), Status> {
        let decision = self.decide(caller, &request.classification, deadline, Purpose::Completion).await?;
        check_route(caller, &decision)?;
        match self.plan(&decision, request.pin_target.as_ref()) {
            Some(plan) => Ok((decision, plan)),
            None => Err(status::no_route(&decision)),
        }
    }
}

#[tonic::async_trait]
impl pb::router_service_server::RouterService for RouterService {
    async fn route(&self, request: Request<pb::RouteRequest>) -> Answer<pb::RouteResponse> {
        let (caller, _place) = self.0.door.enter(&request, 1)?;
        let deadline = deadline::of(&request);
        let (metadata, _, request) = request.into_parts();
        let response = self.route_one(&caller, request, deadline).await?;
        Ok(self.answer(&caller, &metadata, response))
    }

    async fn route_batch(&self, request: Request<pb::RouteBatchRequest>) -> Answer<pb::RouteBatchResponse> {
        let deadline = deadline::of(&request);
        let count = request.get_ref().requests.len();
        let (caller, _place) = self.0.door.enter(&request, count.min(MAX_BATCH))?;
        let (metadata, _, request) = request.into_parts();
        if count == 0 || count > MAX_BATCH {
            return Err(super::violation::field(
                "requests",
                format!("has {count} entries, must have 1 to {MAX_BATCH}"),
            ));
        }
        let results = stream::iter(request.requests)
            .map(|request| async {
                let result = match self.route_one(&caller, request, deadline).await {
                    Ok(response) => pb::route_result::Result::Response(response),
                    Err(status) => pb::route_result::Result::Error(status::to_message(&status)),
                };
                pb::RouteResult { result: Some(result) }
            })
            .buffered(BATCH_IN_FLIGHT)
            .collect()
            .await;
        Ok(self.answer(&caller, &metadata, pb::RouteBatchResponse { results }))
    }

    async fn complete(&self, request: Request<pb::CompleteRequest>) -> Answer<pb::CompleteResponse> {
        let (caller, _place) = self.0.door.enter(&request, 1)?;
        let deadline = deadline::of(&request);
        let (metadata, _, request) = request.into_parts();
        let request = convert::completion(request, self.0.max_prompt_bytes)?;
        let (decision, plan) = self.prepare(&caller, &request, deadline).await?;
        let mut meter = self.0.door.reserve(&caller, &plan, &request.chat)?;
        meter.begun();
        let dispatched = self
            .0
            .dispatcher
            .complete(&plan, &request.chat, self.until(deadline), request.max_attempts)
            .await
            .inspect_err(|error| meter.failed(error))
            .map_err(|error| status::from_dispatch(&error))?;
        meter.answered(&dispatched);
        let response = pb::CompleteResponse {
            text: dispatched.completion.text.clone(),
            served: Some(convert::served(&dispatched)),
            decision: Some(pb::Decision::of(&decision, request.classification.explain)),
        };
        Ok(self.answer(&caller, &metadata, response))
    }

    async fn feedback(&self, request: Request<pb::FeedbackRequest>) -> Answer<pb::FeedbackResponse> {
        let (caller, _place) = self.0.door.enter(&request, 1)?;
        let (metadata, _, request) = request.into_parts();
        let correction = convert::correction(request, self.0.max_prompt_bytes)?;
        // A prompt that comes without its set is one of the default set, unless its decision is remembered.
        let default_set = correction.text.is_some().then(|| self.0.default_set.clone());
        if let Some(set) = correction.set.as_ref().or(default_set.as_ref()) {
            caller.check_set(set).map_err(|why| status::forbidden(&why))?;
        }
        let recorded = self.0.learning.correct(Correction { default_set, ..correction }).await;
        let recorded = recorded.map_err(|error| status::from_correction(&error))?;
        Ok(self.answer(&caller, &metadata, convert::feedback(recorded)))
    }

    type CompleteStreamStream = Pin<Box<dyn Stream<Item = Result<pb::CompleteEvent, Status>> + Send>>;

    async fn complete_stream(&self, request: Request<pb::CompleteRequest>) -> Answer<Self::CompleteStreamStream> {
        let (caller, place) = self.0.door.enter(&request, 1)?;
        let deadline = deadline::of(&request);
        let (metadata, _, request) = request.into_parts();
        let request = convert::completion(request, self.0.max_prompt_bytes)?;
        let (decision, plan) = self.prepare(&caller, &request, deadline).await?;
        let meter = self.0.door.reserve(&caller, &plan, &request.chat)?;
        let decided = pb::Decision::of(&decision, request.classification.explain);
        let first = pb::CompleteEvent { event: Some(pb::complete_event::Event::Decision(decided)) };
        let until = self.until(deadline);
        let events = self.0.dispatcher.stream(&plan, Arc::new(request.chat), until, request.max_attempts);
        let events = meter.watch(events).filter_map(|event| {
            std::future::ready(match event {
                Ok(event) => convert::event(event).map(Ok),
                Err(error) => Some(Err(status::from_dispatch(&error))),
            })
        });
        let events = stream::once(async { Ok(first) }).chain(events);
        let terms = Terms { until, cut_off: self.0.cut_off.clone(), place, caller: caller.clone() };
        let stream = delivery::deliver(events, terms, &self.0.tasks);
        let last_words = self.0.door.last_words(&caller);
        let stream = Box::pin(stream.chain(last_words)) as Self::CompleteStreamStream;
        Ok(self.answer(&caller, &metadata, stream))
    }
}

/// Gives the caller's `x-request-id` back.
fn echo_request_id<T>(metadata: &MetadataMap, mut response: Response<T>) -> Response<T> {
    if let Some(id) = metadata.get("x-request-id") {
        response.metadata_mut().insert("x-request-id", id.clone());
    }
    response
}
