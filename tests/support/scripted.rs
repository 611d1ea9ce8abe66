//! A provider on loopback that answers by script, records what it was asked, and notices when the client goes away.
//!
//! Needs std, tokio and serde_json only, so that unit tests and tests of the whole service can both include it:
//! `#[path = "..."] mod scripted;`. HTTP/1.1 with keep-alive; port 0; nothing outlives the [`Scripted`].
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, reason = "shared by several test trees")]

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How long a test waits for something that has to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    /// With its query.
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Received {
    /// The body as JSON, or null.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// One answer: a head, if any, and the steps that follow it. The connection stays open after a whole answer only.
#[derive(Debug, Clone)]
pub struct Script {
    /// Before anything is sent.
    pause: Duration,
    head: Option<Head>,
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
struct Head {
    status: u16,
    headers: Vec<(String, String)>,
    /// A body of known length is sent with `content-length`, any other in chunks.
    length: Option<usize>,
}

/// What happens next in an answer.
#[derive(Debug, Clone)]
pub enum Step {
    Send(Vec<u8>),
    /// Silence for a while; it ends at once when the client goes away.
    Pause(Duration),
    /// Silence until the client goes away.
    Hang,
    /// The connection is closed in good order, in the middle of the answer.
    Close,
    /// The connection is reset.
    Reset,
}

impl Script {
    /// A whole answer in JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::whole(status, "application/json", body.to_string())
    }

    /// A whole answer of any kind.
    pub fn whole(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self {
            pause: Duration::ZERO,
            head: Some(Head { status, headers, length: Some(body.len()) }),
            steps: vec![Step::Send(body)],
        }
    }

    /// A begun stream of events with status 200; it ends in good order after the last step.
    pub fn events(steps: impl IntoIterator<Item = Step>) -> Self {
        let headers = vec![("content-type".to_owned(), "text/event-stream".to_owned())];
        Self {
            pause: Duration::ZERO,
            head: Some(Head { status: 200, headers, length: None }),
            steps: steps.into_iter().collect(),
        }
    }

    /// The request is read and never answered.
    pub fn hang() -> Self {
        Self { pause: Duration::ZERO, head: None, steps: vec![Step::Hang] }
    }

    /// The request is read and the connection closed.
    pub fn close() -> Self {
        Self { pause: Duration::ZERO, head: None, steps: vec![Step::Close] }
    }

    /// The request is answered with bytes that are not HTTP.
    pub fn garbage() -> Self {
        Self {
            pause: Duration::ZERO,
            head: None,
            steps: vec![Step::Send(b"\x00\xffnot http\r\n\r\n".to_vec()), Step::Close],
        }
    }

    /// The same answer after a silence.
    pub fn after(mut self, time: Duration) -> Self {
        self.pause = time;
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Some(head) = &mut self.head {
            head.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// An OpenAI-compatible answer with this text.
    pub fn completion(text: &str) -> Self {
        let choice = serde_json::json!({
            "index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop",
        });
        let usage = serde_json::json!({"prompt_tokens": 3, "completion_tokens": 2});
        Self::json(200, &serde_json::json!({"model": "scripted", "choices": [choice], "usage": usage}))
    }

    /// An OpenAI-compatible error.
    pub fn error(status: u16, message: &str) -> Self {
        Self::json(status, &serde_json::json!({"error": {"message": message, "type": "scripted"}}))
    }

    /// An OpenAI-compatible stream of these texts, with its end.
    pub fn stream(texts: &[&str]) -> Self {
        Self::events(texts.iter().map(|text| Step::delta(text)).chain([Step::stop(), Step::done()]))
    }
}

impl Step {
    /// One event with JSON data.
    pub fn event(json: &Value) -> Self {
        Self::Send(format!("data: {json}\n\n").into_bytes())
    }

    /// An OpenAI-compatible chunk of text.
    pub fn delta(text: &str) -> Self {
        let choice = serde_json::json!({"index": 0, "delta": {"content": text}, "finish_reason": null});
        Self::event(&serde_json::json!({"model": "scripted", "choices": [choice]}))
    }

    /// The OpenAI-compatible chunk with the finish reason and the usage.
    pub fn stop() -> Self {
        let choice = serde_json::json!({"index": 0, "delta": {}, "finish_reason": "stop"});
        let usage = serde_json::json!({"prompt_tokens": 3, "completion_tokens": 2});
        Self::event(&serde_json::json!({"model": "scripted", "choices": [choice], "usage": usage}))
    }

    /// OpenAI's end marker.
    pub fn done() -> Self {
        Self::Send(b"data: [DONE]\n\n".to_vec())
    }
}

type Answers = dyn Fn(usize, &Received) -> Script + Send + Sync;

/// The running provider. Dropping it closes its port and all connections.
pub struct Scripted {
    address: SocketAddr,
    seen: Arc<Seen>,
    accepting: JoinHandle<()>,
}

struct Seen {
    requests: Mutex<Vec<Received>>,
    arrived: watch::Sender<usize>,
    gone: watch::Sender<usize>,
}

impl Scripted {
    /// Answers request after request with the next script, and with the last one ever after.
    pub async fn start(scripts: impl IntoIterator<Item = Script>) -> Self {
        let scripts: Vec<Script> = scripts.into_iter().collect();
        assert!(!scripts.is_empty(), "a scripted provider needs a script");
        Self::start_with(move |position, _| scripts[position.min(scripts.len() - 1)].clone()).await
    }

    /// Answers each request as `answer` says, given the number of requests before it.
    pub async fn start_with(answer: impl Fn(usize, &Received) -> Script + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), answer).await
    }

    /// The same at an address, where one may have run before.
    pub async fn start_at(
        address: SocketAddr,
        answer: impl Fn(usize, &Received) -> Script + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let seen = Arc::new(Seen {
            requests: Mutex::new(Vec::new()),
            arrived: watch::channel(0).0,
            gone: watch::channel(0).0,
        });
        let accepting = tokio::spawn(accept(listener, Arc::new(answer), seen.clone()));
        Self { address, seen, accepting }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:port` with `path`, for example `/v1`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Received> {
        self.seen.requests.lock().expect("no test panics with the lock").clone()
    }

    /// Waits until so many requests have come.
    pub async fn requested(&self, count: usize) {
        wait(&self.seen.arrived, count, "requests").await;
    }

    /// Waits until so many clients have gone away in the middle of an answer.
    pub async fn client_gone(&self, count: usize) {
        wait(&self.seen.gone, count, "clients that go away").await;
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn wait(counter: &watch::Sender<usize>, count: usize, what: &str) {
    let mut counts = counter.subscribe();
    let reached = tokio::time::timeout(PATIENCE, counts.wait_for(|seen| *seen >= count)).await.is_ok();
    assert!(reached, "{count} {what} were expected, {} came", *counter.borrow());
}

async fn accept(listener: TcpListener, answers: Arc<Answers>, seen: Arc<Seen>) {
    // Owned here, so that the connections end with this task.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (answers, seen) = (answers.clone(), seen.clone());
        connections.spawn(async move {
            // An error is a client that went away, which `converse` has counted.
            let _ = converse(stream, &*answers, &seen).await;
        });
    }
}

async fn converse(mut stream: TcpStream, answers: &Answers, seen: &Seen) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut unread = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut unread).await? {
        let position = {
            let mut requests = seen.requests.lock().expect("no test panics with the lock");
            requests.push(request.clone());
            requests.len() - 1
        };
        seen.arrived.send_replace(position + 1);
        let script = answers(position, &request);
        match perform(&mut stream, script).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                seen.gone.send_modify(|gone| *gone += 1);
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Whether the connection may be used again; an error means that the client has gone.
async fn perform(stream: &mut TcpStream, script: Script) -> io::Result<bool> {
    let chunked = script.head.as_ref().is_some_and(|head| head.length.is_none());
    let headless = script.head.is_none();
    if !script.pause.is_zero()
        && let Ok(gone) = tokio::time::timeout(script.pause, until_gone(stream)).await
    {
        return Err(gone);
    }
    if let Some(head) = script.head {
        let mut text = format!("HTTP/1.1 {} Scripted\r\n", head.status);
        for (name, value) in &head.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        match head.length {
            Some(length) => text.push_str(&format!("content-length: {length}\r\n\r\n")),
            None => text.push_str("transfer-encoding: chunked\r\n\r\n"),
        }
        stream.write_all(text.as_bytes()).await?;
    }
    for step in script.steps {
        match step {
            Step::Send(bytes) if chunked => {
                stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
                stream.write_all(&bytes).await?;
                stream.write_all(b"\r\n").await?;
            }
            Step::Send(bytes) => stream.write_all(&bytes).await?,
            Step::Pause(time) => {
                if let Ok(gone) = tokio::time::timeout(time, until_gone(stream)).await {
                    return Err(gone);
                }
            }
            Step::Hang => return Err(until_gone(stream).await),
            Step::Close => return Ok(false),
            Step::Reset => {
                stream.set_zero_linger()?;
                return Ok(false);
            }
        }
    }
    if chunked {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    Ok(!headless)
}

/// A client says nothing while it waits, so that anything readable is its end.
async fn until_gone(stream: &mut TcpStream) -> io::Error {
    let mut byte = [0];
    match stream.read(&mut byte).await {
        Ok(0) => io::ErrorKind::ConnectionAborted.into(),
        Ok(_) => io::Error::other("the client spoke out of turn"),
        Err(error) => error,
    }
}

async fn read_request(stream: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<Option<Received>> {
    let end = loop {
        if let Some(end) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&unread[..end]).into_owned();
    unread.drain(..end + 4);
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while unread.len() < length {
        if stream.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    }
    let body = unread.drain(..length).collect();
    Ok(Some(Received { method, path, headers, body }))
}
