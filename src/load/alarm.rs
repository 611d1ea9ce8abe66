//! Waking up at a time to a tenth of a millisecond: the runtime's own timers know whole milliseconds only, and in one of
//! them fifteen requests are due at 15,000 a second.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// What the runtime's timer leaves to the thread: its granularity twice over.
const FINE: Duration = Duration::from_millis(3);

/// A thread that sleeps for one task. It ends after the [`Alarm`] is dropped.
#[derive(Debug)]
pub(super) struct Alarm {
    asked: Sender<Instant>,
    rung: Arc<Notify>,
}

impl Alarm {
    pub(super) fn start() -> io::Result<Self> {
        let (asked, asks) = channel::<Instant>();
        let rung = Arc::new(Notify::new());
        let rings = Arc::clone(&rung);
        thread::Builder::new().name("alarm".to_owned()).spawn(move || {
            while let Ok(at) = asks.recv() {
                thread::sleep(at.saturating_duration_since(Instant::now()));
                rings.notify_one();
            }
        })?;
        Ok(Self { asked, rung })
    }

    /// Ready at `at`, or a little later; at once, but not before other tasks had their turn, if that is over. May be
    /// ready too early after an earlier wait was given up.
    pub(super) async fn until(&self, at: Instant) {
        let left = at.saturating_duration_since(Instant::now());
        if left > FINE {
            tokio::time::sleep(left - FINE).await;
        }
        if at <= Instant::now() || self.asked.send(at).is_err() {
            return tokio::task::yield_now().await;
        }
        self.rung.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_never_rings_too_early() {
        let alarm = Alarm::start().unwrap();
        for micros in [0, 50, 700, 2_500, 9_000] {
            let at = Instant::now() + Duration::from_micros(micros);
            alarm.until(at).await;
            assert!(Instant::now() >= at, "{micros} µs");
        }
        alarm.until(Instant::now() - Duration::from_secs(1)).await;
    }
}
