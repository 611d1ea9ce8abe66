//! Keys of several stores on one place.

use super::Home;
use super::keys::{terms, words};
use crate::govern::keys::{KeyStore, SpendChange, create};
use crate::money::Money;

pub(crate) async fn stores_see_each_others_keys<H: Home>(home: &H)
where
    H::Store: KeyStore,
{
    let (here, there) = (home.open().await, home.open().await);
    let (key, _) = create(&here, &words(), terms("a"), 100).await.unwrap();
    let change = |change| SpendChange { key: key.id.clone(), day: 20_000, change };
    here.journal_spend(&[change(5)], &[], 20_000).await.unwrap();
    let totals = there.journal_spend(&[change(2)], std::slice::from_ref(&key.id), 20_000).await.unwrap();
    assert_eq!(totals[0].of_day, Money(7));
    assert_eq!(there.key_stamp().await.unwrap(), here.key_stamp().await.unwrap());
    drop((here, there));
    assert_eq!(home.open().await.list_keys().await.unwrap().len(), 1);
}
