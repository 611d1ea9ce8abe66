//! Why a target may not be tried, with the rule, its limit and what was found.

use std::time::Duration;

use humantime_serde::re::humantime::format_duration;

use crate::money::Money;
use crate::provider::Capability;

/// Words that one list shows at most.
const MAX_LISTED: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusalReason {
    #[error("no such target is configured")]
    Unknown,
    #[error("the request pins another target")]
    NotPinned,
    #[error("the request pins it, but the route does not allow it")]
    NotOnRoute,
    #[error("the caller's key may not use the route")]
    RouteNotAllowed,
    #[error("provider {provider:?} is denied")]
    ProviderDenied { provider: String },
    #[error("provider {provider:?} is not among the allowed: {}", list(allowed))]
    ProviderNotAllowed { provider: String, allowed: Vec<String> },
    #[error("{} is not among the allowed: {}", region_name(region.as_deref()), list(allowed))]
    Region { region: Option<String>, allowed: Vec<String> },
    #[error("lacks a required certification: {}", list(missing))]
    Certification { missing: Vec<String> },
    #[error("{}, at most {} is allowed", retention(*kept), format_duration(*limit))]
    Retention { kept: Option<Duration>, limit: Duration },
    #[error("{price} a million {kind} tokens, at most {} is allowed", limit.units(), price = price_name(*price))]
    Price { kind: TokenKind, price: Option<Money>, limit: Money },
    #[error("cannot do what the request needs: {}", list(missing))]
    Capability { missing: Vec<Capability> },
    /// `needs`: prompt and wanted answer; an upper bound unless `counted`.
    #[error("needs {}{} tokens, its context holds {}", if *counted { "" } else { "up to " }, grouped(*needs), grouped(*limit))]
    Context { needs: u64, counted: bool, limit: u64 },
    #[error("an answer of up to {} tokens is asked for, it gives at most {}", grouped(*asked), grouped(*limit))]
    Output { asked: u64, limit: u64 },
}

/// Which tokens a price is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    Input,
    Output,
}

impl std::fmt::Display for TokenKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Input => "input",
            Self::Output => "output",
        })
    }
}

impl RefusalReason {
    /// A word for programs that does not change between versions.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown_target",
            Self::NotPinned => "not_pinned",
            Self::NotOnRoute => "not_on_route",
            Self::RouteNotAllowed => "route_not_allowed",
            Self::ProviderDenied { .. } => "provider_denied",
            Self::ProviderNotAllowed { .. } => "provider_not_allowed",
            Self::Region { .. } => "region",
            Self::Certification { .. } => "certification",
            Self::Retention { kept: None, .. } => "retention_unknown",
            Self::Retention { .. } => "retention",
            Self::Price { price: None, .. } => "price_unknown",
            Self::Price { .. } => "price",
            Self::Capability { .. } => "capability",
            Self::Context { .. } => "context",
            Self::Output { .. } => "output",
        }
    }
}

fn list(words: &[impl ToString]) -> String {
    if words.is_empty() {
        return "none".to_owned();
    }
    let mut list: Vec<String> = words.iter().take(MAX_LISTED).map(ToString::to_string).collect();
    if words.len() > MAX_LISTED {
        list.push(format!("and {} more", words.len() - MAX_LISTED));
    }
    list.join(", ")
}

fn region_name(region: Option<&str>) -> String {
    region.map_or_else(|| "its region is not known and so".to_owned(), |region| format!("region {region:?}"))
}

fn retention(kept: Option<Duration>) -> String {
    match kept {
        Some(kept) => format!("keeps what it is sent for {}", format_duration(kept)),
        None => "it is not known how long it keeps what it is sent".to_owned(),
    }
}

fn price_name(price: Option<Money>) -> String {
    price.map_or_else(|| "its price is not known for".to_owned(), |price| format!("costs {}", price.units()))
}

/// `9312` as `9,312`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_tells_the_rule_the_limit_and_the_value() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let day = Duration::from_secs(86_400);
        let price = |price, limit| RefusalReason::Price { kind: TokenKind::Input, price, limit: Money(limit) };
        let context = |counted| RefusalReason::Context { needs: 9_312, counted, limit: 8_192 };
        let table = [
            (
                RefusalReason::Region { region: Some("us".to_owned()), allowed: words(&["ch", "eu"]) },
                "region",
                "region \"us\" is not among the allowed: ch, eu",
            ),
            (
                RefusalReason::Region { region: None, allowed: words(&[]) },
                "region",
                "its region is not known and so is not among the allowed: none",
            ),
            (
                RefusalReason::Certification { missing: words(&["hipaa-baa"]) },
                "certification",
                "lacks a required certification: hipaa-baa",
            ),
            (
                RefusalReason::Retention { kept: Some(day * 30), limit: day },
                "retention",
                "keeps what it is sent for 30days, at most 1day is allowed",
            ),
            (
                RefusalReason::Retention { kept: None, limit: Duration::ZERO },
                "retention_unknown",
                "it is not known how long it keeps what it is sent, at most 0s is allowed",
            ),
            (
                price(Some(Money(2_500_000_000)), 1_000_000_000),
                "price",
                "costs 2.5 a million input tokens, at most 1 is allowed",
            ),
            (
                price(None, 150_000_000),
                "price_unknown",
                "its price is not known for a million input tokens, at most 0.15 is allowed",
            ),
            (
                RefusalReason::Capability { missing: vec![Capability::Vision] },
                "capability",
                "cannot do what the request needs: vision",
            ),
            (context(true), "context", "needs 9,312 tokens, its context holds 8,192"),
            (context(false), "context", "needs up to 9,312 tokens, its context holds 8,192"),
            (
                RefusalReason::Output { asked: 100_000, limit: 999 },
                "output",
                "an answer of up to 100,000 tokens is asked for, it gives at most 999",
            ),
        ];
        for (reason, code, text) in table {
            assert_eq!((reason.code(), reason.to_string().as_str()), (code, text));
        }
    }

    #[test]
    fn digits_are_grouped_by_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
