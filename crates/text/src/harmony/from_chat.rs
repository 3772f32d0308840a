//! An OpenAI chat request as a Harmony conversation.

use super::{Channel, Conversation, DeveloperContent, Function, Message, ReasoningEffort, ResponseFormat, SystemContent};
use crate::Error;
use crate::chat::{Calls, ChatMessage, ChatRequest};

impl TryFrom<&ChatRequest> for Conversation {
    type Error = Error;

    /// Harmony's system message is about the model, so what the request calls system or developer messages
    /// becomes the one developer message, wherever they stand; the rest follows in order.
    ///
    /// # Errors
    /// As [`ChatRequest::check`].
    fn try_from(request: &ChatRequest) -> Result<Self, Error> {
        request.check()?;
        let mut messages = vec![Message::system(system(request))];
        let developer = developer(request)?;
        if developer != DeveloperContent::default() {
            messages.push(Message::developer(developer));
        }
        let mut calls = Calls::default();
        for (index, message) in request.messages.iter().enumerate() {
            let text = message.content().join(index)?;
            match message {
                ChatMessage::System { .. } | ChatMessage::Developer { .. } => {}
                ChatMessage::User { name, .. } => {
                    let mut message = Message::user(text);
                    message.header.name.clone_from(name);
                    messages.push(message);
                }
                ChatMessage::Assistant { reasoning, tool_calls, .. } => {
                    let thoughts = reasoning.as_deref().filter(|text| !text.is_empty());
                    messages.extend(thoughts.map(|text| Message::assistant(Channel::Analysis, text)));
                    // What is said beside calls is a preamble to them.
                    let channel = match tool_calls.is_empty() {
                        true => Channel::Final,
                        false => Channel::Commentary,
                    };
                    if !text.is_empty() {
                        messages.push(Message::assistant(channel, text));
                    }
                    messages.extend(
                        tool_calls.iter().map(|call| Message::call(function_name(&call.function.name), call.function.arguments_text())),
                    );
                    calls.add(tool_calls);
                }
                ChatMessage::Tool { tool_call_id, .. } => {
                    let function = calls.function_of(index, tool_call_id)?;
                    messages.push(Message::tool(function_name(function), text));
                }
            }
        }
        Ok(Conversation { messages })
    }
}

fn system(request: &ChatRequest) -> SystemContent {
    let default = SystemContent::default();
    SystemContent {
        identity: request.identity.clone().or(default.identity),
        date: request.date.clone(),
        reasoning_effort: request.reasoning_effort.or(Some(ReasoningEffort::default())),
        ..SystemContent::default()
    }
}

fn developer(request: &ChatRequest) -> Result<DeveloperContent, Error> {
    let mut instructions = Vec::new();
    for (index, message) in request.messages.iter().enumerate() {
        if let ChatMessage::System { content } | ChatMessage::Developer { content } = message {
            let text = content.join(index)?;
            if !text.is_empty() {
                instructions.push(text);
            }
        }
    }
    let functions = request.functions().map(|function| {
        let function = function?;
        Ok(Function {
            name: function.name.clone(),
            description: function.description.clone().unwrap_or_default(),
            parameters: function.parameters.clone(),
        })
    });
    let format = match &request.response_format {
        Some(format) => format.schema()?,
        None => None,
    };
    let format = format.map(|format| ResponseFormat {
        name: format.name.clone(),
        description: format.description.clone(),
        schema: format.schema.clone(),
    });
    Ok(DeveloperContent {
        instructions: (!instructions.is_empty()).then(|| instructions.join("\n\n")),
        functions: functions.collect::<Result<_, Error>>()?,
        response_formats: format.into_iter().collect(),
    })
}

fn function_name(name: &str) -> String {
    format!("{}.{name}", super::content::FUNCTIONS)
}
