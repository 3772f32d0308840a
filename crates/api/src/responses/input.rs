//! A response's request as a chat's.

use serde_json::{Map, Value, json};

use crate::Error;

/// Fields that mean something else in a chat request, or that ask for what is not there.
const OWN: [&str; 9] = ["input", "instructions", "tools", "tool_choice", "text", "reasoning", "max_output_tokens", "include", "n"];

/// The chat request that asks for the same.
///
/// # Errors
/// Items that a chat cannot say, and what would have to be stored, by name.
pub(super) fn as_chat(mut body: Map<String, Value>) -> Result<Map<String, Value>, Error> {
    for stored in ["previous_response_id", "conversation", "prompt"] {
        if body.get(stored).is_some_and(|value| !value.is_null()) {
            return refuse(format!("{stored} is not supported: nothing is stored here, send all items as input"));
        }
    }
    if body.get("background") == Some(&true.into()) {
        return refuse("background is not supported: nothing is stored here".into());
    }
    let mut own: Map<String, Value> = OWN.iter().filter_map(|key| Some(((*key).to_owned(), body.shift_remove(*key)?))).collect();
    let mut take = |key: &str| own.shift_remove(key).filter(|value| !value.is_null());
    let mut messages = Messages::default();
    if let Some(instructions) = take("instructions") {
        messages.say("system", instructions);
    }
    match take("input") {
        Some(text @ Value::String(_)) => messages.say("user", text),
        Some(Value::Array(items)) => (0..).zip(items).try_for_each(|(index, item)| messages.item(index, item))?,
        _ => return refuse("input must be a string or an array of items".into()),
    }
    body.insert("messages".into(), messages.all().into());
    if let Some(tools) = take("tools") {
        body.insert("tools".into(), each(tools, nested));
    }
    if let Some(choice) = take("tool_choice") {
        body.insert("tool_choice".into(), nested(choice));
    }
    if let Some(format) = take("text").and_then(|mut text| text.get_mut("format").map(Value::take)) {
        body.insert("response_format".into(), as_response_format(format));
    }
    if let Some(effort) = take("reasoning").and_then(|mut reasoning| reasoning.get_mut("effort").map(Value::take)) {
        body.insert("reasoning_effort".into(), effort);
    }
    if let Some(most) = take("max_output_tokens") {
        body.insert("max_completion_tokens".into(), most);
    }
    let include = take("include").unwrap_or_default();
    let wants_logprobs = include.as_array().is_some_and(|all| all.contains(&"message.output_text.logprobs".into()));
    if wants_logprobs {
        body.insert("logprobs".into(), true.into());
    }
    Ok(body)
}

fn refuse<T>(why: String) -> Result<T, Error> {
    Err(Error::Request { why })
}

fn each(list: Value, map: impl Fn(Value) -> Value) -> Value {
    match list {
        Value::Array(items) => items.into_iter().map(map).collect(),
        other => other,
    }
}

/// `{"type": "function", "name": …}` as a chat has it: `{"type": "function", "function": {"name": …}}`. Others stay as they are.
fn nested(tool: Value) -> Value {
    match tool {
        Value::Object(mut function) if function.get("type") == Some(&"function".into()) => {
            function.shift_remove("type");
            json!({"type": "function", "function": function})
        }
        other => other,
    }
}

fn as_response_format(format: Value) -> Value {
    match format {
        Value::Object(mut schema) if schema.get("type") == Some(&"json_schema".into()) => {
            schema.shift_remove("type");
            json!({"type": "json_schema", "json_schema": schema})
        }
        other => other,
    }
}

/// Messages of a chat. What an assistant thinks, says and calls in a row is one of them.
#[derive(Default)]
struct Messages {
    done: Vec<Value>,
    assistant: Map<String, Value>,
}

impl Messages {
    fn say(&mut self, role: &str, content: Value) {
        self.end_assistant();
        self.done.push(json!({"role": role, "content": content}));
    }

    fn all(mut self) -> Vec<Value> {
        self.end_assistant();
        self.done
    }

    fn end_assistant(&mut self) {
        if !self.assistant.is_empty() {
            let mut message = std::mem::take(&mut self.assistant);
            message.insert("role".into(), "assistant".into());
            self.done.push(message.into());
        }
    }

    /// `index`: of `item` in the input, for the error.
    fn item(&mut self, index: usize, mut item: Value) -> Result<(), Error> {
        let mut take = |key: &str| item.get_mut(key).map(Value::take).unwrap_or_default();
        let (kind, role) = (take("type"), take("role"));
        match (kind.as_str().unwrap_or("message"), role.as_str()) {
            ("message", Some("assistant")) => {
                if ["content", "tool_calls"].iter().any(|said| self.assistant.contains_key(*said)) {
                    self.end_assistant();
                }
                self.assistant.insert("content".into(), as_parts(take("content")));
            }
            ("message", Some(role)) => self.say(role, as_parts(take("content"))),
            ("reasoning", _) => {
                let text = [take("content"), take("summary")].iter().map(joined).find(|text| !text.is_empty());
                if let Some(text) = text {
                    self.end_assistant();
                    self.assistant.insert("reasoning".into(), text.into());
                }
            }
            ("function_call", _) => {
                let call = json!({"id": take("call_id"), "function": {"name": take("name"), "arguments": take("arguments")}});
                let calls = self.assistant.entry("tool_calls").or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(calls) = calls {
                    calls.push(call);
                }
            }
            ("function_call_output", _) => {
                self.end_assistant();
                self.done.push(json!({"role": "tool", "tool_call_id": take("call_id"), "content": as_parts(take("output"))}));
            }
            (other, _) => {
                let known = "message (with a role), reasoning, function_call and function_call_output";
                return refuse(format!("input item {index} is of type `{other}`; only {known} are supported"));
            }
        }
        Ok(())
    }
}

/// Parts of text under the name that chats have for them; what is no text is refused there, in words.
fn as_parts(content: Value) -> Value {
    each(content, |mut part| match part["type"].as_str() {
        Some("input_text" | "output_text") => json!({"type": "text", "text": part["text"].take()}),
        Some("refusal") => json!({"type": "text", "text": part["refusal"].take()}),
        _ => part,
    })
}

/// The texts of some parts.
fn joined(parts: &Value) -> String {
    let texts = parts.as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
    texts.collect::<Vec<_>>().join("\n")
}
