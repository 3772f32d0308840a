//! Text on one side, token ids on the other: the tokenizer from the GGUF's own vocabulary, Harmony and chat
//! templates. Knows nothing of files, GPUs or networks.

mod error;
pub mod tokenizer;

pub use error::Error;
pub use tokenizer::{Detokenizer, Pretokenizer, SpecialIds, Tokenizer};
