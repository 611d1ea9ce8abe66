//! What a fit can be told. The defaults are for the sets that people have: 5 to 200 prompts a route.

use crate::error::FitError;

/// Settings of a fit.
#[derive(Debug, Clone, PartialEq)]
pub struct FitConfig {
    /// Folds, shuffles and samples follow from it: equal sets and settings give equal models.
    pub seed: u64,
    /// Parts that the references are cut into; each is judged by classifiers that have not seen it. `None`: 10 for
    /// sets of up to 3,000 prompts, 5 up to 8,000, else 4.
    pub folds: Option<usize>,
    /// Prompts that are learned from. Of larger sets, a sample that favours routes with few prompts; each of it is
    /// compared with all prompts of the set nevertheless, as they are its neighbours where the model is used.
    pub max_rows: usize,
    /// Prompts that are judged out of fold. Of larger sets, a sample.
    pub max_held_out: usize,
    /// Weight of a route's description beside a prompt's 1. Chosen with [`FitConfig::head_ridge`] on the training files
    /// of BANKING77 and CLINC150: 0.7 to 1.6 points of accuracy at 5 and 10 prompts a route.
    pub description_weight: f32,
    /// Penalty λ/2 ‖W‖² of the head on the embedding, beside the sum of the prompts' cross-entropies.
    pub head_ridge: f32,
    /// The same for the lexical head.
    pub lexical_ridge: f32,
    /// Features of the lexical channel at most; it has 4 bytes for each of them and each route.
    pub max_features: usize,
    /// Probability with which the shortlist is to hold the right route.
    pub shortlist_coverage: f64,
    /// Routes of a shortlist at most.
    pub shortlist_limit: usize,
    /// Share of prompts that no route applies to, expected where the model is used.
    pub out_of_scope_share: f64,
}

impl Default for FitConfig {
    fn default() -> Self {
        Self {
            seed: 13,
            folds: None,
            max_rows: 30_000,
            max_held_out: 15_000,
            description_weight: 1.0,
            head_ridge: 0.01,
            lexical_ridge: 0.03,
            max_features: 8_192,
            shortlist_coverage: 0.99,
            shortlist_limit: 20,
            out_of_scope_share: 0.1,
        }
    }
}

impl FitConfig {
    pub(crate) fn check(&self) -> Result<(), FitError> {
        let share = |value: f64| value > 0.0 && value < 1.0;
        let positive = |value: f32| value > 0.0 && value.is_finite();
        let rules: [(&'static str, f64, bool, &'static str); 9] = [
            ("folds", self.folds.unwrap_or(2) as f64, self.folds.is_none_or(|folds| folds >= 2), "2 or more"),
            ("max_rows", self.max_rows as f64, self.max_rows >= 1, "1 or more"),
            (
                "description_weight",
                f64::from(self.description_weight),
                self.description_weight >= 0.0 && self.description_weight.is_finite(),
                "0 or more",
            ),
            ("head_ridge", f64::from(self.head_ridge), positive(self.head_ridge), "above 0"),
            ("lexical_ridge", f64::from(self.lexical_ridge), positive(self.lexical_ridge), "above 0"),
            ("shortlist_coverage", self.shortlist_coverage, share(self.shortlist_coverage), "between 0 and 1"),
            ("shortlist_limit", self.shortlist_limit as f64, self.shortlist_limit >= 1, "1 or more"),
            ("out_of_scope_share", self.out_of_scope_share, share(self.out_of_scope_share), "between 0 and 1"),
            ("max_features", self.max_features as f64, self.max_features <= 1 << 20, "at most 1,048,576"),
        ];
        match rules.into_iter().find(|(_, _, fine, _)| !fine) {
            Some((setting, value, _, expected)) => Err(FitError::BadSetting { setting, value, expected }),
            None => Ok(()),
        }
    }

    /// Folds for a set of so many prompts. Few prompts a route want many folds: with 10 prompts a route and 10 folds,
    /// held-out prompts are judged by 9 instead of 10.
    pub(crate) fn folds_for(&self, rows: usize) -> usize {
        let by_size = if rows <= 3_000 {
            10
        } else if rows <= 8_000 {
            5
        } else {
            4
        };
        self.folds.unwrap_or(by_size).clamp(2, rows.max(2))
    }
}
