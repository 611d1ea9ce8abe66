//! The crate through its public door: sound answers or typed refusals, whatever the set.

use ndarray::{Array1, Array2};
use proptest::prelude::*;

use super::*;
use crate::random::SplitMix64;
use crate::toy::{DIMENSION, Toy};

fn check_sound(judgement: &Judgement, routes: usize) {
    let shares = [judgement.confidence, judgement.in_scope];
    assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "{judgement:?}");
    assert!(!judgement.ranking.is_empty() && judgement.ranking.iter().all(|(route, _)| (*route as usize) < routes));
    assert!(judgement.ranking.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    assert!((1..=judgement.ranking.len()).contains(&judgement.shortlist));
}

#[test]
fn learns_what_is_easy() {
    let toy = Toy::new(&[30, 30, 30, 30], 0, 0.2);
    let Fitted { model, report, .. } = toy.fit();
    assert!(report.accuracy > 0.95, "{report:?}");
    assert!(report.calibration_error < 0.1 && report.shortlist.coverage >= 0.98);
    for row in 0..toy.texts.len() {
        let judgement = toy.judge(&model, row);
        check_sound(&judgement, 4);
        assert_eq!(Label::Route(judgement.ranking[0].0), toy.labels[row]);
    }
}

#[test]
fn only_paraphrases_of_the_own_route_weigh_less() {
    // Seven prompts of either route, of cosine 0.917 with each other and with six of the other route.
    let mut toy = Toy::new(&[7, 7], 0, 0.0);
    toy.embeddings.fill(0.0);
    let norm = 1.09f32.sqrt();
    for row in 0..14 {
        toy.embeddings[[row, 0]] = 1.0 / norm;
        toy.embeddings[[row, 1 + row % 7]] = if row < 7 { 0.3 } else { -0.3 } / norm;
    }
    let model = toy.fit().model;
    assert_eq!(model.outcomes().len(), 14);
    assert!(model.outcomes().iter().all(|outcome| (outcome.weight - 1.0 / 7.0).abs() < 1e-6));
}

#[test]
fn what_would_make_decisions_worse_is_found() {
    let toy = Toy::new(&[20, 20, 20], 0, 0.6);
    let compared = |toy: &Toy| toy.with_set(|set| compare(set, 45, &FitConfig::default(), &())).unwrap().unwrap();
    // The last fifteen of the third route are what might be added.
    let good = compared(&toy);
    assert!(good.is_harmless() && good.prompts == 45 && good.right_before > 35, "{good:?}");
    // The same prompts, but under the name of the first.
    let mut wrong = Toy::new(&[20, 20, 20], 0, 0.6);
    wrong.labels[45..].fill(Label::Route(0));
    let bad = compared(&wrong);
    assert!(!bad.is_harmless() && bad.prompts == 45, "{bad:?}");
    // Nobody is there to be asked.
    let nobody = toy.with_set(|set| compare(set, 0, &FitConfig::default(), &())).unwrap().unwrap();
    assert!(!nobody.is_harmless(), "{nobody:?}");
}

#[test]
fn noise_is_not_trusted() {
    let mut toy = Toy::new(&[100, 100], 0, 0.2);
    // Labels that have nothing to do with the prompts.
    let mut random = SplitMix64::new(9);
    toy.labels.iter_mut().for_each(|label| *label = Label::Route(random.below(2) as u32));
    let Fitted { model, report, .. } = toy.fit();
    assert!((0.35..0.65).contains(&report.accuracy), "{}", report.accuracy);
    assert!(report.calibration_error < 0.2, "{}", report.calibration_error);
    let threshold = choose(model.outcomes(), Target::Accuracy(0.9), 0.5).unwrap();
    assert!(!threshold.reached && threshold.confidence > 1.0);
}

#[test]
fn odd_sets_have_sound_answers() {
    let check = |counts: &[usize], none: usize, expected: &[fn(&Warning) -> bool]| {
        let toy = Toy::new(counts, none, 0.3);
        let Fitted { model, report, .. } = toy.fit();
        for row in (0..toy.texts.len()).step_by(toy.texts.len().div_ceil(50)) {
            check_sound(&toy.judge(&model, row), counts.len());
        }
        for rule in expected {
            assert!(report.warnings.iter().any(rule), "{counts:?}: {:?}", report.warnings);
        }
    };
    check(&[20], 0, &[|warning| *warning == Warning::OneRoute, |warning| *warning == Warning::ScopeUntrained]);
    check(&[20], 30, &[|warning| *warning == Warning::OneRoute]);
    check(&[1], 0, &[|warning| matches!(warning, Warning::TooLittleToCalibrate { .. })]);
    check(&[1, 1], 0, &[|warning| matches!(warning, Warning::OnePrompt { .. })]);
    check(&[10, 1, 10], 0, &[|warning| matches!(warning, Warning::OnePrompt { routes } if routes == &[1])]);
    check(&[10, 0], 0, &[|warning| matches!(warning, Warning::NoPrompt { routes } if routes == &[1])]);
    check(&[3000, 5], 0, &[]);
    check(&[1; 300], 0, &[|warning| matches!(warning, Warning::TooLittleToCalibrate { held_out: 0, .. })]);
}

#[test]
fn a_wrong_label_is_contradicted_by_those_who_have_not_seen_it() {
    let mut toy = Toy::new(&[30, 30, 30], 0, 0.2);
    toy.labels[40] = Label::Route(0);
    let held_out = toy.fit().held_out;
    assert_eq!(held_out.iter().map(|verdict| verdict.example).collect::<Vec<_>>(), (0..90).collect::<Vec<_>>());
    let HeldOutVerdict { ranking, confidence, .. } = &held_out[40];
    assert!(ranking[0].0 == 1 && *confidence > 0.8, "{:?}", held_out[40]);
}

#[test]
fn equal_prompts_are_a_coin_toss() {
    // Two routes with the same prompts.
    let half = Toy::new(&[40], 0, 0.3);
    let mut toy = Toy::new(&[40, 40], 0, 0.3);
    for row in 0..40 {
        for copy in [row, row + 40] {
            toy.embeddings.row_mut(copy).assign(&half.embeddings.row(row));
            toy.texts[copy].clone_from(&half.texts[row]);
        }
    }
    let Fitted { model, report, .. } = toy.fit();
    assert!(report.accuracy < 0.7, "{}", report.accuracy);
    assert!(toy.judge(&model, 0).confidence < 0.8);
    // All prompts equal.
    toy.embeddings = Array2::from_shape_fn((80, DIMENSION), |(_, column)| f32::from(u8::from(column == 0)));
    toy.texts.iter_mut().for_each(|text| "same".clone_into(text));
    let Fitted { model, .. } = toy.fit();
    let judgement = toy.judge(&model, 0);
    check_sound(&judgement, 2);
    assert!(judgement.confidence < 0.8, "{judgement:?}");
}

#[test]
fn what_is_no_set_is_refused() {
    let refused = |toy: &Toy, config: &FitConfig| toy.try_fit(config, &()).unwrap_err();
    let default = FitConfig::default();
    assert_eq!(refused(&Toy::new(&[], 5, 0.1), &default), FitError::NoRoutes);
    assert_eq!(refused(&Toy::new(&[0], 5, 0.1), &default), FitError::NoReferences);
    let mut toy = Toy::new(&[5, 5], 0, 0.1);
    toy.names[1] = "route0".to_owned();
    assert_eq!(refused(&toy, &default), FitError::RouteTwice("route0".to_owned()));
    let mut toy = Toy::new(&[5, 5], 0, 0.1);
    toy.embeddings[[3, 0]] = f32::NAN;
    assert!(matches!(refused(&toy, &default), FitError::NotUnit { example: 3, .. }));
    let config = FitConfig { shortlist_coverage: 1.5, ..FitConfig::default() };
    assert!(matches!(refused(&Toy::new(&[5, 5], 0, 0.1), &config), FitError::BadSetting { .. }));
}

#[test]
fn names_that_differ_in_case_are_told() {
    let mut toy = Toy::new(&[10, 10], 0, 0.1);
    toy.names = vec!["Billing".to_owned(), "billing".to_owned()];
    assert!(toy.fit().report.warnings.contains(&Warning::NamesAlike { first: 0, second: 1 }));
}

#[test]
fn none_prompts_teach_what_is_out_of_scope() {
    let toy = Toy::new(&[30, 30, 30], 40, 0.3);
    let Fitted { model, report, .. } = toy.fit();
    assert!(report.scope_auroc_none.unwrap() > 0.9, "{report:?}");
    assert!(toy.judge(&model, 0).in_scope > 0.5);
    assert!(toy.judge(&model, 120).in_scope < 0.5);
}

#[test]
fn evaluation_prompts_are_measured_on_and_not_learned_from() {
    let mut toy = Toy::new(&[40, 40, 40], 0, 0.2);
    let last = toy.texts.len() - 1;
    let without = toy.fit();
    // Half of the last route's prompts come from elsewhere, users say: all of them belong to the first route.
    toy.evaluations_from = 100;
    toy.labels[100..].fill(Label::Route(0));
    let with = toy.fit();
    let counts = |report: &FitReport| (report.references, report.evaluations, report.held_out);
    assert_eq!((counts(&without.report), counts(&with.report)), ((120, 0, 120), (100, 20, 120)));
    assert!(without.report.accuracy > 0.95, "{:?}", without.report);
    assert!((with.report.accuracy - 100.0 / 120.0).abs() < 0.05, "{:?}", with.report);
    let (sure, unsure) = (toy.judge(&without.model, last), toy.judge(&with.model, last));
    assert_eq!(unsure.ranking[0].0, 2, "what they say is not learned");
    assert!(unsure.confidence < sure.confidence, "but it is believed: {unsure:?}, {sure:?}");
}

#[test]
fn a_cancelled_fit_ends() {
    struct Cancelled;
    impl Watch for Cancelled {
        fn cancelled(&self) -> bool {
            true
        }
    }
    let found = Toy::new(&[30, 30], 0, 0.3).try_fit(&FitConfig::default(), &Cancelled);
    assert_eq!(found.unwrap_err(), FitError::Cancelled);
}

#[test]
fn equal_sets_give_equal_models_on_any_number_of_threads() {
    let toy = Toy::new(&[30, 20, 10, 5], 10, 0.4);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| toy.fit().model.to_bytes())
    };
    assert!(on(1) == on(3));
}

#[test]
fn a_rare_route_is_heard_beside_a_huge_one() {
    // A route of 6,000 prompts within three dimensions; one of five, each along a dimension of its own.
    let mut toy = Toy::new(&[6_000, 5], 0, 1.0);
    let mut random = SplitMix64::new(5);
    let mut common = move || {
        let drawn: Vec<f32> = (0..3).map(|_| random.below(2001) as f32 / 1000.0 - 1.0).collect();
        let norm = drawn.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-3);
        Array1::from_shape_fn(DIMENSION, |at| drawn.get(at).map_or(0.0, |value| value / norm))
    };
    let axis = |at: usize| Array1::from_shape_fn(DIMENSION, |other| f32::from(u8::from(other == at)));
    for row in 0..6_005 {
        let prompt = if row < 6_000 { common() } else { common() * 0.28 + axis(3 + row - 6_000) * 0.96 };
        toy.embeddings.row_mut(row).assign(&prompt);
        toy.texts[row] = format!("text {row}");
    }
    let model = toy.fit().model;
    for row in 6_000..6_005 {
        let known = toy.judge(&model, row);
        assert!(known.ranking[0].0 == 1 && known.confidence > 0.9 && known.in_scope > 0.9, "{row}: {known:?}");
        // More like what the huge route says than the reference was.
        let paraphrase = common() * 0.6 + axis(3 + row - 6_000) * 0.8;
        let mut neighbours: Vec<(u32, f32)> =
            (0..6_005).map(|other| (u32::from(other >= 6_000), toy.embeddings.row(other).dot(&paraphrase))).collect();
        neighbours.sort_by(|a, b| b.1.total_cmp(&a.1));
        let judged = model.judge(&paraphrase.to_vec(), "in other words", &neighbours[..VOTERS]).unwrap();
        assert!(judged.ranking[0].0 == 1 && judged.confidence > 0.5, "{row}: {judged:?}");
    }
}

#[test]
fn samples_of_large_sets_keep_small_routes() {
    let toy = Toy::new(&[500, 10], 0, 0.3);
    let config = FitConfig { max_rows: 100, ..FitConfig::default() };
    let Fitted { model, report, .. } = toy.try_fit(&config, &()).unwrap();
    assert_eq!(report.left_aside, 410);
    assert!(report.warnings.contains(&Warning::Sampled { taken: 100, of: 510 }));
    assert_eq!(toy.judge(&model, 505).ranking[0].0, 1);
}

#[test]
fn prompts_that_a_sample_leaves_aside_are_neighbours_all_the_same() {
    let toy = Toy::new(&[400, 400, 400, 400], 0, 0.6);
    let similarity = |max_rows: usize| {
        let config = FitConfig { max_rows, ..FitConfig::default() };
        // Mean similarity of the five nearest, over prompts in scope.
        toy.try_fit(&config, &()).unwrap().model.scope.scales[1].0
    };
    let (whole, sampled) = (similarity(1_600), similarity(80));
    assert!(sampled > whole - 0.01, "{whole}, {sampled}");
}

#[test]
fn a_refit_learns_the_new_prompts_and_keeps_the_calibration() {
    let old = Toy::new(&[40, 40, 40], 0, 0.3);
    let model = old.fit().model;
    let mut new = Toy::new(&[40, 40, 43], 0, 0.3);
    // The three new prompts of route 2 lie where nothing was.
    for row in 120..123 {
        let opposite = -&new.embeddings.row(row).to_owned();
        new.embeddings.row_mut(row).assign(&opposite);
    }
    let again = |toy: &Toy| toy.with_set(|set| refit(set, &FitConfig::default(), &model, &())).unwrap().unwrap();
    let refitted = again(&new).unwrap();
    assert_eq!(refitted.outcomes(), model.outcomes());
    assert_eq!(new.judge(&refitted, 121).ranking[0].0, 2);
    assert!(again(&Toy::new(&[40, 40, 60], 0, 0.3)).is_none(), "too many are new");
    assert!(again(&Toy::new(&[40, 40, 39, 1], 0, 0.3)).is_none(), "a route is new");
    assert!(again(&Toy::new(&[40, 40, 40], 5, 0.3)).is_none(), "none prompts are new");
}

#[test]
fn prompts_that_do_not_fit_are_refused() {
    let toy = Toy::new(&[10, 10], 0, 0.3);
    let model = toy.fit().model;
    assert_eq!(model.judge(&[1.0], "", &[]).unwrap_err(), JudgeError::Dimension { found: 1, expected: DIMENSION });
    assert_eq!(model.judge(&[f32::NAN; DIMENSION], "", &[]).unwrap_err(), JudgeError::NotFinite);
    let stranger = model.judge(&[0.3; DIMENSION], "", &[(7, 0.5)]).unwrap_err();
    assert_eq!(stranger, JudgeError::UnknownRoute { route: 7, routes: 2 });
    check_sound(&model.judge(&[0.0; DIMENSION], "", &[]).unwrap(), 2);
}

#[test]
fn bytes_hold_the_whole_model() {
    let toy = Toy::new(&[20, 20, 20, 20], 25, 0.4);
    let model = toy.fit().model;
    let bytes = model.to_bytes();
    let read = DecisionModel::from_bytes(&bytes).unwrap();
    assert_eq!(read.to_bytes(), bytes);
    assert_eq!(read.outcomes(), model.outcomes());
    for row in 0..toy.texts.len() {
        assert_eq!(toy.judge(&read, row), toy.judge(&model, row));
    }
    assert_eq!(DecisionModel::from_bytes(b"").unwrap_err(), ModelBytesError::NotAModel);
    let mut later = bytes.clone();
    later[8] = 99;
    assert!(matches!(DecisionModel::from_bytes(&later).unwrap_err(), ModelBytesError::OtherFormat { found: 99, .. }));
    later = bytes.clone();
    later.push(0);
    assert_eq!(DecisionModel::from_bytes(&later).unwrap_err(), ModelBytesError::TrailingBytes(1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn hostile_bytes_are_no_panic(cut in 0usize..20_000, at in 0usize..20_000, value in any::<u8>()) {
        use std::sync::LazyLock;
        static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| Toy::new(&[10, 10], 0, 0.4).fit().model.to_bytes());
        let mut bytes = BYTES.clone();
        let at = at % bytes.len();
        bytes[at] = value;
        if let Ok(model) = DecisionModel::from_bytes(&bytes) {
            let judged = model.judge(&[0.3; DIMENSION], "word0 text", &[(0, 0.5), (1, 0.4)]);
            let in_scope = judged.map(|judged| judged.in_scope);
            prop_assert!(in_scope.is_ok_and(|share| share.is_nan() || (0.0..=1.0).contains(&share)));
        }
        prop_assert!(DecisionModel::from_bytes(&BYTES[..cut % BYTES.len()]).is_err());
    }
}
