//! The calls that can be made: how a request is written, and the little that is read of an answer.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use crate::grpc::pb;

/// Which method of the RouterService is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Route,
    Complete,
    /// `CompleteStream`.
    Stream,
}

impl Method {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Route => "/semroute.v1.RouterService/Route",
            Self::Complete => "/semroute.v1.RouterService/Complete",
            Self::Stream => "/semroute.v1.RouterService/CompleteStream",
        }
    }

    /// As the report names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Complete => "complete",
            Self::Stream => "stream",
        }
    }
}

/// A method and what every request asks of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub method: Method,
    /// Empty: the server's default set.
    pub set: String,
    /// `None`: the server's default.
    pub neighbours: Option<u32>,
    pub explain: bool,
    pub allow_llm: Option<bool>,
    /// For completions; `None`: the provider's default.
    pub max_output_tokens: Option<u32>,
}

impl Call {
    /// The body of a request: one message with its head.
    pub(super) fn body(&self, text: String) -> Bytes {
        let input = Some(pb::Input { input: Some(pb::input::Input::Text(text)) });
        let options = Some(pb::RouteOptions {
            target_accuracy: None,
            max_neighbours: self.neighbours,
            explain: self.explain,
            allow_llm: self.allow_llm,
        });
        let reference_set = self.set.clone();
        let message = match self.method {
            Method::Route => pb::RouteRequest { input, reference_set, options, ..Default::default() }.encode_to_vec(),
            Method::Complete | Method::Stream => {
                let max_output_tokens = self.max_output_tokens;
                let request =
                    pb::CompleteRequest { input, reference_set, options, max_output_tokens, ..Default::default() };
                request.encode_to_vec()
            }
        };
        let mut body = BytesMut::with_capacity(5 + message.len());
        body.put_u8(0);
        body.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        body.extend_from_slice(&message);
        body.freeze()
    }
}

/// What an answer rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Basis {
    /// It holds no decision.
    #[default]
    Nothing,
    /// Nothing was computed for it.
    Cached,
    /// A value of `semroute.v1.Stage`.
    Stage(i32),
}

/// What is counted of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Seen {
    pub(super) basis: Basis,
    pub(super) input_seen: f32,
    pub(super) tokens: u32,
    /// Of a stream, from the start of the run.
    pub(super) first_event: Option<Duration>,
    pub(super) first_text: Option<Duration>,
}

impl Seen {
    /// Takes the next message of an answer in, which came at `at`. What cannot be read counts as an answer without a
    /// decision.
    pub(super) fn take_in(&mut self, method: Method, message: Bytes, at: Duration) {
        let decision = match method {
            Method::Route => RouteAnswer::decode(message).ok().and_then(|answer| answer.decision),
            Method::Complete => CompleteAnswer::decode(message).ok().and_then(|answer| answer.decision),
            Method::Stream => {
                let event = Event::decode(message).unwrap_or_default();
                self.first_event = self.first_event.or(Some(at));
                self.first_text = self.first_text.or(event.text.map(|_| at));
                event.decision
            }
        };
        if let Some(Decision { stage, input_seen, input_tokens, cached }) = decision {
            self.basis = if cached { Basis::Cached } else { Basis::Stage(stage) };
            (self.input_seen, self.tokens) = (input_seen, input_tokens);
        }
    }
}

// The same messages as in grpc::pb, without the fields that are not counted: skipping a field costs next to nothing,
// while to build twenty neighbours and throw them away costs more than all the rest of the call.

#[derive(Clone, PartialEq, Message)]
struct RouteAnswer {
    #[prost(message, optional, tag = "1")]
    decision: Option<Decision>,
}

#[derive(Clone, PartialEq, Message)]
struct CompleteAnswer {
    #[prost(message, optional, tag = "3")]
    decision: Option<Decision>,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(message, optional, tag = "1")]
    decision: Option<Decision>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    text: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct Decision {
    #[prost(int32, tag = "5")]
    stage: i32,
    #[prost(float, tag = "12")]
    input_seen: f32,
    #[prost(uint32, tag = "13")]
    input_tokens: u32,
    /// Servers that keep no decisions leave it out.
    #[prost(bool, tag = "15")]
    cached: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: Method) -> Call {
        let (set, neighbours) = ("small".to_owned(), Some(7));
        Call { method, set, neighbours, explain: true, allow_llm: Some(false), max_output_tokens: Some(9) }
    }

    fn decision() -> pb::Decision {
        let neighbour = pb::Neighbour { id: "n".to_owned(), text: "x".repeat(500), ..Default::default() };
        pb::Decision {
            decision_id: "id".to_owned(),
            route: "maths".to_owned(),
            stage: pb::Stage::DefaultRoute.into(),
            neighbours: vec![neighbour; 5],
            input_seen: 0.5,
            input_tokens: 256,
            ..Default::default()
        }
    }

    fn seen(method: Method, messages: &[Vec<u8>]) -> Seen {
        let mut seen = Seen::default();
        for (at, message) in messages.iter().enumerate() {
            seen.take_in(method, Bytes::copy_from_slice(message), Duration::from_millis(at as u64));
        }
        seen
    }

    #[test]
    fn requests_are_what_the_server_reads() {
        let body = call(Method::Route).body("why?".to_owned());
        assert_eq!(body[..5], [0, 0, 0, 0, (body.len() - 5) as u8]);
        let request = pb::RouteRequest::decode(&body[5..]).unwrap();
        let options = request.options.unwrap();
        assert_eq!((request.reference_set.as_str(), options.max_neighbours), ("small", Some(7)));
        assert_eq!((options.explain, options.allow_llm), (true, Some(false)));
        let body = call(Method::Stream).body("why?".to_owned());
        let request = pb::CompleteRequest::decode(&body[5..]).unwrap();
        assert_eq!(request.max_output_tokens, Some(9));
        assert_eq!(request.input.unwrap().input, Some(pb::input::Input::Text("why?".to_owned())));
    }

    #[test]
    fn what_is_counted_is_read_from_what_the_server_writes() {
        let expected = Seen { basis: Basis::Stage(4), input_seen: 0.5, tokens: 256, ..Seen::default() };
        let route = pb::RouteResponse { decision: Some(decision()), plan: Some(pb::Plan::default()) };
        assert_eq!(seen(Method::Route, &[route.encode_to_vec()]), expected);
        let complete = pb::CompleteResponse { text: "t".to_owned(), decision: Some(decision()), ..Default::default() };
        assert_eq!(seen(Method::Complete, &[complete.encode_to_vec()]), expected);

        // Field 15 of the decision, a varint, at its end.
        let mut cached = decision().encode_to_vec();
        cached.extend_from_slice(&[15 << 3, 1]);
        let mut route = vec![1 << 3 | 2];
        prost::encode_length_delimiter(cached.len(), &mut route).unwrap();
        route.extend_from_slice(&cached);
        assert_eq!(seen(Method::Route, &[route]), Seen { basis: Basis::Cached, ..expected });

        let event = |event| pb::CompleteEvent { event: Some(event) }.encode_to_vec();
        let text = || event(pb::complete_event::Event::Text("a".to_owned()));
        let decided = event(pb::complete_event::Event::Decision(decision()));
        let served = event(pb::complete_event::Event::Served(pb::Served::default()));
        let (first_event, first_text) = (Some(Duration::ZERO), Some(Duration::from_millis(1)));
        let events = [decided, text(), text(), served];
        assert_eq!(seen(Method::Stream, &events), Seen { first_event, first_text, ..expected });
    }

    #[test]
    fn an_answer_that_cannot_be_read_holds_no_decision() {
        assert_eq!(seen(Method::Route, &[vec![0xff; 9]]), Seen::default());
        assert_eq!(seen(Method::Route, &[pb::RouteResponse::default().encode_to_vec()]), Seen::default());
    }
}
