//! What happens to experts, told as it happens.

use std::rc::Rc;

use serde::Serialize;

use crate::Urgency;

/// One thing that happened to experts. A layer and an expert's number in it name an expert.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PagingEvent {
    /// Its bytes are asked for: for a token that needs it, for one that will probably do, or to fill a slot that is free.
    Fetch { layer: u32, expert: u32, why: Urgency },
    /// It is on the GPU, after so many bytes.
    Arrive { layer: u32, expert: u32, bytes: u64 },
    /// The reading ended before all of it had come.
    Abandon { layer: u32, expert: u32 },
    /// It left the GPU: to make room, or with a device that was lost.
    Leave { layer: u32, expert: u32 },
    /// A decoded token used these experts of a layer, or a chunk of the prompt did; `missed` were not on the GPU when it came.
    Use { layer: u32, experts: Vec<u32>, missed: Vec<u32> },
    /// A token's pass goes back to this layer, whose experts have come meanwhile.
    Replay { layer: u32 },
    /// An answer has waited for experts.
    Stall { seconds: f64 },
}

/// Is told of everything, and may look at the books meanwhile. The engine waits for it, so it should be quick.
pub type Listener = Rc<dyn Fn(&PagingEvent)>;
