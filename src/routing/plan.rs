//! A plan: the targets that may be tried, in order, and those that may not, each with its reason.

use std::sync::Arc;

use super::reason::RefusalReason;
use super::size::{Size, TokenEstimate};
use super::target::Target;
use crate::money::Money;
use crate::reference::TargetName;

/// What dispatch may do for one request: try these targets and no other, whatever fails.
///
/// A target comes into a plan only by way of a judge that has let it pass ([`Plan::judged`], which is routing's own), and
/// nothing adds one later, so that no retry and no hedge can reach a place that the rules refuse.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    targets: Vec<Arc<Target>>,
    refused: Vec<Refusal>,
    size: Size,
}

/// A target that was named but may not be tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{target}: {reason}")]
pub struct Refusal {
    pub target: TargetName,
    pub reason: RefusalReason,
}

impl Refusal {
    pub fn new(target: &TargetName, reason: RefusalReason) -> Self {
        Self { target: target.clone(), reason }
    }
}

/// Targets that a route names, before any rule; and names that stand for none.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    pub(super) targets: Vec<Arc<Target>>,
    pub(super) refused: Vec<Refusal>,
}

impl Plan {
    /// Of the candidates those that `judge` lets pass; the others are refused with its reason.
    pub(super) fn judged(
        candidates: Candidates,
        size: Size,
        judge: impl Fn(&Target) -> Result<(), RefusalReason>,
    ) -> Self {
        let Candidates { targets, mut refused } = candidates;
        let mut allowed = Vec::with_capacity(targets.len());
        for target in targets {
            match judge(&target) {
                Ok(()) => allowed.push(target),
                Err(reason) => refused.push(Refusal::new(&target.name, reason)),
            }
        }
        Self { targets: allowed, refused, size }
    }

    /// That the request pins a target which is not even a candidate.
    pub(super) fn refuse_stranger(&mut self, pinned: &TargetName) {
        let is_mentioned = self.refused.iter().any(|refusal| refusal.target == *pinned);
        if self.targets.is_empty() && !is_mentioned {
            self.refused.push(Refusal::new(pinned, RefusalReason::NotOnRoute));
        }
    }

    /// Leaves no target, since the caller may not use the route.
    pub fn refuse_route(&mut self) {
        let refused = self.targets.drain(..);
        self.refused.extend(refused.map(|target| Refusal::new(&target.name, RefusalReason::RouteNotAllowed)));
    }

    /// Sorts the targets by priority, and those of one priority by `rank`: the lowest first, equal ones as they were. It
    /// can neither add nor lose one. `rank` gets the targets of one priority; those beyond its answer go last.
    pub(super) fn arrange(&mut self, mut rank: impl FnMut(&[Arc<Target>]) -> Vec<f64>) {
        self.targets.sort_by_key(|target| target.priority);
        for tier in self.targets.chunk_by_mut(|one, next| one.priority == next.priority) {
            if tier.len() < 2 {
                continue;
            }
            let ranks = rank(tier).into_iter().chain(std::iter::repeat(f64::INFINITY));
            let mut ranked: Vec<(f64, Arc<Target>)> = ranks.zip(tier.iter().cloned()).collect();
            ranked.sort_by(|(one, _), (other, _)| one.total_cmp(other));
            for (place, (_, target)) in tier.iter_mut().zip(ranked) {
                *place = target;
            }
        }
    }

    /// In the order in which they are to be tried.
    pub fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }

    pub fn refused(&self) -> &[Refusal] {
        &self.refused
    }

    /// What the request takes at most on one of the plan's targets.
    pub fn estimate(&self, target: &Target) -> TokenEstimate {
        self.size.on(target)
    }

    /// The most that one answer of any of the targets can cost; `None` if the price of one is not known.
    pub fn cost_bound(&self) -> Option<Money> {
        let bounds = self.targets.iter().map(|target| Some(self.estimate(target).cost_bound(&target.prices?)));
        bounds.collect::<Option<Vec<Money>>>().map(|bounds| bounds.into_iter().max().unwrap_or_default())
    }

    /// A plan that no rule has seen, for tests of what comes after.
    #[cfg(test)]
    pub(crate) fn unjudged(targets: impl IntoIterator<Item = Arc<Target>>) -> Self {
        Self { targets: targets.into_iter().collect(), ..Self::default() }
    }
}
