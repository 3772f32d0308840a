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
}
