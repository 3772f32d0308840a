use super::{Choices, ExpertWeight};
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
    pub fn moe_down(&mut self, down: &ExpertWeight, bias: Slice, act: Slice, choices: &Choices, y: Slice) {
        let product = choices.product(down.n_rows);
        let (chosen, family) = choices.chosen([&kernels::F32_W_MOE_DOWN, &kernels::F32_W_MOE_DOWN_TILE, &kernels::F32_W_MOE_DOWN_FEW]);
        let kernel = &family[down.format.index()];
        let work = down.work(product);
        for part in &down.parts {
            let args = MoeDownArgs {
                n_cols: down.n_cols,
                n_rows: down.n_rows,
                n_blocks: down.blocks(),
                first_slot: part.first_slot,
                n_slots: part.n_slots,
            };
            let bindings = [chosen, act, part.quants, part.scales, bias, y];
            self.dispatch_over(work, kernel, &args, &bindings, product);
        }
    }
}
