//! Providers that fail in every way, and requests at an even rate for them, in the clock of the runtime.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::task::JoinSet;

use super::super::pursuit::now;
use super::super::*;
use crate::prompt::Message;
use crate::provider::{
    self, ChatRequest, Completion, CompletionStream, ErrorClass, FinishReason, Provider, Providers, StreamItem, Usage,
};
use crate::reference::TargetName;
use crate::routing::{Plan, Target};

/// What a provider does at present.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mood {
    /// Answers after so many milliseconds.
    Well(u64),
    Down,
    Limits(Option<Duration>),
    Hangs,
    /// Streams break after their first text; whole answers break off.
    Resets,
    Garbage,
    /// Fails this share of the calls.
    Flaky(f64),
}

pub(super) struct Moody {
    mood: Mutex<Mood>,
    calls: AtomicU32,
}

impl Moody {
    pub fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    async fn answer(&self) -> Result<Mood, provider::Error> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Well(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Mood::Hangs => std::future::pending().await,
            Mood::Down => return Err(provider::Error::Connect { what: "refused".to_owned() }),
            Mood::Limits(retry_after) => {
                let class = ErrorClass::RateLimited;
                return Err(provider::Error::Status { status: 429, class, retry_after, message: String::new() });
            }
            Mood::Garbage => return Err(provider::Error::Malformed { what: "not JSON".to_owned() }),
            Mood::Flaky(share) if rand::random::<f64>() < share => {
                return Err(provider::Error::Broken { what: "now and then".to_owned() });
            }
            Mood::Flaky(_) | Mood::Resets => tokio::time::sleep(Duration::from_millis(5)).await,
        }
        Ok(mood)
    }
}

#[async_trait]
impl Provider for Moody {
    async fn complete(&self, _: &str, _: &Arc<ChatRequest>) -> Result<Completion, provider::Error> {
        if self.answer().await? == Mood::Resets {
            return Err(provider::Error::Broken { what: "reset".to_owned() });
        }
        let usage = Some(Usage::new(3, 2));
        Ok(Completion { text: "good".to_owned(), finish: FinishReason::Stop, usage, ..Completion::default() })
    }

    async fn stream(&self, _: &str, _: &Arc<ChatRequest>) -> Result<CompletionStream, provider::Error> {
        let text = Ok(StreamItem::Text("good".to_owned()));
        let end = match self.answer().await? {
            Mood::Resets => Err(provider::Error::Broken { what: "reset".to_owned() }),
            _ => Ok(StreamItem::End { finish: FinishReason::Stop, usage: None, model: None, dropped: Vec::new() }),
        };
        Ok(Box::pin(stream::iter([text, end])))
    }
}

pub(super) struct World {
    pub providers: Vec<Arc<Moody>>,
    pub dispatcher: Dispatcher,
    pub plan: Plan,
}

/// What came of the requests of a phase.
#[derive(Debug, Default)]
pub(super) struct Phase {
    pub requests: u32,
    pub answered: u32,
    /// Streams that broke after text.
    pub broken: u32,
    pub failed: Vec<String>,
    /// Milliseconds, sorted; of those that began two seconds or more after the phase did.
    pub latencies: Vec<u128>,
    /// Calls of each provider.
    pub calls: Vec<u32>,
}

impl Phase {
    pub fn p99(&self) -> u128 {
        self.latencies[self.latencies.len() * 99 / 100]
    }
}

pub(super) fn world(config: DispatchConfig, moods: &[Mood]) -> World {
    let (mut providers, mut named, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for (at, mood) in moods.iter().enumerate() {
        let provider = Arc::new(Moody { mood: Mutex::new(*mood), calls: AtomicU32::new(0) });
        named.push((format!("p{at}"), provider.clone() as Arc<dyn Provider>));
        let name = TargetName::new(&format!("t{at}")).unwrap();
        targets.push(Arc::new(Target::new(name, format!("p{at}"), format!("m{at}"))));
        providers.push(provider);
    }
    let plan = Plan::unjudged(targets);
    World { providers, dispatcher: Dispatcher::new(Providers::new(named), config), plan }
}

/// As somebody would set it for targets that answer in milliseconds.
pub(super) fn brisk() -> DispatchConfig {
    let second = Duration::from_secs(1);
    DispatchConfig { attempt_timeout: Some(second), first_token_timeout: second, ..DispatchConfig::default() }
}

impl World {
    pub fn begin(&self) -> Dispatch {
        let request = ChatRequest { messages: vec![Message::user("hello")], ..ChatRequest::default() };
        let limits = Limits::until(now() + Duration::from_secs(10));
        self.dispatcher.begin(&self.plan, Arc::new(request), limits)
    }

    pub async fn complete(&self) -> Result<Dispatched, Error> {
        self.begin().complete().await
    }

    /// Requests at an even rate for so many seconds, every other one streamed.
    pub async fn load(&self, per_second: u32, seconds: u32, streams: bool) -> Phase {
        let before: Vec<u32> = self.providers.iter().map(|it| it.calls()).collect();
        let mut phase = Phase { requests: per_second * seconds, ..Phase::default() };
        let mut under_way = JoinSet::new();
        for number in 0..phase.requests {
            let dispatch = self.begin();
            under_way.spawn(async move {
                let began = now();
                let result = if streams && number % 2 == 0 {
                    let mut events = dispatch.stream();
                    let mut last = None;
                    while let Some(event) = events.next().await {
                        last = Some(event.map(drop));
                    }
                    last.unwrap()
                } else {
                    dispatch.complete().await.map(drop)
                };
                (number, result, now() - began)
            });
            tokio::time::sleep(Duration::from_secs(1) / per_second).await;
        }
        while let Some(done) = under_way.join_next().await {
            let (number, result, took) = done.unwrap();
            match result {
                Ok(()) => phase.answered += 1,
                Err(Error::BrokenStream { .. }) => phase.broken += 1,
                Err(error) => phase.failed.push(error.to_string()),
            }
            // From two seconds on every breaker that has to open has done so.
            if number >= per_second * 2 {
                phase.latencies.push(took.as_millis());
            }
        }
        phase.latencies.sort_unstable();
        phase.calls = self.providers.iter().zip(before).map(|(it, before)| it.calls() - before).collect();
        phase
    }
}
