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
        if prompts >= 10_000 {
            note(&format!("Building and measuring the index of {prompts} prompts ..."));
        }
    }
}
