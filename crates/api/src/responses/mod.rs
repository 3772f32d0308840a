//! OpenAI's `/v1/responses`: the same answers as a chat's, as items with events of their own. Nothing is stored: who goes on with a
//! conversation sends all of its items again.

mod events;
mod input;

use engine::{Cancel, Voice};
use serde_json::{Map, Value, json};

use crate::call::Reply;
use crate::request::{entropy, now};
use crate::{Error, Model, Request};

pub(crate) use events::Event;
use events::Items;

/// A request, read and checked.
#[derive(Clone, Debug)]
pub(crate) struct ResponseRequest {
    /// The same as a chat.
    pub(crate) chat: Request,
    /// What the response repeats of the request.
    echo: Map<String, Value>,
}

impl ResponseRequest {
    /// Reads a request's JSON. Fields of a chat request that this endpoint does not have (`seed`, `stop`, `top_k`, …) are taken too.
    ///
    /// # Errors
    /// Not JSON, not of this shape, a number out of range, or something that would have to be stored, by name.
    pub(crate) fn from_json(json: &str) -> Result<Self, Error> {
        let invalid = |error: serde_json::Error| Error::Request { why: format!("the body cannot be read: {error}") };
        let body: Map<String, Value> = serde_json::from_str(json).map_err(invalid)?;
        let echo = echo(&body);
        let chat = Request::from_json(&Value::from(input::as_chat(body)?).to_string())?;
        Ok(Self { chat, echo })
    }
}

impl<V: Voice> Model<V> {
    /// Answers `request`; `on_event` gets what happens on the way.
    ///
    /// # Errors
    /// As [`Model::chat`].
    pub(crate) async fn respond(
        &mut self,
        request: &ResponseRequest,
        cancel: &Cancel,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<Reply, Error> {
        let mut blank = Map::new();
        blank.insert("id".into(), format!("resp_{:x}{:08x}", now(), entropy()).into());
        blank.insert("object".into(), "response".into());
        blank.insert("created_at".into(), now().into());
        blank.insert("model".into(), self.name().into());
        blank.insert("access_programs".into(), Value::Null);
        blank.extend(request.echo.clone());
        let mut items = Items::new(blank);
        let mut on_chunk = |chunk: crate::Chunk| items.take(chunk, on_event);
        let whole = self.chat(&request.chat, cancel, &mut on_chunk).await?;
        let response = items.end(&whole.usage, on_event);
        Ok(Reply { json: response.to_string(), usage: whole.usage, timings: whole.timings })
    }
}

/// What a response says of its request, with what holds where the request is silent.
fn echo(body: &Map<String, Value>) -> Map<String, Value> {
    let defaults = json!({
        "instructions": null,
        "max_output_tokens": null,
        "metadata": {},
        "parallel_tool_calls": true,
        "previous_response_id": null,
        "reasoning": {"effort": "medium", "summary": null},
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "user": null,
    });
    let Value::Object(mut echo) = defaults else { return Map::new() };
    for (key, value) in &mut echo {
        if let Some(said) = body.get(key).filter(|said| !said.is_null()) {
            *value = said.clone();
        }
    }
    echo.insert("store".into(), false.into());
    echo.insert("background".into(), false.into());
    echo.insert("truncation".into(), "disabled".into());
    echo
}

#[cfg(test)]
mod tests;
