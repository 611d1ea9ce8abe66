//! How far a fit is, for whoever waits for it, and a way to stop it.

/// What a fit is doing. The order is the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Similarities of all pairs of prompts: for near-duplicates, folds and the neighbours' vote.
    Neighbours,
    /// The classifiers on all prompts.
    Classifiers,
    /// The classifiers on all folds but one, for each fold.
    HeldOut,
    /// The classifiers without some of the routes, for prompts that no route applies to.
    OutOfScope,
    /// Weights of the channels, confidence and shortlist.
    Calibration,
}

/// Looks on while a fit runs. Called from several threads, a few times a second.
pub trait Watch: Sync {
    /// `done` of `total` steps of `phase` are done.
    fn progress(&self, _phase: Phase, _done: usize, _total: usize) {}

    /// Once this returns true the fit ends with [`FitError::Cancelled`](crate::FitError) within some tenths of a second.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Nobody looks on.
impl Watch for () {}
