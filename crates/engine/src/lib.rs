//! The engine: a model's buffers on a GPU, recordings executed, tokens generated. It alone knows wgpu,
//! and speaks token ids only.

mod batch;
mod constraint;
mod drafting;
mod drafts;
mod error;
mod events;
mod executor;
mod experts;
mod feed;
mod generate;
mod gpu;
mod history;
mod intake;
mod pace;
mod paging;
pub mod policy;
mod probe;
mod readback;
mod report;
mod residency;
mod resident;
mod routes;
mod run;
mod sampling;
mod seats;
mod subgroups;
mod timing;
mod tuning;

#[cfg(not(target_arch = "wasm32"))]
#[path = "native.rs"]
mod platform;
#[cfg(target_arch = "wasm32")]
#[path = "wasm.rs"]
mod platform;

pub use batch::{Batch, Said, SequenceId};
pub use constraint::{Allowed, Constraint};
pub use drafts::Drafting;
pub use error::Error;
pub use events::{Listener, PagingEvent};
pub use executor::{Executor, Prepared};
pub use experts::{Experts, Paging};
pub use feed::{Feed, FeedError, Reading, Run, Sink, Urgency};
pub use generate::{Cancel, Event, Finish, Generated, Request, Token};
pub use gpu::{Counters, Gpu};
pub use resident::{Bounds, Engine, MOST_LOSSES};
pub use routes::Routed;
pub use sampling::SamplingOptions;
pub use seats::{Seat, Seats, Voice};
pub use timing::{Ceiling, KernelTime, Need, Timings};
pub use tuning::Shape;
