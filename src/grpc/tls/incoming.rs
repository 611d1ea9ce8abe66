//! Connections with their handshakes done. One that is slow at it holds up no other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;

use super::reload::Tls;

/// Longest time for a handshake.
const PATIENCE: Duration = Duration::from_secs(3);

/// Handshakes at once; further connections wait in the kernel.
const HANDSHAKES: usize = 4_096;

/// After a connection that could not be accepted, for example for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

type Incoming = io::Result<TlsStream<TcpStream>>;

/// Ends, and closes the port, when the result is dropped.
pub(in crate::grpc) fn incoming(
    listener: TcpListener,
    tls: Tls,
    tasks: &TaskTracker,
) -> impl Stream<Item = Incoming> + Send + use<> {
    let (sender, receiver) = mpsc::channel(1);
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let shaking = tasks.clone();
    tasks.spawn(async move {
        // The semaphore is never closed.
        while let Ok(place) = Arc::clone(&handshakes).acquire_owned().await {
            let accepted = tokio::select! {
                () = sender.closed() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((tcp, _)) => {
                    shaking.spawn(shake_hands(tcp, TlsAcceptor::from(tls.present()), sender.clone(), place));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    });
    ReceiverStream::new(receiver)
}

async fn shake_hands(
    tcp: TcpStream,
    acceptor: TlsAcceptor,
    sender: mpsc::Sender<Incoming>,
    _place: OwnedSemaphorePermit,
) {
    // Without TCP_NODELAY small answers wait for the kernel.
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    let shaken = tokio::select! {
        () = sender.closed() => return,
        shaken = tokio::time::timeout(PATIENCE, acceptor.accept(tcp)) => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => {
            let _ = sender.send(Ok(stream)).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}
