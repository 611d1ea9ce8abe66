use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::embed::Embedding;
use crate::index::{BuildWatch, IndexConfig};
use crate::provider::{ChatRequest, Choice, ChoiceQuestion, Completion, CompletionStream, Error, FinishReason};
use crate::publish::Draft;
use crate::reference::{
    Fingerprint, Precondition, PromptEdit, PromptPurpose, Route, RouteName, SetEdit, SetName, SetPolicy,
};

/// Takes its time, then names the route `maths`.
struct Slow {
    time: Duration,
    typed: bool,
    asked: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
}

impl Slow {
    fn new(time: Duration, typed: bool) -> Arc<Self> {
        let zero = AtomicUsize::default;
        Arc::new(Self { time, typed, asked: zero(), under_way: zero(), most_under_way: zero() })
    }

    async fn answer(&self) -> Option<Usage> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_under_way.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(self.time).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        Some(Usage::new(100, 10))
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Provider for Slow {
    async fn complete(&self, _: &str, _: &Arc<ChatRequest>) -> Result<Completion, Error> {
        let usage = self.answer().await;
        let text = r#"{"route":"maths"}"#.to_owned();
        Ok(Completion { text, finish: FinishReason::Stop, usage, ..Completion::default() })
    }

    async fn stream(&self, _: &str, _: &Arc<ChatRequest>) -> Result<CompletionStream, Error> {
        Err(Error::Truncated)
    }

    fn takes_typed_questions(&self) -> bool {
        self.typed
    }

    async fn choose(&self, _: &str, question: &ChoiceQuestion) -> Result<Choice, Error> {
        let labels: Vec<&str> = question.options.iter().map(|(label, _)| label.as_str()).collect();
        assert_eq!(labels, ["maths", "talk", "none"]);
        let usage = self.answer().await;
        Ok(Choice { label: "maths".to_owned(), probability: Some(0.75), usage, model: None })
    }
}

fn snapshot() -> Snapshot {
    let name = |name: &str| RouteName::new(name).unwrap();
    let edit = SetEdit { name: SetName::new("s").unwrap(), description: String::new(), policy: SetPolicy::default() };
    let routes = [Route::named(name("maths")), Route::named(name("talk"))];
    let mut draft = Draft::new(&edit, &routes, 2);
    for (route, text, vector) in [("maths", "1 + 1", [1.0, 0.0]), ("talk", "hello", [0.0, 1.0])] {
        let prompt = PromptEdit {
            id: None,
            route: name(route),
            text: text.to_owned(),
            purpose: PromptPurpose::Reference,
            precondition: Precondition::None,
        };
        draft.push(&prompt, &Embedding::normalised(vector.to_vec()).unwrap()).unwrap();
    }
    draft.finish(Fingerprint("m".to_owned()), &IndexConfig::default(), &BuildWatch::default()).unwrap()
}

fn stage(provider: &Arc<Slow>, budget: &str) -> Arc<LlmStage> {
    let text = format!("provider = 'p'\nmodel = 'm'\ntimeout = '3s'\n[budget]\n{budget}");
    let config: LlmConfig = toml::from_str(&text).unwrap();
    assert_eq!(config.faults(), []);
    Arc::new(LlmStage::new(Arc::clone(provider) as Arc<dyn Provider>, config))
}

/// So many different prompts at once: how many got a verdict, and the longest that any of them waited.
async fn burst(stage: &Arc<LlmStage>, snapshot: &Arc<Snapshot>, prompts: usize) -> (usize, Duration) {
    let calls: Vec<_> = (0..prompts)
        .map(|at| {
            let (stage, snapshot) = (Arc::clone(stage), Arc::clone(snapshot));
            tokio::spawn(async move {
                stage.budget().decided();
                let begun = tokio::time::Instant::now();
                let chosen = stage.choose(&format!("prompt {at}"), &snapshot, &[0, 1], None).await;
                let waited = begun.elapsed();
                if matches!(chosen, Err(LlmError::OverBudget(_))) {
                    assert_eq!(waited, Duration::ZERO, "whoever is not asked for does not wait");
                }
                (chosen.is_ok(), waited)
            })
        })
        .collect();
    let (mut verdicts, mut longest) = (0, Duration::ZERO);
    for call in calls {
        let (verdict, waited) = call.await.unwrap();
        verdicts += usize::from(verdict);
        longest = longest.max(waited);
    }
    (verdicts, longest)
}

#[tokio::test(start_paused = true)]
async fn a_burst_waits_no_longer_than_one_call_and_makes_no_more_than_are_allowed() {
    let provider = Slow::new(Duration::from_secs(2), false);
    let stage = stage(&provider, "max_concurrent = 16");
    let snapshot = Arc::new(snapshot());
    assert_eq!(burst(&stage, &snapshot, 1_000).await, (16, Duration::from_secs(2)));
    assert_eq!(provider.most_under_way.load(Ordering::SeqCst), 16);
    // An LLM that is too slow for its timeout adds that and no more.
    let hanging = Slow::new(Duration::from_secs(100), false);
    let stage = self::stage(&hanging, "max_concurrent = 16");
    assert_eq!(burst(&stage, &snapshot, 1_000).await, (0, Duration::from_secs(3)));
    assert_eq!((hanging.asked(), stage.budget().stats().in_flight), (16, 0));
}

#[tokio::test(start_paused = true)]
async fn only_calls_count_not_verdicts_that_are_kept_or_shared() {
    let provider = Slow::new(Duration::from_millis(10), false);
    let stage = stage(&provider, "max_share = 0.001\nmax_spend_per_day = 1\ninput_price = 1.0\noutput_price = 5.0");
    let snapshot = snapshot();
    let ask = || stage.choose("what is 7 times 8?", &snapshot, &[0, 1], None);
    stage.budget().decided();
    let (first, second) = tokio::join!(ask(), ask());
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((first.route, second.route), (Some(0), Some(0)));
    assert_eq!((first.asked, second.asked, first.kept, second.kept), (true, false, false, false));
    let kept = ask().await.unwrap();
    assert!(kept.kept && !kept.asked && kept.probability.is_none() && provider.asked() == 1);
    let stats = stage.budget().stats();
    assert_eq!((stats.calls, stats.spent_today.0), (1, 100 * 1_000 + 10 * 5_000), "100 tokens read, 10 written");
    let other = stage.choose("and 9 times 9?", &snapshot, &[0, 1], None).await;
    assert!(matches!(other, Err(LlmError::OverBudget(Cap::Share))));
}

#[tokio::test(start_paused = true)]
async fn a_question_reserves_more_than_it_can_cost() {
    let provider = Slow::new(Duration::from_millis(10), false);
    let stage = stage(&provider, "max_spend_per_day = 0.00005\ninput_price = 0.1");
    let snapshot = snapshot();
    // 100 tokens would cost a fifth of it, but the question has more than 500 bytes.
    let refused = stage.choose("what is 7 times 8?", &snapshot, &[0, 1], None).await;
    assert!(matches!(refused, Err(LlmError::OverBudget(Cap::Spend))));
    assert_eq!(provider.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_typed_question_is_put_where_it_is_understood() {
    let provider = Slow::new(Duration::from_millis(10), true);
    let stage = stage(&provider, "");
    let chosen = stage.choose("what is 7 times 8?", &snapshot(), &[0, 1], None).await.unwrap();
    assert_eq!(
        chosen,
        LlmChoice { route: Some(0), probability: Some(0.75), kept: false, asked: true, cost: Some(Money::ZERO) }
    );
}
