//! What the LLM stage spends.

use super::*;

pub(crate) async fn is_added_up_by_day(store: &impl Store) {
    let add = async |day: i64, spent: u64| store.add_llm_spend(day, spent).await.unwrap();
    assert_eq!(add(20_000, 0).await, 0);
    assert_eq!(add(20_000, 5).await, 5);
    assert_eq!(add(20_000, 7).await, 12);
    assert_eq!(add(20_001, 1).await, 1);
    assert_eq!(add(20_000, 0).await, 12);
    // As much as can be kept, and no more.
    let most = add(20_001, u64::MAX).await;
    assert!(most > u64::from(u32::MAX) && add(20_001, 3).await == most);
}

pub(crate) async fn is_forgotten_after_a_year(store: &impl Store) {
    store.add_llm_spend(1, 5).await.unwrap();
    store.add_llm_spend(401, 5).await.unwrap();
    assert_eq!(store.add_llm_spend(1, 0).await.unwrap(), 5);
    store.add_llm_spend(402, 5).await.unwrap();
    assert_eq!(store.add_llm_spend(1, 0).await.unwrap(), 0);
}
