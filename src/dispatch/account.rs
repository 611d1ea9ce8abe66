//! What a dispatch has done so far, for whoever has to know it whatever becomes of the answer.

use std::sync::{Arc, Mutex, PoisonError};

use super::attempt::Attempt;
use super::course::{Course, Progress};
use crate::money::Money;
use crate::provider::Usage;

/// Is told of every attempt once it has ended, outside of any lock. Has to be quick: the request waits for it.
pub type Observer = Arc<dyn Fn(&Attempt) + Send + Sync>;

/// A cheap handle on one dispatch. It can be read at any time, also when the future or the stream was dropped in the
/// middle: the attempts under way are then among the attempts, as cancelled.
#[derive(Clone)]
pub struct Account {
    course: Arc<Mutex<Course>>,
    observers: Arc<[Observer]>,
}

impl Account {
    pub(super) fn new(course: Course, observers: Arc<[Observer]>) -> Self {
        Self { course: Arc::new(Mutex::new(course)), observers }
    }

    /// Those that have ended, in the order of their ends.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.look(|course| course.attempts().to_vec())
    }

    pub fn progress(&self) -> Progress {
        self.look(|course| course.progress())
    }

    /// Whether any text was handed over.
    pub fn delivered(&self) -> bool {
        self.look(|course| course.delivered_chars() > 0 || course.attempts().iter().any(|it| it.first_text.is_some()))
    }

    /// Tokens of all attempts that have ended, and whether any of them are estimated.
    pub fn usage(&self) -> (Usage, bool) {
        self.look(|course| {
            let usages = course.attempts().iter().filter_map(|attempt| attempt.usage);
            let usage = usages.fold(Usage::default(), |sum, usage| Usage {
                input_tokens: sum.input_tokens.saturating_add(usage.input_tokens),
                output_tokens: sum.output_tokens.saturating_add(usage.output_tokens),
                cached_input_tokens: sum.cached_input_tokens.saturating_add(usage.cached_input_tokens),
                cache_write_tokens: sum.cache_write_tokens.saturating_add(usage.cache_write_tokens),
                reasoning_tokens: sum.reasoning_tokens.saturating_add(usage.reasoning_tokens),
            });
            (usage, course.attempts().iter().any(|attempt| attempt.usage_is_estimated))
        })
    }

    /// Of all attempts that have ended; `None` if it is known of none.
    pub fn cost(&self) -> Option<Money> {
        self.look(|course| cost(course.attempts()))
    }

    fn look<T>(&self, look: impl FnOnce(&Course) -> T) -> T {
        look(&self.course.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets the course decide, and tells the observers of the attempts that this ends.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Course) -> T) -> T {
        let (result, ended) = {
            let mut course = self.course.lock().unwrap_or_else(PoisonError::into_inner);
            let before = course.attempts().len();
            let result = act(&mut course);
            let ended = course.attempts().get(before..).unwrap_or_default();
            (result, if self.observers.is_empty() { Vec::new() } else { ended.to_vec() })
        };
        for attempt in &ended {
            self.observers.iter().for_each(|observer| observer(attempt));
        }
        result
    }
}

/// What attempts cost together; `None` if it is known of none.
pub fn cost(attempts: &[Attempt]) -> Option<Money> {
    let known: Vec<Money> = attempts.iter().filter_map(|attempt| attempt.cost).collect();
    (!known.is_empty()).then(|| known.into_iter().sum())
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("progress", &self.progress()).finish_non_exhaustive()
    }
}
