use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, advance};

use super::journal::Round;
use super::*;
use crate::calendar::Calendar;
use crate::money::Money;
use crate::reference::{RouteName, SetName};
use crate::routing::{DataPolicy, RoutingConfig};
use crate::store::SqliteStore;

/// 2024-10-04, noon.
const NOON: Duration = Duration::from_secs(20_000 * 86_400 + 43_200);
const NOW: i64 = 1_700_000_000;

struct Place {
    store: Arc<SqliteStore>,
    _folder: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let (store, folder) = SqliteStore::temporary().await;
        Self { store: Arc::new(store), _folder: folder }
    }

    /// A server on the store, at noon.
    async fn server(&self) -> Keys {
        let ledger = Ledger::new(Calendar::starting(Instant::now(), NOON));
        let config = AuthConfig { mode: AuthMode::Required, ..AuthConfig::default() };
        let store: Arc<dyn KeyStore> = self.store.clone();
        Keys::open(store, ledger, config).await.unwrap()
    }

    async fn key(&self, limits: Limits) -> (KeyId, String) {
        self.key_of(KeyTerms { limits, ..terms() }).await
    }

    async fn key_of(&self, terms: KeyTerms) -> (KeyId, String) {
        let (key, secret) = create(self.store.as_ref(), &words(), terms, NOW).await.unwrap();
        (key.id, format!("Bearer {}", secret.reveal()))
    }

    /// What the store has of today, and of its month.
    async fn spent(&self, id: &KeyId) -> (u64, u64) {
        let totals = self.store.journal_spend(&[], std::slice::from_ref(id), 20_000).await.unwrap();
        (totals[0].of_day.0, totals[0].of_month.0)
    }
}

fn terms() -> KeyTerms {
    KeyTerms { name: "a key".to_owned(), may_route: true, ..KeyTerms::default() }
}

/// One provider, one region, and a set `a` with the route `r`.
fn words() -> Words {
    Words::of(
        &toml::from_str("[sets.a.routes.r]\n[[targets]]\nname = 't'\nprovider = 'p'\nmodel = 'm'\nregion = 'eu'")
            .unwrap(),
    )
}

fn cost(money: u64) -> Estimate {
    Estimate { tokens: 10, money: Some(Money(money)) }
}

fn day_budget(money: u64) -> Limits {
    Limits { money_per_day: Some(Money(money)), ..Limits::default() }
}

fn found(keys: &Keys, authorization: &str) -> Result<Caller, Unauthenticated> {
    keys.authenticate(Some(authorization.as_bytes()))
}

#[tokio::test]
async fn who_calls_is_told_by_the_key_alone() {
    let place = Place::new().await;
    let (id, key) = place.key(Limits::default()).await;
    let keys = place.server().await;
    assert_eq!(found(&keys, &key).unwrap().key_id(), Some(&id));
    assert!(found(&keys, &key.replace("Bearer", "bEARER")).is_ok());
    assert_eq!(keys.authenticate(None).unwrap_err(), Unauthenticated::Missing);
    let other = if key.ends_with('0') { '1' } else { '0' };
    let wrong_secret = format!("{}{other}", &key[..key.len() - 1]);
    let unknown_id = key.replace(id.as_str(), "0123456789abcdef");
    for (wrong, expected) in [
        (wrong_secret.as_str(), Unauthenticated::Unknown),
        (&unknown_id, Unauthenticated::Unknown),
        ("Bearer", Unauthenticated::Malformed),
        ("Basic dXNlcjpwYXNz", Unauthenticated::Malformed),
        ("Bearer sk-proj-123", Unauthenticated::Malformed),
    ] {
        assert_eq!(found(&keys, wrong).unwrap_err(), expected, "{wrong}");
    }
    assert_eq!(keys.authenticate(Some(b"Bearer \xff")).unwrap_err(), Unauthenticated::Malformed);
    let counts: Vec<_> = keys.ledger().counts().authentication().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counts, [("missing", 1), ("malformed", 4), ("unknown", 2)]);
}

#[tokio::test]
async fn a_key_ends_with_its_revocation_its_date_and_its_secret() {
    let place = Place::new().await;
    let keys = place.server().await;
    let store = place.store.as_ref();
    let (revoked, revoked_key) = place.key(Limits::default()).await;
    let (expiring, expiring_key) = place.key(Limits::default()).await;
    let (rotated, rotated_key) = place.key(Limits::default()).await;
    assert_eq!(found(&keys, &revoked_key).unwrap_err(), Unauthenticated::Unknown, "not yet followed");
    keys.refresh().await.unwrap();
    let callers: Vec<_> =
        [&revoked_key, &expiring_key, &rotated_key].map(|key| found(&keys, key).unwrap()).into_iter().collect();
    revoke(store, &revoked, NOW).await.unwrap();
    change(store, &words(), &expiring, |terms| terms.expires_at = Some(NOW)).await.unwrap();
    let (_, second) = rotate(store, &rotated).await.unwrap();
    keys.refresh().await.unwrap();
    let mut ends = Vec::new();
    for caller in &callers {
        ends.push(tokio::time::timeout(Duration::from_secs(5), caller.ended()).await.unwrap());
    }
    assert_eq!(ends, [Unauthenticated::Revoked, Unauthenticated::Expired, Unauthenticated::Revoked]);
    assert_eq!(found(&keys, &revoked_key).unwrap_err(), Unauthenticated::Revoked);
    assert_eq!(found(&keys, &expiring_key).unwrap_err(), Unauthenticated::Expired);
    assert_eq!(found(&keys, &rotated_key).unwrap_err(), Unauthenticated::Unknown);
    let renewed = found(&keys, &format!("Bearer {}", second.reveal())).unwrap();
    // An operator moves the date: the key lives again, and calls with it are not ended by its first end.
    change(store, &words(), &expiring, |terms| terms.expires_at = None).await.unwrap();
    keys.refresh().await.unwrap();
    let again = found(&keys, &expiring_key).unwrap();
    for caller in [&again, &renewed] {
        assert!(futures_util::FutureExt::now_or_never(caller.ended()).is_none());
    }
}

#[tokio::test]
async fn rights_are_those_of_the_key() {
    let place = Place::new().await;
    let set = |name: &str| SetName::new(name).unwrap();
    let route = |name: &str| RouteName::new(name).unwrap();
    let (_, bound) =
        place.key_of(KeyTerms { sets: Some([set("a")].into()), routes: Some([route("r")].into()), ..terms() }).await;
    let (_, writer) = place.key_of(KeyTerms { role: Some(Role::Write), may_route: false, ..terms() }).await;
    let keys = place.server().await;
    let (bound, writer) = (found(&keys, &bound).unwrap(), found(&keys, &writer).unwrap());
    assert!(bound.check_set(&set("a")).is_ok() && bound.check_set(&set("b")).is_err());
    assert!(bound.check_route(&route("r")).is_ok() && bound.check_route(&route("s")).is_err());
    assert!(bound.check_routing().is_ok() && bound.check_role(Role::ReadOnly).is_err());
    assert!(writer.check_routing().is_err() && writer.check_set(&set("b")).is_ok());
    let may = Role::ALL.map(|role| writer.check_role(role).is_ok());
    assert_eq!(may, [true, true, false]);
    let told = writer.check_role(Role::Admin).unwrap_err().to_string();
    assert!(told.contains("admin") && told.contains("write"), "{told}");
    let anyone = Caller::anyone();
    assert!(anyone.check_role(Role::Admin).is_ok() && anyone.check_set(&set("x")).is_ok());
}

#[tokio::test]
async fn requests_and_calls_at_once_are_limited() {
    let place = Place::new().await;
    let limits = Limits { requests_per_minute: Some(5), max_concurrent: Some(2), ..Limits::default() };
    let (_, key) = place.key(limits).await;
    let keys = place.server().await;
    // Not before: the store has time limits of its own.
    tokio::time::pause();
    let (ledger, caller) = (keys.ledger(), found(&keys, &key).unwrap());
    let (one, two) = (ledger.enter(&caller, 1).unwrap(), ledger.enter(&caller, 1).unwrap());
    assert_eq!(ledger.enter(&caller, 1).unwrap_err(), Refused::Concurrency { limit: 2 });
    drop((one, two));
    let _ = ledger.enter(&caller, 2).unwrap();
    assert_eq!(ledger.remainder(&caller).requests, Some(1));
    assert!(matches!(ledger.enter(&caller, 6), Err(Refused::Requests { retry_after: None, .. })), "never");
    let Err(Refused::Requests { retry_after: Some(retry_after), .. }) = ledger.enter(&caller, 2) else {
        panic!("a batch of two")
    };
    advance(retry_after - Duration::from_millis(1)).await;
    assert!(ledger.enter(&caller, 2).is_err());
    advance(Duration::from_millis(1)).await;
    assert!(ledger.enter(&caller, 2).is_ok(), "as it was told");
    assert!(ledger.enter(&Caller::anyone(), u64::MAX).is_ok());
}

#[tokio::test]
async fn a_request_pays_what_it_took() {
    let place = Place::new().await;
    let (id, key) = place.key(Limits { tokens_per_minute: Some(100), ..day_budget(100) }).await;
    let keys = place.server().await;
    // Not before: the store has time limits of its own.
    tokio::time::pause();
    let (ledger, caller) = (keys.ledger(), found(&keys, &key).unwrap());
    let left = || {
        let Remainder { tokens, money_day, .. } = ledger.remainder(&caller);
        (tokens.unwrap(), money_day.unwrap().0)
    };
    let reserve = |money: u64| ledger.reserve(&caller, cost(money));
    reserve(40).unwrap().settle(Money(10), 3);
    assert_eq!(left(), (97, 90));
    drop(reserve(40).unwrap());
    assert_eq!(left(), (97, 90), "nothing was sent");
    let mut sent = reserve(40).unwrap();
    assert_eq!(left(), (87, 50));
    sent.begun();
    drop(sent);
    assert_eq!(left(), (87, 50), "it may have to be paid");
    reserve(10).unwrap().settle(Money(10), 10);
    assert_eq!(left(), (77, 40));
    // Tokens are refused after money, and then take none.
    let Err(Refused::Tokens { needed: 100, retry_after, .. }) =
        ledger.reserve(&caller, Estimate { tokens: 1_000, money: Some(Money(40)) })
    else {
        panic!("77 tokens are left")
    };
    assert_eq!(left(), (77, 40));
    advance(retry_after).await;
    ledger.reserve(&caller, Estimate { tokens: 1_000, money: Some(Money(1)) }).unwrap().settle(Money(1), 1_000);
    assert_eq!(left(), (0, 39));
    ledger.charge(&caller, Money(39));
    let Err(Refused::Money { retry_after: Some(retry_after), .. }) = reserve(1) else { panic!("nothing is left") };
    advance(retry_after).await;
    assert_eq!(left().1, 100, "a new day");
    assert!(matches!(reserve(101), Err(Refused::Money { retry_after: None, .. })));
    assert!(matches!(ledger.reserve(&caller, Estimate { tokens: 1, money: None }), Err(Refused::Unpriced)));
    assert_eq!(keys.spent_today(), [(id, Money(0))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_at_once_do_not_overspend() {
    let place = Place::new().await;
    let (id, key) = place.key(day_budget(1_000)).await;
    let keys = place.server().await;
    let stop = tokio_util::sync::CancellationToken::new();
    let saving = tokio::spawn(follow_key_spend(keys.clone(), stop.clone()));
    let mut admitted = 0;
    for _ in 0..20 {
        let calls: Vec<_> = (0..200)
            .map(|_| {
                let (keys, caller) = (keys.clone(), found(&keys, &key).unwrap());
                tokio::spawn(async move {
                    let mut reservation = keys.ledger().reserve(&caller, cost(13)).ok()?;
                    reservation.begun();
                    tokio::task::yield_now().await;
                    reservation.settle(Money(7), 10);
                    Some(())
                })
            })
            .collect();
        for call in calls {
            admitted += u64::from(call.await.unwrap().is_some());
        }
    }
    // What is left at the end is less than the most that one more request could cost.
    assert!(admitted * 7 <= 1_000 && admitted * 7 > 1_000 - 13, "{admitted}");
    stop.cancel();
    saving.await.unwrap();
    assert_eq!(place.spent(&id).await, (admitted * 7, admitted * 7));
}

#[tokio::test]
async fn what_was_spent_outlives_the_server_however_it_ends() {
    let place = Place::new().await;
    let (id, key) = place.key(day_budget(1_000)).await;
    // Killed: nothing is saved any more. Too much is remembered rather than too little.
    let killed = place.server().await;
    let caller = found(&killed, &key).unwrap();
    let first = killed.ledger().reserve(&caller, cost(10)).unwrap();
    killed.save_spend().await.unwrap();
    first.settle(Money(10), 10);
    for _ in 0..5 {
        killed.ledger().reserve(&caller, cost(10)).unwrap().settle(Money(10), 10);
    }
    drop(killed);
    let (remembered, _) = place.spent(&id).await;
    assert!((60..=90).contains(&remembered), "{remembered}");
    // Another takes up from there, and ends in good order.
    let next = place.server().await;
    let caller = found(&next, &key).unwrap();
    assert_eq!(next.ledger().remainder(&caller).money_day, Some(Money(1_000 - remembered)));
    let stop = tokio_util::sync::CancellationToken::new();
    let saving = tokio::spawn(follow_key_spend(next.clone(), stop.clone()));
    next.ledger().reserve(&caller, cost(500)).unwrap().settle(Money(1), 10);
    stop.cancel();
    saving.await.unwrap();
    assert_eq!(place.spent(&id).await, (remembered + 1, remembered + 1));
    // Two on one store see each other's spending.
    let (here, there) = (place.server().await, place.server().await);
    let callers = [found(&here, &key).unwrap(), found(&there, &key).unwrap()];
    here.ledger().reserve(&callers[0], cost(100)).unwrap().settle(Money(100), 10);
    here.save_spend().await.unwrap();
    here.save_spend().await.unwrap();
    there.recall(&[id]).await.unwrap();
    assert_eq!(there.ledger().remainder(&callers[1]).money_day, Some(Money(1_000 - remembered - 1 - 100)));
}

#[tokio::test]
async fn a_server_hears_what_others_spend_with_a_key_that_it_does_not_spend_with() {
    let place = Place::new().await;
    let ((_, shared), (_, own)) = (place.key(day_budget(1_000)).await, place.key(day_budget(1_000_000)).await);
    let (here, there) = (place.server().await, place.server().await);
    here.ledger().reserve(&found(&here, &shared).unwrap(), cost(900)).unwrap().settle(Money(900), 10);
    here.save_spend().await.unwrap();
    // What was written ahead is given back by the second.
    here.save_spend().await.unwrap();
    let (caller, busy) = (found(&there, &shared).unwrap(), found(&there, &own).unwrap());
    let left = || there.ledger().remainder(&caller).money_day;
    // Blocks are written often, and in haste.
    there.ledger().reserve(&busy, cost(10)).unwrap().settle(Money(10), 10);
    there.journal(Round::Block).await.unwrap();
    assert_eq!(left(), Some(Money(1_000)), "it does not spend with the key in question");
    there.ledger().reserve(&busy, cost(10)).unwrap().settle(Money(10), 10);
    there.journal(Round::Regular).await.unwrap();
    assert_eq!(left(), Some(Money(100)));
    assert!(there.ledger().reserve(&caller, cost(101)).is_err());
}

#[tokio::test]
async fn a_key_names_only_what_there_is_or_was() {
    let place = Place::new().await;
    let store = place.store.as_ref();
    let policy = |text: &str| Some(toml::from_str::<DataPolicy>(text).unwrap());
    let refused = async |terms: KeyTerms, expected: &[&str]| {
        let KeyError::Faults(faults) = create(store, &words(), terms, NOW).await.unwrap_err() else { panic!() };
        let fields: Vec<&str> = faults.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, expected);
        faults
    };
    let set = |name: &str| Some([SetName::new(name).unwrap()].into());
    let route = |name: &str| Some([RouteName::new(name).unwrap()].into());
    let told = refused(KeyTerms { sets: set("b"), ..terms() }, &["sets"]).await;
    assert_eq!(told[0].1, "\"b\" is no known set; known: \"a\"");
    refused(KeyTerms { sets: set("a"), routes: route("s"), ..terms() }, &["routes"]).await;
    let strange = "allowed_regions = ['eu', 'eu-wst']\nrequired_certifications = ['x']\ndenied_providers = ['q']";
    let fields = ["policy.allowed_regions", "policy.required_certifications", "policy.denied_providers"];
    refused(KeyTerms { policy: policy(strange), ..terms() }, &fields).await;
    refused(KeyTerms { policy: policy("max_input_price = -1.0"), ..terms() }, &["policy.max_input_price"]).await;
    let good = KeyTerms { sets: set("a"), routes: route("r"), policy: policy("allowed_regions = ['eu']"), ..terms() };
    let (key, _) = create(store, &words(), good, NOW).await.unwrap();
    // The configuration is another one now: the key may be changed, but not to what nobody knows.
    let none = Words::default();
    let renamed = change(store, &none, &key.id, |terms| terms.name = "another".to_owned()).await.unwrap();
    assert_eq!(none.unknown(&renamed.terms).len(), 3);
    let error = change(store, &none, &key.id, |terms| terms.sets = Some([SetName::new("b").unwrap()].into())).await;
    assert!(matches!(error, Err(KeyError::Faults(_))), "{error:?}");
    change(store, &none, &key.id, |terms| (terms.sets, terms.routes, terms.policy) = (None, None, None)).await.unwrap();
}

#[tokio::test]
async fn what_has_become_unknown_may_be_taken_away_word_by_word() {
    let place = Place::new().await;
    let store = place.store.as_ref();
    let config: RoutingConfig = toml::from_str("[sets.a.routes.r]\n[sets.b.routes.old]").unwrap();
    let providers = ["p", "q"].map(str::to_owned).into();
    let before = Words::of(&RoutingConfig { providers, ..config });
    let now = Words::of(&toml::from_str("[sets.a.routes.r]\n[sets.b.routes.new]").unwrap());
    let denying = |text: &str| Some(toml::from_str::<DataPolicy>(&format!("denied_providers = {text}")).unwrap());
    let routes = Some([RouteName::new("old").unwrap()].into());
    let terms = KeyTerms { routes, policy: denying("['p', 'q']"), ..terms() };
    let (key, _) = create(store, &before, terms, NOW).await.unwrap();
    assert_eq!(now.unknown(&key.terms).len(), 2);
    change(store, &now, &key.id, |terms| terms.policy = denying("['p']")).await.unwrap();
    let error = change(store, &now, &key.id, |terms| terms.policy = denying("['p', 'q']")).await.unwrap_err();
    assert!(error.to_string().starts_with("policy.denied_providers \"q\" is no known provider"), "{error}");
    // Other sets have other routes: that `old` is none of them is nothing new.
    let set = Some([SetName::new("a").unwrap()].into());
    let changed = change(store, &now, &key.id, |terms| terms.sets.clone_from(&set)).await.unwrap();
    assert_eq!(changed.terms.sets, set);
    // A route that is lost by the change itself is.
    let route = |name: &str| Some([RouteName::new(name).unwrap()].into());
    change(store, &now, &key.id, |terms| terms.routes = route("r")).await.unwrap();
    let other = Some([SetName::new("b").unwrap()].into());
    let error = change(store, &now, &key.id, |terms| terms.sets.clone_from(&other)).await.unwrap_err();
    assert!(error.to_string().starts_with("routes \"r\" is no known route"), "{error}");
}
