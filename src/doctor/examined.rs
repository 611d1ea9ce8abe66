//! A reference set with what its prompts say of each other.

use super::verdict::Verdict;

#[derive(Debug, Clone, PartialEq)]
pub struct Examined {
    pub set: String,
    /// Names; also of routes without prompts.
    pub routes: Vec<String>,
    pub prompts: Vec<Prompt>,
    /// One for each prompt.
    pub verdicts: Vec<Verdict>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    pub id: String,
    /// Position in [`Examined::routes`].
    pub route: u32,
    pub text: String,
}

impl Examined {
    /// Prompts with their verdicts.
    pub(super) fn judged(&self) -> impl Iterator<Item = (usize, &Prompt, &Verdict)> {
        self.prompts.iter().zip(&self.verdicts).enumerate().map(|(at, (prompt, verdict))| (at, prompt, verdict))
    }

    pub(super) fn name(&self, route: u32) -> String {
        self.routes.get(route as usize).cloned().unwrap_or_default()
    }

    /// Prompts of each route.
    pub(super) fn sizes(&self) -> Vec<usize> {
        let mut sizes = vec![0; self.routes.len()];
        for prompt in &self.prompts {
            if let Some(size) = sizes.get_mut(prompt.route as usize) {
                *size += 1;
            }
        }
        sizes
    }

    /// Whether the others of the set would decide this prompt for another route than its own.
    pub(super) fn lost(&self, sizes: &[usize], prompt: &Prompt, verdict: &Verdict) -> bool {
        self.can_judge(sizes, prompt) && verdict.winner.is_some_and(|(route, _)| route != prompt.route)
    }

    /// Whether what the others of the set say of this prompt means anything. The only prompt of a route has no others
    /// of it, and the prompts of an only route have nothing to be confused with.
    pub(super) fn can_judge(&self, sizes: &[usize], prompt: &Prompt) -> bool {
        let own = sizes.get(prompt.route as usize).copied().unwrap_or_default();
        own >= 2 && own < self.prompts.len()
    }
}

#[cfg(test)]
pub(super) mod samples {
    use super::*;
    use crate::doctor::verdict::Near;

    /// From rows of (route, text, winner with its confidence); all routes that are named, in the order of their names.
    pub(in crate::doctor) fn examined(rows: &[(&str, &str, &str, f32)]) -> Examined {
        let mut routes: Vec<String> =
            rows.iter().flat_map(|(route, _, winner, _)| [*route, *winner]).map(str::to_owned).collect();
        routes.sort();
        routes.dedup();
        let at = |name: &str| routes.iter().position(|route| route == name).unwrap() as u32;
        let prompts = rows.iter().enumerate().map(|(row, (route, text, _, _))| Prompt {
            id: format!("p{row}"),
            route: at(route),
            text: (*text).to_owned(),
        });
        let verdict = |(_, _, winner, confidence): &(&str, &str, &str, f32)| Verdict {
            winner: Some((at(winner), *confidence)),
            near: Vec::new(),
        };
        let (prompts, verdicts) = (prompts.collect(), rows.iter().map(verdict).collect());
        Examined { set: "sample".to_owned(), routes, prompts, verdicts }
    }

    /// Makes two prompts neighbours of each other.
    pub(in crate::doctor) fn bring_near(set: &mut Examined, a: usize, b: usize, similarity: f32) {
        for (from, to) in [(a, b), (b, a)] {
            set.verdicts[from].near.push(Near { prompt: to as u32, similarity });
        }
    }
}
