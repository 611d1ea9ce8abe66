//! A plan: the targets that may be tried, in order, and those that may not, each with its reason.

use std::sync::Arc;

use super::target::Target;
use crate::reference::TargetName;

/// What dispatch may do for one request. It never tries a target that is not in `targets`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    pub targets: Vec<Arc<Target>>,
    pub refused: Vec<Refusal>,
}

/// A target that was named but may not be tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{target}: {reason}")]
pub struct Refusal {
    pub target: TargetName,
    pub reason: RefusalReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefusalReason {
    #[error("no such target is configured")]
    Unknown,
    #[error("the request pins another target")]
    NotPinned,
    #[error("the request pins it, but the route does not allow it")]
    NotOnRoute,
    #[error("the caller's key may not use the route")]
    RouteNotAllowed,
}

impl Plan {
    /// Leaves the plan only the pinned target. A pin chooses among the allowed targets and adds none: otherwise a
    /// caller could step over what the operator allows for the route.
    pub fn pin_target(mut self, pinned: &TargetName) -> Self {
        self.refuse(|target| (target.name != *pinned).then_some(RefusalReason::NotPinned));
        let is_mentioned = self.refused.iter().any(|refusal| refusal.target == *pinned);
        if self.targets.is_empty() && !is_mentioned {
            self.refused.push(Refusal { target: pinned.clone(), reason: RefusalReason::NotOnRoute });
        }
        self
    }

    /// Leaves the plan no target, since the caller may not use the route.
    #[must_use]
    pub fn refuse_route(mut self) -> Self {
        self.refuse(|_| Some(RefusalReason::RouteNotAllowed));
        self
    }

    /// Moves each target for which `judge` has a reason from the allowed to the refused. Every filter goes through here.
    fn refuse(&mut self, judge: impl Fn(&Target) -> Option<RefusalReason>) {
        let refused = &mut self.refused;
        self.targets.retain(|target| match judge(target) {
            Some(reason) => {
                refused.push(Refusal { target: target.name.clone(), reason });
                false
            }
            None => true,
        });
    }
}
