//! A model as bytes: magic, version, then fields in little-endian order, sequences with their length before them.
//! Whatever the bytes are, reading them yields a model that is safe to use, or an error; the memory that
//! it reserves is a small multiple of their length. The container that keeps them has the checksum.

mod reader;
mod writer;

use std::collections::HashSet;

use self::reader::Reader;
use self::writer::Writer;
use crate::channels::{Classifiers, Mix};
use crate::confidence::{self, Calibrator};
use crate::error::ModelBytesError;
use crate::lexical::{Block, Feature, Vocabulary};
use crate::logistic::Logistic;
use crate::metrics::Outcome;
use crate::model::DecisionModel;
use crate::scope::{self, ScopeModel};
use crate::shortlist::ShortlistRule;
use crate::training_set::MAX_ROUTES;

const MAGIC: &[u8; 8] = b"SRDECIDE";

/// Raised with every change of the layout, of the features' hashes or of what a feature means.
const FORMAT: u32 = 3;

impl DecisionModel {
    /// The model as bytes, for [`DecisionModel::from_bytes`]. About 4 bytes times routes times (dimension + features).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.raw(MAGIC);
        out.u32(FORMAT);
        out.u32(self.classifiers.routes as u32);
        out.u8(u8::from(self.classifiers.none));
        out.u32(self.classifiers.dimension as u32);
        out.f32s(&self.classifiers.head);
        out.length(self.vocabulary.features().len());
        for feature in self.vocabulary.features() {
            out.u32(feature.hash);
            out.u8(feature.block as u8);
            out.f32(feature.idf);
        }
        out.f32s(&self.classifiers.lexical);
        [self.mix.head, self.mix.lexical, self.mix.votes].into_iter().for_each(|weight| out.f32(weight));
        out.f64s(&self.calibrator.logistic.coefficients);
        out.f32s(&self.calibrator.offsets);
        self.scope.scales.iter().for_each(|(mean, deviation)| {
            out.f64(*mean);
            out.f64(*deviation);
        });
        out.f32s(&self.scope.closeness);
        out.f64s(&self.scope.logistic.coefficients);
        out.f32(self.shortlist.bound);
        out.u32(self.shortlist.limit);
        out.u32(self.references);
        out.length(self.outcomes.len());
        for outcome in &self.outcomes {
            out.u32(outcome.route);
            out.f32(outcome.confidence);
            out.f32(outcome.in_scope);
            out.f32(outcome.weight);
            out.u8(u8::from(outcome.right));
        }
        out.finish()
    }

    /// Reads what [`DecisionModel::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelBytesError> {
        let mut input = Reader::new(bytes);
        if input.raw(MAGIC.len()) != Ok(MAGIC) {
            return Err(ModelBytesError::NotAModel);
        }
        let found = input.u32()?;
        if found != FORMAT {
            return Err(ModelBytesError::OtherFormat { found, expected: FORMAT });
        }
        let mut classifiers = Classifiers {
            routes: input.u32()? as usize,
            none: input.flag("none")?,
            dimension: input.u32()? as usize,
            ..Classifiers::default()
        };
        ensure((1..=MAX_ROUTES).contains(&classifiers.routes), "routes")?;
        ensure((1..=1 << 20).contains(&classifiers.dimension), "dimension")?;
        classifiers.head = input.f32s("head")?;
        ensure(classifiers.head.len() == classifiers.classes() * (classifiers.dimension + 1), "head")?;
        let vocabulary = vocabulary(&mut input)?;
        classifiers.lexical = input.f32s("lexical weights")?;
        let features = vocabulary.features().len();
        ensure(classifiers.lexical.len() == classifiers.classes() * (features + 1), "lexical weights")?;
        let mix = Mix { head: input.f32("mix")?, lexical: input.f32("mix")?, votes: input.f32("mix")? };
        let calibrator = calibrator(&mut input, classifiers.routes)?;
        let scope = scope_model(&mut input, classifiers.routes)?;
        let shortlist = ShortlistRule { bound: input.f32("shortlist")?, limit: input.u32()? };
        ensure(shortlist.limit >= 1, "shortlist")?;
        let references = input.u32()?;
        let outcomes = outcomes(&mut input, classifiers.routes)?;
        input.end()?;
        Ok(Self { vocabulary, classifiers, mix, calibrator, scope, shortlist, outcomes, references })
    }
}

fn ensure(fine: bool, what: &'static str) -> Result<(), ModelBytesError> {
    if fine { Ok(()) } else { Err(ModelBytesError::Impossible(what)) }
}

fn vocabulary(input: &mut Reader) -> Result<Vocabulary, ModelBytesError> {
    const BYTES: usize = 9;
    let count = input.length(BYTES)?;
    let mut features = Vec::with_capacity(count);
    let mut seen = HashSet::with_capacity(count);
    for _ in 0..count {
        let hash = input.u32()?;
        let block = if input.flag("feature")? { Block::Characters } else { Block::Words };
        ensure(seen.insert(hash), "feature")?;
        features.push(Feature { hash, block, idf: input.f32("feature")? });
    }
    Ok(Vocabulary::from_features(features))
}

fn calibrator(input: &mut Reader, routes: usize) -> Result<Calibrator, ModelBytesError> {
    let coefficients = input.f64s("confidence")?;
    ensure(coefficients.len() == confidence::FEATURES + 1, "confidence")?;
    let offsets = input.f32s("offsets")?;
    ensure(offsets.len() == routes, "offsets")?;
    Ok(Calibrator { logistic: Logistic { coefficients }, offsets })
}

fn scope_model(input: &mut Reader, routes: usize) -> Result<ScopeModel, ModelBytesError> {
    let mut scales = [(0.0, 1.0); scope::FEATURES];
    for scale in &mut scales {
        *scale = (input.f64("scope")?, input.f64("scope")?);
        ensure(scale.1 > 0.0, "scope")?;
    }
    let closeness = input.f32s("scope")?;
    let most = scope::MOST_DEVIATIONS as f32;
    ensure(closeness.len() == routes && closeness.iter().all(|mean| mean.abs() <= most), "scope")?;
    let coefficients = input.f64s("scope")?;
    ensure(coefficients.len() == scope::FEATURES + 1, "scope")?;
    Ok(ScopeModel { scales, closeness, logistic: Logistic { coefficients } })
}

fn outcomes(input: &mut Reader, routes: usize) -> Result<Vec<Outcome>, ModelBytesError> {
    const BYTES: usize = 17;
    let count = input.length(BYTES)?;
    (0..count)
        .map(|_| {
            let outcome = Outcome {
                route: input.u32()?,
                confidence: input.f32("outcome")?,
                in_scope: input.f32("outcome")?,
                weight: input.f32("outcome")?,
                right: input.flag("outcome")?,
            };
            let shares =
                [outcome.confidence, outcome.in_scope, outcome.weight].iter().all(|share| (0.0..=1.0).contains(share));
            ensure((outcome.route as usize) < routes && shares, "outcome")?;
            Ok(outcome)
        })
        .collect()
}
