//! What comes to an OpenAI server by HTTP: bodies read by path, answers as bodies or as server-sent events. A server needs to know
//! nothing else of them, be it a socket or a service worker.

use std::fmt;

use engine::{Cancel, Voice};
use serde::{Deserialize, Serialize};

use crate::responses::{self, ResponseRequest};
use crate::{CompletionRequest, Error, ErrorReply, Model, Request, Timings, Usage};

/// What can be asked of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    ChatCompletions,
    Completions,
    Responses,
}

impl Endpoint {
    pub const ALL: [Self; 3] = [Self::ChatCompletions, Self::Completions, Self::Responses];

    pub fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Responses => "/v1/responses",
        }
    }

    pub fn from_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.path() == path)
    }
}

/// A request, read and checked.
#[derive(Clone, Debug)]
pub struct Call {
    /// The model that is asked, if one is named.
    pub model: Option<String>,
    /// Whether the answer is to come as server-sent events.
    pub stream: bool,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Chat(Box<Request>),
    Completion(Box<CompletionRequest>),
    Response(Box<ResponseRequest>),
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The body for those who did not ask for a stream.
    pub json: String,
    pub usage: Usage,
    pub timings: Timings,
}

/// A part of an answer, as a server-sent event when it is written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Some JSON, of an event that may have a name.
    Data { event: Option<String>, json: String },
    /// The end, which not all endpoints say.
    Done,
}

impl Call {
    /// Reads the body that was sent to `endpoint`.
    ///
    /// # Errors
    /// Not JSON, not of the endpoint's shape, or a number out of range, by name.
    pub fn from_json(endpoint: Endpoint, json: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Envelope {
            model: Option<String>,
            stream: Option<bool>,
        }
        let invalid = |error: serde_json::Error| Error::Request { why: format!("the body cannot be read: {error}") };
        let Envelope { model, stream } = serde_json::from_str(json).map_err(invalid)?;
        let what = match endpoint {
            Endpoint::ChatCompletions => What::Chat(Box::new(Request::from_json(json)?)),
            Endpoint::Completions => What::Completion(Box::new(CompletionRequest::from_json(json)?)),
            Endpoint::Responses => What::Response(Box::new(ResponseRequest::from_json(json)?)),
        };
        Ok(Self { model, stream: stream.unwrap_or(false), what })
    }
}

impl<V: Voice> Model<V> {
    /// Answers `call`; `on_frame` gets the answer as it comes, for those who asked for a stream.
    ///
    /// # Errors
    /// As [`Model::chat`] and [`Model::complete`]. How it is told depends on what was sent by then: [`ErrorReply`] or [`error_frame`].
    pub async fn reply(&mut self, call: &Call, cancel: &Cancel, on_frame: &mut dyn FnMut(Frame)) -> Result<Reply, Error> {
        let data = |json| Frame::Data { event: None, json };
        let reply = match &call.what {
            What::Chat(request) => {
                let whole = self.chat(request, cancel, &mut |chunk| on_frame(data(json(&chunk)))).await?;
                Reply { json: json(&whole), usage: whole.usage, timings: whole.timings }
            }
            What::Completion(request) => {
                let whole = self.complete(request, cancel, &mut |part| on_frame(data(json(&part)))).await?;
                let (usage, timings) = (whole.usage.unwrap_or_default(), whole.timings.unwrap_or_default());
                Reply { json: json(&whole), usage, timings }
            }
            What::Response(request) => {
                let mut on_event =
                    |event: responses::Event| on_frame(Frame::Data { event: Some(event.name().to_owned()), json: json(&event) });
                return self.respond(request, cancel, &mut on_event).await;
            }
        };
        on_frame(Frame::Done);
        Ok(reply)
    }
}

/// How a stream ends that has begun and cannot go on.
pub fn error_frame(error: &ErrorReply) -> Frame {
    let json = serde_json::json!({ "type": "error", "error": error }).to_string();
    Frame::Data { event: Some("error".to_owned()), json }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data { event: Some(event), json } => write!(f, "event: {event}\ndata: {json}\n\n"),
            Self::Data { event: None, json } => write!(f, "data: {json}\n\n"),
            Self::Done => f.write_str("data: [DONE]\n\n"),
        }
    }
}

pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
