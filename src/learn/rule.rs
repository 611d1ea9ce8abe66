//! The rule that accepts without a person: enough decisions agree, nothing is in conflict, and the accuracy on the
//! draft's own prompts is not worse. Into the draft only.

use std::collections::HashMap;
use std::sync::Arc;

use semroute_decision::Watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::accuracy::{Examination, Example};
use super::config::AcceptConfig;
use super::recorder::Recorder;
use crate::calendar::unix_now;
use crate::embed::Embedding;
use crate::prompt::words_of;
use crate::reference::{
    NO_ROUTE, Precondition, PromptFilter, PromptPurpose, Proposal, ProposalFilter, ProposalId, ProposalState,
    ReferencePrompt, ReferenceSet, Result, Revision, Route, RouteIndex, RouteName, SetName, Settlement, StoreError,
    TextHash,
};

/// Proposals that are looked at in one go; the others wait for the next.
const AT_ONCE: u32 = 256;

const PAGE: u32 = 1_000;

/// What one look came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Looked {
    pub(super) accepted: u64,
    /// Whether another look may come to something else.
    pub(super) more: bool,
}

pub(super) struct Rule {
    agreeing: u32,
    harmful: HashMap<SetName, Harmful>,
}

/// Proposals that would have made a draft worse: looked at again when they or the draft have changed.
#[derive(Default)]
struct Harmful {
    draft: Revision,
    proposals: HashMap<ProposalId, Revision>,
}

impl Rule {
    pub(super) fn new(config: &AcceptConfig) -> Self {
        Self { agreeing: config.agreeing, harmful: HashMap::new() }
    }

    /// Looks at every set once. What goes wrong is logged and left for the
    /// next time.
    pub(super) async fn apply(&mut self, recorder: &Recorder) -> Looked {
        let sets = match recorder.store().list_sets().await {
            Ok(sets) => sets,
            Err(error) => {
                tracing::warn!(error = %crate::telemetry::chain(&error), "the rule of acceptance cannot read the store");
                return Looked::default();
            }
        };
        self.harmful.retain(|name, _| sets.iter().any(|set| set.name == *name));
        let mut all = Looked::default();
        for set in sets {
            match self.apply_to(recorder, &set).await {
                Ok(looked) => {
                    all.accepted += looked.accepted;
                    all.more |= looked.more;
                }
                // Deleted or changed while it was looked at.
                Err(StoreError::UnknownSet { .. } | StoreError::Stale { .. }) => {}
                Err(error) => {
                    let error = crate::telemetry::chain(&error);
                    tracing::warn!(set = %set.name, %error, "the rule of acceptance cannot be applied");
                }
            }
        }
        all
    }

    async fn apply_to(&mut self, recorder: &Recorder, set: &ReferenceSet) -> Result<Looked> {
        let routes = recorder.store().list_routes(&set.name).await?;
        let names: Vec<RouteName> = routes.iter().map(|route| route.name.clone()).collect();
        let ripe = self.ripe(recorder, set, &names).await?;
        if ripe.is_empty() {
            return Ok(Looked::default());
        }
        let routes: Vec<Route> = routes.into_iter().filter(|route| !route.is_none()).collect();
        let references = references(recorder, set, &routes).await?;
        let (candidates, ripe) = candidates(recorder, &routes, ripe).await;
        let described = describe(recorder, routes).await;
        let (stopped, _stop) = stopped_when_dropped();
        let examined =
            tokio::task::spawn_blocking(move || Examination::of(described, references).examine(&candidates, &stopped));
        // A set that cannot be asked gives no answer: that is for a person.
        let Some(examined) = examined.await.ok().flatten() else { return Ok(Looked::default()) };
        // It took its time, and another draft may stand there by now.
        if recorder.store().get_set(&set.name).await?.revision != set.revision {
            return Ok(Looked { accepted: 0, more: true });
        }
        let more = !examined.harmful.is_empty() || examined.harmless.len() < ripe.len();
        let mut accepted = 0;
        for (place, proposal) in ripe.into_iter().enumerate() {
            if examined.harmful.contains(&place) {
                self.known_harmful(set).insert(proposal.id, proposal.revision);
            }
            if !examined.harmless.contains(&place) {
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
        Ok(Looked { accepted, more: more || accepted > 0 })
    }

    /// Those of the draft as it is.
    fn known_harmful(&mut self, set: &ReferenceSet) -> &mut HashMap<ProposalId, Revision> {
        let known = self.harmful.entry(set.name.clone()).or_default();
        if known.draft != set.revision {
            *known = Harmful { draft: set.revision, proposals: HashMap::new() };
        }
        &mut known.proposals
    }

    /// Open, without conflicts, with enough that agree, for a route that is there, and not known to be harmful; the
    /// first so many.
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
                let looked_at = self.known_harmful(set).get(&proposal.id) == Some(&proposal.revision);
                // What a prompt of no route does to the others is not asked: that is for a person.
                let of_a_route = routes.contains(&proposal.route) && proposal.route.as_str() != NO_ROUTE;
                if undisputed && !looked_at && of_a_route {
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
async fn references(recorder: &Recorder, set: &ReferenceSet, routes: &[Route]) -> Result<Vec<Example>> {
    let mut examples = Vec::new();
    let mut filter = PromptFilter { route: None, after: None, limit: PAGE };
    loop {
        let page: Vec<ReferencePrompt> = recorder.store().list_prompts(&set.name, &filter).await?;
        let Some(last) = page.last() else { return Ok(examples) };
        filter.after = Some(last.id.clone());
        let page: Vec<ReferencePrompt> =
            page.into_iter().filter(|prompt| prompt.purpose == PromptPurpose::Reference).collect();
        let hashes: Vec<TextHash> = page.iter().map(|prompt| TextHash::of(&prompt.text)).collect();
        let stored: HashMap<TextHash, Vec<f32>> =
            recorder.store().get_embeddings(recorder.model(), &hashes).await?.into_iter().collect();
        for (prompt, hash) in page.into_iter().zip(hashes) {
            let text = words_of(&prompt.text);
            let stored = stored.get(&hash).and_then(|vector| Embedding::normalised(vector.clone()).ok());
            let embedding = match stored {
                Some(embedding) => Some(embedding),
                None => recorder.embed(&text).await,
            };
            examples.extend(example(routes, &prompt.route, text, embedding));
        }
    }
}

/// As examples; a proposal whose text cannot be embedded is left out.
async fn candidates(recorder: &Recorder, routes: &[Route], proposals: Vec<Proposal>) -> (Vec<Example>, Vec<Proposal>) {
    let (mut examples, mut kept) = (Vec::new(), Vec::new());
    for proposal in proposals {
        let text: Arc<str> = words_of(&proposal.text);
        let embedding = recorder.embed(&text).await;
        if let Some(example) = example(routes, &proposal.route, text, embedding) {
            examples.push(example);
            kept.push(proposal);
        }
    }
    (examples, kept)
}

/// `None` of a route that is no more, and without an embedding.
fn example(routes: &[Route], route: &RouteName, text: Arc<str>, embedding: Option<Embedding>) -> Option<Example> {
    let place = || RouteIndex::try_from(routes.iter().position(|known| known.name == *route)?).ok();
    let route = if route.as_str() == NO_ROUTE { None } else { Some(place()?) };
    Some(Example { route, text, embedding: embedding? })
}

/// The routes with what is said of them; one that cannot be embedded now does without.
async fn describe(recorder: &Recorder, routes: Vec<Route>) -> Vec<(Route, Option<Embedding>)> {
    let mut described = Vec::with_capacity(routes.len());
    for route in routes {
        let embedding = recorder.embed(&route.words().into()).await;
        described.push((route, embedding));
    }
    described
}

/// Ends an examination when whoever waits for it has gone.
struct Stopping(CancellationToken);

impl Watch for Stopping {
    fn cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

fn stopped_when_dropped() -> (Stopping, DropGuard) {
    let token = CancellationToken::new();
    (Stopping(token.clone()), token.drop_guard())
}
