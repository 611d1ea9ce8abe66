//! The rules: pure judgements of one target, written once, for every attempt and for the LLM stage's call.

use std::collections::BTreeSet;

use super::policy::DataPolicy;
use super::reason::{RefusalReason, TokenKind};
use super::size::Size;
use super::target::Target;
use crate::money::Money;
use crate::provider::Capability;

type Judgement = Result<(), RefusalReason>;

/// Whether the policy lets data go there. What is not known of a target is not taken for granted.
pub(super) fn permits(policy: &DataPolicy, target: &Target) -> Judgement {
    provider(policy, target)?;
    if let Some(allowed) = &policy.allowed_regions
        && !target.region.as_ref().is_some_and(|region| allowed.contains(region))
    {
        return Err(RefusalReason::Region { region: target.region.clone(), allowed: words(allowed) });
    }
    let missing: Vec<String> = policy.required_certifications.difference(&target.certifications).cloned().collect();
    if !missing.is_empty() {
        return Err(RefusalReason::Certification { missing });
    }
    if let Some(limit) = policy.max_retention
        && target.retention.is_none_or(|kept| kept > limit)
    {
        return Err(RefusalReason::Retention { kept: target.retention, limit });
    }
    price(TokenKind::Input, policy.max_input_price, target.prices.map(|prices| prices.input))?;
    price(TokenKind::Output, policy.max_output_price, target.prices.map(|prices| prices.output))
}

fn provider(policy: &DataPolicy, target: &Target) -> Judgement {
    let provider = &target.provider;
    if policy.denied_providers.contains(provider) {
        return Err(RefusalReason::ProviderDenied { provider: provider.clone() });
    }
    match &policy.allowed_providers {
        Some(allowed) if !allowed.contains(provider) => {
            Err(RefusalReason::ProviderNotAllowed { provider: provider.clone(), allowed: words(allowed) })
        }
        _ => Ok(()),
    }
}

fn price(kind: TokenKind, limit: Option<f64>, price: Option<f64>) -> Judgement {
    match limit {
        Some(limit) if !price.is_some_and(|price| price <= limit) => {
            Err(RefusalReason::Price { kind, price: price.map(Money::from_units), limit: Money::from_units(limit) })
        }
        _ => Ok(()),
    }
}

/// Whether the target can do what is asked of it, as far as its limits are known.
pub(super) fn fits(needs: &BTreeSet<Capability>, size: Size, target: &Target) -> Judgement {
    let missing: Vec<Capability> = needs.difference(&target.capabilities).copied().collect();
    if !missing.is_empty() {
        return Err(RefusalReason::Capability { missing });
    }
    if let Some((asked, limit)) = size.max_output_tokens.zip(target.max_output_tokens)
        && asked > limit
    {
        return Err(RefusalReason::Output { asked, limit });
    }
    let needs = needed(size);
    match target.max_context_tokens {
        Some(limit) if needs > limit => Err(RefusalReason::Context { needs, counted: size.exact, limit }),
        _ => Ok(()),
    }
}

/// Tokens of the context that a request takes: providers refuse what leaves no room for the wanted answer, or for one
/// token if no length is wanted.
pub(super) fn needed(size: Size) -> u64 {
    size.input_tokens.saturating_add(size.max_output_tokens.unwrap_or(1))
}

fn words(words: &BTreeSet<String>) -> Vec<String> {
    words.iter().cloned().collect()
}
