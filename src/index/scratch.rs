//! What a walk needs while it lasts. Each thread keeps one for all its searches: 125 kB for a million vectors.

use std::cell::RefCell;

/// Marks a candidate whose links have been followed.
const FOLLOWED: u32 = 1 << 31;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Runs `work` with the thread's scratch, or with a fresh one should `work` itself search.
pub(super) fn with<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => work(&mut scratch),
        Err(_) => work(&mut Scratch::default()),
    })
}

#[derive(Default)]
pub(super) struct Scratch {
    pub(super) visited: Visited,
    pub(super) pool: Pool,
    /// Nodes seen for the first time, and their scores.
    pub(super) fresh: Vec<u32>,
    pub(super) scores: Vec<i32>,
}

/// The set of nodes that a walk has seen: a bit each, and a list of the words to clear afterwards.
#[derive(Default)]
pub(super) struct Visited {
    words: Vec<u64>,
    touched: Vec<u32>,
}

impl Visited {
    /// Empties the set and makes room for `nodes`.
    pub(super) fn begin(&mut self, nodes: usize) {
        for word in self.touched.drain(..) {
            if let Some(word) = self.words.get_mut(word as usize) {
                *word = 0;
            }
        }
        let words = nodes.div_ceil(64);
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
    }

    /// Adds a node; says whether it is new.
    #[inline(always)]
    pub(super) fn insert(&mut self, node: u32) -> bool {
        let (at, bit) = (node / 64, 1u64 << (node % 64));
        let Some(word) = self.words.get_mut(at as usize) else { return false };
        let new = *word & bit == 0;
        if *word == 0 {
            self.touched.push(at);
        }
        *word |= bit;
        new
    }
}

/// The best nodes found so far, best first, and which of them have not been followed. A sorted array: for the few
/// hundred candidates of a search, moving a few of them is cheaper than a heap's jumps.
#[derive(Default)]
pub(super) struct Pool {
    entries: Vec<Entry>,
    most: usize,
    /// Every entry before this one was followed.
    next: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    score: i32,
    /// With [`FOLLOWED`].
    node: u32,
}

impl Pool {
    /// Empties the pool; it will hold at most `most`.
    pub(super) fn begin(&mut self, most: usize) {
        self.entries.clear();
        self.most = most;
        self.next = 0;
    }

    /// Says whether it is now the next to follow.
    #[inline(always)]
    pub(super) fn offer(&mut self, node: u32, score: i32) -> bool {
        if self.entries.len() >= self.most {
            if self.entries.last().is_none_or(|worst| worst.score >= score) {
                return false;
            }
            self.entries.pop();
        }
        let at = self.entries.partition_point(|entry| entry.score >= score);
        self.entries.insert(at, Entry { score, node });
        let leads = at <= self.next;
        self.next = self.next.min(at);
        leads
    }

    /// The best node that has not been followed yet.
    #[inline(always)]
    pub(super) fn next(&self) -> Option<u32> {
        let rest = self.entries.get(self.next..)?;
        rest.iter().map(|entry| entry.node).find(|node| node & FOLLOWED == 0)
    }

    /// The best node that has not been followed yet, which it then is.
    #[inline(always)]
    pub(super) fn follow(&mut self) -> Option<u32> {
        let rest = self.entries.get_mut(self.next..)?;
        let (at, entry) = rest.iter_mut().enumerate().find(|(_, entry)| entry.node & FOLLOWED == 0)?;
        self.next += at + 1;
        let node = entry.node;
        entry.node |= FOLLOWED;
        Some(node)
    }

    /// With their scores, best first.
    pub(super) fn scored(&self) -> impl Iterator<Item = (i32, u32)> {
        self.entries.iter().map(|entry| (entry.score, entry.node & !FOLLOWED))
    }

    /// Best first.
    pub(super) fn nodes(&self) -> impl Iterator<Item = u32> {
        self.entries.iter().map(|entry| entry.node & !FOLLOWED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_keeps_the_best_and_follows_each_once() {
        let mut pool = Pool::default();
        pool.begin(3);
        for (node, score) in [(1, 10), (2, 30), (3, 20)] {
            pool.offer(node, score);
        }
        assert_eq!(pool.follow(), Some(2));
        pool.offer(4, 5);
        pool.offer(5, 25);
        assert_eq!(pool.nodes().collect::<Vec<_>>(), [2, 5, 3]);
        assert_eq!(pool.follow(), Some(5));
        pool.offer(6, 40);
        assert_eq!(pool.follow(), Some(6), "a better one that comes later is followed first");
        assert_eq!(pool.follow(), None);
        assert_eq!(pool.nodes().collect::<Vec<_>>(), [6, 2, 5]);
    }

    #[test]
    fn a_set_is_empty_when_a_walk_begins() {
        let mut visited = Visited::default();
        for _ in 0..3 {
            visited.begin(200);
            assert!(visited.insert(0) && visited.insert(63) && visited.insert(199));
            assert!(!visited.insert(63) && !visited.insert(199));
        }
        assert!(!visited.insert(4096), "what is out of range is never new");
    }
}
