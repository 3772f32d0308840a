//! The one place where messages meet tokens: a model's files opened, its weights loaded, OpenAI
//! requests rendered to ids, and what the engine samples parsed back into chunks.

mod chat;
mod complete;
mod constrained;
mod dialect;
mod error;
mod feed;
mod files;
mod fill;
mod heat;
mod load;
mod monitor;
mod plan;
mod reader;
mod reply;
mod request;
mod speak;
mod stats;
mod stop;

pub use complete::{CompletionPrompt, CompletionRequest, TextChoice, TextCompletion, TextLogprobs, ends};
pub use dialect::Dialect;
pub use error::Error;
pub use files::{Files, shard_locations};
pub use fill::{Fill, FillProgress, FillState};
pub use heat::encode_heat;
pub use load::{LoadOptions, Model, Progress, tokenizer};
pub use monitor::{ExpertMap, LiveEvent, LiveListener, Monitor, Place, TierBytes};
pub use reply::*;
pub use request::{Parameters, Request, Stop, StreamOptions};
pub use stats::Stats;
