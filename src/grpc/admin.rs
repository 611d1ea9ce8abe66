//! AdminService: what runs here, and builds in the background.

use std::sync::Arc;
use std::time::Instant;

use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use super::status::{Reason, from_build};
use super::violation::{Violations, field, name};
use super::{convert, pb};
use crate::dispatch::Health;
use crate::embed::EmbedQueue;
use crate::publish::{BuildRequest, LiveSets, Operation, Operations};
use crate::reference::SetName;
use crate::routing::RoutingTable;

/// What is known at start and does not change.
#[derive(Debug, Clone)]
pub struct ServerFacts {
    pub started: Instant,
    pub model: pb::ModelStatus,
    pub llm_configured: bool,
}

pub struct AdminService {
    facts: ServerFacts,
    queue: EmbedQueue,
    live: LiveSets,
    operations: Operations,
    targets: Targets,
}

/// What may be sent to, and how it is doing.
pub struct Targets {
    pub routing: Arc<RoutingTable>,
    pub health: Health,
}

type Answer<T> = Result<Response<T>, Status>;

impl AdminService {
    pub fn new(
        facts: ServerFacts,
        queue: EmbedQueue,
        live: LiveSets,
        operations: Operations,
        targets: Targets,
    ) -> Self {
        Self { facts, queue, live, operations, targets }
    }
}

#[tonic::async_trait]
impl pb::admin_service_server::AdminService for AdminService {
    async fn get_status(&self, _: Request<pb::GetStatusRequest>) -> Answer<pb::GetStatusResponse> {
        let problems = self.live.problems();
        let problem_of = |set: &SetName| problems.iter().find(|(name, _)| name == set).map(|(_, problem)| problem);
        let snapshots = self.live.snapshots().all();
        let mut sets: Vec<pb::ServedSet> = snapshots
            .iter()
            .map(|snapshot| pb::ServedSet {
                name: snapshot.set.to_string(),
                version: snapshot.version,
                prompts: snapshot.references.len() as u64,
                routes: snapshot.routes.len() as u64,
                index: snapshot.index_report.kind.as_str().to_owned(),
                problem: problem_of(&snapshot.set).map(|problem| problem.what.clone()).unwrap_or_default(),
            })
            .collect();
        let served = |set: &SetName| snapshots.iter().any(|snapshot| snapshot.set == *set);
        sets.extend(problems.iter().filter(|(set, _)| !served(set)).map(|(set, problem)| pb::ServedSet {
            name: set.to_string(),
            version: problem.version,
            problem: problem.what.clone(),
            ..pb::ServedSet::default()
        }));
        Ok(Response::new(pb::GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: prost_types::Duration::try_from(self.facts.started.elapsed()).ok(),
            ready: self.live.readiness().is_ready(),
            model: Some(self.facts.model.clone()),
            sets,
            embed_queue_depth: self.queue.depth() as u32,
            embed_queue_capacity: self.queue.capacity() as u32,
            llm_configured: self.facts.llm_configured,
        }))
    }

    async fn start_reindex(&self, request: Request<pb::StartReindexRequest>) -> Answer<pb::Reindex> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let set = name(&mut violations, "set", &request.set, SetName::new);
        let set = violations.finish(set)?;
        let build = BuildRequest { all: request.all, ..BuildRequest::default() };
        let operation = self.operations.start(&set, build).await.map_err(|error| from_build(&error))?;
        Ok(Response::new(operation.into()))
    }

    async fn get_reindex(&self, request: Request<pb::GetReindexRequest>) -> Answer<pb::Reindex> {
        let id = &request.get_ref().id;
        let parsed = Uuid::parse_str(id).map_err(|_| field("id", format!("{id:?} is not a UUID")))?;
        let operation = self.operations.get(parsed).ok_or_else(|| {
            Reason::UnknownReindex.status(Code::NotFound, format!("reindex {id} is not known to this server"))
        })?;
        Ok(Response::new(operation.into()))
    }

    async fn list_reindexes(&self, _: Request<pb::ListReindexesRequest>) -> Answer<pb::ListReindexesResponse> {
        let reindexes = self.operations.list().into_iter().map(Into::into).collect();
        Ok(Response::new(pb::ListReindexesResponse { reindexes }))
    }

    async fn list_targets(&self, _: Request<pb::ListTargetsRequest>) -> Answer<pb::ListTargetsResponse> {
        let (Targets { routing, health }, now) = (&self.targets, Instant::now());
        let (retry_budget, retries_refused) = health.retry_budget(now);
        Ok(Response::new(pb::ListTargetsResponse {
            targets: routing.targets().iter().map(|target| convert::target(target, routing.currency())).collect(),
            default_targets: routing.default_targets().iter().map(ToString::to_string).collect(),
            states: health.standings(now).iter().map(Into::into).collect(),
            retry_budget,
            retries_refused,
        }))
    }
}

impl From<Operation> for pb::Reindex {
    fn from(operation: Operation) -> Self {
        let (to_embed, embedded) = operation.progress();
        let mut reindex = Self {
            id: operation.id.to_string(),
            set: operation.set.to_string(),
            state: pb::ReindexState::Running.into(),
            to_embed,
            embedded,
            started_at: Some(operation.started_at.into()),
            ..Self::default()
        };
        if let Some(ended) = operation.ended() {
            reindex.ended_at = Some(ended.at.into());
            match ended.result {
                Ok(built) => {
                    reindex.state = pb::ReindexState::Done.into();
                    reindex.report = Some(built.report.into());
                }
                Err(error) => {
                    reindex.state = pb::ReindexState::Failed.into();
                    reindex.error = crate::telemetry::chain(error.as_ref());
                }
            }
        }
        reindex
    }
}
