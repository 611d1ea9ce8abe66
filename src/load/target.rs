//! The server that is measured: its address, and connections to it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use http::uri::{Authority, Scheme, Uri};
use http::{HeaderValue, Method, Request, Version, header};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::error::Error;

/// What is spoken over.
pub(super) type Wire = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Longest time to set up a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Longest wait for the first sign of life.
const SILENCE: Duration = Duration::from_secs(10);

/// Answers are taken in at once: no window needs to hold the server back.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;

/// Any gRPC server answers this one, be it that it does not know the method.
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// Cheap to clone.
#[derive(Clone)]
pub struct Target {
    authority: Authority,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// What is sent as `authorization`.
    authorization: Option<HeaderValue>,
}

impl Target {
    /// From `http://host:port`, or `https://host:port`, which takes TLS.
    pub fn parse(text: &str, tls: Option<Arc<ClientConfig>>) -> Result<Self, Error> {
        let wrong = |why| Error::Address { url: text.to_owned(), why };
        let (rest, tls) = match (text.split_once("://"), tls) {
            (Some(("http", rest)), _) => (rest, None),
            (Some(("https", rest)), Some(tls)) => (rest, Some(TlsConnector::from(tls))),
            (Some(("https", _)), None) => return Err(wrong("it takes TLS, and there is none")),
            _ => return Err(wrong("only http:// and https:// are spoken")),
        };
        let authority: Authority =
            rest.trim_end_matches('/').parse().map_err(|_| wrong("expected http://host:port"))?;
        if authority.port_u16().is_none() || authority.host().is_empty() {
            return Err(wrong("the port is missing: expected http://host:port"));
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let tls = match tls {
            Some(tls) => {
                Some((tls, ServerName::try_from(host).map_err(|_| wrong("no certificate bears such a name"))?))
            }
            None => None,
        };
        Ok(Self { authority, tls, authorization: None })
    }

    /// With a key for a server that asks for one.
    pub fn with_key(mut self, key: &str) -> Result<Self, Error> {
        let mut value = HeaderValue::try_from(format!("Bearer {key}"))
            .map_err(|_| Error::Address { url: self.url(), why: "SEMROUTE_KEY holds no key" })?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }

    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme(), self.authority)
    }

    /// Connects and waits for an answer, whatever it says.
    pub async fn check(&self) -> Result<(), Error> {
        let not_grpc = |source| Error::NotGrpc { url: self.url(), source };
        let wire = self.wire().await.map_err(|source| Error::Unreachable { url: self.url(), source })?;
        let answered = tokio::time::timeout(SILENCE, async {
            let (mut sender, connection) = handshake(wire).await?;
            let request = self.request(HEALTH, HeaderValue::from_static("10S"));
            let (response, mut body) = sender.send_request(request, false)?;
            // An empty message: the health of the server as a whole.
            body.send_data(Bytes::from_static(&[0; 5]), true)?;
            tokio::select! {
                response = response => response.map(drop),
                // Ends by itself only if the other side is done, in good order or not.
                ended = connection => ended.and(Err(h2::Error::from(h2::Reason::CONNECT_ERROR))),
            }
        });
        match answered.await {
            Ok(answered) => answered.map_err(not_grpc),
            Err(_) => Err(Error::Silent { url: self.url(), waited: SILENCE }),
        }
    }

    pub(super) async fn connect(&self) -> Result<(SendRequest<Bytes>, Connection<Wire>), h2::Error> {
        let wire = self.wire().await.map_err(|_| h2::Error::from(h2::Reason::CONNECT_ERROR))?;
        handshake(wire).await
    }

    fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// The head of a call.
    pub(super) fn request(&self, path: &'static str, timeout: HeaderValue) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static(path));
        // All three parts are there: that is what makes a whole address.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert("grpc-timeout", timeout);
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        request
    }

    async fn wire(&self) -> io::Result<Wire> {
        let connecting = async {
            let tcp = TcpStream::connect(self.authority.as_str()).await?;
            tcp.set_nodelay(true)?;
            Ok(match &self.tls {
                Some((tls, name)) => Either::Right(Box::new(tls.connect(name.clone(), tcp).await?)),
                None => Either::Left(tcp),
            })
        };
        tokio::time::timeout(CONNECT, connecting).await.map_err(|_| io::ErrorKind::TimedOut)?
    }
}

async fn handshake(wire: Wire) -> Result<(SendRequest<Bytes>, Connection<Wire>), h2::Error> {
    h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .enable_push(false)
        .handshake(wire)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_printed() {
        for (text, url) in [
            ("http://127.0.0.1:50051", "http://127.0.0.1:50051"),
            ("http://router.example:80/", "http://router.example:80"),
            ("http://[::1]:7", "http://[::1]:7"),
        ] {
            assert_eq!(Target::parse(text, None).unwrap().url(), url);
        }
        for (text, named) in [
            ("https://a:1", "TLS"),
            ("ftp://a:1", "only http://"),
            ("http://localhost", "port"),
            ("http://:80", "port"),
            ("http://a b:3", "expected"),
            ("http://", "expected"),
            ("http://a:99999", "port"),
        ] {
            let error = Target::parse(text, None).err().unwrap().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
