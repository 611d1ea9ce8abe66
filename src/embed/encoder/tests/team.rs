//! One prompt by several threads, and what is not finite.

#![allow(clippy::unwrap_used, reason = "tests")]

mod model;

use semroute_encoder::{EncoderError, Precision};

const PRECISIONS: [Precision; 2] = [Precision::Int8, Precision::F32];

fn prompt(tokens: usize) -> Vec<u32> {
    (0..tokens).map(|at| (at * 7 + tokens) as u32 % model::VOCABULARY as u32).collect()
}

#[test]
fn helpers_change_nothing_to_the_bit() {
    for precision in PRECISIONS {
        let mut alone = model::encoder("bits", 1.0, precision);
        for helpers in 0..4 {
            let mut team = model::encoder("bits", 1.0, precision).with_helpers(helpers, || ()).unwrap();
            // Fewer tokens than threads, too; and each size after a longer one.
            for tokens in (1..=48).rev().chain(1..=48) {
                let prompt = prompt(tokens);
                let expected = alone.encode(&[&prompt]).unwrap().remove(0);
                assert!(expected.iter().all(|value| value.is_finite()));
                let together = team.encode_together(&prompt).unwrap();
                assert!(together.helped || helpers == 0);
                assert_eq!(together.vector, expected, "{precision:?} {helpers} {tokens}");
            }
        }
    }
}

#[test]
fn a_bad_prompt_leaves_the_helpers_at_work() {
    let mut team = model::encoder("bad", 1.0, Precision::Int8).with_helpers(1, || ()).unwrap();
    let good = team.encode_together(&prompt(9)).unwrap();
    assert!(matches!(team.encode_together(&[]), Err(EncoderError::NoTokens)));
    let beyond = model::VOCABULARY as u32;
    assert!(matches!(team.encode_together(&[1, beyond]), Err(EncoderError::TokenOutOfRange { .. })));
    assert!(matches!(team.encode_together(&[1; 49]), Err(EncoderError::TooManyTokens { .. })));
    assert_eq!(team.encode_together(&prompt(9)).unwrap(), good);
}

#[test]
fn clones_share_the_helpers_and_none_waits_for_them() {
    let mut first = model::encoder("clones", 1.0, Precision::Int8).with_helpers(1, || ()).unwrap();
    let expected: Vec<Vec<f32>> = (1..=20).map(|tokens| first.encode(&[&prompt(tokens)]).unwrap().remove(0)).collect();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let (mut clone, expected) = (first.clone(), &expected);
            scope.spawn(move || {
                for (tokens, expected) in (1..=20).zip(expected).cycle().take(200) {
                    assert_eq!(clone.encode_together(&prompt(tokens)).unwrap().vector, *expected);
                }
            });
        }
    });
}

#[test]
fn what_is_not_finite_is_told_by_both_precisions() {
    for precision in PRECISIONS {
        let mut encoder = model::encoder("infinite", 3e38, precision);
        let vector = encoder.encode(&[&prompt(5)]).unwrap().remove(0);
        assert!(vector.iter().any(|value| !value.is_finite()), "{precision:?}: {vector:?}");
    }
}
