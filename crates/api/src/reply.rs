//! Answers as OpenAI's API has them, with `reasoning` beside `content` and `timings` beside `usage`.

use serde::Serialize;

/// A part of an answer as it streams.
#[derive(Clone, Debug, Serialize)]
pub struct Chunk {
    pub id: String,
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: u64,
    pub model: String,
    pub choices: Vec<ChunkChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ChunkChoice {
    pub index: u32,
    pub delta: Delta,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Logprobs>,
    pub finish_reason: Option<FinishReason>,
}

/// What is new of a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCallDelta>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ToolCallDelta {
    pub index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    pub function: FunctionDelta,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FunctionDelta {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub arguments: String,
}

/// A whole answer.
#[derive(Clone, Debug, Serialize)]
pub struct Completion {
    pub id: String,
    pub object: &'static str,
    pub created: u64,
    pub model: String,
    pub choices: Vec<Choice>,
    pub usage: Usage,
    pub timings: Timings,
}

#[derive(Clone, Debug, Serialize)]
pub struct Choice {
    pub index: u32,
    pub message: Message,
    pub logprobs: Option<Logprobs>,
    pub finish_reason: FinishReason,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Message {
    pub role: &'static str,
    pub content: Option<String>,
    /// Never here, but OpenAI's clients expect the field: what a model refuses it refuses in its content.
    pub refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ToolCall {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub function: Function,
}

#[derive(Clone, Debug, Serialize)]
pub struct Function {
    pub name: String,
    pub arguments: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    Stop,
    Length,
    ToolCalls,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Logprobs {
    pub content: Vec<TokenLogprob>,
    /// Of [`Message::refusal`].
    pub refusal: Option<Vec<TokenLogprob>>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenLogprob {
    #[serde(flatten)]
    pub token: LoneLogprob,
    pub top_logprobs: Vec<LoneLogprob>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoneLogprob {
    pub token: String,
    pub logprob: f32,
    pub bytes: Vec<u8>,
}

/// Tokens of a request, all its answers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    pub prompt_tokens: usize,
    pub completion_tokens: usize,
    pub total_tokens: usize,
    pub prompt_tokens_details: PromptDetails,
    pub completion_tokens_details: CompletionDetails,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PromptDetails {
    /// Kept from the turn before.
    pub cached_tokens: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CompletionDetails {
    /// Thought, not said.
    pub reasoning_tokens: usize,
}

/// How fast it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Timings {
    /// Seconds until the first token.
    pub prefill_seconds: f64,
    /// Tokens a second of the prompt, without those kept.
    pub prefill_tps: f64,
    /// Tokens a second after the first.
    pub decode_tps: f64,
}

impl Message {
    /// Takes a delta in.
    pub(crate) fn add(&mut self, delta: &Delta) {
        for (whole, part) in [(&mut self.content, &delta.content), (&mut self.reasoning, &delta.reasoning)] {
            if let Some(part) = part {
                whole.get_or_insert_default().push_str(part);
            }
        }
        for call in &delta.tool_calls {
            if let (Some(id), Some(name)) = (&call.id, &call.function.name) {
                let function = Function { name: name.clone(), arguments: String::new() };
                self.tool_calls.push(ToolCall { id: id.clone(), kind: "function", function });
            }
            if let Some(known) = self.tool_calls.get_mut(call.index) {
                known.function.arguments.push_str(&call.function.arguments);
            }
        }
    }
}
