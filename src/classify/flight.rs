//! Work that several callers want at once is done once: whoever comes first starts it, the others wait with him.
//!
//! Any of those who wait keeps it going, so that it outlives the one who started it; it is dropped when the last of
//! them has gone. (moka's `try_get_with` would start it anew when the first caller goes, at the end of the queue.)

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Clone it freely.
pub(super) struct Flights<K, T: Clone>(Arc<Mutex<UnderWay<K, T>>>);

struct UnderWay<K, T: Clone> {
    flights: HashMap<K, (u64, WeakShared<Work<T>>)>,
    started: u64,
}

impl<K, T: Clone> Clone for Flights<K, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, T: Clone> Default for Flights<K, T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(UnderWay { flights: HashMap::new(), started: 0 })))
    }
}

/// A caller's share in some work.
pub(super) struct Flight<T: Clone> {
    pub outcome: Shared<Work<T>>,
    /// Whether this caller started it.
    pub leads: bool,
}

impl<K, T> Flights<K, T>
where
    K: Copy + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Joins the work under way for `key`, or starts it. `start` only makes the future: it must not wait.
    pub(super) fn join<F>(&self, key: K, start: impl FnOnce() -> F) -> Flight<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.started += 1;
        let number = under_way.started;
        let entry = under_way.flights.entry(key);
        if let Entry::Occupied(occupied) = &entry
            && let Some(outcome) = occupied.get().1.upgrade()
        {
            return Flight { outcome, leads: false };
        }
        let landing = Landing { flights: self.clone(), key, number };
        let work = start();
        let outcome: Shared<Work<T>> = async move {
            let _landing = landing;
            work.await
        }
        .boxed()
        .shared();
        // It cannot be done yet, and so it can be downgraded.
        if let Some(weak) = outcome.downgrade() {
            entry.insert_entry((number, weak));
        }
        Flight { outcome, leads: true }
    }

    #[cfg(test)]
    fn under_way(&self) -> usize {
        self.0.lock().unwrap().flights.len()
    }
}

/// Takes a flight off the list when it is done, or when nobody waits for it any more.
struct Landing<K: Eq + Hash, T: Clone> {
    flights: Flights<K, T>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash, T: Clone> Drop for Landing<K, T> {
    fn drop(&mut self) {
        let mut under_way = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have started anew under the same key.
        if under_way.flights.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            under_way.flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn callers_that_come_together_share_one_piece_of_work() {
        let flights = Flights::<u8, usize>::default();
        let (gate, started) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let join = || {
            let (gate, started) = (Arc::clone(&gate), Arc::clone(&started));
            flights.join(1, || async move {
                let number = started.fetch_add(1, Ordering::SeqCst);
                let _leave = gate.acquire().await;
                number
            })
        };
        let mut callers: Vec<Flight<usize>> = (0..1_000).map(|_| join()).collect();
        assert_eq!(callers.iter().filter(|caller| caller.leads).count(), 1);
        // The first begins, and goes.
        let first = callers.remove(0);
        assert!(first.outcome.clone().now_or_never().is_none());
        drop(first);
        gate.add_permits(1_000);
        for caller in callers {
            assert_eq!(caller.outcome.await, 0);
        }
        assert_eq!((started.load(Ordering::SeqCst), flights.under_way()), (1, 0));
        // What is done is done: the next one starts anew.
        let next = join();
        assert!(next.leads);
        assert_eq!(next.outcome.await, 1);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_dropped() {
        let flights = Flights::<u8, ()>::default();
        let begun = flights.join(1, std::future::pending);
        assert!(begun.outcome.clone().now_or_never().is_none());
        let unbegun = flights.join(2, std::future::pending);
        assert_eq!(flights.under_way(), 2);
        drop((begun, unbegun));
        assert_eq!(flights.under_way(), 0);
    }
}
