//! The listener. One request a connection, each within a few seconds: nobody can hold a place by being slow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::{HttpConfig, Listen};
use super::pages::router;
use super::standing::Standing;

/// Connections at once; more of them wait.
const MAX_CONNECTIONS: usize = 64;

/// Bytes of a request's head, and most of its fields.
const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_FIELDS: usize = 64;

/// For the head of a request to come, and for the whole of a connection.
const HEAD_TIME: Duration = Duration::from_secs(5);
const WHOLE_TIME: Duration = Duration::from_secs(10);

/// For the last answers to go out.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// After a connection could not be taken, for example for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("http.listen: {address} cannot be listened on")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
}

/// A bound port, not yet served.
pub struct BoundHttp {
    listener: TcpListener,
    address: SocketAddr,
}

impl BoundHttp {
    /// `None` if the port is off, or if nobody asked for it and it is taken. Port 0 takes a free one.
    pub async fn bind(config: &HttpConfig) -> Result<Option<Self>, HttpError> {
        let Some(address) = config.listen.address() else { return Ok(None) };
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        match bound.await {
            Ok(bound) => Ok(Some(bound)),
            Err(error) if config.listen == Listen::IfFree => {
                tracing::warn!(%address, %error, "no metrics and no probes: set http.listen to another address");
                Ok(None)
            }
            Err(source) => Err(HttpError::Listen { address, source }),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`.
    pub async fn run(self, standing: Standing, stop: CancellationToken) {
        let router = router(standing);
        let (connections, cut_off) = (TaskTracker::new(), CancellationToken::new());
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        while let Some(stream) = stop.run_until_cancelled(next(&self.listener, &places)).await {
            let Ok((stream, place)) = stream else { continue };
            let (router, cut_off) = (router.clone(), cut_off.clone());
            connections.spawn(async move {
                let _place = place;
                let _ = cut_off.run_until_cancelled(tokio::time::timeout(WHOLE_TIME, answer(stream, router))).await;
            });
        }
        drop(self.listener);
        connections.close();
        if tokio::time::timeout(LAST_WORDS, connections.wait()).await.is_err() {
            cut_off.cancel();
            connections.wait().await;
        }
    }
}

/// A connection with a place for it.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Result<(TcpStream, tokio::sync::OwnedSemaphorePermit), ()> {
    let place = Arc::clone(places).acquire_owned().await.map_err(|_| ())?;
    match listener.accept().await {
        Ok((stream, _)) => Ok((stream, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection to the HTTP port could not be taken");
            tokio::time::sleep(PAUSE).await;
            Err(())
        }
    }
}

async fn answer(stream: TcpStream, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_FIELDS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the HTTP port ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_was_not_asked_for_keeps_nobody_from_starting() {
        let default = HttpConfig::default();
        // It may be taken by others already.
        let _first = BoundHttp::bind(&default).await.unwrap();
        assert!(BoundHttp::bind(&default).await.unwrap().is_none());
        let off = HttpConfig { listen: Listen::Off };
        assert!(BoundHttp::bind(&off).await.unwrap().is_none());

        let free = HttpConfig { listen: Listen::At(SocketAddr::from(([127, 0, 0, 1], 0))) };
        let bound = BoundHttp::bind(&free).await.unwrap().unwrap();
        let taken = HttpConfig { listen: Listen::At(bound.address()) };
        let error = BoundHttp::bind(&taken).await.err().unwrap().to_string();
        assert_eq!(error, format!("http.listen: {} cannot be listened on", bound.address()));
    }
}
