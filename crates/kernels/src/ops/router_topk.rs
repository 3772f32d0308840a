use crate::{Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct RouterArgs {
    pub n_cols: u32,
    pub n_experts: u32,
    pub n_used: u32,
    pub eps: f32,
}

/// One expert chosen for one token, as the router writes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Route {
    pub expert: u32,
    /// Of the expert cache, or [`Route::MISS`].
    pub slot: u32,
    pub weight: f32,
    pub pad: u32,
}

impl Route {
    /// The slot of an expert that is not on the GPU.
    pub const MISS: u32 = u32::MAX;
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
    /// `[n_experts]`: slot of each expert, or [`Route::MISS`]
    pub slots: Slice,
}

impl Recording {
    /// `h = rms(x, gain)`, and the `n_used` experts of each token in `routes`.
    pub fn router_topk(&mut self, args: RouterArgs, x: Slice, router: &Router, h: Slice, routes: Slice, n_tokens: u32) {
        let bindings = [x, router.gain, router.weight, router.bias, router.slots, h, routes];
        self.dispatch(&kernels::F32_ROUTER_TOPK, &args, &bindings, [n_tokens, 1, 1]);
    }
}
