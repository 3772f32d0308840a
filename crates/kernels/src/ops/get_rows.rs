use super::Weight;
use crate::{Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct GetRowsArgs {
    pub n_cols: u32,
    pub n_tokens: u32,
    pub first_row: u32,
    pub n_rows: u32,
    pub n_blocks: u32,
}

impl Recording {
    /// `y[t] = W[tokens[t]]`; y is `[n_tokens, n_cols]`. Ids past the last row leave y as it is.
    pub fn get_rows(&mut self, w: &Weight, tokens: Slice, y: Slice, n_tokens: u32) {
        for part in &w.parts {
            let args = GetRowsArgs { n_cols: w.n_cols, n_tokens, first_row: part.first_row, n_rows: part.n_rows, n_blocks: w.blocks(part) };
            let kernel = &kernels::F32_W_GET_ROWS[w.format.index()];
            let groups = [(w.n_cols / 32).div_ceil(64), n_tokens, 1];
            self.dispatch(kernel, &args, &[tokens, part.quants, part.scales, y], groups);
        }
    }
}
