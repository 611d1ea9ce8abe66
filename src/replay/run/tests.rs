use std::num::NonZeroU32;

use super::*;
use crate::dispatch::{DispatchConfig, RetryConfig};
use crate::prompt::Message;
use crate::provider::scripted::{Script, Scripted, Step};
use crate::provider::{Kind, ProviderConfig, Providers};
use crate::replay::Check;
use crate::routing::RoutingConfig;

const LONG: Duration = Duration::from_secs(30);

fn name(at: usize) -> String {
    format!("t{at}")
}

fn providers(servers: &[&Scripted]) -> Providers {
    let configs = servers.iter().enumerate().map(|(at, server)| ProviderConfig {
        base_url: Some(server.url("/v1")),
        ..ProviderConfig::new(name(at), Kind::OpenAi)
    });
    Providers::build(&configs.collect::<Vec<_>>(), &|_| None).unwrap()
}

/// A replay to one target for each provider.
fn replay(servers: &[&Scripted], terms: Terms) -> Replay {
    let providers = providers(servers);
    let targets =
        (0..servers.len()).map(|at| format!("[[targets]]\nname = 't{at}'\nprovider = 't{at}'\nmodel = 'm'\n"));
    let routing: RoutingConfig = toml::from_str(&targets.collect::<String>()).unwrap();
    Replay {
        routing: RoutingTable::new(&routing).unwrap(),
        dispatcher: Dispatcher::new(providers, DispatchConfig { max_attempts: NonZeroU32::MIN, ..Default::default() }),
        targets: (0..servers.len()).map(|at| TargetName::new(&name(at)).unwrap()).collect(),
        terms,
    }
}

fn terms(concurrency: usize, repeat: u32, is_streamed: bool) -> Terms {
    Terms { concurrency, repeat, timeout: LONG, max_rest: Duration::ZERO, is_streamed }
}

fn cases(count: usize) -> Vec<Case> {
    let case = |at: usize| {
        let request = ChatRequest { messages: vec![Message::user(format!("{at}"))], ..ChatRequest::default() };
        let checks = vec![Check::Exact("good".to_owned())];
        Case { id: format!("line {at}"), line: at as u64, request: Arc::new(request), checks }
    };
    (1..=count).map(case).collect()
}

/// Position of the case, of the target, the repeat, and how it went.
fn brief(trials: &Trials) -> Vec<(usize, usize, u32, &str)> {
    let word = |trial: &'_ Trial| match &trial.outcome {
        Ok(_) if trial.passed() => "passed",
        Ok(_) => "failed",
        Err(_) => "unanswered",
    };
    trials.trials.iter().map(|trial| (trial.case, trial.target, trial.repeat, word(trial))).collect()
}

#[tokio::test]
async fn every_case_is_sent_to_every_target_as_often_as_asked() {
    for is_streamed in [false, true] {
        let script = |text: &str| if is_streamed { Script::stream(&[text]) } else { Script::completion(text) };
        let (good, bad) = (Scripted::start([script("good")]).await, Scripted::start([script("bad")]).await);
        let mut made = 0;
        let replay = replay(&[&good, &bad], terms(3, 2, is_streamed));
        let trials = replay.run(&cases(2), std::future::pending(), |done| made = done).await;
        let expected = [
            (0, 0, 0, "passed"),
            (0, 0, 1, "passed"),
            (1, 0, 0, "passed"),
            (1, 0, 1, "passed"),
            (0, 1, 0, "failed"),
            (0, 1, 1, "failed"),
            (1, 1, 0, "failed"),
            (1, 1, 1, "failed"),
        ];
        assert_eq!(brief(&trials), expected);
        assert!(trials.is_complete && made == 8);
        let judged = trials.trials[0].outcome.as_ref().unwrap();
        assert_eq!(judged.usage.map(|usage| (usage.input_tokens, usage.output_tokens)), Some((3, 2)));
        assert_eq!(judged.first_text.is_some(), is_streamed);
        let asked: Vec<_> = good.requests().iter().map(|request| request.json()["stream"] == true).collect();
        assert_eq!(asked, [is_streamed; 4]);
    }
}

#[tokio::test]
async fn a_failure_is_told_by_its_kind_and_tried_once() {
    let check = async |script: Script, is_streamed: bool, expected: &str| {
        let server = Scripted::start([script]).await;
        let terms = Terms { timeout: Duration::from_millis(300), ..terms(1, 1, is_streamed) };
        let trials = replay(&[&server], terms).run(&cases(1), std::future::pending(), |_| {}).await;
        let Err(error) = &trials.trials[0].outcome else { panic!("{expected}: it was answered") };
        assert_eq!(error.kind, expected);
        assert_eq!(server.requests().len(), 1);
    };
    for is_streamed in [false, true] {
        check(Script::error(503, "later"), is_streamed, "status 503").await;
        check(Script::error(429, "later"), is_streamed, "rate_limited").await;
        check(Script::whole(200, "text/html", "<html>"), is_streamed, "malformed").await;
        check(Script::hang(), is_streamed, "timeout").await;
    }
    check(Script::events([Step::delta("go")]), true, "truncated").await;
    check(Script::events([Step::delta("go"), Step::Hang]), true, "timeout").await;
}

#[tokio::test]
async fn a_target_that_asks_for_a_rest_is_waited_for_as_long_as_the_terms_allow() {
    let check = async |status: u16, max_rest: u64, rested: &[bool], words: &[&str]| {
        let limit = Script::error(status, "later").header("retry-after-ms", "500");
        let server = Scripted::start([limit, Script::completion("good")]).await;
        let terms = Terms { max_rest: Duration::from_millis(max_rest), ..terms(1, 1, false) };
        let mut replay = replay(&[&server], terms);
        // As the command has it: what waits is the replay.
        let retry = RetryConfig { max_wait: Duration::ZERO, ..RetryConfig::default() };
        let config = DispatchConfig { max_attempts: NonZeroU32::MIN, retry, ..DispatchConfig::default() };
        replay.dispatcher = Dispatcher::new(providers(&[&server]), config);
        let trials = replay.run(&cases(3), std::future::pending(), |_| {}).await;
        let found: Vec<_> = trials.trials.iter().map(|trial| trial.rested).collect();
        assert_eq!(
            (found.as_slice(), brief(&trials).iter().map(|it| it.3).collect::<Vec<_>>()),
            (rested, words.to_vec())
        );
        let slowest = trials.trials.iter().filter_map(|trial| Some(trial.outcome.as_ref().ok()?.latency)).max();
        assert!(
            slowest.is_none_or(|slowest| slowest < Duration::from_millis(500)),
            "a rest is no latency: {slowest:?}"
        );
    };
    for status in [429, 503] {
        check(status, 5_000, &[true, false, false], &["passed"; 3]).await;
        check(status, 50, &[false; 3], &["unanswered"; 3]).await;
    }
}

#[tokio::test]
async fn an_endless_stream_is_not_gathered_for_ever() {
    let steps = std::iter::repeat_n(Step::delta(&"x".repeat(1 << 16)), 100);
    let server = Scripted::start([Script::events(steps)]).await;
    let trials = replay(&[&server], terms(1, 1, true)).run(&cases(1), std::future::pending(), |_| {}).await;
    assert_eq!(trials.trials[0].outcome.as_ref().unwrap_err().kind, "too_large");
}

#[tokio::test]
async fn no_more_calls_are_under_way_than_asked_and_a_slow_target_holds_up_no_other() {
    let slow = Scripted::start([Script::hang()]).await;
    let quick = Scripted::start([Script::completion("good")]).await;
    let (replay, cases) = (replay(&[&slow, &quick], terms(2, 1, false)), cases(8));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut stop = Some(stop);
    // All of the quick one's calls are made while the slow one's hang.
    let progress = |done: u64| {
        if done == 8 {
            drop(stop.take());
        }
    };
    let until = async {
        let _ = stopped.await;
        slow.requested(2).await;
    };
    let trials = replay.run(&cases, until, progress).await;
    assert!(!trials.is_complete);
    assert!(brief(&trials).iter().all(|(_, target, _, word)| (*target, *word) == (1, "passed")), "{trials:?}");
    assert_eq!((slow.requests().len(), quick.requests().len()), (2, 8));
    slow.client_gone(2).await;
}
