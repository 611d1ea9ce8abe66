//! A running ratio of two amounts, such as seconds a token: what was seen lately weighs most.
//!
//! One freak (a machine that stood still for a second) must not spoil it for long, so a single observation counts as
//! at most four times, and at least a quarter, of what is known.

/// See the module.
const LEAP: f64 = 4.0;

#[derive(Debug, Clone, Copy)]
pub(super) struct RunningRatio {
    value: Option<f64>,
    /// How much of the second amount the value rests on, at most `memory`.
    seen: f64,
    memory: f64,
}

impl RunningRatio {
    /// `memory`: after so much of the second amount an observation has lost most of its weight.
    pub(super) fn new(memory: f64) -> Self {
        Self { value: None, seen: 0.0, memory }
    }

    /// Learns that `amount` went with `whole`. What makes no ratio (zero, negative, NaN, infinite) is left out.
    pub(super) fn observe(&mut self, amount: f64, whole: f64) {
        let found = amount / whole;
        if !(found.is_finite() && found > 0.0 && whole.is_finite() && whole > 0.0) {
            return;
        }
        self.value = Some(match self.value {
            None => found,
            // A plain mean until the memory is full, an exponential one from then on.
            Some(value) => value + (found.clamp(value / LEAP, value * LEAP) - value) * whole / (self.seen + whole),
        });
        self.seen = (self.seen + whole).min(self.memory);
    }

    /// `None` before the first observation.
    pub(super) fn get(&self) -> Option<f64> {
        self.value
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_makes_no_ratio_is_left_out() {
        let mut ratio = RunningRatio::new(100.0);
        for (amount, whole) in [(0.0, 1.0), (1.0, 0.0), (f64::NAN, 1.0), (1.0, f64::INFINITY), (-1.0, 1.0)] {
            ratio.observe(amount, whole);
        }
        assert_eq!(ratio.get(), None);
    }

    #[test]
    fn a_freak_is_soon_forgotten() {
        let mut ratio = RunningRatio::new(4_000.0);
        (0..100).for_each(|_| ratio.observe(0.001, 60.0));
        let before = ratio.get().unwrap();
        ratio.observe(10.0, 60.0);
        assert!(ratio.get().unwrap() < before * 1.1, "10,000 times the usual moves it by less than a tenth");
        ratio.observe(10.0, 1_000.0);
        (0..200).for_each(|_| ratio.observe(0.001, 60.0));
        assert!(ratio.get().unwrap() < before * 1.1);
    }

    proptest! {
        #[test]
        fn it_stays_among_what_was_seen_and_follows_a_change(
            early in prop::collection::vec((0.001f64..100.0, 1f64..500.0), 1..30),
            later in 0.001f64..100.0,
        ) {
            let mut ratio = RunningRatio::new(1_000.0);
            early.iter().for_each(|(value, whole)| ratio.observe(value * whole, *whole));
            let (least, most) = early.iter().fold((f64::MAX, 0f64), |(l, m), (v, _)| (l.min(*v), m.max(*v)));
            let value = ratio.get().unwrap();
            prop_assert!(value >= least * 0.999 && value <= most * 1.001);
            (0..200).for_each(|_| ratio.observe(later * 100.0, 100.0));
            prop_assert!((ratio.get().unwrap() / later - 1.0).abs() < 0.05);
        }
    }
}
