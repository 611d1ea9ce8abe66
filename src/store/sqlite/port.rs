//! The port, one transaction a call. What a call does is beside it, in the module of its noun.

use async_trait::async_trait;

use super::{SqliteStore, decision_models, embeddings, prompts, proposals, routes, sets, spend, versions};
use crate::reference::{
    Fingerprint, Precondition, PromptEdit, PromptFilter, Proposal, ProposalEdit, ProposalFilter, ProposalId,
    ProposalVector, Recorded, ReferenceId, ReferencePrompt, ReferenceSet, Result, Route, RouteName, SetEdit, SetName,
    SetVersion, Settlement, Store, TextHash, Version, VersionPrompt, VersionText,
};

#[async_trait]
impl Store for SqliteStore {
    // --- draft: sets
    async fn list_sets(&self) -> Result<Vec<ReferenceSet>> {
        let mut work = self.read("listing reference sets").await?;
        let outcome = sets::list(work.connection()).await;
        work.finish(outcome).await
    }

    async fn get_set(&self, set: &SetName) -> Result<ReferenceSet> {
        let mut work = self.read("reading a reference set").await?;
        let outcome = sets::get(work.connection(), set).await;
        work.finish(outcome).await
    }

    async fn upsert_set(&self, edit: &SetEdit, precondition: Precondition) -> Result<ReferenceSet> {
        let mut work = self.write("writing a reference set").await?;
        let outcome = sets::upsert(work.connection(), edit, precondition).await;
        work.finish(outcome).await
    }

    async fn delete_set(&self, set: &SetName, precondition: Precondition) -> Result<()> {
        let mut work = self.write("deleting a reference set").await?;
        let outcome = sets::delete(work.connection(), set, precondition).await;
        work.finish(outcome).await
    }

    // --- draft: routes
    async fn list_routes(&self, set: &SetName) -> Result<Vec<Route>> {
        let mut work = self.read("listing routes").await?;
        let outcome = routes::list(work.connection(), set).await;
        work.finish(outcome).await
    }

    async fn get_route(&self, set: &SetName, route: &RouteName) -> Result<Route> {
        let mut work = self.read("reading a route").await?;
        let outcome = routes::get(work.connection(), set, route).await;
        work.finish(outcome).await
    }

    async fn upsert_route(&self, set: &SetName, route: &Route, precondition: Precondition) -> Result<Route> {
        let mut work = self.write("writing a route").await?;
        let outcome = routes::upsert(work.connection(), set, route, precondition).await;
        work.finish(outcome).await
    }

    async fn delete_route(
        &self,
        set: &SetName,
        route: &RouteName,
        with_prompts: bool,
        precondition: Precondition,
    ) -> Result<()> {
        let mut work = self.write("deleting a route").await?;
        let outcome = routes::delete(work.connection(), set, route, with_prompts, precondition).await;
        work.finish(outcome).await
    }

    // --- draft: prompts
    async fn list_prompts(&self, set: &SetName, filter: &PromptFilter) -> Result<Vec<ReferencePrompt>> {
        let mut work = self.read("listing reference prompts").await?;
        let outcome = prompts::list(work.connection(), set, filter).await;
        work.finish(outcome).await
    }

    async fn get_prompt(&self, set: &SetName, id: &ReferenceId) -> Result<ReferencePrompt> {
        let mut work = self.read("reading a reference prompt").await?;
        let outcome = prompts::get(work.connection(), set, id).await;
        work.finish(outcome).await
    }

    async fn upsert_prompts(&self, set: &SetName, edits: &[PromptEdit]) -> Result<Vec<ReferencePrompt>> {
        let mut work = self.write("writing reference prompts").await?;
        let outcome = prompts::upsert(work.connection(), set, edits).await;
        work.finish(outcome).await
    }

    async fn delete_prompts(&self, set: &SetName, ids: &[(ReferenceId, Precondition)]) -> Result<()> {
        let mut work = self.write("deleting reference prompts").await?;
        let outcome = prompts::delete(work.connection(), set, ids).await;
        work.finish(outcome).await
    }

    // --- versions
    async fn freeze(&self, set: &SetName, model: &Fingerprint, anew: bool) -> Result<SetVersion> {
        let mut work = self.write("freezing a version").await?;
        let outcome = versions::freeze(work.connection(), set, model, anew).await;
        work.finish(outcome).await
    }

    async fn missing_embeddings(&self, set: &SetName, version: Version, limit: u32) -> Result<Vec<(TextHash, String)>> {
        let mut work = self.read("listing missing embeddings").await?;
        let outcome = embeddings::missing(work.connection(), set, version, limit).await;
        work.finish(outcome).await
    }

    async fn count_missing_embeddings(&self, set: &SetName, version: Version) -> Result<u64> {
        let mut work = self.read("counting missing embeddings").await?;
        let outcome = embeddings::count_missing(work.connection(), set, version).await;
        work.finish(outcome).await
    }

    async fn put_embeddings(&self, model: &Fingerprint, embeddings: &[(TextHash, Vec<f32>)]) -> Result<()> {
        let mut work = self.write("writing embeddings").await?;
        let outcome = embeddings::put(work.connection(), model, embeddings).await;
        work.finish(outcome).await
    }

    async fn version_prompts(
        &self,
        set: &SetName,
        version: Version,
        after: Option<&ReferenceId>,
        limit: u32,
    ) -> Result<Vec<VersionPrompt>> {
        let mut work = self.read("reading a version's prompts").await?;
        let outcome = embeddings::prompts(work.connection(), set, version, after, limit).await;
        work.finish(outcome).await
    }

    async fn version_texts(
        &self,
        set: &SetName,
        version: Version,
        after: Option<&ReferenceId>,
        limit: u32,
    ) -> Result<Vec<VersionText>> {
        let mut work = self.read("reading a version's texts").await?;
        let outcome = versions::texts(work.connection(), set, version, after, limit).await;
        work.finish(outcome).await
    }

    async fn put_decision_model(&self, set: &SetName, version: Version, model: &[u8]) -> Result<()> {
        let mut work = self.write("writing a decision model").await?;
        let outcome = decision_models::put(work.connection(), set, version, model).await;
        work.finish(outcome).await
    }

    async fn decision_model(&self, set: &SetName, version: Version) -> Result<Option<Vec<u8>>> {
        let mut work = self.read("reading a decision model").await?;
        let outcome = decision_models::get(work.connection(), set, version).await;
        work.finish(outcome).await
    }

    async fn publish(&self, set: &SetName, version: Version, report: &str, keep: u32) -> Result<ReferenceSet> {
        let mut work = self.write("publishing a version").await?;
        let outcome = versions::publish(work.connection(), set, version, report, keep).await;
        work.finish(outcome).await
    }

    async fn rollback(&self, set: &SetName, version: Version) -> Result<ReferenceSet> {
        let mut work = self.write("rolling back a version").await?;
        let outcome = versions::rollback(work.connection(), set, version).await;
        work.finish(outcome).await
    }

    async fn get_version(&self, set: &SetName, version: Version) -> Result<SetVersion> {
        let mut work = self.read("reading a version").await?;
        let outcome = versions::get(work.connection(), set, version).await;
        work.finish(outcome).await
    }

    async fn list_versions(&self, set: &SetName) -> Result<Vec<SetVersion>> {
        let mut work = self.read("listing versions").await?;
        let outcome = versions::list(work.connection(), set).await;
        work.finish(outcome).await
    }

    async fn published_versions(&self) -> Result<Vec<(SetName, Version)>> {
        let mut work = self.read("reading which versions are live").await?;
        let outcome = sets::published(work.connection()).await;
        work.finish(outcome).await
    }

    async fn get_embeddings(&self, model: &Fingerprint, texts: &[TextHash]) -> Result<Vec<(TextHash, Vec<f32>)>> {
        let mut work = self.read("reading embeddings").await?;
        let outcome = embeddings::get(work.connection(), model, texts).await;
        work.finish(outcome).await
    }

    // --- proposals
    async fn record_proposal(&self, edit: &ProposalEdit, most_open: u32) -> Result<Recorded> {
        let mut work = self.write("recording a proposal").await?;
        let outcome = proposals::record(work.connection(), edit, most_open).await;
        work.finish(outcome).await
    }

    async fn list_proposals(&self, set: &SetName, filter: &ProposalFilter) -> Result<Vec<Proposal>> {
        let mut work = self.read("listing proposals").await?;
        let outcome = proposals::list(work.connection(), set, filter).await;
        work.finish(outcome).await
    }

    async fn get_proposal(&self, set: &SetName, id: ProposalId) -> Result<Proposal> {
        let mut work = self.read("reading a proposal").await?;
        let outcome = proposals::get(work.connection(), set, id).await;
        work.finish(outcome).await
    }

    async fn settle_proposal(
        &self,
        set: &SetName,
        id: ProposalId,
        settlement: Settlement,
        precondition: Precondition,
        at: i64,
    ) -> Result<Proposal> {
        let mut work = self.write("settling a proposal").await?;
        let outcome = proposals::settle(work.connection(), set, id, settlement, precondition, at).await;
        work.finish(outcome).await
    }

    async fn proposal_vectors(
        &self,
        set: &SetName,
        model: &Fingerprint,
        after: ProposalId,
        limit: u32,
    ) -> Result<Vec<ProposalVector>> {
        let mut work = self.read("reading the vectors of proposals").await?;
        let outcome = proposals::vectors(work.connection(), set, model, after, limit).await;
        work.finish(outcome).await
    }

    async fn add_llm_spend(&self, day: i64, spent: u64) -> Result<u64> {
        let mut work = match spent {
            0 => self.read("reading what the LLM stage spent").await?,
            _ => self.write("noting what the LLM stage spent").await?,
        };
        let outcome = spend::add(work.connection(), day, spent).await;
        work.finish(outcome).await
    }

    /// Beyond a query that works: that the file is still there. SQLite goes on writing to a file that was deleted.
    async fn check(&self) -> Result<()> {
        self.published_versions().await?;
        self.still_there().await
    }
}
