use super::{ExpertWeight, Experts};
use crate::{Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct MoeDownArgs {
    pub n_cols: u32,
    pub n_rows: u32,
    pub n_blocks: u32,
    pub first_slot: u32,
    pub n_slots: u32,
}

impl Recording {
    /// `y = Wd act + bd` of each chosen expert that has a slot; bias is `[n_experts, n_rows]`, act
    /// `[n_tokens, n_used, n_cols]`, y `[n_tokens, n_used, n_rows]`.
    #[allow(clippy::too_many_arguments, reason = "the operands of the formula")]
    pub fn moe_down(&mut self, down: &ExpertWeight, bias: Slice, experts: Experts, act: Slice, routes: Slice, y: Slice, n_tokens: u32) {
        let kernel = &kernels::F32_W_MOE_DOWN[down.format.index()];
        for part in &down.parts {
            let args = MoeDownArgs {
                n_cols: down.n_cols,
                n_rows: down.n_rows,
                n_blocks: down.blocks(),
                first_slot: part.first_slot,
                n_slots: part.n_slots,
            };
            let bindings = [act, routes, part.quants, part.scales, bias, y];
            self.dispatch(kernel, &args, &bindings, [down.n_rows.div_ceil(32), n_tokens * experts.n_used, 1]);
        }
    }
}
