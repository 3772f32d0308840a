use super::{Paging, Pass};
use crate::{Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct RouterArgs {
    /// A multiple of 4.
    pub n_cols: u32,
    pub n_experts: u32,
    pub n_used: u32,
    pub eps: f32,
    pub layer: u32,
    /// 1: for experts that have no slot the best of the others stand in, as far as there are any.
    pub stand_ins: u32,
    pub first_row: u32,
}

/// One expert chosen for one token, as the router writes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Route {
    /// Which computes.
    pub expert: u32,
    /// Of the expert cache, or [`Route::MISS`] or [`Route::DONE`].
    pub slot: u32,
    pub weight: f32,
    /// The router's choice; another expert than `expert` if that one stands in for it.
    pub wanted: u32,
}

impl Route {
    /// The slot of an expert that is not on the GPU: it adds nothing.
    pub const MISS: u32 = u32::MAX;
    /// The slot of an expert whose product was computed with an earlier group of experts.
    pub const DONE: u32 = u32::MAX - 1;
}

/// Experts a layer that the kernel has room for.
pub const MAX_EXPERTS: u32 = 256;

/// What a router reads besides x.
#[derive(Clone, Copy, Debug)]
pub struct Router {
    /// `[n_cols]`
    pub gain: Slice,
    /// `[n_experts, n_cols]`, f32
    pub weight: Slice,
    /// `[n_experts]`
    pub bias: Slice,
}

impl Recording {
    /// `h = rms(x, gain)`, and the `n_used` experts of each token in `routes`, with the slots that the table
    /// has for `args.layer`. If one has none and none was missed before, `paging` says that this layer was
    /// the first; `saved` then holds what x was here. x, h and saved are `[n_tokens, n_cols]`. A row that has halted gets
    /// [`Route::DONE`]. `args.first_row` is set here.
    #[allow(clippy::too_many_arguments, reason = "the operands of the formula")]
    pub fn router_topk(
        &mut self,
        mut args: RouterArgs,
        x: Slice,
        router: &Router,
        paging: &Paging,
        h: Slice,
        routes: Slice,
        saved: Slice,
        steps: Slice,
        pass: Pass,
    ) {
        let bindings = [x, router.gain, router.weight, router.bias, paging.whole, h, routes, saved, steps];
        args.first_row = pass.first_row();
        self.dispatch(&kernels::F32_ROUTER_TOPK, &args, &bindings, [pass.n_tokens(), 1, 1]);
    }
}
