//! A gRPC client without a clock of its own, and without tonic: with tonic's client a deadline ends the call on the
//! client's side, and what the server has to say is never seen.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use prost::Message;
use tonic::Status;

use crate::server::TestServer;

/// Calls a method of RouterService with this `grpc-timeout`. `Ok` is an answer, unread.
pub(crate) async fn call(
    server: &TestServer,
    method: &str,
    message: &impl Message,
    timeout: &str,
) -> Result<(), Status> {
    call_slowly(server, method, message, timeout, Duration::ZERO).await
}

/// The same; the second half of the message is sent after a pause.
pub(crate) async fn call_slowly(
    server: &TestServer,
    method: &str,
    message: &impl Message,
    timeout: &str,
    pause: Duration,
) -> Result<(), Status> {
    // One process-wide provider serves every client; another test may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().http2_prior_knowledge().tls_certs_only([]).no_proxy().build().unwrap();
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.encoded_len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&message.encode_to_vec());
    let second = frame.split_off(frame.len() / 2);
    let pieces = stream::iter([(Duration::ZERO, frame), (pause, second)]).then(|(pause, piece)| async move {
        tokio::time::sleep(pause).await;
        Ok::<_, std::io::Error>(piece)
    });
    let response = client
        .post(format!("http://{}/semroute.v1.RouterService/{method}", server.address))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", timeout)
        .body(reqwest::Body::wrap_stream(pieces))
        .send()
        .await
        .unwrap();
    // A status that stands alone comes in the headers, that of an answer in its trailers.
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != tonic::Code::Ok => Err(status),
        _ => Ok(()),
    }
}
