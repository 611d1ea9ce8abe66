//! RouterService: decide, and carry the decision out.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt, stream};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};
use tracing::Instrument;

use super::convert::{self, Classification, Routing};
use super::delivery::{Courier, LATE, Terms};
use super::ending::Ending;
use super::errand::{Errand, add_policy, in_time};
use super::govern::{Door, Second, check_route};
use super::journey::{self, Journey};
use super::record::Recording;
use super::status::{self, from_embed};
use super::traced::planned;
use super::{deadline, pb};
use crate::classify::{Cascade, ClassifyOptions, Decision, LlmAccess, Purpose};
use crate::dispatch::{self, Dispatcher};
use crate::govern::Caller;
use crate::govern::audit::{Audit, Method};
use crate::learn::{Correction, Learning};
use crate::metrics::Metrics;
use crate::publish::LiveSets;
use crate::reference::{SetName, Snapshot};
use crate::routing::{Asked, Bulk, Plan, RoutingTable, TokenCounter};
use crate::telemetry::prompt_span;

/// Most prompts in one RouteBatch.
const MAX_BATCH: usize = 1_000;

/// Prompts of one batch that are classified at once: enough for every worker, without crowding others out.
const BATCH_IN_FLIGHT: usize = 16;

/// What the service works with. Clone it freely.
#[derive(Clone)]
pub(super) struct RouterParts {
    pub(super) live: LiveSets,
    pub(super) cascade: Cascade,
    pub(super) learning: Learning,
    pub(super) routing: Arc<RoutingTable>,
    pub(super) tokens: TokenCounter,
    pub(super) dispatcher: Dispatcher,
    pub(super) default_set: SetName,
    /// Longest input of a request in bytes.
    pub(super) max_prompt_bytes: usize,
    /// Time for a completion whose caller set no deadline.
    pub(super) default_timeout: Duration,
    pub(super) door: Door,
    pub(super) metrics: Metrics,
    pub(super) audit: Audit,
    pub(super) courier: Courier,
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
        let llm = match request.allow_llm {
            false => LlmAccess::NotAllowed,
            true if self.0.door.is_spent(caller) => LlmAccess::NotPermitted,
            true if self.0.routing.permits_llm(&snapshot.set, &request.policy).is_err() => LlmAccess::NotPermitted,
            true => LlmAccess::Allowed,
        };
        let options = ClassifyOptions {
            neighbours: request.neighbours,
            llm,
            target_accuracy: request.target_accuracy,
            deadline,
            purpose,
        };
        let asked = self.0.metrics.asked(deadline);
        let decided = self.0.cascade.decide(snapshot, &request.prompt, options).await;
        asked.settle(&decided);
        if let Ok(decision) = &decided {
            self.0.learning.decided(decision, &request.prompt.text());
            self.0.door.charge(caller, decision);
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

    /// What requests are held against.
    fn limits(&self) -> convert::Limits<'_> {
        convert::Limits { max_bytes: self.0.max_prompt_bytes, known: self.0.routing.known() }
    }

    /// `None` if no route applies. Tokens are counted only where a target might be too small.
    async fn plan(&self, decision: &Decision, errand: Errand<'_>) -> Option<Plan> {
        let (set, route) = (&decision.snapshot.set, decision.route()?);
        let bulk = Bulk::of(errand.chat);
        let enough = self.0.routing.fits_all(set, route, bulk.max_output_tokens);
        let asked = Asked {
            set,
            route,
            pin: errand.pin,
            policy: errand.policy,
            needs: &errand.needs,
            size: self.0.tokens.size(&bulk, enough).await,
            affinity: errand.affinity,
            // The random half of the id.
            lot: decision.id.as_u64_pair().1,
        };
        Some(planned(|| self.0.routing.plan(&asked, Instant::now())))
    }

    pub(super) async fn route_one(
        &self,
        caller: &Caller,
        request: pb::RouteRequest,
        deadline: Option<Instant>,
        mut recording: Recording,
    ) -> Result<pb::RouteResponse, Status> {
        let answer = self.route_recorded(caller, request, deadline, &mut recording).await;
        recording.end(answer).await
    }

    async fn route_recorded(
        &self,
        caller: &Caller,
        request: pb::RouteRequest,
        deadline: Option<Instant>,
        recording: &mut Recording,
    ) -> Result<pb::RouteResponse, Status> {
        let mut request = convert::routing(request, self.limits())?;
        recording.asked(&request.classification.prompt);
        add_policy(&mut request.classification, caller, self.0.routing.known())?;
        let Routing { classification, chat, needs } = request;
        let decision = self.decide(caller, &classification, deadline, Purpose::Answer).await?;
        recording.decided(&decision);
        let errand = Errand { chat: &chat, policy: &classification.policy, needs, pin: None, affinity: None };
        let mut plan = in_time(deadline, self.plan(&decision, errand)).await?;
        if let Some(plan) = &mut plan {
            if check_route(caller, &decision).is_err() {
                plan.refuse_route();
            }
            recording.planned(plan);
        }
        let plan = plan.as_ref().map(pb::Plan::from);
        Ok(pb::RouteResponse { decision: Some(pb::Decision::of(&decision, classification.explain)), plan })
    }

    fn record(
        &self,
        method: Method,
        caller: &Caller,
        metadata: &MetadataMap,
        ending: Ending,
    ) -> Result<Recording, Status> {
        let mut recording = Recording::begin(&self.0.audit, &self.0.courier.tasks, method, metadata)?;
        recording.called_by(caller);
        recording.ended_by(ending);
        Ok(recording)
    }

    /// With what the caller has left.
    fn answer<T>(&self, caller: &Caller, metadata: &MetadataMap, answer: T) -> Response<T> {
        let mut response = echo_request_id(metadata, Response::new(answer));
        self.0.door.tell_remainder(caller, response.metadata_mut());
        response
    }

    /// A completion that may begin, or why not; that is recorded.
    async fn prepare(
        &self,
        caller: &Caller,
        request: pb::CompleteRequest,
        deadline: Option<Instant>,
        mut recording: Recording,
    ) -> Result<(Journey, Instant), Status> {
        let mut ready = match self.decide_and_plan(caller, request, deadline, &mut recording).await {
            Ok(ready) => ready,
            Err(status) => return recording.end(Err(status)).await,
        };
        self.0.door.bound(caller, &mut ready.request.chat);
        let Ready { request, decision, plan } = ready;
        // A request without a deadline gets the configured one.
        let until = deadline.unwrap_or_else(|| Instant::now() + self.0.default_timeout);
        let (max_attempts, hedge) = (request.max_attempts, request.hedge);
        let mut limits = dispatch::Limits { max_attempts, hedge, ..dispatch::Limits::until(until) };
        let second = match hedge {
            Some(_) => Second::Hedge,
            None if self.0.dispatcher.may_probe(&plan, &limits) => Second::Probe,
            None => Second::No,
        };
        let meter = match self.0.door.reserve(caller, &plan, &request.chat, second) {
            Ok(meter) => meter,
            Err(status) => return recording.end(Err(status)).await,
        };
        limits.may_probe = meter.covers_second();
        let dispatch = self.0.dispatcher.begin(&plan, Arc::new(request.chat), limits);
        let (explain, currency) = (request.classification.explain, self.0.routing.currency().clone());
        let under_way = plan.targets().first().map(|target| self.0.routing.latencies().begin(&target.name));
        let companions = journey::Companions { meter, recording, decision, explain, currency, under_way };
        Ok((Journey::new(dispatch, companions), until))
    }

    /// An error if there is no route to follow, or the caller may not follow it.
    async fn decide_and_plan(
        &self,
        caller: &Caller,
        request: pb::CompleteRequest,
        deadline: Option<Instant>,
        recording: &mut Recording,
    ) -> Result<Ready, Status> {
        let mut request = convert::completion(request, self.limits())?;
        recording.asked(&request.classification.prompt);
        add_policy(&mut request.classification, caller, self.0.routing.known())?;
        let decision = self.decide(caller, &request.classification, deadline, Purpose::Completion).await?;
        recording.decided(&decision);
        check_route(caller, &decision)?;
        let errand = Errand {
            chat: &request.chat,
            policy: &request.classification.policy,
            needs: request.chat.needs(),
            pin: request.pin_target.as_ref(),
            affinity: request.affinity_key.as_deref(),
        };
        let plan = in_time(deadline, self.plan(&decision, errand)).await?;
        let plan = plan.ok_or_else(|| status::no_route(&decision))?;
        recording.planned(&plan);
        Ok(Ready { request, decision, plan })
    }
}

#[tonic::async_trait]
impl pb::router_service_server::RouterService for RouterService {
    async fn route(&self, request: Request<pb::RouteRequest>) -> Answer<pb::RouteResponse> {
        let (caller, _place) = self.0.door.enter(&request, 1)?;
        let deadline = deadline::of(&request);
        let (metadata, extensions, request) = request.into_parts();
        let recording = self.record(Method::Route, &caller, &metadata, Ending::of(&extensions))?;
        let response = self.route_one(&caller, request, deadline, recording).await?;
        Ok(self.answer(&caller, &metadata, response))
    }

    async fn route_batch(&self, request: Request<pb::RouteBatchRequest>) -> Answer<pb::RouteBatchResponse> {
        let deadline = deadline::of(&request);
        let count = request.get_ref().requests.len();
        let (caller, _place) = self.0.door.enter(&request, count.min(MAX_BATCH))?;
        let (metadata, extensions, request) = request.into_parts();
        if count == 0 || count > MAX_BATCH {
            return Err(super::violation::field(
                "requests",
                format!("has {count} entries, must have 1 to {MAX_BATCH}"),
            ));
        }
        let (asker, headers, ending) = (&caller, &metadata, &Ending::of(&extensions));
        let results = stream::iter(request.requests)
            .map(|request| async move {
                let answer = match self.record(Method::RouteBatch, asker, headers, ending.clone()) {
                    Ok(recording) => {
                        self.route_one(asker, request, deadline, recording).instrument(prompt_span()).await
                    }
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
        Ok(self.answer(&caller, &metadata, pb::RouteBatchResponse { results }))
    }

    async fn complete(&self, request: Request<pb::CompleteRequest>) -> Answer<pb::CompleteResponse> {
        let (caller, _place) = self.0.door.enter(&request, 1)?;
        let deadline = deadline::of(&request);
        let (metadata, extensions, request) = request.into_parts();
        let recording = self.record(Method::Complete, &caller, &metadata, Ending::of(&extensions))?;
        let (journey, _) = self.prepare(&caller, request, deadline, recording).await?;
        let response = journey.complete().await?;
        Ok(self.answer(&caller, &metadata, response))
    }

    async fn feedback(&self, request: Request<pb::FeedbackRequest>) -> Answer<pb::FeedbackResponse> {
        let (caller, _place) = self.0.door.enter(&request, 1)?;
        let (metadata, _, request) = request.into_parts();
        let correction = convert::correction(request, self.0.max_prompt_bytes)?;
        // A prompt that comes without its set is one of the default set, unless its decision is remembered.
        let default_set = correction.text.is_some().then(|| self.0.default_set.clone());
        let remembered = self.0.learning.set_of(correction.decision);
        for set in correction.set.iter().chain(&remembered).chain(&default_set) {
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
        let (metadata, extensions, request) = request.into_parts();
        let ending = Ending::of(&extensions);
        let recording = self.record(Method::CompleteStream, &caller, &metadata, ending.clone())?;
        let (journey, until) = self.prepare(&caller, request, deadline, recording).await?;
        let terms = Terms { until: Some(until), late: LATE, caller: caller.clone(), ending, place: Some(place) };
        let stream = self.0.courier.deliver(journey.stream(), terms);
        let last_words = self.0.door.last_words(&caller);
        let stream = Box::pin(stream.chain(last_words)) as Self::CompleteStreamStream;
        Ok(self.answer(&caller, &metadata, stream))
    }
}

/// A completion that is decided and planned.
struct Ready {
    request: convert::Completion,
    decision: Decision,
    plan: Plan,
}

/// Gives the caller's `x-request-id` back.
fn echo_request_id<T>(metadata: &MetadataMap, mut response: Response<T>) -> Response<T> {
    if let Some(id) = metadata.get("x-request-id") {
        response.metadata_mut().insert("x-request-id", id.clone());
    }
    response
}
