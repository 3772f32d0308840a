use super::Heads;
use crate::{Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct FlashMergeArgs {
    pub n_heads: u32,
    pub head_dim: u32,
    pub window: u32,
    pub n_parts: u32,
}

impl Recording {
    /// `out`, `[n, dim]`, of what [`Recording::flash_decode`] found in `parts`.
    pub(crate) fn flash_merge(&mut self, heads: Heads, window: u32, n_parts: u32, step: Slice, parts: Slice, out: Slice) {
        let args = FlashMergeArgs { n_heads: heads.n, head_dim: heads.dim, window, n_parts };
        self.dispatch(&kernels::F32_FLASH_MERGE, &args, &[step, parts, out], [heads.n, 1, 1]);
    }
}
