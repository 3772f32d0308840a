use super::{Experts, Pass};
use crate::{Recording, Slice, kernels};

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct MoeGroupArgs {
    pub n_choices: u32,
    pub n_experts: u32,
    pub n_tiles: u32,
}

/// Up to [`Tile::COLS`] choices of one expert, whose weights are read once for all of them; WGSL's `Tile`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Tile {
    pub expert: u32,
    /// [`super::Route::MISS`]: there is no such tile.
    pub slot: u32,
    pub n_choices: u32,
    pub pad: u32,
    /// Of `[n_tokens, n_used]`; past `n_choices` the first again.
    pub choices: [u32; 4],
}

impl Tile {
    pub const COLS: usize = 4;

    /// Enough for the choices of `n_tokens`, however they fall.
    pub fn most(experts: Experts, n_tokens: u32) -> u32 {
        let (n_choices, cols) = (n_tokens * experts.n_used, Self::COLS as u32);
        (n_choices + (cols - 1) * experts.n.min(n_choices)) / cols
    }
}

/// Who works on what: the choices of a step's tokens.
#[derive(Clone, Copy, Debug)]
pub struct Choices {
    pub experts: Experts,
    pub pass: Pass,
    /// `[n_tokens, n_used]` [`super::Route`]
    pub routes: Slice,
    /// [`Tile`], as many as [`Tile::most`] says
    pub tiles: Slice,
}

impl Choices {
    /// Whether choices are grouped by expert: once there are so many that tiles have several. A batch decides it by its most.
    pub(super) fn in_tiles(&self) -> bool {
        let Experts { n, n_used } = self.experts;
        match self.pass {
            Pass::Alone => false,
            Pass::Chunk(n_tokens) | Pass::Batch { most: n_tokens, .. } => n_tokens * n_used > 2 * n,
        }
    }

    /// The binding that a kernel of experts takes, and how many workgroups a row tile.
    pub(super) fn chosen(&self) -> (Slice, u32) {
        match self.in_tiles() {
            true => (self.tiles, Tile::most(self.experts, self.pass.n_tokens())),
            false => (self.routes, self.pass.n_tokens() * self.experts.n_used),
        }
    }
}

impl Recording {
    /// Groups choices by expert, where that pays.
    pub fn moe_group(&mut self, choices: &Choices) {
        if !choices.in_tiles() {
            return;
        }
        let Choices { experts, pass, routes, tiles } = *choices;
        let n_tokens = pass.n_tokens();
        let args = MoeGroupArgs { n_choices: n_tokens * experts.n_used, n_experts: experts.n, n_tiles: Tile::most(experts, n_tokens) };
        self.dispatch(&kernels::U32_MOE_GROUP, &args, &[routes, tiles], [1, 1, 1]);
    }
}
