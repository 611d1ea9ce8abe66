//! Virtual keys, and what they spend.

use crate::govern::keys::{
    KeyError, KeyId, KeyStore, KeyTerms, Limits, Role, SpendChange, Words, change, create, revoke, rotate,
};
use crate::money::Money;
use crate::reference::{RouteName, SetName};
use crate::routing::DataPolicy;

pub(super) fn terms(name: &str) -> KeyTerms {
    KeyTerms { name: name.to_owned(), may_route: true, ..KeyTerms::default() }
}

/// A set `a` with the route `r`.
pub(super) fn words() -> Words {
    Words::of(&toml::from_str("[sets.a.routes.r]").unwrap())
}

pub(crate) async fn keep_all_their_terms(store: &impl KeyStore) {
    let whole = KeyTerms {
        name: "all of it".to_owned(),
        role: Some(Role::Write),
        may_route: true,
        sets: Some([SetName::new("a").unwrap()].into()),
        routes: Some([RouteName::new("r").unwrap()].into()),
        policy: Some(DataPolicy { max_retention: Some(std::time::Duration::from_secs(60)), ..DataPolicy::default() }),
        limits: Limits {
            requests_per_minute: Some(1),
            tokens_per_minute: Some(2),
            max_concurrent: Some(3),
            money_per_day: Some(Money(4)),
            money_per_month: Some(Money(u64::MAX)),
        },
        expires_at: Some(5),
    };
    assert_eq!(store.key_stamp().await.unwrap().0, 0);
    let (first, secret) = create(store, &words(), whole.clone(), 100).await.unwrap();
    let (second, _) = create(store, &words(), terms("second"), 101).await.unwrap();
    let listed = store.list_keys().await.unwrap();
    assert_eq!(listed.iter().map(|stored| &stored.key).collect::<Vec<_>>(), [&first, &second]);
    assert_eq!((&listed[0].key.terms, listed[0].hash), (&whole, secret.hash()));
    assert_eq!(store.get_key(&first.id).await.unwrap().unwrap(), listed[0]);
    assert_eq!(store.get_key(&KeyId::new("0123456789abcdef").unwrap()).await.unwrap(), None);
}

pub(crate) async fn change_one_revision_at_a_time(store: &impl KeyStore) {
    let (key, first) = create(store, &words(), terms("a"), 100).await.unwrap();
    let mut stamp = store.key_stamp().await.unwrap();
    let mut moved = async |what: &str| {
        let now = store.key_stamp().await.unwrap();
        assert!(now > stamp, "{what}");
        stamp = now;
    };
    let stale = store.get_key(&key.id).await.unwrap().unwrap();
    let changed = change(store, &words(), &key.id, |terms| terms.name = "b".to_owned()).await.unwrap();
    assert_eq!((changed.revision, changed.terms.name.as_str()), (2, "b"));
    moved("changed").await;
    assert!(!store.replace_key(&stale).await.unwrap(), "it does not raise the revision");
    let (rotated, second) = rotate(store, &key.id).await.unwrap();
    moved("rotated").await;
    assert_eq!((rotated.revision, first.hash() == second.hash()), (3, false));
    let mut ahead = stale.clone();
    ahead.key.revision = 3;
    assert!(!store.replace_key(&ahead).await.unwrap(), "it was changed meanwhile");
    assert!(matches!(change(store, &words(), &key.id, |terms| terms.name.clear()).await, Err(KeyError::Faults(_))));
    assert_eq!(revoke(store, &key.id, 200).await.unwrap().revoked_at, Some(200));
    moved("revoked").await;
    assert_eq!(revoke(store, &key.id, 300).await.unwrap().revoked_at, Some(200), "once");
    assert!(matches!(rotate(store, &key.id).await, Err(KeyError::Revoked(_))));
    let unknown = KeyId::new("0123456789abcdef").unwrap();
    assert!(matches!(revoke(store, &unknown, 1).await, Err(KeyError::Unknown(_))));
}

pub(crate) async fn add_up_what_they_spend(store: &impl KeyStore) {
    let mut ids = Vec::new();
    for name in ["a", "b"] {
        ids.push(create(store, &words(), terms(name), 100).await.unwrap().0.id);
    }
    let add = async |changes: &[(usize, i64, i64)], today: i64| {
        let changes: Vec<_> = changes
            .iter()
            .map(|(key, day, change)| SpendChange { key: ids[*key].clone(), day: *day, change: *change })
            .collect();
        let totals = store.journal_spend(&changes, &ids, today).await.unwrap();
        totals.into_iter().map(|total| (total.of_day.0, total.of_month.0)).collect::<Vec<_>>()
    };
    // 20,000 is 2024-10-04; September ends with 19,996.
    assert_eq!(add(&[], 20_000).await, [(0, 0), (0, 0)]);
    assert_eq!(
        add(&[(0, 19_996, 100), (0, 19_997, 7), (0, 20_000, 5), (1, 20_000, 1)], 20_000).await,
        [(5, 12), (1, 1)]
    );
    assert_eq!(add(&[(0, 20_000, -3)], 20_000).await, [(2, 9), (1, 1)]);
    assert_eq!(add(&[(0, 20_000, -30), (1, 20_001, 2)], 20_000).await, [(0, 7), (1, 1)], "never below zero");
    let most = add(&[(1, 20_000, i64::MAX)], 20_001).await[1];
    assert_eq!(add(&[(1, 20_000, i64::MAX)], 20_001).await[1], most, "and not beyond what can be counted");
    // A year later all of it is forgotten.
    add(&[(0, 20_500, 1)], 20_500).await;
    assert_eq!(add(&[], 20_001).await, [(0, 0), (0, 0)]);
}
