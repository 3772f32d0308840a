use super::{Pass, Weight};
use crate::{Kernel, Product, Recording, Slice, Work, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct MatmulArgs {
    pub n_cols: u32,
    pub n_rows: u32,
    pub n_tokens: u32,
    pub first_token: u32,
    pub n_blocks: u32,
    pub first_row: u32,
    pub y_stride: u32,
    pub y_first: u32,
    pub eps: f32,
}

/// Where a product's rows go: element `first` of each token's `stride` elements of `y`.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    pub y: Slice,
    pub first: u32,
    pub stride: u32,
}

impl Recording {
    /// `y = W rms(x, gain)` for rows `first_token ..` of x, without bias (the head); x is `[.., n_cols]`,
    /// gain `[n_cols]`.
    #[allow(clippy::too_many_arguments, reason = "the operands of the formula")]
    pub fn rms_matmul(&mut self, w: &Weight, x: Slice, gain: Slice, eps: f32, y: Rows, first_token: u32, pass: Pass) {
        let families = [&kernels::F32_W_RMS_MATVEC, &kernels::F32_W_RMS_MATMUL, &kernels::F32_W_RMS_MATMUL_FEW];
        self.matmul(families, w, x, y, &[gain], eps, first_token, pass);
    }

    /// `y = W rms(x, gain) + bias`; bias is `[n_rows]`.
    #[allow(clippy::too_many_arguments, reason = "the operands of the formula")]
    pub fn rms_matmul_bias(&mut self, w: &Weight, x: Slice, gain: Slice, eps: f32, bias: Slice, y: Rows, pass: Pass) {
        let families = [&kernels::F32_W_RMS_MATVEC_BIAS, &kernels::F32_W_RMS_MATMUL_BIAS, &kernels::F32_W_RMS_MATMUL_BIAS_FEW];
        self.matmul(families, w, x, y, &[gain, bias], eps, 0, pass);
    }

    /// `y += W x + bias`.
    pub fn matmul_bias_residual(&mut self, w: &Weight, x: Slice, bias: Slice, y: Rows, pass: Pass) {
        let families =
            [&kernels::F32_W_MATVEC_BIAS_RESIDUAL, &kernels::F32_W_MATMUL_BIAS_RESIDUAL, &kernels::F32_W_MATMUL_BIAS_RESIDUAL_FEW];
        self.matmul(families, w, x, y, &[bias], 0.0, 0, pass);
    }

    /// `families`: for a token alone, for a chunk, and for a batch.
    #[allow(clippy::too_many_arguments, reason = "the operands of the formula")]
    fn matmul(
        &mut self,
        [alone, chunk, batch]: [&'static [Kernel; 16]; 3],
        w: &Weight,
        x: Slice,
        y: Rows,
        rest: &[Slice],
        eps: f32,
        first_token: u32,
        pass: Pass,
    ) {
        let family = match pass {
            Pass::Alone => alone,
            Pass::Chunk(_) => chunk,
            Pass::Batch { .. } | Pass::Drafts { .. } => batch,
        };
        let (kernel, n_tokens) = (&family[w.format.index()], pass.n_tokens());
        for part in &w.parts {
            let args = MatmulArgs {
                n_cols: w.n_cols,
                n_rows: part.n_rows,
                n_tokens,
                first_token,
                n_blocks: w.blocks(part),
                first_row: part.first_row,
                y_stride: y.stride,
                y_first: y.first,
                eps,
            };
            let bindings: Vec<Slice> = [x, part.quants, part.scales, y.y].into_iter().chain(rest.iter().copied()).collect();
            let work = Work {
                weight_bytes: part.quants.bytes + part.scales.bytes,
                operations: 2 * u64::from(w.n_cols) * u64::from(part.n_rows) * u64::from(n_tokens),
            };
            let product = Product { n_rows: part.n_rows, n_columns: n_tokens, n_groups: 1 };
            self.dispatch_over(work, kernel, &args, &bindings, product);
        }
    }
}
