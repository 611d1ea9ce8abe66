//! A training set that is made up.

use ndarray::Array2;

use crate::random::SplitMix64;
use crate::*;

pub(crate) const DIMENSION: usize = 8;

/// Prompts around a centre of their own for each route.
pub(crate) struct Toy {
    pub(crate) names: Vec<String>,
    pub(crate) texts: Vec<String>,
    pub(crate) labels: Vec<Label>,
    /// From this row on, prompts are only measured on.
    pub(crate) evaluations_from: usize,
    pub(crate) embeddings: Array2<f32>,
}

impl Toy {
    /// `counts`: prompts of each route; `none`: prompts of no route; `noise`: spread around the centres.
    pub(crate) fn new(counts: &[usize], none: usize, noise: f32) -> Self {
        let mut random = SplitMix64::new(3);
        let mut number = move || random.below(2001) as f32 / 1000.0 - 1.0;
        let centres: Vec<Vec<f32>> = (0..=counts.len()).map(|_| (0..DIMENSION).map(|_| number()).collect()).collect();
        let mut toy = Self {
            names: (0..counts.len()).map(|route| format!("route{route}")).collect(),
            texts: Vec::new(),
            labels: Vec::new(),
            evaluations_from: usize::MAX,
            embeddings: Array2::zeros((counts.iter().sum::<usize>() + none, DIMENSION)),
        };
        let labels = counts.iter().enumerate().flat_map(|(route, count)| vec![Label::Route(route as u32); *count]);
        for label in labels.chain(vec![Label::None; none]) {
            let place = match label {
                Label::Route(route) => route as usize,
                Label::None => counts.len(),
            };
            let row: Vec<f32> = centres[place].iter().map(|centre| centre + noise * number()).collect();
            let norm = row.iter().map(|value| value * value).sum::<f32>().sqrt();
            let index = toy.texts.len();
            toy.embeddings.row_mut(index).assign(&ndarray::Array1::from(row).mapv(|value| value / norm));
            toy.texts.push(format!("word{place} text {index}"));
            toy.labels.push(label);
        }
        toy
    }

    pub(crate) fn fit(&self) -> Fitted {
        self.try_fit(&FitConfig::default(), &()).unwrap()
    }

    pub(crate) fn try_fit(&self, config: &FitConfig, watch: &dyn Watch) -> Result<Fitted, FitError> {
        self.with_set(|set| fit(set, config, watch))?
    }

    pub(crate) fn with_set<T>(&self, work: impl FnOnce(&TrainingSet) -> T) -> Result<T, FitError> {
        let routes: Vec<Route> =
            self.names.iter().map(|name| Route { name, description: "", embedding: None }).collect();
        let example = |(text, label): (&'_ String, &Label)| (text.clone(), *label);
        let owned: Vec<(String, Label)> = self.texts.iter().zip(&self.labels).map(example).collect();
        let purpose = |row: usize| match row < self.evaluations_from {
            true => Purpose::Reference,
            false => Purpose::Evaluation,
        };
        let examples: Vec<Example> = owned
            .iter()
            .enumerate()
            .map(|(row, (text, label))| Example { text, label: *label, purpose: purpose(row) })
            .collect();
        Ok(work(&TrainingSet::new(&routes, &examples, self.embeddings.view())?))
    }

    pub(crate) fn neighbours(&self, row: usize) -> Vec<(u32, f32)> {
        let mut all: Vec<(u32, f32)> = (0..self.texts.len())
            .filter_map(|other| match self.labels[other] {
                Label::Route(route) => Some((route, self.embeddings.row(row).dot(&self.embeddings.row(other)))),
                Label::None => None,
            })
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(VOTERS);
        all
    }

    pub(crate) fn judge(&self, model: &DecisionModel, row: usize) -> Judgement {
        let embedding = self.embeddings.row(row).to_vec();
        model.judge(&embedding, &self.texts[row], &self.neighbours(row)).unwrap()
    }
}
