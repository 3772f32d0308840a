//! The model: hyperparameters from the metadata, a place for every tensor, and `forward`, which reads
//! like the paper and emits a [`kernels::Recording`]. No wgpu and no I/O: the engine makes the buffers
//! that [`Model::buffers`] asks for, fills them as [`Model::uploads`] says, and executes.

mod buffers;
mod config;
mod error;
mod forward;
mod placement;
mod plan;
mod rope;
mod weights;

pub use buffers::{Buffer, Buffers, Usage};
pub use config::{Architecture, Config, RopeConfig, Yarn};
pub use error::Error;
pub use placement::{ExpertTensor, Place, Upload};
pub use plan::Budget;
pub use weights::{Bytes, Layer, Model, Options, State};
