//! The tokenizer against those it must agree with, on the texts of `corpus`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod corpus;
mod llama_cpp;
mod properties;
mod splits;
mod tiktoken;
mod vocabularies;
