//! What is asked again and again beside the requests, such as the store: logged when it goes out of reach and when it
//! comes back, not at each try between.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::telemetry::chain;

/// Whether the last try succeeded.
#[derive(Debug)]
pub(crate) struct Reach {
    gone: &'static str,
    back: &'static str,
    reachable: bool,
}

impl Reach {
    /// What is logged when it goes, and when it comes back.
    pub(crate) fn new(gone: &'static str, back: &'static str) -> Self {
        Self { gone, back, reachable: true }
    }

    /// Takes note of a try.
    pub(crate) fn note<T, E: Error + 'static>(&mut self, tried: &Result<T, E>) {
        match tried {
            Ok(_) if !self.reachable => tracing::info!("{}", self.back),
            Err(error) if self.reachable => tracing::error!(error = %chain(error), "{}", self.gone),
            _ => {}
        }
        self.reachable = tried.is_ok();
    }

    /// Tries until `stop`, with a pause before each try.
    pub(crate) async fn follow<T, E: Error + 'static, F: Future<Output = Result<T, E>>>(
        mut self,
        pause: Duration,
        stop: CancellationToken,
        attempt: impl Fn() -> F,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            self.note(&attempt().await);
        }
    }
}
