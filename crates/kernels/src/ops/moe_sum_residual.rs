use crate::{Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct MoeSumArgs {
    pub n_rows: u32,
    pub n_used: u32,
}

impl Recording {
    /// `x += sum of weight * y` over each token's choices but those that missed; y is
    /// `[n_tokens, n_used, n_rows]`, x `[n_tokens, n_rows]`.
    pub fn moe_sum_residual(&mut self, args: MoeSumArgs, y: Slice, routes: Slice, x: Slice, n_tokens: u32) {
        self.dispatch(&kernels::F32_MOE_SUM_RESIDUAL, &args, &[y, routes, x], [args.n_rows.div_ceil(64), n_tokens, 1]);
    }
}
