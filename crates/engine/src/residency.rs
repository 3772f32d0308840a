//! Which experts of a layer are on the GPU, and who makes room for whom.

use kernels::ops::Route;

use crate::policy::{Affinity, Choice, Policy};

/// The slots of one layer.
#[derive(Debug)]
pub(crate) struct Residency {
    /// `[n_experts]`: the slot of each expert, or [`Route::MISS`]; a row of the table that kernels read.
    table: Vec<u32>,
    /// `[n_slots]`: who is in a slot, or on its way into it.
    slots: Vec<Option<u32>>,
    policy: Affinity,
}

impl Residency {
    /// All slots free.
    pub(crate) fn new(n_experts: u32, n_slots: u32) -> Self {
        Self { table: vec![Route::MISS; n_experts as usize], slots: vec![None; n_slots as usize], policy: Affinity::new(n_experts) }
    }

    /// Nothing is there any more, but how much each was used is known; there are so many slots from now on. Who was there.
    pub(crate) fn vacate(&mut self, n_slots: u32) -> Vec<u32> {
        let were_there = (0..self.table.len() as u32).filter(|expert| self.has(*expert)).collect();
        self.table.fill(Route::MISS);
        self.slots = vec![None; n_slots as usize];
        were_there
    }

    pub(crate) fn table(&self) -> &[u32] {
        &self.table
    }

    pub(crate) fn has(&self, expert: u32) -> bool {
        self.table[expert as usize] != Route::MISS
    }

    pub(crate) fn n_slots(&self) -> usize {
        self.slots.len()
    }

    /// Whether every expert is there, so that nothing can be missed.
    pub(crate) fn is_whole(&self) -> bool {
        !self.table.contains(&Route::MISS)
    }

    /// Slots that nobody is in or on the way into.
    pub(crate) fn n_free(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_none()).count()
    }

    /// Whether `expert` is in a slot, or on its way into one.
    pub(crate) fn is_placed(&self, expert: u32) -> bool {
        self.slots.contains(&Some(expert))
    }

    /// The slot that `expert` is to be read into, and who left it: a free one, or else that of the expert which the policy
    /// gives up, never one of `needed`. `None` if all slots hold needed ones.
    pub(crate) fn make_room(&mut self, expert: u32, needed: &[u32]) -> Option<(u32, Option<u32>)> {
        let (slot, left) = match self.slots.iter().position(Option::is_none) {
            Some(free) => (free as u32, None),
            None => {
                let others: Vec<u32> = self.slots.iter().flatten().copied().filter(|e| self.has(*e) && !needed.contains(e)).collect();
                let victim = self.policy.victim(&others)?;
                (std::mem::replace(&mut self.table[victim as usize], Route::MISS), Some(victim))
            }
        };
        self.slots[slot as usize] = Some(expert);
        Some((slot, left))
    }

    /// `expert` was read into `slot`, or could not be.
    pub(crate) fn settle(&mut self, expert: u32, slot: u32, is_there: bool) {
        match is_there {
            true => {
                self.table[expert as usize] = slot;
                self.policy.filled(expert);
            }
            false => self.slots[slot as usize] = None,
        }
    }

    /// A token's choices, the heaviest first.
    pub(crate) fn used(&mut self, chosen: &[Choice]) {
        self.policy.used(chosen);
    }

    /// How much each expert was used of late, `[n_experts]`.
    pub(crate) fn heat(&self) -> &[f32] {
        self.policy.heat()
    }

    /// Goes on from an earlier visit's heat, `[n_experts]`.
    pub(crate) fn restore_heat(&mut self, heat: &[f32]) {
        self.policy = Affinity::restore(heat);
    }
}
