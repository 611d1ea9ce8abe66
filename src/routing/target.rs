//! A target: a provider, a model and a region to which a prompt may be sent, and what holds there.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::money::Prices;
use crate::provider::Capability;
use crate::reference::TargetName;

#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    pub name: TargetName,
    /// Name of a configured provider.
    pub provider: String,
    /// As the provider calls it.
    pub model: String,
    /// Where the provider computes, in the operator's words, for example `eu-west`.
    pub region: Option<String>,
    /// What the place is certified or contracted for, for example `hipaa-baa` or `gdpr-processor`.
    pub certifications: BTreeSet<String>,
    /// How long the provider keeps what it is sent; zero: not at all. `None`: not known.
    pub retention: Option<Duration>,
    pub capabilities: BTreeSet<Capability>,
    /// Most tokens of prompt and answer together. `None`: not known.
    pub max_context_tokens: Option<u64>,
    /// Most tokens of an answer. `None`: not known.
    pub max_output_tokens: Option<u64>,
    /// `None`: not known; a request with a limit of price is not sent there.
    pub prices: Option<Prices>,
    /// Targets of a lower number go first.
    pub priority: u32,
    /// Share of the requests among targets of one priority.
    pub weight: NonZeroU32,
}

impl Target {
    /// A target of which nothing else is known.
    pub fn new(name: TargetName, provider: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            name,
            provider: provider.into(),
            model: model.into(),
            region: None,
            certifications: BTreeSet::new(),
            retention: None,
            capabilities: BTreeSet::new(),
            max_context_tokens: None,
            max_output_tokens: None,
            prices: None,
            priority: 0,
            weight: NonZeroU32::MIN,
        }
    }
}
