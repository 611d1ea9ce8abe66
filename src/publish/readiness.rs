//! Whether everything that is published can be asked for.

use super::live::LiveSets;

/// What keeps the service from answering for all its sets; nothing: it is ready.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    pub reasons: Vec<String>,
}

impl Readiness {
    pub fn is_ready(&self) -> bool {
        self.reasons.is_empty()
    }
}

impl LiveSets {
    /// Ready with at least one set, and with a version of every published set in service. An older version than the
    /// published one will do: a bad publish must not take every server out of service at once. The details are for
    /// those who may read the log.
    pub fn readiness(&self) -> Readiness {
        // In this order: what is being served meanwhile is no problem any more.
        let problems = self.problems();
        let served = self.snapshots().all();
        let unserved = problems.iter().filter(|(set, _)| !served.iter().any(|snapshot| snapshot.set == *set));
        let mut reasons: Vec<String> = unserved
            .map(|(set, problem)| format!("version {} of set {set} is published but cannot be served", problem.version))
            .collect();
        if served.is_empty() && reasons.is_empty() {
            reasons.push("no reference set is published".to_owned());
        }
        Readiness { reasons }
    }
}
