//! The one place where messages meet tokens: a model's files opened, its weights loaded, OpenAI
//! requests rendered to ids, and what the engine samples parsed back into chunks.

mod call;
mod chat;
mod complete;
mod constrained;
mod dialect;
mod error;
mod error_reply;
mod examine;
mod feed;
mod files;
mod fill;
mod heat;
mod load;
mod monitor;
mod names;
mod plan;
mod reader;
mod reply;
mod request;
mod responses;
mod shapes;
mod speak;
mod stats;
mod stop;
mod twins;
mod waiting;

pub use call::{Call, Endpoint, Frame, Reply, error_frame};
pub use complete::{CompletionPrompt, CompletionRequest, TextChoice, TextCompletion, TextLogprobs, ends};
pub use dialect::Dialect;
pub use error::Error;
pub use error_reply::ErrorReply;
pub use examine::Examiner;
pub use files::{Files, shard_locations};
pub use fill::{Fill, FillProgress, FillState};
pub use heat::encode_heat;
pub use load::{LoadOptions, Model, Progress, tokenizer};
pub use monitor::{ExpertMap, LiveEvent, LiveListener, Monitor, Place, TierBytes};
pub use names::Names;
pub use reply::*;
pub use request::{Parameters, Request, Stop, StreamOptions};
pub use stats::Stats;
pub use twins::{Twins, TwinsError};
