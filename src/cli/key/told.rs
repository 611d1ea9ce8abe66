//! Keys as tables and as JSON. Never a secret, nor its hash.

use comfy_table::{Table, presets};
use humantime_serde::re::humantime;
use serde_json::{Value, json};

use crate::govern::keys::{SpendTotal, VirtualKey, Words};
use crate::money::Money;

/// A key with what is known of it besides.
pub(super) struct Told {
    key: VirtualKey,
    spent: SpendTotal,
    /// What of its terms nothing bears any more: field and fault.
    unknown: Vec<(String, String)>,
}

impl Told {
    pub(super) fn new(key: VirtualKey, spent: SpendTotal, words: &Words) -> Self {
        Self { unknown: words.unknown(&key.terms), key, spent }
    }
}

pub(in crate::cli) fn has_ended(key: &VirtualKey, now: i64) -> bool {
    key.revoked_at.is_some() || key.terms.expires_at.is_some_and(|at| at <= now)
}

pub(super) fn as_table(keys: &[Told], now: i64) -> String {
    if keys.is_empty() {
        return "no keys: make one with `semroute key create`".to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["ID", "NAME", "STATE", "ROLE", "PROMPTS", "SPENT TODAY", "THIS MONTH"]);
    for Told { key, spent, unknown } in keys {
        let terms = &key.terms;
        table.add_row([
            key.id.to_string(),
            terms.name.clone(),
            state(key, now, !unknown.is_empty()).to_owned(),
            terms.role.map_or("-".to_owned(), |role| role.to_string()),
            if terms.may_route { "yes" } else { "no" }.to_owned(),
            of(spent.of_day, terms.limits.money_per_day),
            of(spent.of_month, terms.limits.money_per_month),
        ]);
    }
    table.to_string()
}

fn state(key: &VirtualKey, now: i64, is_outdated: bool) -> &'static str {
    match key.revoked_at {
        Some(_) => "revoked",
        None if has_ended(key, now) => "expired",
        // `semroute key show` says what is wrong.
        None if is_outdated => "outdated",
        None => "good",
    }
}

fn of(spent: Money, limit: Option<Money>) -> String {
    limit.map_or_else(|| spent.to_string(), |limit| format!("{spent} of {limit}"))
}

pub(super) fn as_json(keys: &[Told]) -> Value {
    keys.iter().map(one).collect()
}

pub(super) fn one(Told { key, spent, unknown }: &Told) -> Value {
    let terms = &key.terms;
    let units = |money: Option<Money>| money.map(Money::units);
    json!({
        "id": key.id.as_str(),
        "name": terms.name,
        "role": terms.role,
        "may_route": terms.may_route,
        "sets": terms.sets,
        "routes": terms.routes,
        "policy": terms.policy,
        "limits": {
            "requests_per_minute": terms.limits.requests_per_minute,
            "tokens_per_minute": terms.limits.tokens_per_minute,
            "max_concurrent": terms.limits.max_concurrent,
            "money_per_day": units(terms.limits.money_per_day),
            "money_per_month": units(terms.limits.money_per_month),
        },
        "spent_today": spent.of_day.units(),
        "spent_this_month": spent.of_month.units(),
        "created_at": date(key.created_at),
        "expires_at": terms.expires_at.map(date),
        "revoked_at": key.revoked_at.map(date),
        "revision": key.revision,
        "unknown": unknown.iter().map(|(field, what)| format!("{field}: {what}")).collect::<Vec<_>>(),
    })
}

/// RFC 3339, in UTC.
fn date(seconds: i64) -> String {
    // The last second of the year 9999, beyond which that format has no dates.
    let seconds = u64::try_from(seconds).unwrap_or_default().min(253_402_300_799);
    let moment = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(moment).to_string()
}
