//! What a key has spent on the present day and in the present month: pure, the day is an argument.
//!
//! Here the truth is in memory, and the store runs ahead of it: what was written to the store is as much as was settled
//! and reserved, and a block on top. So a server that is killed leaves rather too much behind than too little, and one
//! that comes to rest takes back what it did not use.

use super::error::{Period, Refused};
use super::key::Limits;
use crate::calendar::{Day, first_of_month};
use crate::money::Money;

/// A block covers at least so many requests like the last one.
const BLOCK: u64 = 8;

/// How much of what a limit leaves is held ahead at most, so that servers on one store leave each other room: a quarter.
const SHARE: u64 = 4;

#[derive(Debug)]
pub(super) struct Spend {
    day: Day,
    /// Spent here on this day.
    settled: Money,
    /// For requests under way. Carried over midnight, and charged on the day of the answer.
    reserved: Money,
    /// What the store has of this day from here.
    saved: Money,
    /// What the store has from before and from other servers: of this day, and of this month up to this day.
    others_day: Money,
    others_month: Money,
    /// What the store is still to be told of days that are over.
    closing: Vec<(Day, i64)>,
    /// Reserved since the last save, and by the last reservation.
    lately: Money,
    last: Money,
}

/// What is to be written to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Save {
    pub(super) day: Day,
    /// What the store then has of the day from here.
    target: Money,
    /// Changes by day, in billionths.
    pub(super) changes: Vec<(Day, i64)>,
}

impl Spend {
    pub(super) fn new(day: Day) -> Self {
        Self {
            day,
            settled: Money::ZERO,
            reserved: Money::ZERO,
            saved: Money::ZERO,
            others_day: Money::ZERO,
            others_month: Money::ZERO,
            closing: Vec::new(),
            lately: Money::ZERO,
            last: Money::ZERO,
        }
    }

    /// Reserves, or names the budget that it would go over, and what could make room in it.
    pub(super) fn reserve(&mut self, amount: Money, limits: &Limits, day: Day) -> Result<(), Shortage> {
        self.turn_to(day);
        let checked = [
            (Period::Day, limits.money_per_day, self.of_day()),
            (Period::Month, limits.money_per_month, self.of_month()),
        ];
        for (period, limit, spent) in checked {
            let Some(limit) = limit else { continue };
            if spent + self.reserved + amount > limit {
                let relief = if amount > limit {
                    Relief::Never
                } else if spent + amount > limit {
                    Relief::NextPeriod
                } else {
                    Relief::RequestsUnderWay
                };
                return Err(Shortage { period, limit, left: limit - spent, needed: amount, relief });
            }
        }
        self.reserved += amount;
        self.lately += amount;
        self.last = amount;
        Ok(())
    }

    /// A request is over: it was reserved so much and cost so much.
    pub(super) fn settle(&mut self, reserved: Money, cost: Money, day: Day) {
        self.turn_to(day);
        self.reserved -= reserved;
        self.settled += cost;
    }

    /// Money that belongs to no reservation.
    pub(super) fn charge(&mut self, cost: Money, day: Day) {
        self.settle(Money::ZERO, cost, day);
    }

    pub(super) fn spent(&mut self, day: Day) -> (Money, Money) {
        self.turn_to(day);
        (self.of_day(), self.of_month())
    }

    /// What of each budget is neither spent nor reserved.
    pub(super) fn left(&mut self, limits: &Limits, day: Day) -> (Option<Money>, Option<Money>) {
        let (of_day, of_month) = self.spent(day);
        let left = |limit: Option<Money>, spent: Money| limit.map(|limit| limit - spent - self.reserved);
        (left(limits.money_per_day, of_day), left(limits.money_per_month, of_month))
    }

    /// Whether the store does not cover half a block of what comes.
    pub(super) fn wants_block(&self) -> bool {
        let used = self.settled + self.reserved;
        used + Money(self.last.0.saturating_mul(BLOCK / 2)) > self.saved && self.lately > Money::ZERO
    }

    /// What to write, if anything is. [`Spend::saved`] or [`Spend::not_saved`] must follow.
    pub(super) fn plan_save(&mut self, limits: &Limits, day: Day) -> Option<Save> {
        self.turn_to(day);
        let target = self.settled + self.reserved + self.ahead(limits, day);
        self.lately = Money::ZERO;
        let mut changes = std::mem::take(&mut self.closing);
        if target != self.saved {
            changes.push((self.day, difference(target, self.saved)));
        }
        (!changes.is_empty()).then_some(Save { day: self.day, target, changes })
    }

    /// It is written; the store then had these totals of the day and its month.
    pub(super) fn saved(&mut self, save: &Save, of_day: Money, of_month: Money) {
        if save.day == self.day {
            self.saved = save.target;
            self.known(save.day, of_day, of_month);
        } else {
            // Midnight came in between: the day was closed against what was written before.
            let twice = save.changes.iter().filter(|(day, _)| *day == save.day).map(|(day, change)| (*day, -change));
            self.closing.extend(twice);
        }
    }

    pub(super) fn not_saved(&mut self, save: Save) {
        self.closing.extend(save.changes.into_iter().filter(|(day, _)| *day != save.day));
        // What was reserved before is held ahead with the next save again.
        self.lately = self.lately.max(self.last);
    }

    /// What the store has of a day and of its month up to it.
    pub(super) fn known(&mut self, day: Day, of_day: Money, of_month: Money) {
        if day == self.day {
            self.others_day = of_day - self.saved;
            self.others_month = of_month - self.saved;
        }
    }

    fn ahead(&mut self, limits: &Limits, day: Day) -> Money {
        if self.lately == Money::ZERO {
            return Money::ZERO;
        }
        let block = self.lately.max(Money(self.last.0.saturating_mul(BLOCK)));
        let (of_day, of_month) = self.left(limits, day);
        [of_day, of_month].into_iter().flatten().fold(block, |block, left| block.min(Money(left.0 / SHARE)))
    }

    fn of_day(&self) -> Money {
        self.others_day + self.settled
    }

    fn of_month(&self) -> Money {
        self.others_month + self.settled
    }

    /// Days only go forward.
    fn turn_to(&mut self, day: Day) {
        if day <= self.day {
            return;
        }
        if self.settled != self.saved {
            self.closing.push((self.day, difference(self.settled, self.saved)));
        }
        let same_month = first_of_month(day) == first_of_month(self.day);
        self.others_month = if same_month { self.of_month() } else { Money::ZERO };
        self.others_day = Money::ZERO;
        (self.settled, self.saved) = (Money::ZERO, Money::ZERO);
        self.day = day;
    }
}

/// Why there was no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shortage {
    pub(super) period: Period,
    limit: Money,
    left: Money,
    needed: Money,
    pub(super) relief: Relief,
}

/// What could make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relief {
    /// They may turn out to cost less than was reserved for them.
    RequestsUnderWay,
    NextPeriod,
    /// It costs more than the whole budget.
    Never,
}

impl Shortage {
    pub(super) fn refused(self, retry_after: Option<std::time::Duration>) -> Refused {
        let Self { period, limit, left, needed, .. } = self;
        Refused::Money { period, limit, left, needed, retry_after }
    }
}

fn difference(to: Money, from: Money) -> i64 {
    let signed = |money: Money| i64::try_from(money.0).unwrap_or(i64::MAX);
    signed(to).saturating_sub(signed(from))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Day = 20_000; // 2024-10-04

    fn limits(day: Option<u64>, month: Option<u64>) -> Limits {
        Limits { money_per_day: day.map(Money), money_per_month: month.map(Money), ..Limits::default() }
    }

    /// A store of one key.
    #[derive(Default)]
    struct Book(std::collections::BTreeMap<Day, i64>);

    impl Book {
        fn write(&mut self, spend: &mut Spend, limits: &Limits, day: Day) {
            let Some(save) = spend.plan_save(limits, day) else { return };
            for (day, change) in &save.changes {
                *self.0.entry(*day).or_default() += change;
            }
            let (of_day, of_month) = self.totals(save.day);
            spend.saved(&save, of_day, of_month);
        }

        fn totals(&self, day: Day) -> (Money, Money) {
            let of_month = self.0.range(first_of_month(day)..=day).map(|(_, spent)| *spent).sum::<i64>();
            (Money(self.of(day) as u64), Money(of_month as u64))
        }

        fn of(&self, day: Day) -> i64 {
            self.0.get(&day).copied().unwrap_or_default()
        }
    }

    #[test]
    fn a_budget_is_not_overdrawn_and_says_what_would_help() {
        let (mut spend, limits) = (Spend::new(DAY), limits(Some(10), Some(15)));
        let mut reserve = |amount: u64, day: Day| spend.reserve(Money(amount), &limits, day);
        let short = |outcome: Result<(), Shortage>| outcome.unwrap_err().relief;
        assert_eq!(short(reserve(11, DAY)), Relief::Never);
        reserve(7, DAY).unwrap();
        assert_eq!(short(reserve(4, DAY)), Relief::RequestsUnderWay);
        spend.settle(Money(7), Money(7), DAY);
        let mut reserve = |amount: u64, day: Day| spend.reserve(Money(amount), &limits, day);
        let refused = reserve(4, DAY).unwrap_err();
        assert_eq!((refused.relief, refused.period, refused.left), (Relief::NextPeriod, Period::Day, Money(3)));
        reserve(8, DAY + 1).unwrap();
        assert_eq!(reserve(1, DAY + 1).unwrap_err().period, Period::Month);
        reserve(2, first_of_month(DAY + 31)).unwrap();
        assert_eq!(spend.left(&limits, first_of_month(DAY + 31)), (Some(Money(0)), Some(Money(5))));
    }

    #[test]
    fn the_store_runs_ahead_and_gets_back_what_was_not_used() {
        let (mut spend, limits, mut book) = (Spend::new(DAY), limits(Some(1_000), None), Book::default());
        spend.reserve(Money(10), &limits, DAY).unwrap();
        assert!(spend.wants_block());
        book.write(&mut spend, &limits, DAY);
        assert_eq!(book.of(DAY), 90, "the one under way, and eight more");
        assert!(!spend.wants_block());
        spend.settle(Money(10), Money(3), DAY);
        for _ in 0..5 {
            spend.reserve(Money(10), &limits, DAY).unwrap();
        }
        assert!(spend.wants_block(), "of 90 are 53 used");
        book.write(&mut spend, &limits, DAY);
        assert_eq!(book.of(DAY), 53 + 80);
        for _ in 0..5 {
            spend.settle(Money(10), Money(1), DAY);
        }
        book.write(&mut spend, &limits, DAY);
        assert_eq!(book.of(DAY), 8, "at rest it is what was spent");
        assert_eq!(spend.plan_save(&limits, DAY), None);
    }

    #[test]
    fn midnight_closes_the_day_with_what_was_spent() {
        let (mut spend, limits, mut book) = (Spend::new(DAY), limits(None, Some(1_000)), Book::default());
        spend.reserve(Money(10), &limits, DAY).unwrap();
        book.write(&mut spend, &limits, DAY);
        spend.settle(Money(10), Money(6), DAY);
        spend.reserve(Money(10), &limits, DAY).unwrap();
        // It is written while midnight comes.
        let save = spend.plan_save(&limits, DAY).unwrap();
        spend.settle(Money(10), Money(5), DAY + 1);
        for (day, change) in &save.changes {
            *book.0.entry(*day).or_default() += change;
        }
        let (of_day, of_month) = book.totals(DAY);
        spend.saved(&save, of_day, of_month);
        book.write(&mut spend, &limits, DAY + 1);
        assert_eq!((book.of(DAY), book.of(DAY + 1)), (6, 5), "the second is charged on the day of its answer");
        assert_eq!(spend.spent(DAY + 1), (Money(5), Money(11)));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Reserve(u64),
        Settle(u64),
        Save,
        Fail,
        NextDay,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0u64..30).prop_map(Step::Reserve),
            4 => (0u64..30).prop_map(Step::Settle),
            2 => Just(Step::Save),
            1 => Just(Step::Fail),
            1 => Just(Step::NextDay),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn no_day_and_no_month_costs_more_than_its_budget(steps in steps()) {
            let limits = limits(Some(100), Some(250));
            let (mut spend, mut book) = (Spend::new(DAY), Book::default());
            let (mut day, mut under_way) = (DAY, Vec::new());
            let mut truth: std::collections::BTreeMap<Day, u64> = std::collections::BTreeMap::new();
            for step in steps {
                match step {
                    Step::Reserve(amount) => {
                        if spend.reserve(Money(amount), &limits, day).is_ok() {
                            under_way.push(amount);
                        }
                    }
                    Step::Settle(cost) => {
                        if let Some(reserved) = under_way.pop() {
                            let cost = cost.min(reserved);
                            spend.settle(Money(reserved), Money(cost), day);
                            *truth.entry(day).or_default() += cost;
                        }
                    }
                    Step::Save => {
                        book.write(&mut spend, &limits, day);
                        let here: u64 = truth.get(&day).copied().unwrap_or_default() + under_way.iter().sum::<u64>();
                        prop_assert!(book.of(day) >= here as i64, "a server that is killed now forgets nothing");
                    }
                    Step::Fail => {
                        if let Some(save) = spend.plan_save(&limits, day) {
                            spend.not_saved(save);
                        }
                    }
                    Step::NextDay => day += 1,
                }
            }
            for reserved in under_way.drain(..) {
                spend.settle(Money(reserved), Money(reserved), day);
                *truth.entry(day).or_default() += reserved;
            }
            book.write(&mut spend, &limits, day);
            book.write(&mut spend, &limits, day);
            for (day, spent) in &truth {
                prop_assert!(*spent <= 100, "{day}: {spent}");
                prop_assert_eq!(book.of(*day), *spent as i64);
                let of_month: u64 = truth.range(first_of_month(*day)..=*day).map(|(_, spent)| *spent).sum();
                prop_assert!(of_month <= 250, "{day}: {of_month}");
            }
        }
    }
}
