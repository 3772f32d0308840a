//! A chat's chunks as the events of a response: items begin, grow and end.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::reply::{Chunk, FinishReason, FunctionDelta, TokenLogprob, ToolCallDelta, Usage};
use crate::request::{entropy, now};

/// What happens to a response: OpenAI's JSON, its `type` first.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Event(pub(super) Value);

impl Event {
    pub(crate) fn name(&self) -> &str {
        self.0["type"].as_str().unwrap_or_default()
    }
}

/// The response as it comes.
#[derive(Debug)]
pub(super) struct Items {
    /// All that is known before the first token.
    blank: Map<String, Value>,
    done: Vec<Value>,
    open: Option<Open>,
    finish: Option<FinishReason>,
    n_events: u64,
}

/// The item that grows.
#[derive(Debug)]
struct Open {
    id: String,
    kind: Kind,
    /// Thoughts, words, or arguments.
    text: String,
    logprobs: Vec<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Reasoning,
    Message,
    Call { call_id: String, name: String },
}

type OnEvent<'a> = dyn FnMut(Event) + 'a;

impl Items {
    pub(super) fn new(blank: Map<String, Value>) -> Self {
        Self { blank, done: Vec::new(), open: None, finish: None, n_events: 0 }
    }

    /// Takes a chunk of the only answer that there is.
    pub(super) fn take(&mut self, chunk: Chunk, on_event: &mut OnEvent<'_>) {
        if self.n_events == 0 {
            for kind in ["response.created", "response.in_progress"] {
                let response = self.response("in_progress", None);
                self.tell(json!({"type": kind, "response": response}), on_event);
            }
        }
        for choice in chunk.choices {
            let delta = choice.delta;
            if let Some(text) = delta.reasoning {
                self.grow(Kind::Reasoning, &text, Vec::new(), on_event);
            }
            if let Some(text) = delta.content {
                let logprobs = choice.logprobs.map(|all| all.content).unwrap_or_default();
                self.grow(Kind::Message, &text, logprobs.iter().map(logprob).collect(), on_event);
            }
            for ToolCallDelta { id, function: FunctionDelta { name, arguments }, .. } in delta.tool_calls {
                let kind = match (id, name, &self.open) {
                    (Some(call_id), Some(name), _) => Kind::Call { call_id, name },
                    (_, _, Some(open)) => open.kind.clone(),
                    _ => continue,
                };
                self.grow(kind, &arguments, Vec::new(), on_event);
            }
            self.finish = choice.finish_reason.or(self.finish);
        }
    }

    /// Ends the response, and gives all of it.
    pub(super) fn end(&mut self, usage: &Usage, on_event: &mut OnEvent<'_>) -> Value {
        let is_cut = self.finish == Some(FinishReason::Length);
        let status = if is_cut { "incomplete" } else { "completed" };
        self.close(status, on_event);
        let response = self.response(status, Some(usage));
        self.tell(json!({"type": format!("response.{status}"), "response": response}), on_event);
        response
    }

    fn response(&self, status: &str, usage: Option<&Usage>) -> Value {
        let mut response = self.blank.clone();
        response.insert("status".into(), status.into());
        response.insert("error".into(), Value::Null);
        let incomplete = (status == "incomplete").then(|| json!({"reason": "max_output_tokens"}));
        response.insert("incomplete_details".into(), incomplete.into());
        response.insert("output".into(), self.done.clone().into());
        let usage = usage.map(|usage| {
            json!({
                "input_tokens": usage.prompt_tokens,
                "input_tokens_details": {"cached_tokens": usage.prompt_tokens_details.cached_tokens, "cache_write_tokens": 0},
                "output_tokens": usage.completion_tokens,
                "output_tokens_details": {"reasoning_tokens": usage.completion_tokens_details.reasoning_tokens},
                "total_tokens": usage.total_tokens,
            })
        });
        response.insert("usage".into(), usage.into());
        response.into()
    }

    /// Adds to the item of this kind, which begins if it is another than before.
    fn grow(&mut self, kind: Kind, text: &str, logprobs: Vec<Value>, on_event: &mut OnEvent<'_>) {
        if self.open.as_ref().is_none_or(|open| open.kind != kind) {
            self.close("completed", on_event);
            let open =
                Open { id: format!("{}_{:x}{:08x}", kind.prefix(), now(), entropy()), kind, text: String::new(), logprobs: Vec::new() };
            let item = open.item("in_progress");
            self.tell(json!({"type": "response.output_item.added", "output_index": self.done.len(), "item": item}), on_event);
            if !open.is_call() {
                self.tell(open.event("response.content_part.added", self.done.len(), &[("part", open.part())]), on_event);
            }
            self.open = Some(open);
        }
        let Some(mut open) = self.open.take() else { return };
        open.text.push_str(text);
        if !text.is_empty() {
            let mut fields = vec![("delta", text.into())];
            if open.kind == Kind::Message {
                fields.push(("logprobs", logprobs.clone().into()));
            }
            self.tell(open.event(&format!("response.{}.delta", open.kind.content()), self.done.len(), &fields), on_event);
        }
        open.logprobs.extend(logprobs);
        self.open = Some(open);
    }

    /// Ends the item that grows, if there is one.
    fn close(&mut self, status: &str, on_event: &mut OnEvent<'_>) {
        let Some(open) = self.open.take() else { return };
        let (index, text) = (self.done.len(), Value::from(open.text.as_str()));
        let fields = match &open.kind {
            Kind::Reasoning => vec![("text", text)],
            Kind::Message => vec![("text", text), ("logprobs", open.logprobs.clone().into())],
            Kind::Call { name, .. } => vec![("name", name.as_str().into()), ("arguments", text)],
        };
        self.tell(open.event(&format!("response.{}.done", open.kind.content()), index, &fields), on_event);
        if !open.is_call() {
            self.tell(open.event("response.content_part.done", index, &[("part", open.part())]), on_event);
        }
        let item = open.item(status);
        self.tell(json!({"type": "response.output_item.done", "output_index": index, "item": item}), on_event);
        self.done.push(item);
    }

    fn tell(&mut self, mut event: Value, on_event: &mut OnEvent<'_>) {
        event["sequence_number"] = self.n_events.into();
        self.n_events += 1;
        on_event(Event(event));
    }
}

impl Kind {
    /// Of ids.
    fn prefix(&self) -> &'static str {
        match self {
            Self::Reasoning => "rs",
            Self::Message => "msg",
            Self::Call { .. } => "fc",
        }
    }

    /// What grows, in the names of events.
    fn content(&self) -> &'static str {
        match self {
            Self::Reasoning => "reasoning_text",
            Self::Message => "output_text",
            Self::Call { .. } => "function_call_arguments",
        }
    }
}

impl Open {
    fn item(&self, status: &str) -> Value {
        let Self { id, text, .. } = self;
        let content: Vec<Value> = (!text.is_empty()).then(|| self.part()).into_iter().collect();
        match &self.kind {
            Kind::Reasoning => json!({"id": id, "type": "reasoning", "status": status, "summary": [], "content": content}),
            Kind::Message => {
                json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content})
            }
            Kind::Call { call_id, name } => {
                json!({"id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name, "arguments": text})
            }
        }
    }

    fn part(&self) -> Value {
        match self.kind {
            Kind::Reasoning => json!({"type": "reasoning_text", "text": self.text}),
            _ => json!({"type": "output_text", "text": self.text, "annotations": [], "logprobs": self.logprobs}),
        }
    }

    fn is_call(&self) -> bool {
        matches!(self.kind, Kind::Call { .. })
    }

    fn event(&self, kind: &str, index: usize, fields: &[(&str, Value)]) -> Value {
        let mut event = json!({"type": kind, "item_id": self.id, "output_index": index});
        if !self.is_call() {
            event["content_index"] = 0.into();
        }
        for (name, value) in fields {
            event[*name] = value.clone();
        }
        event
    }
}

fn logprob(token: &TokenLogprob) -> Value {
    serde_json::to_value(token).unwrap_or_default()
}
