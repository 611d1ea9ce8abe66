//! The port through which reference sets are kept. One contract test suite runs on every implementation.
//!
//! The contract: a call that returned `Ok` is durable (it survives `kill -9`); a call that returned `Err` or was
//! dropped changed nothing (one that was dropped while it committed may have changed everything, never a part); calls
//! may run at once from many tasks and processes. A write of a set, route or prompt raises the set's draft revision by
//! one (a call that writes many prompts raises it once), and that number becomes the revision of what was written.
//! Revisions and version numbers of a set are never given twice, not even if it is deleted and made anew. Prompts are
//! listed in the order of their ids (bytewise). Embeddings belong to a text and a model, not to a prompt: two prompts
//! with the same text share one, and a changed text has none until one is put.

use async_trait::async_trait;

use super::name::{NameError, ReferenceId, RouteName, SetName};
use super::proposal::{Proposal, ProposalEdit, ProposalFilter, ProposalId, ProposalVector, Recorded, Settlement};
use super::types::{
    Fingerprint, Precondition, PromptEdit, ReferencePrompt, ReferenceSet, Revision, Route, SetEdit, SetVersion,
    TextHash, Version, VersionPrompt, VersionText,
};

/// What can go wrong in a store. Variants are facts that a caller can act on.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("reference set {set} does not exist")]
    UnknownSet { set: SetName },
    #[error("route {route} does not exist in reference set {set}")]
    UnknownRoute { set: SetName, route: RouteName },
    #[error("reference prompt {id} does not exist in reference set {set}")]
    UnknownPrompt { set: SetName, id: ReferenceId },
    #[error("version {version} of reference set {set} does not exist")]
    UnknownVersion { set: SetName, version: Version },
    #[error("proposal {id} does not exist in reference set {set}")]
    UnknownProposal { set: SetName, id: ProposalId },
    #[error("proposal {id} is {state} already")]
    ProposalClosed { id: ProposalId, state: &'static str },
    #[error("{resource} has revision {present}, the write expected {expected}")]
    Stale { resource: String, expected: Revision, present: Revision },
    #[error("route {route} of reference set {set} still has {prompts} reference prompts")]
    RouteNotEmpty { set: SetName, route: RouteName, prompts: u64 },
    #[error("version {version} of reference set {set} lacks {missing} embeddings of model {model}")]
    EmbeddingsMissing { set: SetName, version: Version, missing: u64, model: Fingerprint },
    #[error("version {version} of reference set {set} is still being built")]
    NotReady { set: SetName, version: Version },
    #[error("the store at {place} is damaged: {what}")]
    Damaged { place: String, what: String },
    #[error("the store at {place} was written by a newer semroute (schema {found}, this one knows {known})")]
    TooNew { place: String, found: i64, known: i64 },
    #[error("the store holds an invalid name")]
    Name(#[from] NameError),
    #[error("the store at {place} cannot be used: {doing}")]
    Unavailable {
        place: String,
        doing: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

pub type Result<T> = std::result::Result<T, StoreError>;

/// Which prompts to list.
#[derive(Debug, Clone, Default)]
pub struct PromptFilter {
    pub route: Option<RouteName>,
    /// Only prompts whose id is greater than this one.
    pub after: Option<ReferenceId>,
    /// At most so many.
    pub limit: u32,
}

#[async_trait]
pub trait Store: Send + Sync + 'static {
    // --- draft: sets
    /// All sets, by name.
    async fn list_sets(&self) -> Result<Vec<ReferenceSet>>;
    async fn get_set(&self, set: &SetName) -> Result<ReferenceSet>;
    /// Creates or changes a set; the precondition speaks of the set's draft revision.
    async fn upsert_set(&self, edit: &SetEdit, precondition: Precondition) -> Result<ReferenceSet>;
    /// Removes a set with its routes, prompts, versions and proposals.
    async fn delete_set(&self, set: &SetName, precondition: Precondition) -> Result<()>;

    // --- draft: routes
    /// All routes of the draft, by name.
    async fn list_routes(&self, set: &SetName) -> Result<Vec<Route>>;
    async fn get_route(&self, set: &SetName, route: &RouteName) -> Result<Route>;
    async fn upsert_route(&self, set: &SetName, route: &Route, precondition: Precondition) -> Result<Route>;
    /// Refuses with `RouteNotEmpty` if the route has prompts, unless `with_prompts`.
    async fn delete_route(
        &self,
        set: &SetName,
        route: &RouteName,
        with_prompts: bool,
        precondition: Precondition,
    ) -> Result<()>;

    // --- draft: prompts
    async fn list_prompts(&self, set: &SetName, filter: &PromptFilter) -> Result<Vec<ReferencePrompt>>;
    async fn get_prompt(&self, set: &SetName, id: &ReferenceId) -> Result<ReferencePrompt>;
    /// Writes all or none, in one transaction. The routes must exist. A prompt that stands there unchanged (same id,
    /// route and text) keeps its revision, and if nothing changes at all the draft's revision stays too. Of several
    /// edits of one id the last is written; the preconditions of all speak of what stood there before the call.
    /// Returns a prompt for every edit, in the order of the edits.
    async fn upsert_prompts(&self, set: &SetName, edits: &[PromptEdit]) -> Result<Vec<ReferencePrompt>>;
    /// Deletes all or none; an unknown id is an error, one that is named twice is not.
    async fn delete_prompts(&self, set: &SetName, ids: &[(ReferenceId, Precondition)]) -> Result<()>;

    // --- versions
    /// Copies the draft into a new version in state `Building`, in one transaction. If the newest version of the set
    /// is still building, for the same draft revision, model and `anew`, that one is returned instead (a killed build
    /// is resumed); another unfinished version is removed. The routes of a version have no revision. With `anew`, all
    /// texts of the version count as missing until an embedding is put; those that stand there serve other versions.
    async fn freeze(&self, set: &SetName, model: &Fingerprint, anew: bool) -> Result<SetVersion>;
    /// Up to `limit` texts of a version that have no embedding of its model, each text once.
    async fn missing_embeddings(&self, set: &SetName, version: Version, limit: u32) -> Result<Vec<(TextHash, String)>>;
    /// How many texts of a version have no embedding of its model.
    async fn count_missing_embeddings(&self, set: &SetName, version: Version) -> Result<u64>;
    /// Keeps embeddings, replacing those that stand there, in one transaction.
    async fn put_embeddings(&self, model: &Fingerprint, embeddings: &[(TextHash, Vec<f32>)]) -> Result<()>;
    /// The prompts of a version in the order of their ids, from the one after `after`, at most `limit`.
    /// `EmbeddingsMissing` if one of them has no embedding.
    async fn version_prompts(
        &self,
        set: &SetName,
        version: Version,
        after: Option<&ReferenceId>,
        limit: u32,
    ) -> Result<Vec<VersionPrompt>>;
    /// The same prompts in the same order without their embeddings, which need not be there.
    async fn version_texts(
        &self,
        set: &SetName,
        version: Version,
        after: Option<&ReferenceId>,
        limit: u32,
    ) -> Result<Vec<VersionText>>;
    /// Keeps what was fitted to a version's prompts, replacing what stands there. It goes with the version.
    async fn put_decision_model(&self, set: &SetName, version: Version, model: &[u8]) -> Result<()>;
    /// What was put last; `None` if nothing was.
    async fn decision_model(&self, set: &SetName, version: Version) -> Result<Option<Vec<u8>>>;
    /// Makes a version `Ready` with its report and live, in one transaction: `previous` becomes what was published.
    /// `EmbeddingsMissing` if it is not complete. Versions other than the published, the previous, the newest `keep`
    /// and one that is being built are removed, with embeddings that no version or draft uses any more: those of a
    /// text that none holds or of a model that no version has.
    async fn publish(&self, set: &SetName, version: Version, report: &str, keep: u32) -> Result<ReferenceSet>;
    /// Makes `version`, the previous or any other that is ready, live again (and the present one the previous).
    /// `NotReady` or `UnknownVersion`. Changes nothing if it is live.
    async fn rollback(&self, set: &SetName, version: Version) -> Result<ReferenceSet>;
    async fn get_version(&self, set: &SetName, version: Version) -> Result<SetVersion>;
    /// All versions of a set, newest first.
    async fn list_versions(&self, set: &SetName) -> Result<Vec<SetVersion>>;
    /// Name and published version of every set that has one: cheap, asked several times a second.
    async fn published_versions(&self) -> Result<Vec<(SetName, Version)>>;

    /// Those of the texts that have an embedding of the model, in no particular order.
    async fn get_embeddings(&self, model: &Fingerprint, texts: &[TextHash]) -> Result<Vec<(TextHash, Vec<f32>)>>;

    // --- proposals
    /// Counts one origin at the proposal for its route and a text like it ([`super::likeness`]), else at the first open
    /// one that `same_as` names, else at a new one; in one transaction. `Known`, and nothing is counted, if a reference
    /// prompt of the draft has the very text and the route, or if one that `same_as` names became a reference prompt of
    /// the draft and this is a verdict. `Full` if there would be more than `most_open` open ones.
    /// The set and the route must exist. A decision counts once for each source, and at one proposal only for
    /// corrections: a later one for another route takes the earlier back. Proposals with like texts and different
    /// routes are in conflict, as are those that the edit names; so is a reference prompt with the very text and
    /// another route, and one that a named proposal became. The draft stays as it is.
    async fn record_proposal(&self, edit: &ProposalEdit, most_open: u32) -> Result<Recorded>;
    /// In the order of their ids.
    async fn list_proposals(&self, set: &SetName, filter: &ProposalFilter) -> Result<Vec<Proposal>>;
    async fn get_proposal(&self, set: &SetName, id: ProposalId) -> Result<Proposal>;
    /// Accepts a proposal, which writes its prompt into the draft (a reference prompt with the very text gets the
    /// route), or rejects it; in one transaction, at `at` (seconds since the Unix epoch). The precondition speaks of
    /// the proposal's revision. What has happened already happens no second time and is no error; a rejected proposal
    /// may be accepted, an accepted one not be rejected (`ProposalClosed`). The newest
    /// [`MAX_SETTLED`](super::MAX_SETTLED) are kept.
    async fn settle_proposal(
        &self,
        set: &SetName,
        id: ProposalId,
        settlement: Settlement,
        precondition: Precondition,
        at: i64,
    ) -> Result<Proposal>;
    /// The open and accepted proposals that have a vector of the model, in the order of their ids, from the one after
    /// `after`.
    async fn proposal_vectors(
        &self,
        set: &SetName,
        model: &Fingerprint,
        after: ProposalId,
        limit: u32,
    ) -> Result<Vec<ProposalVector>>;

    // --- what the LLM stage spends
    /// Adds to what was spent on a day (number of days since 1970-01-01), in billionths of the unit of the prices;
    /// returns the total of that day, whoever spent it. Adding 0 writes nothing. Days that are 400 older are forgotten.
    async fn add_llm_spend(&self, day: i64, spent: u64) -> Result<u64>;

    /// Whether the store can be reached and is whole; for readiness.
    async fn check(&self) -> Result<()>;
}
