use std::time::Duration;

use tokio::time::advance;

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);
const NOON: Duration = Duration::from_secs(20_000 * 86_400 + 43_200);

fn noon() -> Calendar {
    Calendar::starting(Instant::now(), NOON)
}

fn tokens(input_tokens: u64, output_tokens: u64) -> Usage {
    Usage::new(input_tokens, output_tokens)
}

/// A token read costs one unit.
fn config() -> BudgetConfig {
    BudgetConfig { input_price: 1e6, max_concurrent: 1_000_000, ..BudgetConfig::default() }
}

fn spending(cap: f64) -> Budget {
    Budget::starting(&BudgetConfig { max_spend_per_day: Some(cap), ..config() }, noon())
}

fn today(budget: &Budget) -> f64 {
    budget.stats().spent_today.units()
}

#[tokio::test(start_paused = true)]
async fn a_call_reserves_the_most_and_pays_what_it_took() {
    let budget = spending(10.0);
    let first = budget.admit(tokens(6, 0)).unwrap();
    assert_eq!(budget.admit(tokens(5, 0)).err(), Some(Cap::Spend), "6 are reserved");
    let second = budget.admit(tokens(4, 0)).unwrap();
    first.settle(Some(tokens(2, 0)));
    assert_eq!((today(&budget), budget.stats().in_flight), (2.0, 1));
    second.free();
    assert_eq!(today(&budget), 2.0);
    // Unknown usage and a call that is given up are charged with what was reserved.
    budget.admit(tokens(3, 0)).unwrap().settle(None);
    drop(budget.admit(tokens(4, 0)).unwrap());
    assert_eq!((today(&budget), budget.stats().in_flight), (9.0, 0));
    assert_eq!(budget.admit(tokens(2, 0)).err(), Some(Cap::Spend));
    // More than the most: it is paid all the same, and then nothing is left.
    budget.admit(tokens(1, 0)).unwrap().settle(Some(tokens(5, 0)));
    assert_eq!(today(&budget), 14.0);
    assert_eq!(budget.admit(tokens(0, 0)).err(), Some(Cap::Spend));
    let BudgetStats { calls, input_tokens, .. } = budget.stats();
    assert_eq!((calls, input_tokens), (5, 7));
}

#[tokio::test(start_paused = true)]
async fn a_new_day_begins_at_midnight_by_the_clock_that_nobody_sets() {
    let budget = spending(10.0);
    drop(budget.admit(tokens(10, 0)).unwrap());
    advance(11 * HOUR).await;
    assert_eq!(budget.admit(tokens(1, 0)).err(), Some(Cap::Spend));
    advance(HOUR).await;
    let over_midnight = budget.admit(tokens(7, 0)).unwrap();
    assert_eq!(today(&budget), 0.0);
    advance(24 * HOUR).await;
    assert_eq!(budget.admit(tokens(4, 0)).err(), Some(Cap::Spend), "what is reserved still is");
    over_midnight.settle(Some(tokens(7, 0)));
    assert_eq!(today(&budget), 7.0, "charged on the day of the answer");
}

#[tokio::test(start_paused = true)]
async fn what_is_saved_is_what_is_spent_by_day() {
    let budget = spending(100.0);
    let day = budget.today();
    assert_eq!(day, 20_000);
    drop(budget.admit(tokens(5, 0)).unwrap());
    advance(12 * HOUR).await;
    drop(budget.admit(tokens(3, 0)).unwrap());
    let unit = |units: u64| Money(units * 1_000_000_000);
    let unsaved = budget.take_unsaved();
    assert_eq!(unsaved, [(day, unit(5)), (day + 1, unit(3))]);
    assert_eq!((today(&budget), budget.take_unsaved()), (3.0, vec![]));
    // It could not be saved after all.
    unsaved.into_iter().for_each(|(day, spent)| budget.still_unsaved(day, spent));
    assert_eq!(today(&budget), 3.0);
    assert_eq!(budget.take_unsaved().len(), 2);
    // Others spend from the same budget.
    budget.known(day + 1, unit(50));
    budget.known(day, unit(99));
    assert_eq!(today(&budget), 50.0);
    drop(budget.admit(tokens(50, 0)).unwrap());
    assert_eq!(budget.admit(tokens(1, 0)).err(), Some(Cap::Spend));
}

#[tokio::test]
async fn what_was_spent_outlives_a_restart() {
    let (store, _folder) = crate::store::SqliteStore::temporary().await;
    let store: Arc<dyn crate::reference::Store> = Arc::new(store);
    let start = async || {
        let budget = spending(10.0);
        budget.recall(store.as_ref()).await.unwrap();
        budget
    };
    let stop = tokio_util::sync::CancellationToken::new();
    let before = start().await;
    let saving = tokio::spawn(follow_spend(before.clone(), Arc::clone(&store), stop.clone()));
    drop(before.admit(tokens(8, 0)).unwrap());
    stop.cancel();
    saving.await.unwrap();
    let after = start().await;
    assert_eq!(today(&after), 8.0);
    assert_eq!(after.admit(tokens(3, 0)).err(), Some(Cap::Spend));
    assert_eq!(after.stats().spent, Money::ZERO, "by this server");
}

/// So many ask at once, from as many tasks; each that is admitted holds its place for a second.
async fn admitted_of(budget: &Budget, callers: usize) -> usize {
    let calls: Vec<_> = (0..callers)
        .map(|_| {
            let budget = budget.clone();
            tokio::spawn(async move {
                budget.decided();
                let ticket = budget.admit(tokens(1, 0)).ok()?;
                tokio::time::sleep(Duration::from_secs(1)).await;
                ticket.settle(Some(tokens(1, 0)));
                Some(())
            })
        })
        .collect();
    let mut admitted = 0;
    for call in calls {
        admitted += usize::from(call.await.unwrap().is_some());
    }
    admitted
}

#[tokio::test(start_paused = true)]
async fn every_cap_holds_when_a_thousand_ask_at_once() {
    let check = async |config: BudgetConfig, expected: usize| {
        let budget = Budget::starting(&config, noon());
        assert_eq!(admitted_of(&budget, 1_000).await, expected, "{config:?}");
        assert_eq!(budget.stats().in_flight, 0);
    };
    check(config(), 1_000).await;
    check(BudgetConfig { max_share: Some(0.05), share_window: 200, ..config() }, 50).await;
    check(BudgetConfig { max_share: Some(0.0), ..config() }, 0).await;
    check(BudgetConfig { max_calls_per_second: Some(5.0), burst: 7, ..config() }, 7).await;
    check(BudgetConfig { max_concurrent: 32, ..config() }, 32).await;
    check(BudgetConfig { max_spend_per_day: Some(123.0), ..config() }, 123).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn caps_hold_across_threads_too() {
    let budget = Budget::new(&BudgetConfig { max_concurrent: 10, max_spend_per_day: Some(25.0), ..config() });
    let mut admitted = 0;
    for _ in 0..3 {
        admitted += admitted_of(&budget, 1_000).await;
    }
    assert_eq!((admitted, today(&budget)), (25, 25.0), "10, 10 and 5");
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_that_of_time_that_passes() {
    let budget = Budget::starting(&BudgetConfig { max_calls_per_second: Some(2.0), burst: 2, ..config() }, noon());
    let mut admitted = Vec::new();
    for _ in 0..5 {
        admitted.push((0..10).filter(|_| budget.admit(tokens(0, 0)).is_ok()).count());
        advance(Duration::from_millis(500)).await;
    }
    assert_eq!(admitted, [2, 1, 1, 1, 1]);
    assert_eq!(budget.admit(tokens(0, 0)).map(Ticket::free), Ok(()));
    assert_eq!(budget.admit(tokens(0, 0)).err(), Some(Cap::Rate));
}
