//! When to stop: Ctrl-C or SIGTERM.

use std::io;

use tokio_util::sync::CancellationToken;

/// Signals, heard from the moment that this is made: none that comes between two waits is lost.
#[derive(Debug, Clone)]
pub struct Signals {
    first: CancellationToken,
    second: CancellationToken,
}

impl Signals {
    /// Replaces what the system does by default at the signals. To be called within a runtime.
    pub fn listen() -> io::Result<Self> {
        let mut source = Source::new()?;
        let signals = Self { first: CancellationToken::new(), second: CancellationToken::new() };
        let heard = signals.clone();
        // Ends with the process: there is a signal to wait for as long as that runs.
        tokio::spawn(async move {
            source.next().await;
            heard.first.cancel();
            source.next().await;
            heard.second.cancel();
        });
        Ok(signals)
    }

    /// Ready at the first signal and ever after: end in good order.
    pub fn first(&self) -> impl Future<Output = ()> + Send + 'static {
        self.first.clone().cancelled_owned()
    }

    /// Ready at the second signal: somebody has lost patience with the good order.
    pub fn second(&self) -> impl Future<Output = ()> + Send + 'static {
        self.second.clone().cancelled_owned()
    }
}

#[cfg(unix)]
struct Source {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Source {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Source;

#[cfg(not(unix))]
impl Source {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
