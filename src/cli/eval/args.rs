//! What `semroute eval` may be told.

use std::path::PathBuf;

use clap::Args;

use crate::evaluate::Assumptions;

/// Measure decisions on labelled prompts.
///
/// Every test prompt is classified as a server would, without the LLM stage. Prompts of --out-of-scope belong to no
/// route: there, and where the label is `oos` or `none`, choosing none is right. Test prompts must not be among the
/// references.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  semroute eval --test held-out.jsonl\n  \
    semroute eval --references train.jsonl --shots 10 --seed 13 --test test.jsonl --out-of-scope oos.jsonl\n  \
    semroute eval --test held-out.jsonl --stability --prices prices.toml --html report.html\n\n\
    prices.toml:\n  currency = \"USD\"\n  default = \"large\"      # or the configuration's targets\n  \
    [targets]             # for a million tokens\n  large = { input = 1.25, output = 10.0 }\n  \
    small = { input = 0.1, output = 0.4 }\n  [routes]\n  chit-chat = \"small\"\n  \
    [llm]                 # the LLM stage's model\n  input = 0.1\n  output = 0.4")]
pub struct EvalArgs {
    /// References: a JSONL file with `text` and `label` (or `route`) in each line, or a set's folder.
    #[arg(long, value_name = "PATH", conflicts_with = "set")]
    pub(super) references: Option<PathBuf>,
    /// References: the live version of this set in the store [default: the configured default set].
    #[arg(long, value_name = "NAME")]
    pub(super) set: Option<String>,
    /// Take at most so many references of each route, drawn from --seed; the draws of fewer are among those of more.
    #[arg(long, value_name = "K", requires = "references", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) shots: Option<u32>,
    /// Of draws and of perturbations.
    #[arg(long, value_name = "N", default_value_t = 13)]
    pub(super) seed: u64,
    /// Labelled prompts to classify: JSONL with `text` and `label`.
    #[arg(long, value_name = "PATH")]
    pub(super) test: PathBuf,
    /// Prompts that belong to no route: JSONL with `text` and `label`; may be given several times. Where lines have a
    /// `kind`, each kind is told apart.
    #[arg(long, value_name = "PATH", alias = "oos")]
    pub(super) out_of_scope: Vec<PathBuf>,
    /// Prompts classified at once [default: one a thread].
    #[arg(long, value_name = "N")]
    pub(super) concurrency: Option<usize>,
    /// Write test prompts differently (case, punctuation, white space, typing errors, politeness, quotes) and count how
    /// many routes flip.
    #[arg(long)]
    pub(super) stability: bool,
    /// Prompts for --stability, drawn from --seed; each is classified eight times.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) stability_prompts: u32,
    /// Prices of the targets, as TOML: adds the expected bill.
    #[arg(long, value_name = "FILE")]
    pub(super) prices: Option<PathBuf>,
    #[command(flatten)]
    pub(super) assumptions: AssumptionArgs,
    /// Print the report as JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Write the report as one HTML file that needs nothing else.
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Rows of the terminal's tables of routes and confusions.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(super) rows: usize,
}

/// What the bill assumes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Assumptions of the bill")]
pub struct AssumptionArgs {
    /// Tokens of an answer. The default is the median of the conversations in Azure's trace of LLM requests of 2023.
    #[arg(long, value_name = "N", default_value_t = 129.0, value_parser = tokens)]
    output_tokens: f64,
    /// Tokens of input beside each prompt: system prompt, earlier turns, tools.
    #[arg(long, value_name = "N", default_value_t = 0.0, value_parser = tokens)]
    added_input_tokens: f64,
    /// Tokens of the LLM stage's question beside the prompt: instructions, and six routes with three examples each.
    #[arg(long, value_name = "N", default_value_t = 450.0, value_parser = tokens)]
    llm_input_tokens: f64,
    /// Tokens of the LLM stage's verdict.
    #[arg(long, value_name = "N", default_value_t = 12.0, value_parser = tokens)]
    llm_output_tokens: f64,
}

impl AssumptionArgs {
    pub(super) fn values(&self) -> Assumptions {
        let Self { output_tokens, added_input_tokens, llm_input_tokens, llm_output_tokens } = *self;
        Assumptions { output_tokens, added_input_tokens, llm_input_tokens, llm_output_tokens }
    }
}

/// NaN and infinity parse as numbers too.
fn tokens(text: &str) -> Result<f64, String> {
    let tokens = text.parse::<f64>().ok().filter(|tokens| (0.0..=1e9).contains(tokens));
    tokens.ok_or_else(|| "must be a number from 0 to 1e9".to_owned())
}
