//! A target: a provider, a model and a region to which a prompt may be sent.

use crate::reference::TargetName;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub name: TargetName,
    /// Name of a configured provider.
    pub provider: String,
    /// As the provider calls it.
    pub model: String,
    /// Where the provider computes, in the operator's words, for example `eu-west`.
    pub region: Option<String>,
}
