//! The messages and tools of an OpenAI chat request. What concerns sampling is not here.

use crate::Error;
use crate::constrained::Form;
use crate::harmony::ReasoningEffort;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;

/// What a chat request says to the model.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ChatRequest {
    pub messages: Vec<ChatMessage>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub tools: Vec<Tool>,
    /// As it came; [`ChatRequest::tool_choice`] reads it. It is a matter of sampling, not of the prompt.
    pub tool_choice: Option<Value>,
    pub reasoning_effort: Option<ReasoningEffort>,
    pub response_format: Option<ResponseFormat>,
    /// What the model is told that today is, `2025-06-28`.
    pub date: Option<String>,
    /// What the model is told that it is, in place of what it was trained with.
    pub identity: Option<String>,
    /// Whether the last message, the assistant's, was only begun: the model goes on with it. vLLM's name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub continue_final_message: bool,
}

/// What an assistant has said of a message that it is to go on with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Begun {
    /// Unfinished if there is no content.
    pub reasoning: String,
    pub content: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum ChatMessage {
    System {
        #[serde(default)]
        content: Text,
    },
    Developer {
        #[serde(default)]
        content: Text,
    },
    User {
        #[serde(default)]
        content: Text,
        name: Option<String>,
    },
    Assistant {
        #[serde(default, deserialize_with = "null_as_default")]
        content: Text,
        /// Thoughts; some clients call them `reasoning_content`.
        #[serde(alias = "reasoning_content")]
        reasoning: Option<String>,
        #[serde(default, deserialize_with = "null_as_default")]
        tool_calls: Vec<ToolCall>,
    },
    Tool {
        #[serde(default)]
        content: Text,
        tool_call_id: String,
    },
}

/// A string, or an array of parts.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "content must be a string or an array of parts, each with a `type`")]
pub enum Text {
    Whole(String),
    Parts(Vec<Part>),
}

#[derive(Clone, Debug, Deserialize)]
pub struct Part {
    #[serde(rename = "type")]
    pub kind: String,
    pub text: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ToolCall {
    pub id: String,
    pub function: FunctionCall,
}

#[derive(Clone, Debug, Deserialize)]
pub struct FunctionCall {
    pub name: String,
    /// JSON in a string; some clients send the object itself.
    #[serde(default)]
    pub arguments: Value,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tool {
    #[serde(rename = "type")]
    pub kind: String,
    pub function: Option<ToolFunction>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ToolFunction {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
    /// Whether calls must keep to the schema. No template is told.
    #[serde(default, skip_serializing)]
    pub strict: Option<bool>,
}

/// Whether the model is to call tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    Auto,
    None,
    /// One of them, whichever.
    Required,
    Named(&'a str),
}

#[derive(Clone, Debug, Deserialize)]
pub struct ResponseFormat {
    #[serde(rename = "type")]
    pub kind: String,
    pub json_schema: Option<JsonSchema>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct JsonSchema {
    pub name: String,
    pub description: Option<String>,
    #[serde(default)]
    pub schema: Value,
}

impl ChatRequest {
    /// Reads a request's JSON; fields that are not about messages are passed over.
    ///
    /// # Errors
    /// [`Error::ChatRequest`] if it is not JSON, or not of this shape.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        serde_json::from_str(json).map_err(|error| Error::ChatRequest { reason: error.to_string() })
    }

    /// What no format can render.
    ///
    /// # Errors
    /// [`Error::NoMessages`]; [`Error::ContentPart`] for images and other parts that are not text; [`Error::UnknownToolCall`] for an
    /// answer to a call that nobody made; [`Error::ToolType`] and [`Error::FunctionName`] for tools that are no
    /// functions, or badly named; [`Error::ResponseFormat`].
    pub fn check(&self) -> Result<(), Error> {
        if self.messages.is_empty() {
            return Err(Error::NoMessages);
        }
        self.functions().try_for_each(|function| function.map(drop))?;
        if let Some(format) = &self.response_format {
            format.schema()?;
        }
        let mut calls = Calls::default();
        for (index, message) in self.messages.iter().enumerate() {
            message.content().join(index)?;
            match message {
                ChatMessage::Assistant { tool_calls, .. } => {
                    for call in tool_calls {
                        check_function_name(&call.function.name)?;
                    }
                    calls.add(tool_calls);
                }
                ChatMessage::Tool { tool_call_id, .. } => {
                    calls.function_of(index, tool_call_id)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The request without the message that is to be gone on with, and what there is of that; nothing if it is none such.
    ///
    /// # Errors
    /// [`Error::NothingBegun`] if the last message is not an assistant's, says nothing or calls tools;
    /// [`Error::ContentPart`].
    pub fn begun(&self) -> Result<Option<(Self, Begun)>, Error> {
        if !self.continue_final_message {
            return Ok(None);
        }
        let mut said = self.clone();
        let index = said.messages.len().saturating_sub(1);
        let begun = match said.messages.pop() {
            Some(ChatMessage::Assistant { content, reasoning, tool_calls }) if tool_calls.is_empty() => {
                Begun { reasoning: reasoning.unwrap_or_default(), content: content.join(index)? }
            }
            _ => Begun::default(),
        };
        if begun == Begun::default() { Err(Error::NothingBegun) } else { Ok(Some((said, begun))) }
    }

    /// Whether the model is to call tools; of their own accord models do if there are any.
    ///
    /// # Errors
    /// [`Error::ToolChoice`] for what is none, for a name that no tool has, and for a call that is required where there are no tools.
    pub fn tool_choice(&self) -> Result<ToolChoice<'_>, Error> {
        let refuse = |reason: String| Err(Error::ToolChoice { reason });
        let choice = match &self.tool_choice {
            None | Some(Value::Null) => return Ok(ToolChoice::Auto),
            Some(Value::String(choice)) => match choice.as_str() {
                "auto" => return Ok(ToolChoice::Auto),
                "none" => return Ok(ToolChoice::None),
                "required" => ToolChoice::Required,
                other => return refuse(format!("is `{other}`; `auto`, `none`, `required` or a function are supported")),
            },
            Some(choice) => match choice.pointer("/function/name").or(choice.get("name")).and_then(Value::as_str) {
                Some(name) => ToolChoice::Named(name),
                None => return refuse(format!("is {choice}, which names no function")),
            },
        };
        match choice {
            _ if self.tools.is_empty() => refuse("asks for a call, but there are no tools".into()),
            ToolChoice::Named(name) if !self.functions().any(|f| f.is_ok_and(|f| f.name == name)) => {
                refuse(format!("names the function `{name}`, which is not among the tools"))
            }
            choice => Ok(choice),
        }
    }

    /// The tools, all of them functions.
    pub fn functions(&self) -> impl Iterator<Item = Result<&ToolFunction, Error>> {
        self.tools.iter().enumerate().map(|(index, tool)| {
            let function = tool.function.as_ref().filter(|_| tool.kind == "function");
            let function = function.ok_or_else(|| Error::ToolType { index, got: tool.kind.clone() })?;
            check_function_name(&function.name)?;
            Ok(function)
        })
    }
}

impl ChatMessage {
    #[must_use]
    pub fn content(&self) -> &Text {
        match self {
            ChatMessage::System { content }
            | ChatMessage::Developer { content }
            | ChatMessage::User { content, .. }
            | ChatMessage::Assistant { content, .. }
            | ChatMessage::Tool { content, .. } => content,
        }
    }
}

impl Text {
    /// All parts as one text. `index`: of the message, for the error.
    ///
    /// # Errors
    /// [`Error::ContentPart`] for a part that is not text.
    pub fn join(&self, index: usize) -> Result<String, Error> {
        match self {
            Text::Whole(text) => Ok(text.clone()),
            Text::Parts(parts) => parts
                .iter()
                .map(|part| match (part.kind.as_str(), &part.text) {
                    ("text", Some(text)) => Ok(text.as_str()),
                    (kind, _) => Err(Error::ContentPart { index, kind: kind.into() }),
                })
                .collect(),
        }
    }
}

impl Default for Text {
    fn default() -> Self {
        Text::Whole(String::new())
    }
}

impl FunctionCall {
    /// As JSON text.
    #[must_use]
    pub fn arguments_text(&self) -> String {
        match &self.arguments {
            Value::String(json) => json.clone(),
            Value::Null => "{}".into(),
            object => object.to_string(),
        }
    }
}

impl ToolFunction {
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.strict.unwrap_or(false)
    }
}

impl ToolChoice<'_> {
    #[must_use]
    pub fn must_call(self) -> bool {
        matches!(self, Self::Required | Self::Named(_))
    }

    /// Whether the function `name` may be called.
    #[must_use]
    pub fn allows(self, name: &str) -> bool {
        match self {
            Self::Auto | Self::Required => true,
            Self::None => false,
            Self::Named(named) => named == name,
        }
    }
}

impl ResponseFormat {
    /// What the answer must look like; `None` for any text.
    ///
    /// # Errors
    /// As [`ResponseFormat::schema`].
    pub fn form(&self) -> Result<Option<Form>, Error> {
        match self.schema()? {
            Some(format) => Ok(Some(Form::Json(format.schema.clone()))),
            None if self.kind == "json_object" => Ok(Some(Form::Json(json!({ "type": "object" })))),
            None => Ok(None),
        }
    }

    /// The schema to answer in, if the format names one.
    ///
    /// # Errors
    /// [`Error::ResponseFormat`] for a type that is not `text`, `json_object`, or `json_schema` with a schema.
    pub fn schema(&self) -> Result<Option<&JsonSchema>, Error> {
        match (self.kind.as_str(), &self.json_schema) {
            ("text" | "json_object", _) => Ok(None),
            ("json_schema", Some(schema)) if !schema.schema.is_null() => Ok(Some(schema)),
            (kind, _) => Err(Error::ResponseFormat { got: kind.into() }),
        }
    }
}

/// Which function a call of a given id was made to. Clients that number calls anew each turn mean the latest.
#[derive(Debug, Default)]
pub(crate) struct Calls<'a> {
    functions: HashMap<&'a str, &'a str>,
}

impl<'a> Calls<'a> {
    pub(crate) fn add(&mut self, calls: &'a [ToolCall]) {
        let calls = calls.iter().map(|call| (call.id.as_str(), call.function.name.as_str()));
        self.functions.extend(calls);
    }

    /// `index`: of the message that answers the call, for the error.
    pub(crate) fn function_of(&self, index: usize, id: &str) -> Result<&'a str, Error> {
        let function = self.functions.get(id).copied();
        function.ok_or_else(|| Error::UnknownToolCall { index, id: id.into() })
    }
}

/// OpenAI's rule; dots are let through, as tools of other protocols have them.
fn check_function_name(name: &str) -> Result<(), Error> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    match (1..=64).contains(&name.len()) && name.chars().all(is_name) {
        true => Ok(()),
        false => Err(Error::FunctionName { got: name.into() }),
    }
}

/// Clients send `null` for what they leave out.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
