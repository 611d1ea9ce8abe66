//! Cutting a set into folds: every route in every fold where it has prompts enough, near-duplicates together.
//!
//! A near-duplicate left in the training part gives the answer away, and makes the model look surer than it is.

use std::collections::HashMap;

use crate::neighbours::{DUPLICATE, Nearest};
use crate::random::SplitMix64;

/// What a fold is cut from.
pub(crate) struct FoldInput<'a> {
    /// Class of each row.
    pub(crate) classes: &'a [u32],
    /// Normalised text of each row.
    pub(crate) texts: &'a [String],
    /// Nearest prompts of each row.
    pub(crate) nearest: &'a [Nearest],
    /// The row of a prompt; `None` of one that is no row.
    pub(crate) row_of: &'a dyn Fn(usize) -> Option<usize>,
    pub(crate) folds: usize,
    pub(crate) seed: u64,
}

/// The fold of each row.
pub(crate) fn assign(input: &FoldInput) -> Vec<usize> {
    let mut groups = Groups::new(input.classes);
    join_equal_texts(input.texts, &mut groups);
    for (row, nearest) in input.nearest.iter().enumerate() {
        let duplicates = nearest.iter().take_while(|(_, similarity)| *similarity >= DUPLICATE);
        for other in duplicates.filter_map(|(example, _)| (input.row_of)(*example as usize)) {
            groups.join(row, other);
        }
    }
    deal(input, &mut groups)
}

fn join_equal_texts(texts: &[String], groups: &mut Groups) {
    let mut first = HashMap::new();
    for (row, text) in texts.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
        let other = *first.entry(text.as_str()).or_insert(row);
        groups.join(row, other);
    }
}

/// Deals each class's groups, largest first, to the fold that has the fewest of the class.
fn deal(input: &FoldInput, groups: &mut Groups) -> Vec<usize> {
    let rows = input.classes.len();
    let mut members: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut order: Vec<usize> = (0..rows).collect();
    let mut random = SplitMix64::new(input.seed);
    random.shuffle(&mut order);
    let mut roots = Vec::new();
    for row in order {
        let root = groups.root(row);
        let group = members.entry(root).or_default();
        if group.is_empty() {
            roots.push(root);
        }
        group.push(row);
    }
    roots.sort_by_key(|root| std::cmp::Reverse(members.get(root).map_or(0, Vec::len)));
    let classes = input.classes.iter().max().map_or(0, |class| *class as usize + 1);
    let mut counts = vec![vec![0usize; input.folds]; classes];
    let mut totals = vec![0usize; input.folds];
    let mut fold_of = vec![0; rows];
    for root in roots {
        let Some(group) = members.get(&root) else { continue };
        let class = input.classes[group[0]] as usize;
        // Among equals the emptiest fold, so that routes of one prompt spread.
        let fold = (0..input.folds).min_by_key(|fold| (counts[class][*fold], totals[*fold])).unwrap_or(0);
        for row in group {
            fold_of[*row] = fold;
            counts[input.classes[*row] as usize][fold] += 1;
            totals[fold] += 1;
        }
    }
    fold_of
}

/// Disjoint sets of rows. A set never holds more than half of a class, or else the class could not be learned without
/// it: sets of equal prompts would have no fold to be judged in.
struct Groups {
    parents: Vec<usize>,
    /// At roots: rows of each class, a few.
    counts: Vec<Vec<(u32, usize)>>,
    sizes: HashMap<u32, usize>,
}

impl Groups {
    fn new(classes: &[u32]) -> Self {
        let mut sizes = HashMap::new();
        classes.iter().for_each(|class| *sizes.entry(*class).or_insert(0) += 1);
        Self {
            parents: (0..classes.len()).collect(),
            counts: classes.iter().map(|class| vec![(*class, 1)]).collect(),
            sizes,
        }
    }

    fn root(&mut self, mut row: usize) -> usize {
        while self.parents[row] != row {
            self.parents[row] = self.parents[self.parents[row]];
            row = self.parents[row];
        }
        row
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if a == b {
            return;
        }
        let mut joint = self.counts[a].clone();
        for (class, count) in &self.counts[b] {
            match joint.iter_mut().find(|(other, _)| other == class) {
                Some((_, sum)) => *sum += count,
                None => joint.push((*class, *count)),
            }
        }
        let fits = |(class, count): &(u32, usize)| {
            let size = self.sizes.get(class).copied().unwrap_or(0);
            *count <= (size / 2).max(1)
        };
        if joint.iter().all(fits) {
            self.parents[b] = a;
            self.counts[a] = joint;
            self.counts[b] = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folds(classes: &[u32], texts: &[&str], folds: usize) -> Vec<usize> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let nearest = vec![Vec::new(); classes.len()];
        assign(&FoldInput { classes, texts: &texts, nearest: &nearest, row_of: &Some, folds, seed: 1 })
    }

    #[test]
    fn every_fold_has_its_part_of_a_class() {
        let classes: Vec<u32> = (0..60).map(|row| row / 20).collect();
        let texts: Vec<String> = (0..60).map(|row| format!("text {row}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let found = folds(&classes, &texts, 5);
        for class in 0..3u32 {
            for fold in 0..5 {
                let count = (0..60).filter(|row| classes[*row] == class && found[*row] == fold).count();
                assert_eq!(count, 4);
            }
        }
    }

    #[test]
    fn equal_texts_stay_together() {
        let found = folds(&[0, 0, 0, 0, 1, 1, 1, 1], &["a", "b", "c", "a", "d", "a", "e", "f"], 2);
        assert!(found[0] == found[3] && found[0] == found[5]);
    }

    #[test]
    fn a_class_of_equal_texts_is_still_cut() {
        let found = folds(&[0; 10], &["a"; 10], 2);
        assert_eq!(found.iter().filter(|fold| **fold == 0).count(), 5);
    }
}
