//! The last decisions with their prompts: bounded in number, bytes and age, and nowhere but in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::config::FeedbackConfig;
use crate::reference::SetName;

/// What an entry takes beside its text: two places of the id, two pointers and their counts, the hash table's slack.
const OVERHEAD_BYTES: usize = 192;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    pub set: SetName,
    /// The words that were classified.
    pub text: Arc<str>,
}

impl Remembered {
    fn bytes(&self) -> usize {
        self.text.len() + OVERHEAD_BYTES
    }
}

pub(super) struct Memory {
    most: usize,
    most_bytes: usize,
    max_age: Duration,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_id: HashMap<Uuid, Remembered>,
    /// Oldest first.
    order: VecDeque<(Instant, Uuid)>,
    bytes: usize,
}

impl Memory {
    pub(super) fn new(config: &FeedbackConfig) -> Self {
        let most_bytes = usize::try_from(config.max_bytes.0).unwrap_or(usize::MAX);
        Self { most: config.keep, most_bytes, max_age: config.max_age, kept: Mutex::default() }
    }

    pub(super) fn keep(&self, id: Uuid, remembered: Remembered, now: Instant) {
        if self.most == 0 || remembered.bytes() > self.most_bytes {
            return;
        }
        let mut kept = self.lock();
        kept.bytes += remembered.bytes();
        kept.order.push_back((now, id));
        kept.by_id.insert(id, remembered);
        while kept.order.front().is_some_and(|(at, _)| self.is_old(*at, now))
            || kept.order.len() > self.most
            || kept.bytes > self.most_bytes
        {
            kept.drop_oldest();
        }
    }

    pub(super) fn recall(&self, id: Uuid, now: Instant) -> Option<Remembered> {
        let mut kept = self.lock();
        while kept.order.front().is_some_and(|(at, _)| self.is_old(*at, now)) {
            kept.drop_oldest();
        }
        kept.by_id.get(&id).cloned()
    }

    /// Entries, and what they take.
    pub(super) fn size(&self) -> (u64, u64) {
        let kept = self.lock();
        (kept.order.len() as u64, kept.bytes as u64)
    }

    fn is_old(&self, at: Instant, now: Instant) -> bool {
        now.saturating_duration_since(at) > self.max_age
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn drop_oldest(&mut self) {
        if let Some((_, id)) = self.order.pop_front()
            && let Some(gone) = self.by_id.remove(&id)
        {
            self.bytes -= gone.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::ByteSize;

    fn remembered(text: &str) -> Remembered {
        Remembered { set: SetName::new("s").unwrap(), text: text.into() }
    }

    fn memory(keep: usize, bytes: usize) -> Memory {
        let max_bytes = ByteSize(bytes as u64);
        Memory::new(&FeedbackConfig { keep, max_bytes, max_age: Duration::from_secs(60), ..FeedbackConfig::default() })
    }

    #[test]
    fn it_is_bounded_in_number_bytes_and_age() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let ids: Vec<Uuid> = (0..6).map(|_| Uuid::now_v7()).collect();
        let texts = |memory: &Memory, now: Instant| -> Vec<Option<String>> {
            ids.iter().map(|id| memory.recall(*id, now).map(|found| found.text.to_string())).collect()
        };
        let some = |text: &str| Some(text.to_owned());

        let few = memory(2, 1 << 20);
        for (id, text) in ids.iter().zip(["a", "b", "c"]) {
            few.keep(*id, remembered(text), at(0));
        }
        assert_eq!(texts(&few, at(60)), [None, some("b"), some("c"), None, None, None]);
        assert_eq!(texts(&few, at(61)), [None, None, None, None, None, None]);
        assert_eq!(few.size(), (0, 0));

        let small = memory(100, 2 * (OVERHEAD_BYTES + 10));
        let long = "x".repeat(500);
        for (id, text) in ids.iter().zip(["0123456789", "0123456789", "b", &long]) {
            small.keep(*id, remembered(text), at(0));
        }
        let [first, second, third, ..] = &texts(&small, at(1))[..] else { unreachable!("there are six") };
        assert_eq!((first, second, third), (&None, &some("0123456789"), &some("b")), "what is too long drops nothing");
        assert_eq!(small.size(), (2, (2 * OVERHEAD_BYTES + 11) as u64));

        let off = memory(0, 1 << 20);
        off.keep(ids[0], remembered("a"), at(0));
        assert_eq!(off.size(), (0, 0));
    }
}
