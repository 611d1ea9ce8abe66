//! Calls target after target, as the course says, until one has brought its first output; beside a slow one, if the
//! request wishes or where the first is a probe, a second. Waits and never decides.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::account::Account;
use super::course::{Leg, Step};
use super::error::Error;
use crate::provider;

/// A call that is made once it is polled, and closed if it is dropped.
pub(super) type Opening<T> = Pin<Box<dyn Future<Output = Result<T, provider::Error>> + Send>>;

/// The clock of the runtime, which tests can stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Evenly distributed over [0, 1).
pub(super) fn dice() -> f64 {
    rand::random()
}

/// The leg that won, and what it brought; all others have been closed and recorded.
pub(super) async fn pursue<T>(account: &Account, open: impl Fn(&Leg) -> Opening<T>) -> Result<(Leg, T), Error> {
    loop {
        let leg = match account.with(|course| course.next(now(), dice())) {
            Step::Call(leg) => leg,
            Step::Wait(until) => {
                tokio::time::sleep_until(until.into()).await;
                continue;
            }
            Step::End(error) => return Err(error),
        };
        if let Some(won) = race(account, leg, &open).await {
            return Ok(won);
        }
    }
}

/// One leg, or two; `None` if they failed.
async fn race<T>(account: &Account, leg: Leg, open: &impl Fn(&Leg) -> Opening<T>) -> Option<(Leg, T)> {
    let mut hedge_at = account.with(|course| course.hedge_at(&leg));
    let call = |leg: Leg| {
        let opening = open(&leg);
        async move {
            let result = within(&leg, opening).await;
            (leg, result)
        }
    };
    let mut calls = FuturesUnordered::new();
    calls.push(call(leg));
    loop {
        let pause = hedge_at.unwrap_or_else(|| now() + Duration::from_secs(1));
        tokio::select! {
            Some((leg, result)) = calls.next() => match result {
                Ok(brought) => {
                    // Dropping the other call, if there is one, closes it at once.
                    account.with(|course| course.commit(&leg, now()));
                    return Some((leg, brought));
                }
                Err(error) => {
                    log(&leg, &error);
                    account.with(|course| course.fail(&leg, &error, now(), dice()));
                    if calls.is_empty() {
                        return None;
                    }
                }
            },
            () = tokio::time::sleep_until(pause.into()), if hedge_at.is_some() => {
                hedge_at = None;
                if let Some(second) = account.with(|course| course.hedge(now())) {
                    calls.push(call(second));
                }
            }
        }
    }
}

/// Limits a call to its leg's time.
async fn within<T>(leg: &Leg, call: impl Future<Output = Result<T, provider::Error>>) -> Result<T, provider::Error> {
    match tokio::time::timeout_at(leg.until.into(), call).await {
        Ok(result) => result,
        Err(_) => Err(provider::Error::Timeout { after: leg.until.saturating_duration_since(leg.began) }),
    }
}

pub(super) fn log(leg: &Leg, error: &provider::Error) {
    let (name, provider) = (&leg.target.name, &leg.target.provider);
    tracing::info!(name: "attempt_failed", to = %name, provider, kind = error.kind(), %error, "an attempt failed");
}
