//! What a reference set is made of: the set with its policy, its routes, and their labelled prompts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::name::{ReferenceId, RouteName, SetName, TargetName};
use super::policy::{SetPolicy, outside};
use crate::embed::Embedding;

/// Longest text of a reference prompt in bytes.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// The reserved route name. Its prompts are examples of what no route is for; no prompt is ever sent there, so that it
/// has no targets and no bounds of its own.
pub const NO_ROUTE: &str = "none";

/// SHA-256 of a reference prompt's text: the key under which its embedding is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextHash(pub [u8; 32]);

impl TextHash {
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// The first 16 hex digits, used as the default id of a prompt that came without one.
    pub fn short(&self) -> String {
        self.to_string()[..16].to_owned()
    }
}

impl fmt::Display for TextHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TextHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TextHash({self})")
    }
}

/// Identifies the embedding space: two vectors may be compared only if their fingerprints are equal.
/// Hex digits of a hash over everything that changes the vectors (weights, tokenizer, pooling, maximum tokens).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fingerprint(pub String);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Number of a set's version, from 1.
pub type Version = u64;

/// Number of a resource's revision, from 1: grows with every change; 0 means that it does not exist yet.
pub type Revision = u64;

/// A named, versioned collection of reference prompts. `revision` is that of its draft: it grows with every change
/// of the set, of a route or of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceSet {
    pub name: SetName,
    pub description: String,
    pub policy: SetPolicy,
    pub revision: Revision,
    pub published: Option<Version>,
    pub previous: Option<Version>,
    pub routes: u64,
    pub prompts: u64,
}

/// The fields of a set that a caller writes.
#[derive(Debug, Clone, PartialEq)]
pub struct SetEdit {
    pub name: SetName,
    pub description: String,
    pub policy: SetPolicy,
}

/// The class that a reference prompt is labelled with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    pub name: RouteName,
    /// What belongs here, in a sentence or two; the LLM stage reads it.
    #[serde(default)]
    pub description: String,
    /// Overrides the set's `min_score`.
    #[serde(default)]
    pub min_score: Option<f32>,
    /// Overrides the set's `min_similarity`.
    #[serde(default)]
    pub min_similarity: Option<f32>,
    /// Where the route's prompts are sent, in order. Empty: the configured default targets.
    #[serde(default)]
    pub targets: Vec<TargetName>,
    /// Ignored on write.
    #[serde(default, skip_serializing)]
    pub revision: Revision,
}

impl Route {
    /// A route of this name without description, overrides and targets.
    pub fn named(name: RouteName) -> Self {
        Self {
            name,
            description: String::new(),
            min_score: None,
            min_similarity: None,
            targets: Vec::new(),
            revision: 0,
        }
    }

    /// What is wrong: the name of each faulty field with what it must be. Empty if the route is valid.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Self::bound_faults(self.min_score, self.min_similarity);
        if self.is_none() {
            let given = [
                ("min_score", self.min_score.is_some()),
                ("min_similarity", self.min_similarity.is_some()),
                ("targets", !self.targets.is_empty()),
            ];
            let what = || format!("must not be given for the reserved route {NO_ROUTE}");
            faults.extend(given.into_iter().filter(|(_, given)| *given).map(|(field, _)| (field, what())));
        }
        faults
    }

    /// Name and description: one prompt more for it.
    pub fn words(&self) -> String {
        match self.description.as_str() {
            "" => self.name.to_string(),
            description => format!("{}: {description}", self.name),
        }
    }

    /// For a training set. `embedding`: of [`Route::words`], where there is one.
    pub(crate) fn to_fit<'a>(&'a self, embedding: Option<&'a Embedding>) -> semroute_decision::Route<'a> {
        let embedding = embedding.map(Embedding::as_slice);
        semroute_decision::Route { name: self.name.as_str(), description: &self.description, embedding }
    }

    /// Whether it is the reserved one, whose prompts belong to no route.
    pub fn is_none(&self) -> bool {
        self.name.as_str() == NO_ROUTE
    }

    /// What is wrong with a route's own bounds.
    pub fn bound_faults(min_score: Option<f32>, min_similarity: Option<f32>) -> Vec<(&'static str, String)> {
        let score = min_score.and_then(|value| outside("min_score", value, 0.0, 1.0));
        let similarity = min_similarity.and_then(|value| outside("min_similarity", value, -1.0, 1.0));
        score.into_iter().chain(similarity).collect()
    }
}

/// What a labelled prompt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptPurpose {
    /// Learned from, and a neighbour of prompts to come.
    #[default]
    Reference,
    /// Only measured on, when a version's confidence is fitted: what users really sent, say.
    Evaluation,
}

impl PromptPurpose {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Evaluation => "evaluation",
        }
    }
}

impl FromStr for PromptPurpose {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "reference" => Ok(Self::Reference),
            "evaluation" => Ok(Self::Evaluation),
            _ => Err(()),
        }
    }
}

/// Whether a prompt stands in the index: evaluation prompts and those of no route do not.
pub fn is_neighbour(route: &RouteName, purpose: PromptPurpose) -> bool {
    route.as_str() != NO_ROUTE && purpose == PromptPurpose::Reference
}

/// A labelled example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferencePrompt {
    pub id: ReferenceId,
    pub route: RouteName,
    pub text: String,
    pub purpose: PromptPurpose,
    pub revision: Revision,
}

/// What a caller writes of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptEdit {
    /// `None`: made from the hash of the text, so that the same text is one prompt.
    pub id: Option<ReferenceId>,
    pub route: RouteName,
    pub text: String,
    pub purpose: PromptPurpose,
    pub precondition: Precondition,
}

/// Optimistic concurrency: what must hold of the resource's present revision for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precondition {
    /// Write whatever stands there.
    #[default]
    None,
    /// Write only if the revision is this one (0: only if nothing stands there).
    Revision(Revision),
}

/// State of a version: frozen and under construction, live or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionState {
    /// Its prompts are frozen; embeddings, index and checks are not finished. A kill leaves it so; it can be resumed.
    Building,
    /// It was checked and has been live at some time; the set's `published` says which one is now.
    Ready,
}

impl VersionState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Ready => "ready",
        }
    }
}

impl FromStr for VersionState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "building" => Ok(Self::Building),
            "ready" => Ok(Self::Ready),
            _ => Err(()),
        }
    }
}

/// An immutable copy of a set's draft.
#[derive(Debug, Clone, PartialEq)]
pub struct SetVersion {
    pub set: SetName,
    pub version: Version,
    /// Revision of the draft that was frozen.
    pub draft_revision: Revision,
    pub state: VersionState,
    /// The embedding model that it was (or is being) built with.
    pub model: Fingerprint,
    pub policy: SetPolicy,
    pub routes: Vec<Route>,
    pub prompts: u64,
    /// Seconds since the Unix epoch.
    pub created_at: i64,
    /// What the build found (recall, label agreement, times), as JSON; empty while building.
    pub report: String,
}

/// One prompt of a frozen version, with its embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionPrompt {
    pub id: ReferenceId,
    pub route: RouteName,
    pub text: String,
    pub purpose: PromptPurpose,
    /// As stored: its dimension and values are checked by whoever builds a snapshot.
    pub embedding: Vec<f32>,
}

/// One prompt of a frozen version, without its embedding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionText {
    pub id: ReferenceId,
    pub route: RouteName,
    pub text: String,
    pub purpose: PromptPurpose,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(faults: Vec<(&'static str, String)>) -> Vec<&'static str> {
        faults.into_iter().map(|(field, _)| field).collect()
    }

    #[test]
    fn routes_are_checked() {
        let route = Route::named(RouteName::new("maths").unwrap());
        assert_eq!(fields(route.faults()), Vec::<&str>::new());
        let bad = Route { min_score: Some(1.1), min_similarity: Some(f32::NAN), ..route };
        assert_eq!(fields(bad.faults()), ["min_score", "min_similarity"]);

        let none = Route::named(RouteName::new(NO_ROUTE).unwrap());
        assert_eq!(fields(none.faults()), Vec::<&str>::new());
        let none = Route { min_score: Some(0.5), targets: vec![TargetName::new("t").unwrap()], ..none };
        assert_eq!(fields(none.faults()), ["min_score", "targets"]);
    }
}
