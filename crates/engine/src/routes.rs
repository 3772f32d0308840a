//! What routers choose, kept for those who want to see it.

use kernels::ops::Route;

use crate::Engine;
use crate::policy::Choice;

/// What one layer's router chose for one token.
#[derive(Clone, Debug, PartialEq)]
pub struct Routed {
    pub layer: u32,
    /// `[n_used]`, the heaviest first.
    pub choices: Vec<Choice>,
    /// `[n_used]`: whether the expert was read for this token, as it was not on the GPU and no token before this one
    /// in its chunk had it read.
    pub missed: Vec<bool>,
}

impl Engine {
    /// Keeps from now on what every router chooses. That costs a readback of 16 B a choice, and prefill goes layer by layer.
    /// A dense model has no router.
    pub fn watch_routes(&mut self) {
        if self.model.is_sparse() {
            self.watched.get_or_insert_default();
        }
    }

    /// What was chosen since the last call, by tokens that counted: those of each layer in their order.
    pub fn take_routes(&mut self) -> Vec<Routed> {
        self.watched.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whether the host must see what routers choose.
    pub(crate) fn needs_routes(&self) -> bool {
        self.watched.is_some() || !self.experts.is_whole()
    }

    /// Notes one token's choices in one layer; `is_missed` is asked about each expert once.
    pub(crate) fn watch(&mut self, layer: usize, routes: &[Route], is_missed: impl FnMut(u32) -> bool) {
        let Some(watched) = &mut self.watched else { return };
        watched.push(Routed {
            layer: layer as u32,
            choices: routes.iter().map(|r| Choice { expert: r.wanted, weight: r.weight }).collect(),
            missed: routes.iter().map(|r| r.wanted).map(is_missed).collect(),
        });
    }
}
