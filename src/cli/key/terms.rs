//! What a key may do, as options of the command line.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::{Args, ValueEnum};
use humantime_serde::re::humantime;

use crate::govern::Role;
use crate::govern::keys::{KeyTerms, Limits};
use crate::money::Money;
use crate::reference::{RouteName, SetName};
use crate::routing::DataPolicy;

#[derive(Debug, Args)]
pub(super) struct TermArgs {
    /// For people.
    #[arg(long)]
    name: Option<String>,
    /// For the management API: read-only, write or admin [default: none].
    #[arg(long)]
    role: Option<Role>,
    /// Whether prompts may be sent with it [default: true for a key without a role].
    #[arg(long, value_name = "BOOL")]
    pub(super) may_route: Option<bool>,
    /// A reference set that prompts may be decided with; may be repeated [default: all].
    #[arg(long = "set", value_name = "SET", value_parser = set)]
    sets: Vec<SetName>,
    /// A route that prompts may be sent along; may be repeated [default: all].
    #[arg(long = "route", value_name = "ROUTE", value_parser = route)]
    routes: Vec<RouteName>,
    /// Requests in any 60 seconds.
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<u64>,
    /// Tokens in any 60 seconds, read and written.
    #[arg(long, value_name = "N")]
    tokens_per_minute: Option<u64>,
    /// Calls under way at once.
    #[arg(long, value_name = "N")]
    max_concurrent: Option<u64>,
    /// In the currency of the configured prices, of a day (UTC).
    #[arg(long, value_name = "AMOUNT", value_parser = money)]
    money_per_day: Option<Money>,
    /// Of a calendar month (UTC).
    #[arg(long, value_name = "AMOUNT", value_parser = money)]
    money_per_month: Option<Money>,
    /// How long from now on it is good for, for example `30days`.
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    expires_in: Option<Duration>,
    /// A region that prompts may go to; may be repeated [default: any].
    #[arg(long = "region", value_name = "REGION")]
    regions: Vec<String>,
    /// A certification that a target must have; may be repeated.
    #[arg(long = "certification", value_name = "WORD")]
    certifications: Vec<String>,
    /// A provider that prompts may go to; may be repeated [default: any].
    #[arg(long = "provider", value_name = "PROVIDER")]
    providers: Vec<String>,
    /// A provider that they may not go to; may be repeated.
    #[arg(long = "deny-provider", value_name = "PROVIDER")]
    denied_providers: Vec<String>,
    /// Longest that a provider may keep them, for example `30days`.
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    max_retention: Option<Duration>,
}

/// What can be taken away from a key.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Unset {
    Role,
    Sets,
    Routes,
    Policy,
    Limits,
    RequestsPerMinute,
    TokensPerMinute,
    MaxConcurrent,
    MoneyPerDay,
    MoneyPerMonth,
    Expires,
}

impl Unset {
    pub(super) fn apply(self, terms: &mut KeyTerms) {
        let limits = &mut terms.limits;
        match self {
            Self::Role => terms.role = None,
            Self::Sets => terms.sets = None,
            Self::Routes => terms.routes = None,
            Self::Policy => terms.policy = None,
            Self::Limits => *limits = Limits::default(),
            Self::RequestsPerMinute => limits.requests_per_minute = None,
            Self::TokensPerMinute => limits.tokens_per_minute = None,
            Self::MaxConcurrent => limits.max_concurrent = None,
            Self::MoneyPerDay => limits.money_per_day = None,
            Self::MoneyPerMonth => limits.money_per_month = None,
            Self::Expires => terms.expires_at = None,
        }
    }
}

impl TermArgs {
    /// Writes what is given; `now` is in seconds since the Unix epoch.
    pub(super) fn apply(&self, terms: &mut KeyTerms, now: i64) {
        if let Some(name) = &self.name {
            terms.name.clone_from(name);
        }
        terms.role = self.role.or(terms.role);
        terms.may_route = self.may_route.unwrap_or(terms.may_route);
        replace(&mut terms.sets, &self.sets);
        replace(&mut terms.routes, &self.routes);
        let limits = &mut terms.limits;
        limits.requests_per_minute = self.requests_per_minute.or(limits.requests_per_minute);
        limits.tokens_per_minute = self.tokens_per_minute.or(limits.tokens_per_minute);
        limits.max_concurrent = self.max_concurrent.or(limits.max_concurrent);
        limits.money_per_day = self.money_per_day.or(limits.money_per_day);
        limits.money_per_month = self.money_per_month.or(limits.money_per_month);
        if let Some(span) = self.expires_in {
            terms.expires_at = Some(now.saturating_add(i64::try_from(span.as_secs()).unwrap_or(i64::MAX)));
        }
        self.apply_policy(&mut terms.policy);
    }

    fn apply_policy(&self, policy: &mut Option<DataPolicy>) {
        let mut changed = policy.clone().unwrap_or_default();
        replace(&mut changed.allowed_regions, &self.regions);
        replace(&mut changed.allowed_providers, &self.providers);
        if !self.certifications.is_empty() {
            changed.required_certifications = self.certifications.iter().cloned().collect();
        }
        if !self.denied_providers.is_empty() {
            changed.denied_providers = self.denied_providers.iter().cloned().collect();
        }
        changed.max_retention = self.max_retention.or(changed.max_retention);
        if policy.is_some() || changed != DataPolicy::default() {
            *policy = Some(changed);
        }
    }
}

/// A list that is given takes the place of the one before.
fn replace<T: Ord + Clone>(present: &mut Option<BTreeSet<T>>, given: &[T]) {
    if !given.is_empty() {
        *present = Some(given.iter().cloned().collect());
    }
}

fn set(name: &str) -> Result<SetName, String> {
    SetName::new(name).map_err(|error| error.to_string())
}

fn route(name: &str) -> Result<RouteName, String> {
    RouteName::new(name).map_err(|error| error.to_string())
}

fn money(text: &str) -> Result<Money, String> {
    let units: f64 = text.parse().map_err(|_| format!("{text:?} is no amount"))?;
    if (0.0..=1e9).contains(&units) {
        Ok(Money::from_units(units))
    } else {
        Err("must be from 0 to 1000000000".to_owned())
    }
}
