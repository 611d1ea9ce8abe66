//! What can be wrong with what a caller gives.

/// A set of prompts that no decision model can be fitted to, or a fit that was stopped.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FitError {
    #[error("the set has no routes")]
    NoRoutes,
    #[error("the set has {routes} routes, more than {limit}")]
    TooManyRoutes { routes: usize, limit: usize },
    /// Prompts labelled `none` alone, or evaluation prompts alone, say nothing about routes.
    #[error("no route has a reference prompt")]
    NoReferences,
    #[error("{examples} examples, but {rows} rows of embeddings")]
    RowsDisagree { examples: usize, rows: usize },
    #[error("embeddings of dimension 0")]
    NoDimension,
    #[error("the embedding of example {example} is not finite and of norm 1 (its norm is {norm})")]
    NotUnit { example: usize, norm: f32 },
    #[error("the embedding of route {route:?}'s description has {dimension} finite numbers, expected {expected}")]
    BadDescription { route: String, dimension: usize, expected: usize },
    #[error("example {example} is labelled with route {route}, but there are {routes} routes")]
    UnknownRoute { example: usize, route: usize, routes: usize },
    #[error("two routes are named {0:?}")]
    RouteTwice(String),
    #[error("{setting} is {value}, expected {expected}")]
    BadSetting { setting: &'static str, value: f64, expected: &'static str },
    #[error("the fit was cancelled")]
    Cancelled,
}

/// Bytes that are not a decision model that this release reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ModelBytesError {
    #[error("not a decision model")]
    NotAModel,
    #[error("a decision model of format {found}; this release reads format {expected}")]
    OtherFormat { found: u32, expected: u32 },
    #[error("the decision model ends early")]
    EndsEarly,
    #[error("the decision model has {0} bytes too many")]
    TrailingBytes(usize),
    #[error("the decision model holds an impossible value for {0}")]
    Impossible(&'static str),
}

/// A prompt that does not fit the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JudgeError {
    #[error("an embedding of {found} numbers; the model's have {expected}")]
    Dimension { found: usize, expected: usize },
    #[error("the embedding is not finite")]
    NotFinite,
    #[error("a neighbour of route {route}; the model has {routes} routes")]
    UnknownRoute { route: u32, routes: usize },
}
