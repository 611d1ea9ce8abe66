//! Keys and their terms.

use std::collections::BTreeSet;
use std::time::Duration;

use tonic::Status;

use super::super::pb;
use super::super::violation::Violations;
use crate::govern::Role;
use crate::govern::keys::{KeyTerms, Limits, VirtualKey};
use crate::money::Money;
use crate::reference::{NameError, RouteName, SetName};
use crate::routing::DataPolicy;

/// Billionths in a millionth.
const PER_MICRO: u64 = 1_000;

/// What the domain itself checks is left to it.
pub(crate) fn key_terms(terms: pb::KeyTerms) -> Result<KeyTerms, Status> {
    let mut violations = Violations::default();
    let role = match pb::KeyRole::try_from(terms.role) {
        Ok(pb::KeyRole::Unspecified) => None,
        Ok(pb::KeyRole::ReadOnly) => Some(Role::ReadOnly),
        Ok(pb::KeyRole::Write) => Some(Role::Write),
        Ok(pb::KeyRole::Admin) => Some(Role::Admin),
        Err(_) => {
            violations.add("terms.role", format!("is {}, which is no role", terms.role));
            None
        }
    };
    let sets = names(&mut violations, "terms.sets", &terms.sets, SetName::new);
    let routes = names(&mut violations, "terms.routes", &terms.routes, RouteName::new);
    let policy = terms.policy.map(|found| policy(&mut violations, found));
    let limits = limits(&mut violations, terms.limits.unwrap_or_default());
    let expires_at = terms.expires_at.map(|at| at.seconds);
    violations.check()?;
    Ok(KeyTerms { name: terms.name, role, may_route: terms.may_route, sets, routes, policy, limits, expires_at })
}

fn names<T: Ord>(
    violations: &mut Violations,
    field: &str,
    names: &[String],
    new: fn(&str) -> Result<T, NameError>,
) -> Option<BTreeSet<T>> {
    let parsed = names.iter().enumerate();
    let parsed: BTreeSet<T> =
        parsed.filter_map(|(at, name)| violations.take(format!("{field}[{at}]"), new(name))).collect();
    (!names.is_empty()).then_some(parsed)
}

fn policy(violations: &mut Violations, policy: pb::KeyPolicy) -> DataPolicy {
    let some = |names: Vec<String>| (!names.is_empty()).then(|| names.into_iter().collect());
    let max_retention = policy
        .max_retention
        .and_then(|retention| violations.take("terms.policy.max_retention", Duration::try_from(retention)));
    DataPolicy {
        allowed_regions: some(policy.allowed_regions),
        required_certifications: policy.required_certifications.into_iter().collect(),
        allowed_providers: some(policy.allowed_providers),
        denied_providers: policy.denied_providers.into_iter().collect(),
        max_retention,
        max_input_price: policy.max_input_price,
        max_output_price: policy.max_output_price,
    }
}

fn limits(violations: &mut Violations, limits: pb::KeyLimits) -> Limits {
    let mut money = |field: &str, money: Option<pb::Money>| {
        let micros = money?.micros;
        match u64::try_from(micros) {
            Ok(micros) => Some(Money(micros.saturating_mul(PER_MICRO))),
            Err(_) => {
                violations.add(format!("terms.limits.{field}.micros"), format!("is {micros}, must be at least 0"));
                None
            }
        }
    };
    Limits {
        money_per_day: money("money_per_day", limits.money_per_day),
        money_per_month: money("money_per_month", limits.money_per_month),
        requests_per_minute: limits.requests_per_minute,
        tokens_per_minute: limits.tokens_per_minute,
        max_concurrent: limits.max_concurrent,
    }
}

impl From<VirtualKey> for pb::Key {
    fn from(key: VirtualKey) -> Self {
        Self {
            id: key.id.to_string(),
            terms: Some(key.terms.into()),
            created_at: Some(seconds(key.created_at)),
            revoked_at: key.revoked_at.map(seconds),
            revision: key.revision,
            spent_today: None,
            spent_this_month: None,
            unknown: Vec::new(),
        }
    }
}

impl From<KeyTerms> for pb::KeyTerms {
    fn from(terms: KeyTerms) -> Self {
        let role = match terms.role {
            None => pb::KeyRole::Unspecified,
            Some(Role::ReadOnly) => pb::KeyRole::ReadOnly,
            Some(Role::Write) => pb::KeyRole::Write,
            Some(Role::Admin) => pb::KeyRole::Admin,
        };
        Self {
            name: terms.name,
            role: role.into(),
            may_route: terms.may_route,
            sets: terms.sets.into_iter().flatten().map(|name| name.to_string()).collect(),
            routes: terms.routes.into_iter().flatten().map(|name| name.to_string()).collect(),
            policy: terms.policy.map(Into::into),
            limits: Some(terms.limits.into()),
            expires_at: terms.expires_at.map(seconds),
        }
    }
}

impl From<DataPolicy> for pb::KeyPolicy {
    fn from(policy: DataPolicy) -> Self {
        Self {
            allowed_regions: policy.allowed_regions.into_iter().flatten().collect(),
            required_certifications: policy.required_certifications.into_iter().collect(),
            allowed_providers: policy.allowed_providers.into_iter().flatten().collect(),
            denied_providers: policy.denied_providers.into_iter().collect(),
            max_retention: policy.max_retention.map(super::span),
            max_input_price: policy.max_input_price,
            max_output_price: policy.max_output_price,
        }
    }
}

impl From<Limits> for pb::KeyLimits {
    fn from(limits: Limits) -> Self {
        Self {
            requests_per_minute: limits.requests_per_minute,
            tokens_per_minute: limits.tokens_per_minute,
            max_concurrent: limits.max_concurrent,
            money_per_day: limits.money_per_day.map(Into::into),
            money_per_month: limits.money_per_month.map(Into::into),
        }
    }
}

/// The currency is that of the configured prices, whatever it is.
impl From<Money> for pb::Money {
    fn from(money: Money) -> Self {
        let micros = i64::try_from(money.0.div_ceil(PER_MICRO)).unwrap_or(i64::MAX);
        Self { micros, currency: String::new() }
    }
}

fn seconds(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_come_back_as_they_went() {
        let terms = KeyTerms {
            name: "team".to_owned(),
            role: Some(Role::Write),
            may_route: true,
            sets: Some([SetName::new("a").unwrap(), SetName::new("b").unwrap()].into()),
            routes: Some([RouteName::new("r").unwrap()].into()),
            policy: Some(DataPolicy {
                allowed_regions: Some(["eu".to_owned()].into()),
                max_retention: Some(Duration::from_secs(60)),
                max_input_price: Some(2.5),
                ..DataPolicy::default()
            }),
            limits: Limits {
                requests_per_minute: Some(60),
                money_per_day: Some(Money(5_000_000)),
                ..Limits::default()
            },
            expires_at: Some(1_700_000_000),
        };
        assert_eq!(key_terms(terms.clone().into()).unwrap(), terms);
        assert_eq!(key_terms(KeyTerms::default().into()).unwrap(), KeyTerms::default());
    }

    #[test]
    fn every_wrong_field_is_named() {
        let wrong = pb::KeyTerms {
            role: 9,
            sets: vec!["a".to_owned(), " ".to_owned()],
            limits: Some(pb::KeyLimits {
                money_per_month: Some(pb::Money { micros: -1, currency: String::new() }),
                ..pb::KeyLimits::default()
            }),
            ..pb::KeyTerms::default()
        };
        let status = key_terms(wrong).unwrap_err();
        for field in ["terms.role", "terms.sets[1]", "terms.limits.money_per_month.micros"] {
            assert!(status.message().contains(field), "{}", status.message());
        }
    }
}
