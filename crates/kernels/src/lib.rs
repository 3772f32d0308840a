//! WGSL kernels as a typed table, what they are called with, and their CPU twins.
//!
//! One stem in five places: `shaders/STEM.wgsl`, `ops/STEM.rs` (arguments and the call that records
//! it), `cpu/STEM.rs` (the twin), and the test and the bench of that name. Nothing here knows wgpu: a
//! call appends to a [`Recording`], which the engine executes on a GPU and [`cpu::execute`] on none.

pub mod cpu;
mod format;
pub mod ops;
mod planes;
mod preprocess;
mod recording;
mod table;

pub use format::{Format, Plane};
pub use planes::Planes;
pub use recording::{ARGS_ALIGNMENT, BufferId, Command, Product, Recording, Slice, Work};
pub use table::{Access, Binding, Kernel};

/// Every checked kernel, one static a permutation.
pub mod kernels {
    pub use crate::table::*;
}
