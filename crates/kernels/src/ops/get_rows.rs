use super::{Pass, Weight};
use crate::{Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct GetRowsArgs {
    pub n_cols: u32,
    pub n_tokens: u32,
    pub part_row: u32,
    pub n_rows: u32,
    pub n_blocks: u32,
    pub first_row: u32,
}

impl Recording {
    /// `y[t] = W[tokens[t]]` for a chunk's `tokens`, else for the token that each row's step says; y is `[n_tokens, n_cols]`. Ids
    /// past the last row leave y as it is.
    pub fn get_rows(&mut self, w: &Weight, tokens: Slice, steps: Slice, y: Slice, pass: Pass) {
        let n_tokens = pass.n_tokens();
        let (family, ids) = match pass {
            Pass::Chunk(_) => (&kernels::F32_W_GET_ROWS, tokens),
            Pass::Alone | Pass::Batch { .. } | Pass::Drafts { .. } => (&kernels::F32_W_GET_ROWS_NEXT, steps),
        };
        for part in &w.parts {
            let args = GetRowsArgs {
                n_cols: w.n_cols,
                n_tokens,
                part_row: part.first_row,
                n_rows: part.n_rows,
                n_blocks: w.blocks(part),
                first_row: pass.first_row(),
            };
            let kernel = &family[w.format.index()];
            let groups = [(w.n_cols / 32).div_ceil(64), n_tokens, 1];
            self.dispatch(kernel, &args, &[ids, part.quants, part.scales, y], groups);
        }
    }
}
