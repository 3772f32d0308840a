use super::{Choices, ExpertWeight};
use crate::{Recording, Slice, Work, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct MoeGateUpArgs {
    pub n_cols: u32,
    pub n_rows: u32,
    pub n_used: u32,
    pub n_experts: u32,
    pub n_blocks: u32,
    pub first_slot: u32,
    pub n_slots: u32,
    pub alpha: f32,
    pub limit: f32,
    pub shift: f32,
}

/// `min(g, limit) * sigmoid(alpha * g) * (clamp(u, -limit, limit) + shift)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Swiglu {
    pub alpha: f32,
    pub limit: f32,
    pub shift: f32,
}

impl Swiglu {
    pub const GPT_OSS: Self = Self { alpha: 1.702, limit: 7.0, shift: 1.0 };
    /// `silu(g) * u`
    pub const PLAIN: Self = Self { alpha: 1.0, limit: f32::MAX, shift: 0.0 };
}

/// How many experts there are and how many a token uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experts {
    pub n: u32,
    pub n_used: u32,
}

impl Recording {
    /// `act = swiglu(Wg h + bg, Wu h + bu)` of each chosen expert that has a slot; bias is `[2, n_experts, n_rows]`,
    /// act `[n_tokens, n_used, n_rows]`.
    #[allow(clippy::too_many_arguments, reason = "the operands of the formula")]
    pub fn moe_gate_up_swiglu(
        &mut self,
        gate: &ExpertWeight,
        up: &ExpertWeight,
        bias: Slice,
        swiglu: Swiglu,
        h: Slice,
        choices: &Choices,
        act: Slice,
    ) {
        let experts = choices.experts;
        let product = choices.product(gate.n_rows);
        let (chosen, family) = choices.chosen([
            &kernels::F32_W_MOE_GATE_UP_SWIGLU,
            &kernels::F32_W_MOE_GATE_UP_SWIGLU_TILE,
            &kernels::F32_W_MOE_GATE_UP_SWIGLU_FEW,
        ]);
        let kernel = &family[gate.format.index()];
        let Work { weight_bytes, operations } = gate.work(product);
        let work = Work { weight_bytes: 2 * weight_bytes, operations: 2 * operations };
        for (gate_part, up_part) in gate.parts.iter().zip(&up.parts) {
            let args = MoeGateUpArgs {
                n_cols: gate.n_cols,
                n_rows: gate.n_rows,
                n_used: experts.n_used,
                n_experts: experts.n,
                n_blocks: gate.blocks(),
                first_slot: gate_part.first_slot,
                n_slots: gate_part.n_slots,
                alpha: swiglu.alpha,
                limit: swiglu.limit,
                shift: swiglu.shift,
            };
            let bindings = [chosen, h, gate_part.quants, gate_part.scales, up_part.quants, up_part.scales, bias, act];
            self.dispatch_over(work, kernel, &args, &bindings, product);
        }
    }
}
