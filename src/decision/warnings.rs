//! What is said about a set instead of pretending.

use std::collections::HashMap;

use crate::corpus::Corpus;
use crate::report::Warning;
use crate::training_set::{Label, Purpose, TrainingSet};

pub(crate) struct WarningInput<'a, 's> {
    pub(crate) set: &'a TrainingSet<'s>,
    pub(crate) corpus: &'a Corpus,
    pub(crate) held_out: usize,
    pub(crate) needed: usize,
    pub(crate) scope_trained: bool,
}

pub(crate) fn warnings(input: &WarningInput) -> Vec<Warning> {
    let mut found = Vec::new();
    let counts = counts(input.set);
    if counts.len() == 1 {
        found.push(Warning::OneRoute);
    }
    if input.held_out < input.needed {
        found.push(Warning::TooLittleToCalibrate { held_out: input.held_out, needed: input.needed });
    }
    let of = |wanted: usize| -> Vec<u32> {
        (0..counts.len() as u32).filter(|route| counts[*route as usize] == wanted).collect()
    };
    let (single, empty) = (of(1), of(0));
    if !single.is_empty() {
        found.push(Warning::OnePrompt { routes: single });
    }
    if !empty.is_empty() {
        found.push(Warning::NoPrompt { routes: empty });
    }
    found.extend(alike(input.set));
    let (taken, of) = (input.corpus.rows(), input.set.examples().len());
    if taken < of {
        found.push(Warning::Sampled { taken, of });
    }
    if !input.scope_trained {
        found.push(Warning::ScopeUntrained);
    }
    found
}

/// References of each route.
fn counts(set: &TrainingSet) -> Vec<usize> {
    let mut counts = vec![0; set.routes().len()];
    for example in set.examples().iter().filter(|example| example.purpose == Purpose::Reference) {
        if let Label::Route(route) = example.label {
            counts[route as usize] += 1;
        }
    }
    counts
}

fn alike(set: &TrainingSet) -> Vec<Warning> {
    let mut first: HashMap<String, u32> = HashMap::new();
    let mut found = Vec::new();
    for (route, place) in set.routes().iter().zip(0u32..) {
        match first.get(&route.name.to_lowercase()) {
            Some(other) => found.push(Warning::NamesAlike { first: *other, second: place }),
            None => {
                first.insert(route.name.to_lowercase(), place);
            }
        }
    }
    found
}
