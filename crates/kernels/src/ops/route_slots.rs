use super::Paging;
use crate::{Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct RouteSlotsArgs {
    pub n_routes: u32,
    pub n_experts: u32,
    pub layer: u32,
}

impl Recording {
    /// Readies `n_routes` routes of `layer` for its next group of experts: those that had their slot are
    /// done, those that missed are looked up in the table once more.
    pub fn route_slots(&mut self, layer: u32, paging: &Paging, routes: Slice, n_routes: u32) {
        let args = RouteSlotsArgs { n_routes, n_experts: paging.n_experts, layer };
        self.dispatch(&kernels::U32_ROUTE_SLOTS, &args, &[paging.table(), routes], [n_routes.div_ceil(64), 1, 1]);
    }
}
