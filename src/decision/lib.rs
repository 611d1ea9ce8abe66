//! Route decisions that are right and that say how sure they are: fitted from labelled prompts in seconds, applied in
//! microseconds.

mod algebra;
mod binomial;
mod channels;
mod codec;
mod confidence;
mod config;
mod corpus;
mod error;
mod fit;
mod folds;
mod held_out;
mod lbfgs;
mod lexical;
mod logistic;
mod loss;
mod metrics;
mod mix;
mod model;
mod neighbours;
pub mod perturb;
mod random;
mod refit;
mod report;
mod scope;
mod shortlist;
#[cfg(test)]
mod tests;
mod threshold;
mod training;
mod training_set;
mod votes;
mod warnings;
mod watch;

pub use binomial::lower_bound;
pub use config::FitConfig;
pub use error::{FitError, JudgeError, ModelBytesError};
pub use fit::{Fitted, fit};
pub use metrics::{Outcome, ReliabilityBin, accuracy, area_under_roc, brier, expected_calibration_error, reliability};
pub use model::{ChannelVerdicts, DecisionModel, Judgement};
pub use refit::refit;
pub use report::{FitReport, FitTime, ShortlistReport, Warning};
pub use threshold::{Costs, Expected, Target, TargetError, Threshold, choose, expect};
pub use training_set::{Example, Label, MAX_ROUTES, Purpose, Route, TrainingSet};
pub use votes::VOTERS;
pub use watch::{Phase, Watch};
