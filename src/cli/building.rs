//! Shows a build: a bar while embedding, a line for the index.

use std::sync::{Mutex, PoisonError};

use super::progress::{Bar, Unit, note};
use crate::publish::BuildProgress;

/// Draws on standard error.
pub(super) struct BuildBar {
    set: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bar: Option<Bar>,
    done: u64,
    to_index: u64,
}

impl BuildBar {
    pub(super) fn new(set: &str) -> Self {
        Self { set: set.to_owned(), state: Mutex::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BuildProgress for BuildBar {
    fn to_embed(&self, texts: u64, total: u64) {
        if texts == 0 {
            return;
        }
        if texts < total {
            note(&format!("{}: {} of {total} texts are embedded already", self.set, total - texts));
        }
        self.lock().bar = Some(Bar::new(&format!("Embedding {}", self.set), Unit::Items, Some(texts)));
    }

    fn embedded(&self, texts: u64) {
        let mut state = self.lock();
        state.done += texts;
        if let Some(bar) = &state.bar {
            bar.set(state.done);
        }
    }

    fn indexing(&self, prompts: u64) {
        if let Some(bar) = self.lock().bar.take() {
            bar.finish();
        }
        self.lock().to_index = prompts;
    }

    fn indexed(&self, prompts: u64) {
        let mut state = self.lock();
        // A flat index has no graph, and a small one is there before anything could be drawn.
        if prompts == 0 || state.to_index == 0 {
            return;
        }
        let total = state.to_index;
        let bar =
            state.bar.get_or_insert_with(|| Bar::new(&format!("Indexing {}", self.set), Unit::Items, Some(total)));
        bar.set(prompts);
        if prompts >= total {
            bar.finish();
            note(&format!("{}: measuring the index and saving it", self.set));
            (state.bar, state.to_index) = (None, 0);
        }
    }
}
