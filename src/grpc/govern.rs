//! What the caller's key means for a call: a place among its calls, what it may use, and what a completion takes of its
//! limits.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{Stream, StreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status};

use super::admission::Admission;
use super::status;
use crate::classify::Decision;
use crate::dispatch::{Account, Attempt, Outcome};
use crate::govern::keys::{Amount, Entered};
use crate::govern::{Caller, Estimate, Keys, Reservation};
use crate::metrics::Metrics;
use crate::money::Money;
use crate::provider::ChatRequest;
use crate::reference::TargetName;
use crate::routing::Plan;

/// Whether a second target may be called beside the first, so that both may have to be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Second {
    No,
    /// A target may have to be probed, and nobody is to wait for it. Without the money for both no probe is made.
    Probe,
    /// As the request wishes.
    Hedge,
}

/// A place among the calls under way, of all callers and of this one. Free again when it is dropped.
pub(super) struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_caller: Entered,
}

/// How calls come in.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) admission: Admission,
    pub(super) keys: Keys,
    pub(super) metrics: Metrics,
    pub(super) thinkers: Thinkers,
}

/// Targets whose models have reported thoughts: there may be more of them than is ever seen of an answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Thinkers(Arc<Mutex<HashSet<TargetName>>>);

impl Thinkers {
    fn note(&self, attempts: &[Attempt]) {
        let thought = |attempt: &&Attempt| attempt.usage.is_some_and(|usage| usage.reasoning_tokens > 0);
        for attempt in attempts.iter().filter(thought) {
            self.lock().insert(attempt.target.clone());
        }
    }

    fn have(&self, target: &TargetName) -> bool {
        self.lock().contains(target)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<TargetName>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Door {
    /// Lets a call of so many requests in, and says who makes it.
    pub(super) fn enter<T>(&self, request: &Request<T>, requests: usize) -> Result<(Caller, Place), Status> {
        let of_all = self.admission.enter().inspect_err(|_| self.metrics.refused_for_concurrency())?;
        let caller = request.extensions().get::<Caller>().cloned().ok_or_else(status::nobody)?;
        let of_caller = self.keys.ledger().enter(&caller, requests as u64).map_err(|why| status::refused(&why))?;
        Ok((caller, Place { _of_all: of_all, _of_caller: of_caller }))
    }

    /// Takes what the completion may cost at most from the caller's limits, for one attempt or for two. Attempts after
    /// one that has failed are charged when they are made.
    pub(super) fn reserve(
        &self,
        caller: &Caller,
        plan: &Plan,
        chat: &ChatRequest,
        second: Second,
    ) -> Result<Meter, Status> {
        let targets = plan.targets().iter().map(Arc::as_ref);
        let estimate = Estimate::of(chat, targets, self.keys.config());
        let ledger = self.keys.ledger();
        let for_two = match second {
            Second::No | Second::Hedge => None,
            Second::Probe => ledger.reserve_if_room(caller, estimate.twice()),
        };
        let covers_second = for_two.is_some() || second == Second::Hedge || !caller.is_limited();
        let needed = if second == Second::Hedge { estimate.twice() } else { estimate };
        let reservation = match for_two {
            Some(reservation) => reservation,
            None => ledger.reserve(caller, needed).map_err(|why| status::refused(&why))?,
        };
        Ok(Meter {
            attempt: of_one(estimate, reservation.reserved()),
            reservation: Some(reservation),
            covers_second,
            keys: self.keys.clone(),
            thinkers: self.thinkers.clone(),
            asked_to_think: chat.asks_to_think(),
            account: None,
        })
    }

    /// Limits an answer that nobody has limited to what is reserved for one, if the caller's tokens or money are
    /// limited.
    pub(super) fn bound(&self, caller: &Caller, chat: &mut ChatRequest) {
        if caller.is_limited() {
            let assumed = self.keys.config().assumed_output_tokens;
            let thinking = chat.reasoning_budget_tokens.map_or(0, u64::from);
            let most = u32::try_from(assumed.saturating_add(thinking)).unwrap_or(u32::MAX);
            chat.max_output_tokens.get_or_insert(most);
        }
    }

    /// Whether the caller has no money left for anything.
    pub(super) fn is_spent(&self, caller: &Caller) -> bool {
        let left = self.keys.ledger().remainder(caller);
        [left.money_day, left.money_month].contains(&Some(Money::ZERO))
    }

    /// Charges the caller with what a decision cost: the LLM stage has a budget of its own, and asks no key before.
    pub(super) fn charge(&self, caller: &Caller, decision: &Decision) {
        if let Some(cost) = decision.verdict.and_then(|choice| choice.cost) {
            self.keys.ledger().charge(caller, cost);
        }
    }

    /// What the caller has left, as metadata of an answer.
    pub(super) fn tell_remainder(&self, caller: &Caller, metadata: &mut MetadataMap) {
        let left = self.keys.ledger().remainder(caller);
        let told = [
            ("x-semroute-remaining-requests", left.requests.map(|count| count.to_string())),
            ("x-semroute-remaining-tokens", left.tokens.map(|count| count.to_string())),
            ("x-semroute-remaining-money-day", left.money_day.map(|money| money.to_string())),
            ("x-semroute-remaining-money-month", left.money_month.map(|money| money.to_string())),
        ];
        for (name, value) in told {
            // Digits and a point are a header's value.
            if let Some(value) = value.and_then(|value| value.parse().ok()) {
                metadata.insert(name, value);
            }
        }
    }

    /// The end of a stream that went well: what the caller then has left goes into its trailers.
    pub(super) fn last_words<T: Send>(&self, caller: &Caller) -> impl Stream<Item = Result<T, Status>> + Send + use<T> {
        let (door, caller) = (self.clone(), caller.clone());
        let words = async move {
            caller.key_id()?;
            let mut metadata = MetadataMap::new();
            door.tell_remainder(&caller, &mut metadata);
            // A status that is OK ends the stream like none, and carries metadata.
            Some(Err(Status::with_metadata(Code::Ok, "", metadata)))
        };
        stream::once(words).filter_map(std::future::ready)
    }
}

/// PERMISSION_DENIED if the caller may not use the route that was decided.
pub(super) fn check_route(caller: &Caller, decision: &Decision) -> Result<(), Status> {
    decision.route().map_or(Ok(()), |route| caller.check_route(&route.name)).map_err(|why| status::forbidden(&why))
}

/// Counts what one completion takes, and settles it when it is dropped: with what the dispatch's account then says, be
/// it answered, failed or left. What is not known is charged as it was reserved, if anything was sent.
pub(super) struct Meter {
    reservation: Option<Reservation>,
    /// What was reserved for one attempt.
    attempt: Amount,
    covers_second: bool,
    keys: Keys,
    thinkers: Thinkers,
    asked_to_think: bool,
    account: Option<Account>,
}

impl Meter {
    /// From here on something may be sent.
    pub(super) fn begin(&mut self, account: &Account) {
        if let Some(reservation) = &mut self.reservation {
            reservation.begun();
            self.account = Some(account.clone());
        }
    }

    /// Whether two calls at once are reserved for.
    pub(super) fn covers_second(&self) -> bool {
        self.covers_second
    }
}

/// What one attempt takes of a reservation, which may be one for two, and which the limits may have cut.
fn of_one(estimate: Estimate, reserved: Amount) -> Amount {
    Amount {
        money: estimate.money.unwrap_or_default().min(reserved.money),
        tokens: estimate.tokens.min(reserved.tokens),
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let (Some(reservation), Some(account)) = (self.reservation.take(), self.account.take()) else { return };
        let attempts = account.attempts();
        self.thinkers.note(&attempts);
        let config = self.keys.config();
        let rules = Rules {
            reserved: self.attempt,
            // Of an attempt whose target has none.
            price: |attempt: &Attempt| Some(config.prices(&attempt.provider, None)?.cost(attempt.usage?)),
            thinks: |attempt: &Attempt| self.asked_to_think || self.thinkers.have(&attempt.target),
        };
        let taken = rules.taken(&attempts);
        reservation.settle(taken.money, taken.tokens);
    }
}

/// How what a dispatch took is reckoned.
struct Rules<P, T> {
    /// For one attempt.
    reserved: Amount,
    price: P,
    /// Whether an attempt's model may have thought unseen.
    thinks: T,
}

impl<P: Fn(&Attempt) -> Option<Money>, T: Fn(&Attempt) -> bool> Rules<P, T> {
    /// An attempt of which it is not known is taken to be what was reserved for one. So is one that was cut off before
    /// any of its answer was seen, or whose model thinks: what was written then is not in the estimate.
    fn taken(&self, attempts: &[Attempt]) -> Amount {
        attempts.iter().map(|attempt| self.of(attempt)).fold(Amount::default(), |sum, amount| Amount {
            money: sum.money + amount.money,
            tokens: sum.tokens.saturating_add(amount.tokens),
        })
    }

    fn of(&self, attempt: &Attempt) -> Amount {
        let unpaid = may_be_unpaid(attempt) && attempt.usage.is_none();
        let least = if unpaid { Amount::default() } else { self.reserved };
        let tokens = attempt.usage.map(|usage| usage.input_tokens.saturating_add(usage.output_tokens));
        let known = Amount {
            money: attempt.cost.or_else(|| (self.price)(attempt)).unwrap_or(least.money),
            tokens: tokens.unwrap_or(least.tokens),
        };
        let blind = attempt.usage_is_estimated && (attempt.first_text.is_none() || (self.thinks)(attempt));
        if !blind {
            return known;
        }
        Amount { money: known.money.max(least.money), tokens: known.tokens.max(least.tokens) }
    }
}

/// Whether nothing is paid for an attempt if nothing is known of what it took: the provider refused it or was not
/// reached.
fn may_be_unpaid(attempt: &Attempt) -> bool {
    match &attempt.outcome {
        Outcome::Ok | Outcome::Cancelled => false,
        Outcome::Failed { kind, .. } => {
            !attempt.committed
                && matches!(*kind, "connect" | "rate_limited" | "status" | "unconfigured" | "unsupported")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::provider::Usage;

    fn attempt(outcome: Outcome) -> Attempt {
        Attempt {
            target: TargetName::new("t").unwrap(),
            provider: "p".to_owned(),
            model: "m".to_owned(),
            region: None,
            outcome,
            status: None,
            retry_after: None,
            started: Duration::ZERO,
            duration: Duration::ZERO,
            usage: None,
            usage_is_estimated: false,
            cost: None,
            is_hedge: false,
            is_probe: false,
            first_text: None,
            committed: false,
        }
    }

    fn failed(kind: &'static str) -> Attempt {
        attempt(Outcome::Failed { kind, message: String::new() })
    }

    #[test]
    fn every_attempt_counts_and_what_is_not_known_counts_as_it_was_reserved() {
        let reserved = Amount { money: Money(1_000), tokens: 100 };
        let check = |attempts: &[Attempt], money: u64, tokens: u64| {
            let price = |attempt: &Attempt| Some(Money(attempt.usage?.output_tokens * 10));
            let taken = Rules { reserved, price, thinks: |_: &Attempt| false }.taken(attempts);
            assert_eq!(taken, Amount { money: Money(money), tokens }, "{attempts:?}");
        };
        let answered = || Attempt { usage: Some(Usage::new(3, 2)), ..attempt(Outcome::Ok) };
        check(&[], 0, 0);
        check(&[answered()], 20, 5);
        check(&[attempt(Outcome::Ok)], 1_000, 100);
        check(&[failed("status"), failed("connect"), answered()], 20, 5);
        check(&[failed("rate_limited")], 0, 0);
        // Whether it was paid for is not known.
        check(&[failed("timeout"), answered()], 1_020, 105);
        let broken = Attempt { committed: true, ..failed("truncated") };
        check(std::slice::from_ref(&broken), 1_000, 100);
        let counted = Attempt { usage: Some(Usage::new(1, 1)), cost: Some(Money(7)), ..broken };
        check(&[counted, answered()], 27, 7);
        // What a cancelled call had written by then is known only of what was seen.
        let cut_off = Attempt {
            usage: Some(Usage::new(9, 1)),
            cost: Some(Money(7)),
            usage_is_estimated: true,
            ..attempt(Outcome::Cancelled)
        };
        check(std::slice::from_ref(&cut_off), 1_000, 100);
        check(&[Attempt { first_text: Some(Duration::ZERO), ..cut_off }], 7, 10);
    }

    #[test]
    fn the_loser_of_a_hedge_counts_for_one_attempt() {
        let estimate = Estimate { tokens: 100, money: Some(Money(1_000)) };
        let both = estimate.twice();
        let held = Amount { money: both.money.unwrap(), tokens: both.tokens };
        let winner = Attempt { usage: Some(Usage::new(3, 2)), cost: Some(Money(300)), ..attempt(Outcome::Ok) };
        let reserved = of_one(estimate, held);
        let rules = Rules { reserved, price: |_: &Attempt| None, thinks: |_: &Attempt| false };
        let taken = rules.taken(&[attempt(Outcome::Cancelled), winner]);
        assert_eq!(taken, Amount { money: Money(1_300), tokens: 105 });
        // A limit of tokens below the estimate is all that a request can take.
        assert_eq!(of_one(estimate, Amount { tokens: 60, ..held }), Amount { money: Money(1_000), tokens: 60 });
        assert_eq!(of_one(Estimate { money: None, ..estimate }, Amount::default()), Amount::default());
    }

    #[test]
    fn a_stream_that_was_cut_off_is_not_cheap_if_its_model_thinks() {
        let reserved = Amount { money: Money(1_000), tokens: 100 };
        let whole = |reasoning_tokens: u64| Attempt {
            usage: Some(Usage { reasoning_tokens, ..Usage::new(9, 9) }),
            cost: Some(Money(70)),
            ..attempt(Outcome::Ok)
        };
        let cut_off = Attempt {
            usage_is_estimated: true,
            first_text: Some(Duration::ZERO),
            outcome: Outcome::Cancelled,
            ..whole(0)
        };
        let thinkers = Thinkers::default();
        let taken = |attempts: &[Attempt]| {
            thinkers.note(attempts);
            let thinks = |attempt: &Attempt| thinkers.have(&attempt.target);
            Rules { reserved, price: |_: &Attempt| None, thinks }.taken(attempts).money
        };
        assert_eq!(taken(&[whole(0)]), Money(70));
        assert_eq!(taken(std::slice::from_ref(&cut_off)), Money(70));
        assert_eq!(taken(&[whole(5)]), Money(70), "what is reported is believed");
        assert_eq!(taken(&[cut_off]), Money(1_000));
    }
}
