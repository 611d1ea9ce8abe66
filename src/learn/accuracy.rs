//! Whether prompts that are proposed would make decisions worse: the decision model is fitted with them and without,
//! and the set's own prompts are asked, each by what has not seen it.

use std::ops::Range;
use std::sync::Arc;

use ndarray::Array2;
use semroute_decision::{Comparison, FitConfig, FitError, Label, Purpose, TrainingSet, Watch, compare};

use crate::embed::Embedding;
use crate::reference::{Route, RouteIndex};

/// Prompts of a set that are learned from and asked, at most; of larger sets, a sample: a comparison of 5,000 takes
/// some ten seconds on two cores.
const MOST_PROMPTS: usize = 5_000;

/// Of each route at least, as far as it has so many, and all routes together do not have too many.
const LEAST_OF_A_ROUTE: usize = 20;

/// Comparisons in one examination, at most.
const MOST_COMPARISONS: usize = 12;

/// A labelled prompt.
#[derive(Debug, Clone)]
pub struct Example {
    /// `None`: no route applies.
    pub route: Option<RouteIndex>,
    pub text: Arc<str>,
    pub embedding: Embedding,
}

/// What became of the candidates, by their places. Those that are in neither were not examined.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Examined {
    /// With all of them, no fewer prompts are decided rightly than without.
    pub harmless: Vec<usize>,
    /// Each makes it worse beside those that are harmless.
    pub harmful: Vec<usize>,
}

/// A set's prompts, ready to be asked again and again with others added.
pub struct Examination {
    routes: Vec<(Route, Option<Embedding>)>,
    references: Vec<Example>,
}

impl Examination {
    /// `routes`: each with the embedding of its name and description where there is one; examples name them by their
    /// places.
    pub fn of(routes: Vec<(Route, Option<Embedding>)>, references: Vec<Example>) -> Self {
        let references = sample(references, routes.len());
        Self { routes, references }
    }

    /// All candidates, if all together do no harm; else their halves, and the halves of those, beside what was found
    /// harmless before. On the caller's thread and rayon's: seconds to minutes. `None`: it was cancelled, or nothing
    /// can be asked.
    pub fn examine(&self, candidates: &[Example], watch: &dyn Watch) -> Option<Examined> {
        let dimension = self.references.first()?.embedding.dimension();
        if candidates.iter().any(|candidate| candidate.embedding.dimension() != dimension) {
            return None;
        }
        let mut examined = Examined::default();
        let mut left: Vec<Range<usize>> = std::iter::once(0..candidates.len()).collect();
        for _ in 0..MOST_COMPARISONS {
            let Some(group) = left.pop() else { break };
            let tried = |place: &usize| candidates.get(*place);
            let known: Vec<&Example> =
                self.references.iter().chain(examined.harmless.iter().filter_map(tried)).collect();
            let added: Vec<&Example> = group.clone().filter_map(|place| candidates.get(place)).collect();
            let compared = self.compare(&known, &added, watch).ok()?;
            if compared.prompts == 0 {
                return None;
            }
            if compared.is_harmless() {
                examined.harmless.extend(group);
            } else if group.len() > 1 {
                let middle = group.start + group.len() / 2;
                left.extend([middle..group.end, group.start..middle]);
            } else {
                examined.harmful.extend(group);
            }
        }
        examined.harmless.sort_unstable();
        Some(examined)
    }

    fn compare(&self, known: &[&Example], added: &[&Example], watch: &dyn Watch) -> Result<Comparison, FitError> {
        let routes: Vec<_> = self.routes.iter().map(|(route, embedding)| route.to_fit(embedding.as_ref())).collect();
        let all = || known.iter().chain(added);
        let dimension = all().next().map_or(0, |example| example.embedding.dimension());
        let mut embeddings = Array2::zeros((known.len() + added.len(), dimension));
        for (mut row, example) in embeddings.rows_mut().into_iter().zip(all()) {
            row.iter_mut().zip(example.embedding.as_slice()).for_each(|(to, from)| *to = *from);
        }
        let examples: Vec<semroute_decision::Example<'_>> = all()
            .map(|example| semroute_decision::Example {
                text: &example.text,
                label: example.route.map_or(Label::None, Label::Route),
                purpose: Purpose::Reference,
            })
            .collect();
        let set = TrainingSet::new(&routes, &examples, embeddings.view())?;
        compare(&set, known.len(), &FitConfig::default(), watch)
    }
}

/// Every nth of each route, so that there are not too many in all.
fn sample(references: Vec<Example>, routes: usize) -> Vec<Example> {
    if references.len() <= MOST_PROMPTS {
        return references;
    }
    let least = LEAST_OF_A_ROUTE.min(MOST_PROMPTS / (routes + 1)).max(1) as f64;
    let place = |example: &Example| example.route.map_or(routes, |route| route as usize);
    let mut counts = vec![0usize; routes + 1];
    references.iter().for_each(|example| counts[place(example)] += 1);
    let share = MOST_PROMPTS as f64 / references.len() as f64;
    let steps: Vec<f64> =
        counts.iter().map(|count| *count as f64 / (*count as f64 * share).max(least).min(*count as f64)).collect();
    let mut seen = vec![0usize; routes + 1];
    let mut taken = references;
    taken.retain(|example| {
        let place = place(example);
        seen[place] += 1;
        let turn = |seen: usize| (seen as f64 / steps[place]) as usize;
        turn(seen[place]) > turn(seen[place] - 1)
    });
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::RouteName;

    /// A prompt about the `topic`, with two of six other things in it: no two are near-duplicates.
    fn example(route: RouteIndex, topic: usize, others: usize) -> Example {
        let mut vector = vec![0.0; 8];
        vector[topic] = 1.0;
        let (one, other) = (others % 6, (others + 1 + others / 6) % 6);
        vector[2 + one] += 0.45;
        vector[2 + other] -= 0.45;
        let embedding = Embedding::normalised(vector).unwrap();
        Example { route: Some(route), text: format!("topic{topic} with {one} and {other}").into(), embedding }
    }

    fn routes() -> Vec<(Route, Option<Embedding>)> {
        ["a", "b"].map(|name| (Route::named(RouteName::new(name).unwrap()), None)).to_vec()
    }

    #[test]
    fn what_makes_decisions_worse_is_found_out() {
        let references = (0..8).flat_map(|at| [example(0, 0, at), example(1, 1, at)]);
        let examination = Examination::of(routes(), references.collect());
        let good = [example(0, 0, 8), example(1, 1, 8)];
        let examined = examination.examine(&good, &()).unwrap();
        assert_eq!(examined, Examined { harmless: vec![0, 1], harmful: Vec::new() });
        // Mislabelled ones, so many that what is there is outvoted.
        let wrong = (9..24).map(|at| example(1, 0, at));
        let mixed: Vec<Example> = good.into_iter().chain(wrong).collect();
        let examined = examination.examine(&mixed, &()).unwrap();
        assert!(examined.harmless.contains(&0) && examined.harmless.contains(&1), "{examined:?}");
        assert!(examined.harmless.len() < mixed.len(), "{examined:?}");
        let known: Vec<&Example> = examination.references.iter().collect();
        let harmless: Vec<&Example> = examined.harmless.iter().map(|place| &mixed[*place]).collect();
        assert!(examination.compare(&known, &harmless, &()).unwrap().is_harmless());
    }

    #[test]
    fn without_prompts_to_ask_nothing_is_said() {
        assert!(Examination::of(routes(), Vec::new()).examine(&[example(0, 0, 1)], &()).is_none());
        let one_each = vec![example(0, 0, 1), example(1, 1, 1)];
        assert!(Examination::of(routes(), one_each).examine(&[example(0, 0, 2)], &()).is_none());
        let mut other = example(1, 1, 2);
        other.embedding = Embedding::normalised(vec![1.0, 0.0, 0.0]).unwrap();
        let twos = vec![example(0, 0, 1), example(0, 0, 2), example(1, 1, 1), example(1, 1, 2)];
        assert!(Examination::of(routes(), twos).examine(&[other], &()).is_none());
    }

    #[test]
    fn a_sample_spares_small_routes() {
        let many = (0..20_000).map(|at| example(0, 0, at)).chain((0..30).map(|at| example(1, 1, at)));
        let sample = sample(many.collect(), 2);
        let of_second = sample.iter().filter(|example| example.route == Some(1)).count();
        assert!((4_900..5_100).contains(&sample.len()) && of_second == 20, "{} {of_second}", sample.len());
    }
}
