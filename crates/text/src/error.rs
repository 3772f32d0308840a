//! What can be wrong with a vocabulary, a message or a template, in words.

use thiserror::Error;

/// Everything that this crate refuses.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// `tokenizer.ggml.model` is something else than byte-level BPE.
    #[error("tokenizer model `{model}` is not supported, only `gpt2` (byte-level BPE) is")]
    TokenizerModel { model: String },

    /// `tokenizer.ggml.pre` is not among the known pre-tokenizers.
    #[error("pre-tokenizer `{pre}` is not supported, only {known} are")]
    Pretokenizer { pre: String, known: String },

    /// `tokenizer.ggml.token_type` has another length than `tokenizer.ggml.tokens`.
    #[error("the vocabulary has {expected} tokens but {got} token types")]
    TokenTypes { expected: usize, got: usize },

    /// More than fits the 32-bit offsets of the vocabulary.
    #[error("the vocabulary's {what} take more than {limit} entries")]
    VocabTooLarge { what: &'static str, limit: u32 },

    /// `tokenizer.ggml.bos_token_id` and the like point outside of the vocabulary.
    #[error("{key} is {id}, but the vocabulary has {vocab_len} tokens")]
    SpecialId { key: &'static str, id: u32, vocab_len: usize },

    /// A merge that is not two texts with a space between them.
    #[error("merge {index}, `{merge}`, is not a pair of tokens")]
    MergeForm { index: usize, merge: String },

    /// A merge whose halves, or whose result, are no tokens.
    #[error("merge {index}, `{merge}`, needs the token `{token}`, which is not in the vocabulary")]
    MergeToken { index: usize, merge: String, token: String },

    /// The model does not speak Harmony.
    #[error("the vocabulary has no `{token}`, which Harmony needs")]
    MissingSpecial { token: &'static str },

    /// The fields of a Harmony header are told apart by spaces.
    #[error("a message's {field} must be a single word, got `{got}`")]
    HeaderField { field: &'static str, got: String },

    /// System or developer content under another role.
    #[error("{content} content may not be in a message of role {role}")]
    MisplacedContent { content: &'static str, role: &'static str },

    /// Text between two Harmony messages.
    #[error("token {id} stands between two messages, where only `<|start|>` may")]
    UnexpectedToken { id: u32 },

    /// The stream ended before the message's content began.
    #[error("the stream ended within the header `{header}`")]
    UnfinishedHeader { header: String },

    /// A chat request that is not JSON, or not of the right shape.
    #[error("the chat request is not valid: {reason}")]
    ChatRequest { reason: String },

    /// Nothing to answer.
    #[error("the chat request has no messages")]
    NoMessages,

    /// A message that is to be gone on with is an assistant's.
    #[error("continue_final_message needs a last message of role assistant that says something and calls no tool")]
    NothingBegun,

    /// An image, a sound, a file.
    #[error("message {index} has a part of type `{kind}`; only `text` is supported")]
    ContentPart { index: usize, kind: String },

    /// An answer to a call that is not in the messages before it.
    #[error("message {index} answers the tool call `{id}`, which no message before it made")]
    UnknownToolCall { index: usize, id: String },

    /// A tool that is not a function.
    #[error("tool {index} is of type `{got}`; only `function`, with a `function`, is supported")]
    ToolType { index: usize, got: String },

    /// Not a name that a model could call.
    #[error("`{got}` is no function name: 1 to 64 letters, digits, `_`, `-` or `.` are")]
    FunctionName { got: String },

    /// Not a form in which an answer can be asked for.
    #[error("response format `{got}` is not supported, only text, json_object and json_schema with a schema are")]
    ResponseFormat { got: String },

    /// A JSON schema or a grammar that cannot be read or met.
    #[error("the answer cannot be of the form that was asked for: {reason}")]
    Form { reason: String },

    /// What follows grammars is loaded when it is first needed.
    #[error("answers of a form need a part of Quire that could not be loaded: {reason}")]
    NoGrammars { reason: String },

    /// A way to choose tools that is not one, or that these tools do not allow.
    #[error("tool_choice {reason}")]
    ToolChoice { reason: String },

    /// A chat template that is not Jinja.
    #[error("the model's chat template cannot be read: {reason}")]
    TemplateSyntax { reason: String },

    /// A chat template that fails, or that takes too long.
    #[error("the model's chat template failed: {reason}")]
    TemplateRun { reason: String },

    /// A chat template that does not take these messages.
    #[error("the model's chat template refuses these messages: {message}")]
    TemplateRefused { message: String },

    /// A chat template after which text cannot be told from markup.
    #[error("the model's chat template cuts what the messages say in a way that is not supported")]
    TemplateCut,
}
