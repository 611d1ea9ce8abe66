//! What a model is fitted to: routes, and prompts with their routes and embeddings. Checked at the door.

use std::collections::HashSet;

use ndarray::ArrayView2;

use crate::error::FitError;

/// Routes that a model can tell apart.
pub const MAX_ROUTES: usize = 2_000;

/// How far from 1 an embedding's norm may be: bytes and half precision round.
const NORM_TOLERANCE: f32 = 0.02;

/// A class that a prompt can belong to.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    pub name: &'a str,
    pub description: &'a str,
    /// Embedding of "name: description", of the prompts' dimension; `None` leaves it out.
    pub embedding: Option<&'a [f32]>,
}

/// What is known to be right for a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// Index into the set's routes.
    Route(u32),
    /// No route applies.
    None,
}

/// What a prompt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Learned from, and a neighbour of prompts to come.
    Reference,
    /// Only measured on: what users really sent, say. It joins the references' out-of-fold scores.
    Evaluation,
}

/// A labelled prompt.
#[derive(Debug, Clone, Copy)]
pub struct Example<'a> {
    pub text: &'a str,
    pub label: Label,
    pub purpose: Purpose,
}

/// Routes, prompts and their embeddings; consistent by construction.
#[derive(Debug, Clone)]
pub struct TrainingSet<'a> {
    routes: &'a [Route<'a>],
    examples: &'a [Example<'a>],
    embeddings: ArrayView2<'a, f32>,
}

impl<'a> TrainingSet<'a> {
    /// `embeddings`: one row an example, of norm 1.
    pub fn new(
        routes: &'a [Route<'a>],
        examples: &'a [Example<'a>],
        embeddings: ArrayView2<'a, f32>,
    ) -> Result<Self, FitError> {
        let set = Self { routes, examples, embeddings };
        set.check_routes()?;
        set.check_examples()?;
        Ok(set)
    }

    pub fn routes(&self) -> &'a [Route<'a>] {
        self.routes
    }

    pub fn examples(&self) -> &'a [Example<'a>] {
        self.examples
    }

    /// (examples, dimension).
    pub fn embeddings(&self) -> ArrayView2<'a, f32> {
        self.embeddings
    }

    pub fn dimension(&self) -> usize {
        self.embeddings.ncols()
    }

    fn check_routes(&self) -> Result<(), FitError> {
        if self.routes.is_empty() {
            return Err(FitError::NoRoutes);
        }
        if self.routes.len() > MAX_ROUTES {
            return Err(FitError::TooManyRoutes { routes: self.routes.len(), limit: MAX_ROUTES });
        }
        let mut names = HashSet::new();
        for route in self.routes {
            if !names.insert(route.name) {
                return Err(FitError::RouteTwice(route.name.to_owned()));
            }
            let fits =
                |values: &[f32]| values.len() == self.dimension() && values.iter().all(|value| value.is_finite());
            if let Some(embedding) = route.embedding.filter(|embedding| !fits(embedding)) {
                return Err(FitError::BadDescription {
                    route: route.name.to_owned(),
                    dimension: embedding.len(),
                    expected: self.dimension(),
                });
            }
        }
        Ok(())
    }

    fn check_examples(&self) -> Result<(), FitError> {
        let (rows, routes) = (self.embeddings.nrows(), self.routes.len());
        if self.examples.len() != rows {
            return Err(FitError::RowsDisagree { examples: self.examples.len(), rows });
        }
        let taught = |example: &Example| {
            matches!(example.label, Label::Route(_)) && matches!(example.purpose, Purpose::Reference)
        };
        if !self.examples.iter().any(taught) {
            return Err(FitError::NoReferences);
        }
        if self.dimension() == 0 {
            return Err(FitError::NoDimension);
        }
        for (row, (example, embedding)) in self.examples.iter().zip(self.embeddings.rows()).enumerate() {
            if let Label::Route(route) = example.label
                && route as usize >= routes
            {
                return Err(FitError::UnknownRoute { example: row, route: route as usize, routes });
            }
            let norm = embedding.dot(&embedding).sqrt();
            if norm.is_nan() || (norm - 1.0).abs() > NORM_TOLERANCE {
                return Err(FitError::NotUnit { example: row, norm });
            }
        }
        Ok(())
    }
}
