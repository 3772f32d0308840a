//! The one place where messages meet tokens: a model's files opened, its weights loaded, OpenAI
//! requests rendered to ids, and what the engine samples parsed back into chunks.

mod chat;
mod dialect;
mod error;
mod feed;
mod files;
mod load;
mod plan;
mod reader;
mod reply;
mod request;
mod stats;

pub use dialect::Dialect;
pub use error::Error;
pub use files::Files;
pub use load::{LoadOptions, Model, Progress, tokenizer};
pub use reply::*;
pub use request::{Parameters, Request, Stop, StreamOptions};
pub use stats::Stats;
