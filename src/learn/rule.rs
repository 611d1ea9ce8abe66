//! The rule that accepts without a person: enough decisions agree, nothing is in conflict, and the accuracy on the draft's
//! own prompts is not worse. Into the draft only.

use std::collections::HashMap;
use std::sync::Arc;

use super::accuracy::{Examination, Example};
use super::config::AcceptConfig;
use super::recorder::Recorder;
use crate::calendar::unix_now;
use crate::embed::Embedding;
use crate::prompt::words_of;
use crate::reference::{
    Precondition, PromptFilter, Proposal, ProposalFilter, ProposalId, ProposalState, ReferencePrompt, ReferenceSet,
    Result, Revision, RouteIndex, RouteName, Settlement, StoreError, TextHash, is_neighbour,
};

/// Proposals that are looked at in one go; the others wait for the next.
const AT_ONCE: u32 = 256;

const PAGE: u32 = 1_000;

pub(super) struct Rule {
    agreeing: u32,
    /// Proposals that would have made it worse, with their revision and that of the draft: looked at again when either
    /// has changed.
    harmful: HashMap<ProposalId, (Revision, Revision)>,
}

impl Rule {
    pub(super) fn new(config: &AcceptConfig) -> Self {
        Self { agreeing: config.agreeing, harmful: HashMap::new() }
    }

    /// Looks at every set once; returns how many proposals were accepted. What goes wrong is logged and left for the
    /// next time.
    pub(super) async fn apply(&mut self, recorder: &Recorder) -> u64 {
        let sets = match recorder.store().list_sets().await {
            Ok(sets) => sets,
            Err(error) => {
                tracing::warn!(error = %crate::telemetry::chain(&error), "the rule of acceptance cannot read the store");
                return 0;
            }
        };
        let mut accepted = 0;
        for set in sets {
            match self.apply_to(recorder, &set).await {
                Ok(taken) => accepted += taken,
                // Deleted or changed while it was looked at.
                Err(StoreError::UnknownSet { .. } | StoreError::Stale { .. }) => {}
                Err(error) => {
                    let error = crate::telemetry::chain(&error);
                    tracing::warn!(set = %set.name, %error, "the rule of acceptance cannot be applied");
                }
            }
        }
        accepted
    }

    async fn apply_to(&mut self, recorder: &Recorder, set: &ReferenceSet) -> Result<u64> {
        let routes: Vec<RouteName> =
            recorder.store().list_routes(&set.name).await?.into_iter().map(|route| route.name).collect();
        let ripe = self.ripe(recorder, set, &routes).await?;
        if ripe.is_empty() {
            return Ok(0);
        }
        let references = references(recorder, set, &routes).await?;
        let (candidates, ripe) = candidates(recorder, &routes, ripe).await;
        let examined = tokio::task::spawn_blocking(move || {
            Examination::of(&references).map(|examination| examination.harmless(&candidates))
        });
        // A set of one prompt or none gives no answer: that is for a person.
        let harmless = examined.await.ok().flatten().unwrap_or_default();
        let mut accepted = 0;
        for (place, proposal) in ripe.into_iter().enumerate() {
            if !harmless.contains(&place) {
                self.harmful.insert(proposal.id, (proposal.revision, set.revision));
                continue;
            }
            let at = Precondition::Revision(proposal.revision);
            match recorder.store().settle_proposal(&set.name, proposal.id, Settlement::Accept, at, unix_now()).await {
                Ok(_) => {
                    tracing::info!(set = %set.name, proposal = proposal.id, "proposal accepted into the draft by the rule");
                    accepted += 1;
                }
                Err(
                    StoreError::Stale { .. } | StoreError::UnknownProposal { .. } | StoreError::UnknownRoute { .. },
                ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(accepted)
    }

    /// Open, without conflicts, with enough that agree, for a route that is there, and not known to be harmful; the first
    /// so many.
    pub(super) async fn ripe(
        &mut self,
        recorder: &Recorder,
        set: &ReferenceSet,
        routes: &[RouteName],
    ) -> Result<Vec<Proposal>> {
        let mut ripe = Vec::new();
        let open = Some(ProposalState::Open);
        let mut filter = ProposalFilter { state: open, route: None, agreeing: self.agreeing, after: 0, limit: AT_ONCE };
        loop {
            let page = recorder.store().list_proposals(&set.name, &filter).await?;
            let Some(last) = page.last() else { return Ok(ripe) };
            filter.after = last.id;
            for proposal in page {
                let undisputed = proposal.conflicting_reference.is_none() && proposal.conflicting_proposals.is_empty();
                let looked_at = self.harmful.get(&proposal.id) == Some(&(proposal.revision, set.revision));
                if undisputed && !looked_at && position(routes, &proposal.route).is_some() {
                    ripe.push(proposal);
                }
                if ripe.len() == AT_ONCE as usize {
                    return Ok(ripe);
                }
            }
        }
    }
}

/// The draft's prompts with their vectors: those that the store has, and new ones for the others.
async fn references(recorder: &Recorder, set: &ReferenceSet, routes: &[RouteName]) -> Result<Vec<Example>> {
    let mut examples = Vec::new();
    let mut filter = PromptFilter { route: None, after: None, limit: PAGE };
    loop {
        let page: Vec<ReferencePrompt> = recorder.store().list_prompts(&set.name, &filter).await?;
        let Some(last) = page.last() else { return Ok(examples) };
        filter.after = Some(last.id.clone());
        let page: Vec<ReferencePrompt> =
            page.into_iter().filter(|prompt| is_neighbour(&prompt.route, prompt.purpose)).collect();
        let hashes: Vec<TextHash> = page.iter().map(|prompt| TextHash::of(&prompt.text)).collect();
        let stored: HashMap<TextHash, Vec<f32>> =
            recorder.store().get_embeddings(recorder.model(), &hashes).await?.into_iter().collect();
        for (prompt, hash) in page.into_iter().zip(hashes) {
            let stored = stored.get(&hash).and_then(|vector| Embedding::normalised(vector.clone()).ok());
            let embedding = match stored {
                Some(embedding) => Some(embedding),
                None => recorder.embed(&words_of(&prompt.text)).await,
            };
            let route = position(routes, &prompt.route);
            examples.extend(route.zip(embedding).map(|(route, embedding)| Example { route, embedding }));
        }
    }
}

/// As examples; a proposal whose text cannot be embedded is left out.
async fn candidates(
    recorder: &Recorder,
    routes: &[RouteName],
    proposals: Vec<Proposal>,
) -> (Vec<Example>, Vec<Proposal>) {
    let (mut examples, mut kept) = (Vec::new(), Vec::new());
    for proposal in proposals {
        let text: Arc<str> = words_of(&proposal.text);
        let embedding = recorder.embed(&text).await;
        if let Some((route, embedding)) = position(routes, &proposal.route).zip(embedding) {
            examples.push(Example { route, embedding });
            kept.push(proposal);
        }
    }
    (examples, kept)
}

fn position(routes: &[RouteName], name: &RouteName) -> Option<RouteIndex> {
    let place = routes.iter().position(|route| route == name)?;
    RouteIndex::try_from(place).ok()
}
