//! A data policy, and what a request needs of a model, as flags.

use clap::Args;
use humantime_serde::re::humantime;

use crate::grpc::pb;

#[derive(Debug, Args)]
#[command(next_help_heading = "Where it may be sent")]
pub(super) struct PolicyArgs {
    /// Only to this region; repeat it for several.
    #[arg(long = "region", value_name = "REGION")]
    regions: Vec<String>,
    /// Only to targets with this certification; of several, with all.
    #[arg(long = "require", value_name = "CERTIFICATION")]
    certifications: Vec<String>,
    /// Only to this provider; repeat it for several.
    #[arg(long = "provider", value_name = "PROVIDER")]
    providers: Vec<String>,
    /// Not to this provider.
    #[arg(long = "not-provider", value_name = "PROVIDER")]
    not_providers: Vec<String>,
    /// Only to providers that keep the text no longer, for example `0s` or `30days`.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    max_retention: Option<std::time::Duration>,
    /// Highest price of a million input tokens.
    #[arg(long, value_name = "PRICE")]
    max_input_price: Option<f64>,
    /// Highest price of a million output tokens.
    #[arg(long, value_name = "PRICE")]
    max_output_price: Option<f64>,
    /// What the model must be able to do: `tools`, `vision` or `json-schema`.
    #[arg(long = "need", value_name = "CAPABILITY")]
    capabilities: Vec<String>,
    /// Most tokens of the answer.
    #[arg(long, value_name = "TOKENS")]
    max_output_tokens: Option<u32>,
}

impl PolicyArgs {
    /// `None` if no rule is given.
    pub(super) fn policy(&self) -> Option<pb::DataPolicy> {
        let policy = pb::DataPolicy {
            allowed_regions: self.regions.clone(),
            required_certifications: self.certifications.clone(),
            allowed_providers: self.providers.clone(),
            denied_providers: self.not_providers.clone(),
            max_retention: self.max_retention.and_then(|time| time.try_into().ok()),
            max_input_price: self.max_input_price,
            max_output_price: self.max_output_price,
        };
        (policy != pb::DataPolicy::default()).then_some(policy)
    }

    /// `None` if nothing is needed.
    pub(super) fn needs(&self) -> Option<pb::Needs> {
        let needs = pb::Needs { capabilities: self.capabilities.clone(), max_output_tokens: self.max_output_tokens };
        (needs != pb::Needs::default()).then_some(needs)
    }
}
