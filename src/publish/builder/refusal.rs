//! What a build is refused for.

use super::super::error::BuildError;
use super::super::report::BuildReport;
use super::BuildRequest;
use crate::reference::{Fallback, Revision, SetName, SetVersion};

pub(super) fn expect_revision(set: &SetName, expected: Option<Revision>, present: Revision) -> Result<(), BuildError> {
    match expected {
        Some(expected) if expected != present => Err(BuildError::StaleDraft { set: set.clone(), expected, present }),
        _ => Ok(()),
    }
}

/// What falls back to a route that is not there would fall back to nothing, and nobody would be told.
pub(super) fn expect_default_route(version: &SetVersion) -> Result<(), BuildError> {
    match &version.policy.fallback {
        Fallback::DefaultRoute(route) if !version.routes.iter().any(|known| known.name == *route) => {
            Err(BuildError::UnknownDefaultRoute { set: version.set.clone(), route: route.clone() })
        }
        Fallback::DefaultRoute(_) | Fallback::BestGuess | Fallback::Abstain => Ok(()),
    }
}

pub(super) fn refuse_if_worse(report: &BuildReport, request: &BuildRequest) -> Result<(), BuildError> {
    if let (Some(found), Some(least)) = (report.recall_at_10, request.min_recall)
        && found < least
    {
        return Err(BuildError::LowRecall { found, least });
    }
    if let (Some(found), Some(before), Some(most)) =
        (report.agreement, report.previous_agreement, request.max_agreement_drop)
        && before - found > most
    {
        return Err(BuildError::Disagreement { found, before, most });
    }
    Ok(())
}
