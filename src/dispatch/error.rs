//! Why a dispatch brought no answer, with all that was tried.

use super::attempt::{Attempt, Outcome, Passed};
use crate::routing::Refusal;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The plan was empty.
    #[error("no target may be tried{}", refusals(refused))]
    NoTargets { refused: Vec<Refusal> },
    /// Every target was tried, or as many as there may be attempts; but for those that were passed over.
    #[error("no target answered: {}", failures(attempts, passed))]
    AllFailed { attempts: Vec<Attempt>, passed: Vec<Passed> },
    /// The providers found fault with the request itself, so that no other was tried, or every one that might have taken it.
    #[error("the provider refused the request: {}", failures(attempts, &[]))]
    Rejected { attempts: Vec<Attempt> },
    /// The request's own time was up; the last attempt may have delivered a part (`committed`).
    #[error("the deadline passed: {}", failures(attempts, &[]))]
    DeadlineExceeded { attempts: Vec<Attempt> },
    /// The stream failed after text had been handed over, so that no other target could take its place.
    #[error("the stream broke after {delivered_chars} characters: {}", failures(attempts, &[]))]
    BrokenStream { attempts: Vec<Attempt>, delivered_chars: u64 },
}

impl Error {
    /// All attempts in order.
    pub fn attempts(&self) -> &[Attempt] {
        match self {
            Self::NoTargets { .. } => &[],
            Self::AllFailed { attempts, .. }
            | Self::Rejected { attempts }
            | Self::DeadlineExceeded { attempts }
            | Self::BrokenStream { attempts, .. } => attempts,
        }
    }

    /// Targets of the plan that were not called.
    pub fn passed(&self) -> &[Passed] {
        match self {
            Self::AllFailed { passed, .. } => passed,
            Self::NoTargets { .. }
            | Self::Rejected { .. }
            | Self::DeadlineExceeded { .. }
            | Self::BrokenStream { .. } => &[],
        }
    }

    /// A word for metrics that does not change between versions.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoTargets { .. } => "no_targets",
            Self::AllFailed { .. } => "all_failed",
            Self::Rejected { .. } => "rejected",
            Self::DeadlineExceeded { .. } => "deadline_exceeded",
            Self::BrokenStream { .. } => "broken_stream",
        }
    }
}

fn refusals(refused: &[Refusal]) -> String {
    if refused.is_empty() {
        return ": the route names none, and there are no default targets".to_owned();
    }
    let lines: Vec<String> = refused.iter().map(Refusal::to_string).collect();
    format!(": {}", lines.join("; "))
}

fn failures(attempts: &[Attempt], passed: &[Passed]) -> String {
    let lines = attempts.iter().map(|attempt| match &attempt.outcome {
        Outcome::Ok => format!("{}: ok", attempt.target),
        Outcome::Failed { message, .. } => format!("{}: {message}", attempt.target),
        Outcome::Cancelled => format!("{}: cancelled", attempt.target),
    });
    let lines: Vec<String> = lines.chain(passed.iter().map(Passed::to_string)).collect();
    if lines.is_empty() { "nothing was tried".to_owned() } else { lines.join("; ") }
}
