//! Proposals: prompts that somebody says belong to a route, on their way to become reference prompts or to be rejected.

use std::str::FromStr;

use super::name::{ReferenceId, RouteName, SetName};
use super::types::{Fingerprint, Revision, TextHash};

/// Number of a proposal; never given twice in a store.
pub type ProposalId = u64;

/// Longest note of a correction in bytes.
pub const MAX_NOTE_BYTES: usize = 1_024;

/// Origins that are kept of a proposal. Nobody needs to know that a hundred and one agreed.
pub const MAX_ORIGINS: u32 = 100;

/// Settled proposals that are remembered of a set, so that what was rejected is not proposed again.
pub const MAX_SETTLED: u32 = 10_000;

/// What became of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProposalState {
    Open,
    /// Its prompt stands in the draft.
    Accepted,
    Rejected,
}

impl ProposalState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
        }
    }
}

impl FromStr for ProposalState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "open" => Ok(Self::Open),
            "accepted" => Ok(Self::Accepted),
            "rejected" => Ok(Self::Rejected),
            _ => Err(()),
        }
    }
}

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The LLM stage, in a decision.
    LlmVerdict,
    /// A client, of a decision.
    Correction,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LlmVerdict => "llm_verdict",
            Self::Correction => "correction",
        }
    }
}

impl FromStr for Source {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "llm_verdict" => Ok(Self::LlmVerdict),
            "correction" => Ok(Self::Correction),
            _ => Err(()),
        }
    }
}

/// Where a proposal comes from: one decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub source: Source,
    /// Id of the decision.
    pub decision: String,
    /// Whether the server that recorded it knew the decision. Others may be of another server, or of none: for
    /// [`ProposalFilter::agreeing`] all of them together count as one.
    pub known: bool,
    /// Of a verdict: the LLM. Of a correction: empty.
    pub model: String,
    /// Seconds since the Unix epoch.
    pub at: i64,
    /// The client's words; at most [`MAX_NOTE_BYTES`].
    pub note: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    pub id: ProposalId,
    pub set: SetName,
    pub route: RouteName,
    /// As it came first; near-duplicates of it are counted here and their texts forgotten.
    pub text: String,
    pub state: ProposalState,
    /// Verdicts and corrections that agree.
    pub verdicts: u64,
    pub corrections: u64,
    /// A reference prompt with the same or nearly the same text and another route.
    pub conflicting_reference: Option<ReferenceId>,
    /// Open proposals with the same or nearly the same text and another route, by their ids; the first 20.
    pub conflicting_proposals: Vec<ProposalId>,
    /// What it became, once it is accepted.
    pub reference: Option<ReferenceId>,
    /// Newest first; the first 20.
    pub origins: Vec<Origin>,
    /// Seconds since the Unix epoch.
    pub created_at: i64,
    pub updated_at: i64,
    pub revision: Revision,
}

impl Proposal {
    pub fn agreeing(&self) -> u64 {
        self.verdicts + self.corrections
    }
}

/// What is recorded: one origin that says that a prompt belongs to a route.
#[derive(Debug, Clone, PartialEq)]
pub struct ProposalEdit {
    pub set: SetName,
    pub route: RouteName,
    pub text: String,
    pub origin: Origin,
    /// Where an embedding is at hand.
    pub embedding: Option<(Fingerprint, Vec<f32>)>,
    /// Proposals for the same route with nearly the same text, nearest first: counted at the first that is still open.
    pub same_as: Vec<ProposalId>,
    /// A reference prompt with nearly the same text and another route.
    pub conflicting_reference: Option<ReferenceId>,
    /// Proposals with nearly the same text and another route.
    pub conflicting_proposals: Vec<ProposalId>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Recorded {
    /// It is counted, now or by an equal call before.
    Proposal(Box<Proposal>),
    /// A reference prompt of the draft says the same already.
    Known(ReferenceId),
    /// As many proposals are open as may be.
    Full,
}

/// Whether to take a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    Accept,
    Reject,
}

/// Which proposals to list, by their ids.
#[derive(Debug, Clone, Default)]
pub struct ProposalFilter {
    pub state: Option<ProposalState>,
    pub route: Option<RouteName>,
    /// Only those with so many origins or more, those whose decision was not known counted as one.
    pub agreeing: u32,
    /// Only those whose id is greater than this one.
    pub after: ProposalId,
    /// At most so many.
    pub limit: u32,
}

/// The vector of an open or accepted proposal.
#[derive(Debug, Clone, PartialEq)]
pub struct ProposalVector {
    pub id: ProposalId,
    pub route: RouteName,
    /// As stored.
    pub embedding: Vec<f32>,
}

/// The key under which equal prompts are one proposal: without regard to case, white space and marks at the end.
pub fn likeness(text: &str) -> TextHash {
    let words = text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ");
    let bare = words.trim_end_matches(|end: char| end.is_whitespace() || matches!(end, '.' | '!' | '?' | '…' | ','));
    TextHash::of(if bare.is_empty() { &words } else { bare })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_that_differ_in_nothing_of_weight_are_alike() {
        for alike in ["My  loop\nnever ends", " my loop never ends?! ", "MY LOOP NEVER ENDS …"] {
            assert_eq!(likeness(alike), likeness("my loop never ends"), "{alike}");
        }
        for other in ["my loops never end", "my loop never, ends", "myloop never ends"] {
            assert_ne!(likeness(other), likeness("my loop never ends"), "{other}");
        }
        assert_ne!(likeness("?"), likeness("!"));
    }
}
