//! ReferenceService: sets, routes, prompts and versions.

use std::collections::{BTreeSet, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use tonic::{Request, Response, Status, Streaming};

use super::delivery::{Courier, Terms};
use super::ending::Ending;
use super::status::{self, OrStatus, from_build, from_store};
use super::violation::{Violations, field, name};
use super::{convert, deadline, pb};
use crate::govern::Caller;
use crate::learn::Learning;
use crate::publish::{BuildRequest, LiveSets, Operations, report_of};
use crate::reference::{
    Fallback, Precondition, PromptEdit, PromptFilter, ProposalId, ReferenceId, ReferencePrompt, Revision, Route,
    RouteName, SetEdit, SetName, Settlement, Store, StoreError,
};

/// Most prompts in one message.
const MAX_WRITES: usize = 1_000;
const DEFAULT_PAGE: u32 = 100;
const MAX_PAGE: u32 = 1_000;

/// A page ends early after so many bytes of text: gRPC clients take no message above 4 MiB unless they are told to.
const PAGE_BYTES: usize = 2 << 20;

/// What the service works with.
pub(super) struct ReferenceParts {
    pub(super) store: Arc<dyn Store>,
    pub(super) live: LiveSets,
    pub(super) operations: Operations,
    pub(super) learning: Learning,
    pub(super) courier: Courier,
}

pub struct ReferenceService(ReferenceParts);

type Answer<T> = Result<Response<T>, Status>;

impl ReferenceService {
    pub(super) fn new(parts: ReferenceParts) -> Self {
        Self(parts)
    }

    /// A set's default route must be a route of its draft. Publish looks again: it may be deleted in between.
    async fn expect_default_route(&self, edit: &SetEdit) -> Result<(), Status> {
        let Fallback::DefaultRoute(route) = &edit.policy.fallback else { return Ok(()) };
        match self.0.store.get_route(&edit.name, route).await {
            Ok(_) => Ok(()),
            Err(StoreError::UnknownSet { set } | StoreError::UnknownRoute { set, .. }) => {
                Err(field("set.policy.default_route", format!("route {route} does not exist in reference set {set}")))
            }
            Err(error) => Err(from_store(&error)),
        }
    }

    /// Serves at once what the store now says, and not only when it is asked the next time. The write has happened, so
    /// a failure is no longer the caller's: the next round meets it again and tells.
    async fn follow_now(&self) {
        if let Err(error) = self.0.live.refresh().await {
            tracing::debug!(%error, "what was written is not served yet");
        }
    }

    async fn settle(
        &self,
        set: &str,
        id: ProposalId,
        settlement: Settlement,
        expected: Option<Revision>,
    ) -> Answer<pb::Proposal> {
        let set = set_name("set", set)?;
        let precondition = convert::precondition(expected);
        Ok(Response::new(self.0.learning.settle(&set, id, settlement, precondition).await.or_status()?.into()))
    }

    /// Creates the routes of `prompts` that do not exist yet; returns their names.
    async fn create_missing_routes(&self, set: &SetName, edits: &[PromptEdit]) -> Result<Vec<String>, Status> {
        let known: HashSet<RouteName> =
            self.0.store.list_routes(set).await.or_status()?.into_iter().map(|route| route.name).collect();
        let wanted: BTreeSet<&RouteName> = edits.iter().map(|edit| &edit.route).collect();
        let mut created = Vec::new();
        for route in wanted.into_iter().filter(|route| !known.contains(*route)) {
            self.0.store.upsert_route(set, &Route::named(route.clone()), Precondition::None).await.or_status()?;
            created.push(route.to_string());
        }
        Ok(created)
    }
}

#[tonic::async_trait]
impl pb::reference_service_server::ReferenceService for ReferenceService {
    async fn list_sets(&self, _: Request<pb::ListSetsRequest>) -> Answer<pb::ListSetsResponse> {
        let sets = self.0.store.list_sets().await.or_status()?;
        Ok(Response::new(pb::ListSetsResponse { sets: sets.into_iter().map(Into::into).collect() }))
    }

    async fn get_set(&self, request: Request<pb::GetSetRequest>) -> Answer<pb::ReferenceSet> {
        let set = set_name("name", &request.get_ref().name)?;
        Ok(Response::new(self.0.store.get_set(&set).await.or_status()?.into()))
    }

    async fn upsert_set(&self, request: Request<pb::UpsertSetRequest>) -> Answer<pb::ReferenceSet> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let edit = convert::set_edit(&mut violations, request.set);
        let mask = convert::SetMask::new(&mut violations, request.update_mask);
        let mut edit = violations.finish(edit)?;
        let mut precondition = convert::precondition(request.expected_revision);
        if !mask.is_whole() {
            let present = self.0.store.get_set(&edit.name).await.or_status()?;
            mask.keep_unnamed(&mut edit, &present);
            // What was read must still stand when it is written back.
            if precondition == Precondition::None {
                precondition = Precondition::Revision(present.revision);
            }
        }
        if mask.policy {
            self.expect_default_route(&edit).await?;
        }
        Ok(Response::new(self.0.store.upsert_set(&edit, precondition).await.or_status()?.into()))
    }

    async fn delete_set(&self, request: Request<pb::DeleteSetRequest>) -> Answer<pb::DeleteSetResponse> {
        let request = request.into_inner();
        let set = set_name("name", &request.name)?;
        self.0.store.delete_set(&set, convert::precondition(request.expected_revision)).await.or_status()?;
        self.follow_now().await;
        Ok(Response::new(pb::DeleteSetResponse {}))
    }

    async fn list_routes(&self, request: Request<pb::ListRoutesRequest>) -> Answer<pb::ListRoutesResponse> {
        let set = set_name("set", &request.get_ref().set)?;
        let routes = self.0.store.list_routes(&set).await.or_status()?;
        Ok(Response::new(pb::ListRoutesResponse { routes: routes.into_iter().map(Into::into).collect() }))
    }

    async fn upsert_route(&self, request: Request<pb::UpsertRouteRequest>) -> Answer<pb::Route> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let set = name(&mut violations, "set", &request.set, SetName::new);
        let route = convert::route(&mut violations, request.route);
        let (set, route) = violations.finish(set.zip(route))?;
        let precondition = convert::precondition(request.expected_revision);
        Ok(Response::new(self.0.store.upsert_route(&set, &route, precondition).await.or_status()?.into()))
    }

    async fn delete_route(&self, request: Request<pb::DeleteRouteRequest>) -> Answer<pb::DeleteRouteResponse> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let set = name(&mut violations, "set", &request.set, SetName::new);
        let route = name(&mut violations, "name", &request.name, RouteName::new);
        let (set, route) = violations.finish(set.zip(route))?;
        let precondition = convert::precondition(request.expected_revision);
        self.0.store.delete_route(&set, &route, request.with_prompts, precondition).await.or_status()?;
        Ok(Response::new(pb::DeleteRouteResponse {}))
    }

    async fn list_reference_prompts(
        &self,
        request: Request<pb::ListReferencePromptsRequest>,
    ) -> Answer<pb::ListReferencePromptsResponse> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let set = name(&mut violations, "set", &request.set, SetName::new);
        let optional = |text: &String| (!text.is_empty()).then(|| text.clone());
        let route = optional(&request.route).and_then(|route| name(&mut violations, "route", &route, RouteName::new));
        let after = optional(&request.page_token)
            .and_then(|token| name(&mut violations, "page_token", &token, ReferenceId::new));
        if request.page_size > MAX_PAGE {
            violations.add("page_size", format!("is {}, at most {MAX_PAGE} are allowed", request.page_size));
        }
        let set = violations.finish(set)?;
        let limit = if request.page_size == 0 { DEFAULT_PAGE } else { request.page_size };
        let prompts = self.0.store.list_prompts(&set, &PromptFilter { route, after, limit }).await.or_status()?;
        Ok(Response::new(page(prompts, limit)))
    }

    async fn get_reference_prompt(
        &self,
        request: Request<pb::GetReferencePromptRequest>,
    ) -> Answer<pb::ReferencePrompt> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let set = name(&mut violations, "set", &request.set, SetName::new);
        let id = name(&mut violations, "id", &request.id, ReferenceId::new);
        let (set, id) = violations.finish(set.zip(id))?;
        Ok(Response::new(self.0.store.get_prompt(&set, &id).await.or_status()?.into()))
    }

    async fn upsert_reference_prompts(
        &self,
        request: Request<pb::UpsertReferencePromptsRequest>,
    ) -> Answer<pb::UpsertReferencePromptsResponse> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let set = name(&mut violations, "set", &request.set, SetName::new);
        count_writes(&mut violations, request.prompts.len());
        // Of a call that is too long anyway, the first prompts are enough to look at.
        let writes = request.prompts.into_iter().take(MAX_WRITES);
        let edits = convert::prompt_edits(
            &mut violations,
            |at| format!("prompts[{at}].prompt"),
            writes.map(|write| (write.prompt, write.expected_revision)),
        );
        let set = violations.finish(set)?;
        let prompts = self.0.store.upsert_prompts(&set, &edits).await.or_status()?;
        let prompts = prompts.into_iter().map(Into::into).collect();
        Ok(Response::new(pb::UpsertReferencePromptsResponse { prompts }))
    }

    async fn delete_reference_prompts(
        &self,
        request: Request<pb::DeleteReferencePromptsRequest>,
    ) -> Answer<pb::DeleteReferencePromptsResponse> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let set = name(&mut violations, "set", &request.set, SetName::new);
        count_writes(&mut violations, request.prompts.len());
        let ids = convert::prompt_deletes(&mut violations, request.prompts);
        let set = violations.finish(set)?;
        self.0.store.delete_prompts(&set, &ids).await.or_status()?;
        Ok(Response::new(pb::DeleteReferencePromptsResponse {}))
    }

    async fn import(&self, request: Request<Streaming<pb::ImportRequest>>) -> Answer<pb::ImportResponse> {
        let mut messages = request.into_inner();
        let mut set: Option<SetName> = None;
        let mut answer = pb::ImportResponse::default();
        let mut number = 0;
        while let Some(message) = messages.message().await? {
            let set = match &set {
                Some(set) => set,
                None => {
                    let named = set_name("set", &message.set)?;
                    self.0.store.get_set(&named).await.or_status()?;
                    set.insert(named)
                }
            };
            for (batch, prompts) in message.prompts.chunks(MAX_WRITES).enumerate() {
                // The caller has long sent other messages when he hears of this one: it is told with its number.
                let path = |at: usize| format!("messages[{number}].prompts[{}]", batch * MAX_WRITES + at);
                let mut violations = Violations::default();
                let writes = prompts.iter().map(|prompt| (Some(prompt.clone()), None));
                let edits = convert::prompt_edits(&mut violations, path, writes);
                violations.check()?;
                answer.created_routes.extend(self.create_missing_routes(set, &edits).await?);
                self.0.store.upsert_prompts(set, &edits).await.or_status()?;
                answer.received += edits.len() as u64;
            }
            number += 1;
        }
        let set = set.ok_or_else(|| field("set", "the stream held no message"))?;
        answer.revision = self.0.store.get_set(&set).await.or_status()?.revision;
        Ok(Response::new(answer))
    }

    type ExportStream = Pin<Box<dyn Stream<Item = Result<pb::ReferencePrompt, Status>> + Send>>;

    async fn export(&self, request: Request<pb::ExportRequest>) -> Answer<Self::ExportStream> {
        let set = set_name("set", &request.get_ref().set)?;
        self.0.store.get_set(&set).await.or_status()?;
        let terms = Terms {
            until: deadline::of(&request),
            late: Duration::ZERO,
            caller: request.extensions().get::<Caller>().cloned().ok_or_else(status::nobody)?,
            ending: Ending::of(request.extensions()),
            place: None,
        };
        let prompts = export(Arc::clone(&self.0.store), set);
        Ok(Response::new(Box::pin(self.0.courier.deliver(prompts, terms))))
    }

    async fn publish(&self, request: Request<pb::PublishRequest>) -> Answer<pb::PublishResponse> {
        let request = request.into_inner();
        let set = set_name("set", &request.set)?;
        let build = BuildRequest { expected_revision: request.expected_revision, ..BuildRequest::default() };
        // The build goes on if the caller stops waiting: half a version helps nobody.
        let mut operation = self.0.operations.start(&set, build).await.map_err(|error| from_build(&error))?;
        let built = operation.wait().await.map_err(|error| from_build(&error))?;
        Ok(Response::new(pb::PublishResponse { set: Some(built.set.into()), report: Some(built.report.into()) }))
    }

    async fn rollback(&self, request: Request<pb::RollbackRequest>) -> Answer<pb::ReferenceSet> {
        let set = set_name("set", &request.get_ref().set)?;
        let present = self.0.store.get_set(&set).await.or_status()?;
        let previous = present.previous.ok_or_else(|| {
            status::Reason::UnknownVersion.status(
                tonic::Code::FailedPrecondition,
                format!("reference set {set} has no version before the live one"),
            )
        })?;
        let set = self.0.store.rollback(&set, previous).await.or_status()?;
        self.follow_now().await;
        Ok(Response::new(set.into()))
    }

    async fn list_versions(&self, request: Request<pb::ListVersionsRequest>) -> Answer<pb::ListVersionsResponse> {
        let set = set_name("set", &request.get_ref().set)?;
        let live = self.0.store.get_set(&set).await.or_status()?.published;
        let versions = self.0.store.list_versions(&set).await.or_status()?;
        let versions = versions
            .into_iter()
            .map(|version| pb::SetVersion {
                version: version.version,
                state: version.state.as_str().to_owned(),
                live: live == Some(version.version),
                draft_revision: version.draft_revision,
                model: version.model.to_string(),
                prompts: version.prompts,
                routes: version.routes.len() as u64,
                created_at: Some(prost_types::Timestamp { seconds: version.created_at, nanos: 0 }),
                report: report_of(&version).map(Into::into),
            })
            .collect();
        Ok(Response::new(pb::ListVersionsResponse { versions }))
    }

    async fn list_proposals(&self, request: Request<pb::ListProposalsRequest>) -> Answer<pb::ListProposalsResponse> {
        let (set, filter) = convert::proposal_filter(request.get_ref())?;
        let mut proposals = self.0.store.list_proposals(&set, &filter).await.or_status()?;
        let fitting = fitting(proposals.iter().map(|proposal| proposal.text.len()));
        let more = fitting < proposals.len() || proposals.len() == filter.limit as usize;
        proposals.truncate(fitting);
        let next_page_token = proposals.last().filter(|_| more).map(|last| last.id.to_string()).unwrap_or_default();
        let proposals = proposals.into_iter().map(Into::into).collect();
        Ok(Response::new(pb::ListProposalsResponse { proposals, next_page_token }))
    }

    async fn accept_proposal(&self, request: Request<pb::AcceptProposalRequest>) -> Answer<pb::Proposal> {
        let pb::AcceptProposalRequest { set, id, expected_revision } = request.into_inner();
        self.settle(&set, id, Settlement::Accept, expected_revision).await
    }

    async fn reject_proposal(&self, request: Request<pb::RejectProposalRequest>) -> Answer<pb::Proposal> {
        let pb::RejectProposalRequest { set, id, expected_revision } = request.into_inner();
        self.settle(&set, id, Settlement::Reject, expected_revision).await
    }
}

fn set_name(at: &str, text: &str) -> Result<SetName, Status> {
    let mut violations = Violations::default();
    let set = name(&mut violations, at, text, SetName::new);
    violations.finish(set)
}

fn count_writes(violations: &mut Violations, writes: usize) {
    match writes {
        0 => violations.add("prompts", "is empty"),
        1..=MAX_WRITES => {}
        _ => violations.add("prompts", format!("has {writes} entries, at most {MAX_WRITES} are allowed")),
    }
}

/// As much of `prompts` as goes into one message, and where the next page begins if there may be one. `limit` is how
/// many were asked for.
fn page(mut prompts: Vec<ReferencePrompt>, limit: u32) -> pb::ListReferencePromptsResponse {
    let fitting = fitting(prompts.iter().map(|prompt| prompt.text.len()));
    let more = fitting < prompts.len() || prompts.len() == limit as usize;
    prompts.truncate(fitting);
    let next_page_token = prompts.last().filter(|_| more).map(|last| last.id.to_string()).unwrap_or_default();
    pb::ListReferencePromptsResponse { prompts: prompts.into_iter().map(Into::into).collect(), next_page_token }
}

/// How many texts of these lengths go into one message.
fn fitting(lengths: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let fitting = lengths.take_while(|length| {
        let fits = bytes < PAGE_BYTES;
        bytes += length;
        fits
    });
    fitting.count()
}

/// Reads page by page, a page when the one before has been taken.
fn export(store: Arc<dyn Store>, set: SetName) -> impl Stream<Item = Result<pb::ReferencePrompt, Status>> + Send {
    use futures_util::{StreamExt, TryStreamExt};
    let first = PromptFilter { route: None, after: None, limit: MAX_PAGE };
    stream::try_unfold((store, set, Some(first)), |(store, set, filter)| async move {
        let Some(filter) = filter else { return Ok(None) };
        let page: Vec<ReferencePrompt> = store.list_prompts(&set, &filter).await.or_status()?;
        let next = page
            .last()
            .filter(|_| page.len() == MAX_PAGE as usize)
            .map(|last| PromptFilter { after: Some(last.id.clone()), ..filter });
        Ok::<_, Status>(Some((page, (store, set, next))))
    })
    .map_ok(|page| stream::iter(page.into_iter().map(|prompt| Ok(pb::ReferencePrompt::from(prompt)))))
    .try_flatten()
    .boxed()
}
