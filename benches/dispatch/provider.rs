//! A provider whose manners can be changed while it runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crate::scripted::{Received, Script, Scripted, Step};

/// Tokens of a slow stream, one each half second: thirty seconds.
const SLOW_TOKENS: usize = 60;
const SLOW_PAUSE: Duration = Duration::from_millis(500);

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Manner {
    Well = 0,
    /// 429 with a second to wait.
    Limited = 1,
    Hangs = 2,
    /// The connection is reset before any text.
    Resets = 3,
    /// Bytes that are not HTTP.
    Garbage = 4,
    /// A token each half second for thirty seconds.
    SlowStream = 5,
    /// A quarter of a second before the answer.
    Slow = 6,
}

impl Manner {
    fn of(number: u8) -> Self {
        [Self::Well, Self::Limited, Self::Hangs, Self::Resets, Self::Garbage, Self::SlowStream, Self::Slow]
            .into_iter()
            .find(|manner| *manner as u8 == number)
            .unwrap_or(Self::Well)
    }
}

#[derive(Default)]
struct Shared {
    manner: AtomicU8,
    asked: AtomicU64,
}

/// Down until it is started.
pub(crate) struct Provider {
    address: SocketAddr,
    shared: Arc<Shared>,
    running: Option<Scripted>,
}

impl Provider {
    pub(crate) async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let running = Scripted::start_with(answer(Arc::clone(&shared))).await;
        Self { address: running.address(), shared, running: Some(running) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn behave(&self, manner: Manner) {
        self.shared.manner.store(manner as u8, Ordering::Relaxed);
    }

    /// Requests so far.
    pub(crate) fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::Relaxed)
    }

    /// Connections are refused from now on.
    pub(crate) fn stop(&mut self) {
        self.running = None;
    }

    pub(crate) async fn come_back(&mut self) {
        // The port may be free a moment after the old listener's task has gone.
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.running = Some(Scripted::start_at(self.address, answer(Arc::clone(&self.shared))).await);
    }
}

fn answer(shared: Arc<Shared>) -> impl Fn(usize, &Received) -> Script + Send + Sync + 'static {
    move |_, request| {
        shared.asked.fetch_add(1, Ordering::Relaxed);
        let streams = request.json()["stream"].as_bool().unwrap_or(false);
        match Manner::of(shared.manner.load(Ordering::Relaxed)) {
            Manner::Well => well(streams),
            Manner::Slow => well(streams).after(Duration::from_millis(250)),
            Manner::Limited => Script::error(429, "slow down").header("retry-after", "1"),
            Manner::Hangs => Script::hang(),
            Manner::Resets if streams => Script::events([Step::Reset]),
            Manner::Resets => Script::close(),
            Manner::Garbage => Script::garbage(),
            Manner::SlowStream => {
                let token = |_| [Step::delta("word "), Step::Pause(SLOW_PAUSE)];
                Script::events((0..SLOW_TOKENS).flat_map(token).chain([Step::stop(), Step::done()]))
            }
        }
    }
}

fn well(streams: bool) -> Script {
    if streams {
        Script::stream(&["four ", "words ", "of ", "answer"])
    } else {
        Script::completion("four words of answer")
    }
}
