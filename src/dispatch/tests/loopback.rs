//! Plans carried out against scripted providers on loopback.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;

use super::super::*;
use super::summary;
use crate::prompt::Message;
use crate::provider::scripted::{Script, Scripted, Step};
use crate::provider::{ChatRequest, FinishReason, Kind, ProviderConfig, Providers, Usage};
use crate::reference::{Route, RouteName, SetName, TargetName};
use crate::routing::{Asked, DataPolicy, Plan, RoutingConfig, RoutingTable, Size, Target};

/// Long enough for a loopback call on a busy machine, short enough to wait for.
const SOON: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(30);

/// Targets `t0`, `t1`, ... on a scripted provider each.
struct World {
    servers: Vec<Scripted>,
    dispatcher: Dispatcher,
    plan: Plan,
}

/// `t0` is answered by the first script, `t1` by the second, and so on.
async fn world(config: DispatchConfig, scripts: impl IntoIterator<Item = Script>) -> World {
    let (mut servers, mut providers, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for (position, script) in scripts.into_iter().enumerate() {
        let server = Scripted::start([script]).await;
        let (provider, base_url) = (format!("p{position}"), Some(server.url("/v1")));
        let configured = ProviderConfig { base_url, ..ProviderConfig::new(provider.clone(), Kind::OpenAi) };
        providers.push((provider.clone(), configured.build(&|_| None).unwrap()));
        let name = TargetName::new(&format!("t{position}")).unwrap();
        targets.push(Arc::new(Target { region: Some("eu".to_owned()), ..Target::new(name, provider, "m") }));
        servers.push(server);
    }
    let plan = Plan::unjudged(targets);
    World { servers, dispatcher: Dispatcher::new(Providers::new(providers), config), plan }
}

fn request() -> ChatRequest {
    ChatRequest { messages: vec![Message::user("a secret question")], ..ChatRequest::default() }
}

fn quick() -> DispatchConfig {
    DispatchConfig {
        attempt_timeout: Some(SOON),
        first_token_timeout: SOON,
        idle_timeout: SOON,
        ..DispatchConfig::default()
    }
}

impl World {
    async fn complete(&self, deadline: Duration) -> Result<Dispatched, Error> {
        self.begin(Limits::until(Instant::now() + deadline)).complete().await
    }

    fn begin(&self, limits: Limits) -> Dispatch {
        self.dispatcher.begin(&self.plan, Arc::new(request()), limits)
    }

    fn stream(&self, deadline: Duration) -> DispatchStream {
        self.begin(Limits::until(Instant::now() + deadline)).stream()
    }

    /// The text handed over, and the end or the error.
    async fn read(&self, deadline: Duration) -> (String, Result<DispatchEvent, Error>) {
        let (mut stream, mut text) = (self.stream(deadline), String::new());
        loop {
            match stream.next().await.expect("an end or an error") {
                Ok(DispatchEvent::Text(more)) => text.push_str(&more),
                last => {
                    assert!(stream.next().await.is_none(), "something comes after {last:?}");
                    return (text, last);
                }
            }
        }
    }

    fn requests(&self) -> Vec<usize> {
        self.servers.iter().map(|server| server.requests().len()).collect()
    }
}

/// Dispatches both ways over `scripts` and a last target that answers; the attempts of both have to be `expected`.
async fn fails_over(config: DispatchConfig, scripts: &[Script], expected: &[&str]) {
    let with = |last: Script| scripts.iter().cloned().chain([last]).collect::<Vec<_>>();
    let unary = world(config.clone(), with(Script::completion("good"))).await;
    let answer = unary.complete(LONG).await.unwrap();
    assert_eq!((answer.completion.text.as_str(), summary(&answer.attempts)), ("good", strings(expected)));

    let streamed = world(config, with(Script::stream(&["good"]))).await;
    let (text, end) = streamed.read(LONG).await;
    let Ok(DispatchEvent::End { attempts, target, .. }) = end else { panic!("{end:?}") };
    assert_eq!((text.as_str(), summary(&attempts)), ("good", strings(expected)));
    assert_eq!(Some(&target), streamed.plan.targets().last());
    for world in [&unary, &streamed] {
        assert_eq!(world.requests(), vec![1; world.servers.len()], "one call a target, in order, and no more");
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test]
async fn the_first_target_that_answers_is_the_only_one_called() {
    let world = world(quick(), [Script::completion("first"), Script::completion("second")]).await;
    let answer = world.complete(LONG).await.unwrap();
    assert_eq!((answer.completion.text.as_str(), answer.target.name.as_str()), ("first", "t0"));
    assert_eq!(answer.completion.usage, Some(Usage::new(3, 2)));
    assert_eq!(answer.attempts[0].region.as_deref(), Some("eu"));
    assert_eq!(world.requests(), [1, 0]);
}

#[tokio::test]
async fn passing_failures_go_on_to_the_next_target() {
    let check = async |script: Script, expected: &str| {
        fails_over(DispatchConfig::default(), &[script], &[expected, "t1=ok"]).await;
    };
    check(Script::error(500, "oops"), "t0=status").await;
    check(Script::error(429, "slow down"), "t0=rate_limited").await;
    check(Script::error(408, "late"), "t0=status").await;
    check(Script::close(), "t0=broken").await;
    check(Script::garbage(), "t0=broken").await;
    check(Script::whole(200, "text/html", "<html>"), "t0=malformed").await;
    check(Script::whole(200, "text/event-stream", b"data: \xff\n\n".to_vec()), "t0=malformed").await;
    check(Script::whole(200, "text/plain", vec![b' '; 20_000_000]), "t0=too_large").await;
    let both = [Script::error(503, "busy"), Script::close()];
    fails_over(DispatchConfig::default(), &both, &["t0=status", "t1=broken", "t2=ok"]).await;
}

#[tokio::test]
async fn a_target_that_hangs_leaves_time_for_the_next() {
    for script in [Script::hang(), Script::events([Step::Hang])] {
        fails_over(quick(), &[script], &["t0=timeout", "t1=ok"]).await;
    }

    // Also without any configured timeout: by its share of the deadline.
    let world = world(DispatchConfig::default(), [Script::hang(), Script::completion("good")]).await;
    let answer = world.complete(Duration::from_secs(2)).await.unwrap();
    assert_eq!(summary(&answer.attempts), ["t0=timeout", "t1=ok"]);
    assert!(answer.attempts[0].duration >= Duration::from_millis(900), "{:?}", answer.attempts);
    world.servers[0].client_gone(1).await;
}

#[tokio::test]
async fn an_unreachable_or_unconfigured_provider_is_passed_over() {
    let mut world = world(quick(), [Script::hang(), Script::hang(), Script::completion("good")]).await;
    let nowhere = Target { provider: "nobody".to_owned(), ..(*world.plan.targets()[0]).clone() };
    let others = world.plan.targets()[1..].iter().cloned();
    world.plan = Plan::unjudged([Arc::new(nowhere)].into_iter().chain(others));
    world.servers.remove(1);
    tokio::task::yield_now().await;
    let attempts = world.complete(LONG).await.unwrap().attempts;
    assert_eq!(summary(&attempts)[0], "t0=unconfigured");
    assert_eq!(summary(&attempts)[2], "t2=ok");
}

#[tokio::test]
async fn a_refused_request_is_not_tried_elsewhere() {
    for status in [400, 422] {
        let world = world(quick(), [Script::error(status, "no"), Script::completion("never")]).await;
        let unary = world.complete(LONG).await.unwrap_err();
        let streamed = world.read(LONG).await.1.unwrap_err();
        for error in [unary, streamed] {
            assert_eq!((error.kind(), error.attempts()[0].status), ("rejected", Some(status)));
            assert_eq!(error.attempts().len(), 1);
        }
        assert_eq!(world.requests(), [2, 0]);
    }
}

#[tokio::test]
async fn a_key_or_a_model_that_is_refused_rests() {
    for status in [401, 403, 404] {
        let world = world(quick(), [Script::error(status, "no"), Script::completion("good")]).await;
        let first = world.complete(LONG).await.unwrap();
        assert_eq!(summary(&first.attempts), ["t0=status", "t1=ok"]);
        let second = world.complete(LONG).await.unwrap();
        assert_eq!(summary(&second.attempts), ["t1=ok"]);
        assert_eq!((second.passed[0].target.as_str(), second.passed[0].reason.as_str()), ("t0", "breaker_open"));
        assert_eq!(world.requests(), [1, 2]);
    }
}

#[tokio::test]
async fn when_all_fail_the_error_tells_of_each() {
    let world = world(quick(), [Script::error(500, "one"), Script::error(429, "two").header("retry-after", "9")]).await;
    let error = world.complete(LONG).await.unwrap_err();
    // The one that failed in passing is tried again, the one that asked to be left alone is not.
    assert_eq!(
        (error.kind(), summary(error.attempts())),
        ("all_failed", strings(&["t0=status", "t1=rate_limited", "t0=status"]))
    );
    assert_eq!(error.attempts()[1].retry_after, Some(Duration::from_secs(9)));
    assert!(error.to_string().contains("t0: status 500: one; t1: status 429: two"), "{error}");
    let error = world.read(LONG).await.1.unwrap_err();
    assert_eq!((error.kind(), error.passed()[0].target.as_str()), ("all_failed", "t1"));
}

#[tokio::test]
async fn an_echoed_prompt_reaches_no_error() {
    let world = world(quick(), [Script::error(500, "cannot answer 'a secret question'")]).await;
    let error = world.complete(LONG).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
}

#[tokio::test]
async fn attempts_can_be_limited() {
    let world = world(quick(), [Script::error(500, "one"), Script::completion("never")]).await;
    let limits = Limits { max_attempts: Some(1), ..Limits::until(Instant::now() + LONG) };
    let error = world.begin(limits).complete().await.unwrap_err();
    assert_eq!((error.kind(), error.attempts().len()), ("all_failed", 1));
}

#[tokio::test]
async fn an_empty_plan_is_an_error() {
    let world = world(quick(), []).await;
    assert_eq!(world.complete(LONG).await.unwrap_err(), Error::NoTargets { refused: Vec::new() });
    assert_eq!(world.read(LONG).await.1, Err(Error::NoTargets { refused: Vec::new() }));
}

#[tokio::test]
async fn the_deadline_bounds_everything() {
    let world = world(DispatchConfig::default(), [Script::hang(), Script::hang()]).await;
    let began = Instant::now();
    let unary = world.complete(SOON * 2).await.unwrap_err();
    let streamed = world.read(SOON * 2).await.1.unwrap_err();
    for error in [unary, streamed] {
        assert_eq!(error.kind(), "deadline_exceeded");
        assert_eq!(summary(error.attempts()), ["t0=timeout", "t1=timeout"]);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    world.servers[1].client_gone(2).await;

    let past = world.complete(Duration::ZERO).await.unwrap_err();
    assert_eq!((past.kind(), past.attempts().len()), ("deadline_exceeded", 0));
}

#[tokio::test]
async fn a_stream_that_breaks_after_text_is_not_replaced() {
    let check = async |ending: Vec<Step>, expected: &str| {
        let steps = [Step::delta("Grü"), Step::delta("ezi")].into_iter().chain(ending);
        let world = world(quick(), [Script::events(steps), Script::stream(&["never"])]).await;
        let (text, last) = world.read(LONG).await;
        let Err(Error::BrokenStream { attempts, delivered_chars }) = last else { panic!("{last:?}") };
        assert_eq!((text.as_str(), delivered_chars, summary(&attempts)), ("Grüezi", 6, strings(&[expected])));
        assert!(attempts[0].committed);
        assert_eq!(world.requests(), [1, 0]);
    };
    check(vec![], "t0=truncated").await;
    check(vec![Step::Close], "t0=broken").await;
    check(vec![Step::Send(b"data: nonsense\n\n".to_vec())], "t0=malformed").await;
    check(vec![Step::Send(b"data: {\"error\":{\"code\":400}}\n\n".to_vec())], "t0=status").await;
    check(vec![Step::Hang], "t0=timeout").await;
}

#[tokio::test]
async fn the_deadline_ends_a_stream_that_goes_on() {
    let steps = std::iter::repeat_n([Step::delta("a"), Step::Pause(SOON / 10)], 200).flatten();
    let world = world(quick(), [Script::events(steps)]).await;
    let (text, last) = world.read(SOON * 2).await;
    let error = last.unwrap_err();
    assert_eq!((error.kind(), error.attempts()[0].committed), ("deadline_exceeded", true));
    assert!(!text.is_empty());
    world.servers[0].client_gone(1).await;
}

#[tokio::test]
async fn slow_pieces_are_not_silence() {
    let pieces = std::iter::repeat_n([Step::Pause(SOON / 5), Step::delta("a")], 8).flatten();
    let steps: Vec<Step> = pieces.chain([Step::stop(), Step::done()]).collect();
    let world = world(quick(), [Script::events(steps)]).await;
    let (text, end) = world.read(LONG).await;
    assert_eq!(text, "aaaaaaaa");
    assert!(matches!(end, Ok(DispatchEvent::End { finish: FinishReason::Stop, .. })), "{end:?}");
}

#[tokio::test]
async fn an_empty_answer_is_an_answer() {
    let unary = world(quick(), [Script::completion(""), Script::completion("never")]).await;
    assert_eq!(unary.complete(LONG).await.unwrap().completion.text, "");
    let streamed = world(quick(), [Script::stream(&[]), Script::stream(&["never"])]).await;
    let (text, end) = streamed.read(LONG).await;
    assert!(text.is_empty() && end.is_ok(), "{end:?}");
    assert_eq!((unary.requests(), streamed.requests()), (vec![1, 0], vec![1, 0]));
}

#[tokio::test]
async fn a_stream_without_an_event_goes_on_to_the_next_target() {
    let world = world(quick(), [Script::events([]), Script::stream(&["good"])]).await;
    let (text, end) = world.read(LONG).await;
    let Ok(DispatchEvent::End { attempts, .. }) = end else { panic!("{end:?}") };
    assert_eq!((text.as_str(), summary(&attempts)), ("good", strings(&["t0=truncated", "t1=ok"])));
}

#[tokio::test]
async fn who_has_gone_gets_no_more_work_done() {
    let world = Arc::new(world(DispatchConfig::default(), [Script::hang(), Script::completion("never")]).await);
    let call = tokio::spawn({
        let world = world.clone();
        async move { world.complete(LONG).await }
    });
    world.servers[0].requested(1).await;
    call.abort();
    world.servers[0].client_gone(1).await;
    assert_eq!(world.requests(), [1, 0]);
}

#[tokio::test]
async fn a_dropped_stream_closes_the_call() {
    let script = Script::events([Step::delta("a"), Step::Hang]);
    let world = world(DispatchConfig::default(), [script, Script::stream(&["never"])]).await;
    let mut stream = world.stream(LONG);
    let account = stream.account().clone();
    assert_eq!(world.requests(), [0, 0], "nothing is called before it is asked for");
    assert_eq!(stream.next().await, Some(Ok(DispatchEvent::Text("a".to_owned()))));
    assert_eq!((account.progress(), account.delivered(), account.attempts().len()), (Progress::UnderWay, true, 0));
    drop(stream);
    world.servers[0].client_gone(1).await;
    assert_eq!(world.requests(), [1, 0]);
    assert_eq!((account.progress(), summary(&account.attempts())), (Progress::Cancelled, strings(&["t0=cancelled"])));
    let (usage, is_estimated) = account.usage();
    assert!(is_estimated && usage.output_tokens == 1 && usage.input_tokens > 4, "{usage:?}");
}

/// The best of a few, since the machine may be busy with other tests.
#[tokio::test(flavor = "multi_thread")]
async fn the_provider_hears_of_a_dropped_stream_within_a_tenth_of_a_second() {
    let world = world(DispatchConfig::default(), [Script::events([Step::delta("a"), Step::Hang])]).await;
    let mut times = Vec::new();
    for round in 1..=5 {
        let mut stream = world.stream(LONG);
        assert!(matches!(stream.next().await, Some(Ok(DispatchEvent::Text(_)))));
        let dropped = Instant::now();
        drop(stream);
        world.servers[0].client_gone(round).await;
        times.push(dropped.elapsed());
    }
    assert!(times.iter().min().unwrap() < &Duration::from_millis(100), "{times:?}");
}

#[tokio::test]
async fn a_slow_target_is_hedged_and_the_loser_hears_of_it() {
    for streamed in [false, true] {
        let good = if streamed { Script::stream(&["good"]) } else { Script::completion("good") };
        let world = world(DispatchConfig::default(), [Script::hang(), good]).await;
        let hedge = Some(Hedge { after: Some(Duration::from_millis(50)) });
        let dispatch = world.begin(Limits { hedge, ..Limits::until(Instant::now() + LONG) });
        let account = dispatch.account().clone();
        if streamed {
            let events: Vec<_> = dispatch.stream().map(|event| event.unwrap()).collect().await;
            assert_eq!(events[0], DispatchEvent::Text("good".to_owned()));
        } else {
            assert_eq!(dispatch.complete().await.unwrap().completion.text, "good");
        }
        let attempts = account.attempts();
        assert_eq!(summary(&attempts), ["t0=cancelled", "t1=ok"]);
        assert_eq!((attempts[0].is_hedge, attempts[1].is_hedge), (false, true));
        world.servers[0].client_gone(1).await;
    }
}

/// Where no target is configured.
fn plan_of_the_demo() -> Plan {
    let table = RoutingTable::new(&RoutingConfig::default()).unwrap();
    let (set, route) = (SetName::new("s").unwrap(), Route::named(RouteName::new("r").unwrap()));
    let (policy, needs) = (DataPolicy::default(), BTreeSet::new());
    let asked = Asked {
        set: &set,
        route: &route,
        pin: None,
        policy: &policy,
        needs: &needs,
        size: Size::default(),
        affinity: None,
        lot: 0,
    };
    table.plan(&asked, Instant::now())
}

#[tokio::test]
async fn the_demo_answers_a_plan_without_targets() {
    let dispatcher = Dispatcher::new(Providers::new([]), DispatchConfig::default());
    let limits = Limits::until(Instant::now() + LONG);
    let dispatch = dispatcher.begin(&plan_of_the_demo(), Arc::new(request()), limits);
    let answer = dispatch.complete().await.unwrap();
    assert!(answer.completion.text.contains("demo"), "{}", answer.completion.text);
    assert_eq!(summary(&answer.attempts), ["demo=ok"]);
}
