//! What the other prompts of the set say about each prompt. The one place of the doctor that knows how decisions are
//! made.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use semroute_decision::HeldOutVerdict;

use crate::classify::{VOTERS, vote};
use crate::embed::{EmbedError, Embedding};
use crate::index::VectorMatrix;
use crate::reference::Snapshot;

/// Neighbours searched beyond the voters, since copies do not vote.
const SPARE: usize = 12;

/// Similarity from which on a neighbour does not vote: it is a copy, and would only vouch for itself. (The decision
/// model's folds keep near-duplicates together from 0.95 on; here there is but the one prompt to leave out.)
const COPY: f32 = 0.98;

/// Prompts between two reports of how far it is.
const REPORT_EVERY: u64 = 256;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// The likeliest route and how likely it is; `None` if nobody could say anything.
    pub winner: Option<(u32, f32)>,
    /// Nearest other prompts, nearest first, copies included.
    pub near: Vec<Near>,
}

/// Another prompt of the set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Near {
    /// Its position.
    pub prompt: u32,
    /// Cosine similarity, in [-1, 1].
    pub similarity: f32,
}

/// A verdict on each reference by the others: what a decision model says that was fitted without it and its
/// near-duplicates. Those that are not among `held_out` are voted on by their neighbours, themselves and their copies
/// aside. `vectors` are in the order of the references, and their places are what `held_out` names. Runs on rayon's
/// pool; `done` hears from time to time how many are judged.
pub fn verdicts(
    snapshot: &Snapshot,
    vectors: &VectorMatrix,
    held_out: &[HeldOutVerdict],
    done: impl Fn(u64) + Sync,
) -> Result<Vec<Verdict>, EmbedError> {
    let texts: Vec<u64> = snapshot.references.iter().map(|reference| hash(&plain(&reference.text))).collect();
    let mut judged: Vec<Option<&HeldOutVerdict>> = vec![None; snapshot.references.len()];
    for verdict in held_out {
        if let Some(place) = judged.get_mut(verdict.example) {
            *place = Some(verdict);
        }
    }
    let count = AtomicU64::new(0);
    let judge = |row: usize| {
        let own = Embedding::stored(vectors.row(row).to_vec(), vectors.dimension())?;
        let mut neighbours = snapshot.nearest(&own, VOTERS + SPARE);
        neighbours.retain(|neighbour| neighbour.reference as usize != row);
        let near = |of: &crate::reference::Neighbour| Near { prompt: of.reference, similarity: of.similarity };
        let near: Vec<Near> = neighbours.iter().map(near).collect();
        let same_text = |other: u32| texts.get(other as usize) == texts.get(row);
        neighbours.retain(|other| other.similarity < COPY && !same_text(other.reference));
        let by_model = judged.get(row).copied().flatten().and_then(winner);
        let winner = by_model.or_else(|| vote(&neighbours).first().map(|score| (score.route, score.score)));
        let judged = count.fetch_add(1, Ordering::Relaxed) + 1;
        if judged.is_multiple_of(REPORT_EVERY) {
            done(judged);
        }
        Ok(Verdict { winner, near })
    };
    (0..snapshot.references.len()).into_par_iter().map(judge).collect()
}

/// The first route with the calibrated confidence in it.
fn winner(verdict: &HeldOutVerdict) -> Option<(u32, f32)> {
    verdict.ranking.first().map(|(route, _)| (*route, verdict.confidence))
}

/// A text without what does not change its sense: case, punctuation, white space.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        if !plain.is_empty() {
            plain.push(' ');
        }
        plain.extend(word.chars().flat_map(char::to_lowercase));
    }
    // Emoji alone, or formulae of signs alone, are texts of their own.
    if plain.is_empty() { text.trim().to_owned() } else { plain }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{BuildWatch, IndexConfig};
    use crate::publish::Draft;
    use crate::reference::{
        Fingerprint, Precondition, PromptEdit, PromptPurpose, Route, RouteName, SetEdit, SetName, SetPolicy,
    };

    #[test]
    fn each_prompt_is_judged_by_the_others() {
        let names = ["a", "b"].map(|name| RouteName::new(name).unwrap());
        let routes = names.clone().map(Route::named);
        let edit =
            SetEdit { name: SetName::new("s").unwrap(), description: String::new(), policy: SetPolicy::default() };
        let mut draft = Draft::new(&edit, &routes, 2);
        let mut vectors = VectorMatrix::with_capacity(0, 2);
        // Two clusters; the last prompt stands in that of `a` under the name of `b`, with a copy of itself.
        let rows = [(0, 0.0f32), (0, 0.3), (0, 0.6), (1, 1.6), (1, 1.9), (1, 0.45), (1, 0.45)];
        for (row, (route, angle)) in rows.iter().enumerate() {
            let vector = Embedding::normalised(vec![angle.cos(), angle.sin()]).unwrap();
            let text = if row < 5 { format!("text {row}") } else { format!("{}Copy.", " ".repeat(row)) };
            let edit = PromptEdit {
                id: None,
                route: names[*route].clone(),
                text,
                purpose: PromptPurpose::Reference,
                precondition: Precondition::None,
            };
            draft.push(&edit, &vector).unwrap();
            vectors.push(&vector).unwrap();
        }
        let snapshot =
            draft.finish(Fingerprint("m".to_owned()), &IndexConfig::default(), &BuildWatch::default()).unwrap();
        let vectors = vectors.finish();
        let found = verdicts(&snapshot, &vectors, &[], |_| ()).unwrap();
        let winners: Vec<u32> = found.iter().map(|verdict| verdict.winner.unwrap().0).collect();
        assert_eq!(winners[3..], [1, 1, 0, 0], "its copy does not vouch for it");
        assert_eq!(found[5].near[0].prompt, 6, "but it is seen");
        let said = HeldOutVerdict { example: 1, ranking: vec![(1, 0.6), (0, 0.4)], confidence: 0.7 };
        let beside = verdicts(&snapshot, &vectors, &[said], |_| ()).unwrap();
        assert_eq!(beside[1].winner, Some((1, 0.7)), "the model's word goes before the vote");
        assert_eq!((&beside[0], &beside[1].near), (&found[0], &found[1].near));
    }

    #[test]
    fn plain_texts_have_no_case_and_no_signs() {
        for (text, expected) in
            [("  What's  UP? ", "what s up"), ("Straße 7", "straße 7"), ("😀!", "😀!"), (" + ", "+"), ("", "")]
        {
            assert_eq!(plain(text), expected);
        }
    }
}
