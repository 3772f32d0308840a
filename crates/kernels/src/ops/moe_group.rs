use super::{Experts, Pass};
use crate::{Kernel, Product, Recording, Slice, kernels};

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
    pub pass: Pass,
    /// `[n_tokens, n_used]` [`super::Route`]
    pub routes: Slice,
    /// Of [`Choices::tiles_bytes`].
    pub tiles: Slice,
    /// Whether chunks are grouped by expert however short they are.
    pub always_in_tiles: bool,
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
        product(self.experts, self.pass.n_tokens(), n_rows)
    }

    /// Whether choices are grouped by expert: once there are so many that most tiles are full, or in a batch, which decides it by its
    /// most, have several.
    fn in_tiles(&self) -> bool {
        let Experts { n, n_used } = self.experts;
        match self.pass {
            Pass::Alone => false,
            Pass::Chunk(_) if self.always_in_tiles => true,
            Pass::Drafts { most: 1 } => self.pass.n_tokens() * n_used > 2 * n,
            Pass::Chunk(n_tokens) => n_tokens * n_used > 4 * n,
            Pass::Batch { most, .. } | Pass::Drafts { most } => most * n_used > 2 * n,
        }
    }

    /// The binding that a kernel of experts takes, and the family it is of: for choices one by one, for tiles of a chunk or of a batch.
    pub(super) fn chosen(&self, [one, chunk, batch]: [&'static [Kernel; 16]; 3]) -> (Slice, &'static [Kernel; 16]) {
        match self.pass {
            _ if !self.in_tiles() => (self.routes, one),
            Pass::Batch { .. } | Pass::Drafts { .. } => (self.tiles, batch),
            Pass::Alone | Pass::Chunk(_) => (self.tiles, chunk),
        }
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
        let Choices { experts, pass, routes, tiles, .. } = *choices;
        let args = MoeGroupArgs { n_choices: pass.n_tokens() * experts.n_used, n_experts: experts.n };
        let kernel = if matches!(pass, Pass::Chunk(_)) { &kernels::U32_MOE_GROUP } else { &kernels::U32_MOE_GROUP_FEW };
        self.dispatch(kernel, &args, &[routes, tiles], [1, 1, 1]);
    }
}
