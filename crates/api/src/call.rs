//! What comes to an OpenAI server by HTTP: bodies read by path, answers as bodies or as server-sent events. A server needs to know
//! nothing else of them, be it a socket or a service worker.

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
}

/// A request, read and checked.
#[derive(Clone, Debug)]
pub struct Call {
    /// The model that is asked, if one is named.
    pub model: Option<String>,
    /// Whether the answer is to come as server-sent events.
    pub stream: bool,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
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
    /// Answers `call`. If it asks for a stream, `on_frame` gets each server-sent event as it is to go over the wire, the one that ends
    /// the stream too; an error is left to the caller, who knows if a status was sent already: [`error_frame`].
    ///
    /// # Errors
    /// As [`Model::chat`] and [`Model::complete`].
    pub async fn reply(&mut self, call: &Call, cancel: &Cancel, on_frame: &mut dyn FnMut(String)) -> Result<Reply, Error> {
        let mut send = |frame: String| {
            if call.stream {
                on_frame(frame);
            }
        };
        let reply = match &call.what {
            What::Chat(request) => {
                let whole = self.chat(request, cancel, &mut |chunk| send(data(&chunk))).await?;
                Reply { json: json(&whole), usage: whole.usage, timings: whole.timings }
            }
            What::Completion(request) => {
                let whole = self.complete(request, cancel, &mut |part| send(data(&part))).await?;
                let (usage, timings) = (whole.usage.unwrap_or_default(), whole.timings.unwrap_or_default());
                Reply { json: json(&whole), usage, timings }
            }
            What::Response(request) => {
                let mut event = |event: responses::Event| send(named(event.name(), &event));
                return self.respond(request, cancel, &mut event).await;
            }
        };
        send("data: [DONE]\n\n".to_owned());
        Ok(reply)
    }
}

/// How a stream ends that has begun and cannot go on.
pub fn error_frame(error: &ErrorReply) -> String {
    named("error", &serde_json::json!({ "type": "error", "error": error }))
}

fn data(value: &impl Serialize) -> String {
    format!("data: {}\n\n", json(value))
}

fn named(event: &str, value: &impl Serialize) -> String {
    format!("event: {event}\n{}", data(value))
}

pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
