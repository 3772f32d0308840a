use super::{Heads, Pass};
use crate::{Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct FlashMergeArgs {
    pub n_heads: u32,
    pub head_dim: u32,
    pub window: u32,
    pub n_parts: u32,
    pub first_row: u32,
}

impl Recording {
    /// `out`, `[rows, n, dim]`, of what [`Recording::flash_decode`] found in `parts`.
    #[allow(clippy::too_many_arguments, reason = "the operands of the formula")]
    pub(crate) fn flash_merge(&mut self, heads: Heads, window: u32, n_parts: u32, pass: Pass, steps: Slice, parts: Slice, out: Slice) {
        let args = FlashMergeArgs { n_heads: heads.n, head_dim: heads.dim, window, n_parts, first_row: pass.first_row() };
        self.dispatch(&kernels::F32_FLASH_MERGE, &args, &[steps, parts, out], [heads.n, pass.n_tokens(), 1]);
    }
}
