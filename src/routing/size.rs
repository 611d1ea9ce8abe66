//! How many tokens a request takes, before anybody has counted them for us: at most ([`Bulk::bound`]), rather too many
//! ([`Bulk::ample_tokens`]), about ([`Bulk::likely_tokens`]), or counted ([`super::TokenCounter`]).

use std::borrow::Cow;
use std::fmt;

use super::target::Target;
use crate::money::{Money, Prices};
use crate::provider::{ChatRequest, Usage};

/// Around each turn, and before the answer: <https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken>.
/// One more a turn, since other templates are a little longer.
const TURN_TOKENS: u64 = 4;
const ANSWER_TOKENS: u64 = 3;

/// Of an image: most that any of the three big providers counts for one that it does not split further. OpenAI: 85 and
/// 170 for each of at most 8 tiles, 1,445 (<https://platform.openai.com/docs/guides/images-vision>); Anthropic: about
/// 1,600 (<https://docs.anthropic.com/en/docs/build-with-claude/vision>); Gemini: 258 a tile
/// (<https://ai.google.dev/gemini-api/docs/tokens>).
const IMAGE_TOKENS: u64 = 1_600;

/// Bytes of a token, about: OpenAI's rule of thumb for English (<https://help.openai.com/en/articles/4936856>). Code
/// has three; other scripts take two or three bytes a character and about a token each.
const LIKELY_BYTES: u64 = 4;

/// Bytes of a token where an estimate must rather be too high, as for budgets.
const AMPLE_BYTES: u64 = 3;

/// Answer that is reckoned with where neither the request nor the target limits it.
const ASSUMED_OUTPUT_TOKENS: u64 = 4_096;

/// What of a request becomes input tokens.
#[derive(Default)]
pub struct Bulk<'a> {
    pub texts: Vec<Cow<'a, str>>,
    pub turns: u64,
    pub images: u64,
    /// As the request limits its answer.
    pub max_output_tokens: Option<u64>,
}

/// Prompts stay out of logs, also by way of `{:?}`.
impl fmt::Debug for Bulk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulk").field("bytes", &self.bytes()).field("turns", &self.turns).finish_non_exhaustive()
    }
}

impl<'a> Bulk<'a> {
    pub fn of(request: &'a ChatRequest) -> Self {
        Self {
            texts: request.texts(),
            turns: request.messages.len() as u64,
            images: request.images() as u64,
            max_output_tokens: request.max_output_tokens.map(u64::from),
        }
    }

    fn bytes(&self) -> u64 {
        self.texts.iter().map(|text| text.len() as u64).sum()
    }

    /// Without any counting: no tokeniser in use makes more tokens of a text than it has bytes.
    pub fn bound(&self) -> Size {
        self.sized(self.bytes(), false)
    }

    /// About: for what can be wrong by a factor of two, such as what a cancelled call took.
    pub fn likely_tokens(&self) -> u64 {
        likely_tokens(self.bytes()) + self.around()
    }

    /// Seldom too low: for what is reserved, and corrected when it is known.
    pub fn ample_tokens(&self) -> u64 {
        self.bytes().div_ceil(AMPLE_BYTES) + self.around()
    }

    pub(super) fn sized(&self, text_tokens: u64, exact: bool) -> Size {
        let input_tokens = text_tokens + self.around();
        let likely_tokens = if exact { input_tokens } else { self.likely_tokens() };
        Size { input_tokens, likely_tokens, exact, max_output_tokens: self.max_output_tokens }
    }

    /// Tokens beside those of the texts.
    fn around(&self) -> u64 {
        self.turns * TURN_TOKENS + ANSWER_TOKENS + self.images * IMAGE_TOKENS
    }
}

/// Of a text of so many bytes, about.
pub fn likely_tokens(bytes: u64) -> u64 {
    bytes.div_ceil(LIKELY_BYTES)
}

/// A request's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Counted, or else at most so many.
    pub input_tokens: u64,
    /// Counted, or else about so many.
    pub likely_tokens: u64,
    /// Whether the texts' tokens were counted (as o200k_base; another model's tokeniser differs by some percent).
    pub exact: bool,
    /// As the request limits its answer.
    pub max_output_tokens: Option<u64>,
}

impl Size {
    /// What it takes at most on this target.
    pub fn on(&self, target: &Target) -> TokenEstimate {
        let left = target.max_context_tokens.map(|most| most.saturating_sub(self.input_tokens));
        let limits = [self.max_output_tokens, target.max_output_tokens, left];
        let max_output_tokens = limits.into_iter().flatten().min().unwrap_or(ASSUMED_OUTPUT_TOKENS);
        TokenEstimate { input_tokens: self.input_tokens, max_output_tokens, exact: self.exact }
    }

    /// About what it costs on targets with these prices: for comparing them only, so that each answers with as much as
    /// the request allows, or with as much as is usual.
    pub(super) fn likely_cost(&self, prices: &Prices) -> Money {
        const USUAL_OUTPUT_TOKENS: u64 = 512;
        prices.cost(Usage::new(self.likely_tokens, self.max_output_tokens.unwrap_or(USUAL_OUTPUT_TOKENS)))
    }
}

/// What a request takes on one target at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenEstimate {
    pub input_tokens: u64,
    pub max_output_tokens: u64,
    /// Whether the input was counted; else it is an upper bound.
    pub exact: bool,
}

impl TokenEstimate {
    /// The most that it can cost: nothing of the input is in the provider's cache, and all of it may be written there.
    pub fn cost_bound(&self, prices: &Prices) -> Money {
        let plain = Usage::new(self.input_tokens, self.max_output_tokens);
        prices.cost(plain).max(prices.cost(Usage { cache_write_tokens: self.input_tokens, ..plain }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::Message;
    use crate::provider::{Family, ProviderOptions, ResponseFormat, ResponseSchema};
    use crate::reference::TargetName;

    fn target(max_context_tokens: Option<u64>, max_output_tokens: Option<u64>) -> Target {
        Target { max_context_tokens, max_output_tokens, ..Target::new(TargetName::new("t").unwrap(), "p", "m") }
    }

    #[test]
    fn everything_that_is_sent_weighs() {
        let mut request = ChatRequest { messages: vec![Message::user("12345")], ..ChatRequest::default() };
        let expected = Size { input_tokens: 5 + 7, likely_tokens: 2 + 7, exact: false, max_output_tokens: None };
        assert_eq!(Bulk::of(&request).bound(), expected);
        request.max_output_tokens = Some(9);
        let (name, schema) = ("a".to_owned(), serde_json::json!({"a": 1}));
        request.response_format = ResponseFormat::Schema(ResponseSchema { name, schema, strict: true });
        let fields = serde_json::json!({"tools": ["x"]}).as_object().unwrap().clone();
        request.options = ProviderOptions::of(Family::OpenAi, fields);
        let bulk = Bulk { images: 2, ..Bulk::of(&request) };
        let texts = 5 + r#"{"a":1}"#.len() + r#"["x"]"#.len();
        let (input_tokens, likely_tokens) = (texts as u64 + 7 + 3_200, texts.div_ceil(4) as u64 + 7 + 3_200);
        let expected = Size { input_tokens, likely_tokens, exact: false, max_output_tokens: Some(9) };
        assert_eq!(bulk.bound(), expected);
        assert!(!format!("{bulk:?}").contains("12345"));
    }

    #[test]
    fn estimates_differ_in_how_far_they_are_on_the_safe_side() {
        let bulk = Bulk { texts: vec!["eight by".into(), "te".into()], turns: 2, images: 1, max_output_tokens: None };
        let around = 2 * 4 + 3 + 1_600;
        assert_eq!(bulk.likely_tokens(), 3 + around);
        assert_eq!(bulk.ample_tokens(), 4 + around);
        assert_eq!(bulk.bound().input_tokens, 10 + around);
    }

    /// What is compared are prices of input and output: an image weighs as much as it does, whether texts were counted
    /// or not.
    #[test]
    fn the_likely_cost_is_of_likely_tokens() {
        let bulk = Bulk { texts: vec!["x".repeat(400).into()], turns: 0, images: 1, max_output_tokens: Some(10) };
        let prices = Prices::new(1.0, 2.0);
        let tokens = |input: u64| prices.cost(Usage::new(input, 10));
        assert_eq!(bulk.bound().likely_cost(&prices), tokens(100 + 3 + 1_600));
        assert_eq!(bulk.sized(90, true).likely_cost(&prices), tokens(90 + 3 + 1_600));
    }

    #[test]
    fn the_answer_is_bounded_by_whoever_bounds_it_most() {
        let check = |asked, context, output, expected| {
            let size = Size { input_tokens: 100, exact: true, max_output_tokens: asked, ..Size::default() };
            assert_eq!(size.on(&target(context, output)).max_output_tokens, expected);
        };
        check(None, None, None, ASSUMED_OUTPUT_TOKENS);
        check(Some(10), Some(1_000), Some(50), 10);
        check(Some(80), Some(1_000), Some(50), 50);
        check(None, Some(120), Some(50), 20);
        check(None, Some(50), None, 0);
    }

    #[test]
    fn the_bound_of_the_cost_reckons_with_the_dearest() {
        let estimate = TokenEstimate { input_tokens: 1_000_000, max_output_tokens: 1_000_000, exact: true };
        let plain = Prices { cached_input: Some(0.1), ..Prices::new(1.0, 5.0) };
        assert_eq!(estimate.cost_bound(&plain), Money::from_units(6.0));
        assert_eq!(estimate.cost_bound(&Prices { cache_write: Some(1.25), ..plain }), Money::from_units(6.25));
        assert_eq!(estimate.cost_bound(&Prices { cache_write: Some(0.5), ..plain }), Money::from_units(6.0));
    }
}
