//! What a request may take at most, before it is sent.

use super::config::AuthConfig;
use crate::money::Money;
use crate::provider::{ChatRequest, Usage};
use crate::routing::{Bulk, Target};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Read and written.
    pub tokens: u64,
    /// `None` if the price of a target is not known.
    pub money: Option<Money>,
}

impl Estimate {
    /// For two attempts.
    #[must_use]
    pub fn twice(self) -> Self {
        Self { tokens: self.tokens.saturating_mul(2), money: self.money.map(|money| money + money) }
    }

    /// For one attempt at the dearest of the targets.
    pub fn of<'a>(chat: &ChatRequest, targets: impl IntoIterator<Item = &'a Target>, config: &AuthConfig) -> Self {
        let input = Bulk::of(chat).ample_tokens();
        let none = Self { tokens: input, money: Some(Money::ZERO) };
        targets.into_iter().fold(none, |dearest, target| {
            let output = output_tokens(chat, target, config);
            let cost =
                config.prices(&target.provider, target.prices).map(|prices| prices.cost(Usage::new(input, output)));
            Self {
                tokens: dearest.tokens.max(input.saturating_add(output)),
                money: dearest.money.zip(cost).map(|(dearest, cost)| dearest.max(cost)),
            }
        })
    }
}

fn output_tokens(chat: &ChatRequest, target: &Target, config: &AuthConfig) -> u64 {
    let wanted = chat.max_output_tokens.map_or(config.assumed_output_tokens, u64::from);
    target.max_output_tokens.map_or(wanted, |most| wanted.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Prices;
    use crate::prompt::Message;
    use crate::provider::DEMO;
    use crate::reference::TargetName;

    fn target(name: &str, prices: Option<Prices>, max_output_tokens: Option<u64>) -> Target {
        Target { prices, max_output_tokens, ..Target::new(TargetName::new(name).unwrap(), "p", "m") }
    }

    #[test]
    fn the_dearest_target_counts() {
        let chat = ChatRequest {
            messages: vec![Message::user("x".repeat(300))],
            max_output_tokens: Some(1_000),
            ..ChatRequest::default()
        };
        let config = AuthConfig::default();
        let of = |targets: &[Target], config: &AuthConfig| Estimate::of(&chat, targets, config);
        // A token of input costs 1 and one of output 2 billionths.
        let cheap = target("a", Some(Prices::new(0.001, 0.002)), None);
        let dear = target("b", Some(Prices::new(0.01, 0.02)), Some(100));
        let input = 100 + 7;
        let cost = |prices: Prices, output: u64| Some(prices.cost(Usage::new(input, output)));
        let expected = Estimate { tokens: input + 1_000, money: cost(Prices::new(0.001, 0.002), 1_000) };
        assert_eq!(of(std::slice::from_ref(&cheap), &config), expected);
        let both = of(&[cheap.clone(), dear], &config);
        assert_eq!(both, Estimate { tokens: input + 1_000, money: cost(Prices::new(0.01, 0.02), 100) });
        let unpriced = target("c", None, None);
        assert_eq!(of(&[cheap.clone(), unpriced.clone()], &config).money, None);
        let assumed = AuthConfig { assumed_prices: Some(Prices::new(0.0, 0.001)), ..config.clone() };
        assert_eq!(of(&[unpriced], &assumed).money, Some(Money(1_000)));
        let demo = Target::new(TargetName::new("demo").unwrap(), DEMO, "m");
        assert_eq!(of(&[demo], &config).money, Some(Money::ZERO));
        assert_eq!(of(&[], &config), Estimate { tokens: input, money: Some(Money::ZERO) });
    }

    #[test]
    fn an_answer_without_a_limit_is_assumed_to_be_so_long() {
        let (chat, config) = (ChatRequest::default(), AuthConfig::default());
        let tokens = |most: Option<u64>| Estimate::of(&chat, &[target("a", None, most)], &config).tokens;
        assert_eq!([tokens(None), tokens(Some(100)), tokens(Some(1 << 40))], [3 + 4_096, 3 + 100, 3 + 4_096]);
    }
}
