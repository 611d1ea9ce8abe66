//! Numbers as they are read, in tables and on the page alike.

use super::bill::Bill;
use super::proportion::Proportion;

pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// The confidence interval and the counts.
pub(super) fn interval(of: &Proportion) -> String {
    match of.share {
        Some(_) => format!("{:.1} to {:.1}, {} of {}", of.low * 100.0, of.high * 100.0, of.hits, of.rows),
        None => "no rows".to_owned(),
    }
}

pub(super) fn route(name: Option<&str>) -> String {
    name.unwrap_or("(none)").to_owned()
}

/// A cost with as many digits as say something.
pub(super) fn money(cost: f64, currency: &str) -> String {
    let digits = if cost.abs() >= 100.0 {
        0
    } else if cost.abs() >= 1.0 {
        2
    } else {
        4
    };
    format!("{cost:.digits$} {currency}")
}

/// What a bill rests on.
pub(super) fn assumptions(bill: &Bill) -> String {
    let of = &bill.assumptions;
    format!(
        "Assumed: prompts of {:.0} tokens on average (the embedding model's tokeniser; other models count a little \
         differently), {:.0} more tokens of input beside each, {:.0} tokens of output whatever target answers; the LLM \
         stage is asked for what is not decided alone, with {:.0} tokens beside the prompt and {:.0} back.",
        bill.prompt_tokens, of.added_input_tokens, of.output_tokens, of.llm_input_tokens, of.llm_output_tokens
    )
}
