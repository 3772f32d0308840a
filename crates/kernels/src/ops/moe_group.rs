use super::Experts;
use crate::{Product, Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct MoeGroupArgs {
    pub n_choices: u32,
    pub n_experts: u32,
}

/// WGSL's `Tile` but for its choices: up to as many of one expert as a kernel has columns, so that weights are read once for all.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct TileHeader {
    pub expert: u32,
    /// [`super::Route::MISS`]: there is no such tile.
    pub slot: u32,
    pub n_choices: u32,
    pub pad: u32,
}

/// Who works on what: the choices of a step's tokens.
#[derive(Clone, Copy, Debug)]
pub struct Choices {
    pub experts: Experts,
    pub n_tokens: u32,
    /// `[n_tokens, n_used]` [`super::Route`]
    pub routes: Slice,
    /// Of [`Choices::tiles_bytes`].
    pub tiles: Slice,
}

impl Choices {
    /// Bytes of the tiles of `n_tokens`, however their choices fall and whatever shape the kernels have.
    pub fn tiles_bytes(experts: Experts, n_tokens: u32) -> u64 {
        let bytes = [&kernels::U32_MOE_GROUP, &kernels::U32_MOE_GROUP_WIDE].map(|kernel| {
            let n_tiles = product(experts, n_tokens, 1).most_tiles(kernel.columns);
            u64::from(n_tiles) * (size_of::<TileHeader>() as u64 + u64::from(kernel.columns) * 4)
        });
        bytes[0].max(bytes[1])
    }

    /// Of a matrix of `n_rows` an expert.
    pub(super) fn product(&self, n_rows: u32) -> Product {
        product(self.experts, self.n_tokens, n_rows)
    }

    /// Whether choices are grouped by expert: those of one token are all of different ones.
    pub(super) fn in_tiles(&self) -> bool {
        self.n_tokens > 1
    }

    /// The binding that a kernel of experts takes.
    pub(super) fn chosen(&self) -> Slice {
        if self.in_tiles() { self.tiles } else { self.routes }
    }
}

fn product(experts: Experts, n_tokens: u32, n_rows: u32) -> Product {
    Product { n_rows, n_columns: n_tokens * experts.n_used, n_groups: experts.n }
}

impl Recording {
    /// Groups choices by expert, where that pays.
    pub fn moe_group(&mut self, choices: &Choices) {
        if !choices.in_tiles() {
            return;
        }
        let Choices { experts, n_tokens, routes, tiles } = *choices;
        let args = MoeGroupArgs { n_choices: n_tokens * experts.n_used, n_experts: experts.n };
        self.dispatch(&kernels::U32_MOE_GROUP, &args, &[routes, tiles], [1, 1, 1]);
    }
}
