//! Text on one side, token ids on the other: the tokenizer from the GGUF's own vocabulary, Harmony and chat
//! templates. Knows nothing of files, GPUs or networks.

pub mod chat;
pub mod constrained;
mod error;
pub mod harmony;
mod prompt;
pub mod template;
pub mod tokenizer;

#[cfg(not(target_arch = "wasm32"))]
#[path = "native.rs"]
mod platform;
#[cfg(target_arch = "wasm32")]
#[path = "wasm.rs"]
mod platform;

pub use error::Error;
pub use prompt::{Encode, Piece, Prompt};
pub use template::Template;
pub use tokenizer::{Detokenizer, Pretokenizer, SpecialIds, Tokenizer};
