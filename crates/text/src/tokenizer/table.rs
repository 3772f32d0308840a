//! An open-addressing hash table of plain values, for tables with hundreds of thousands of small entries
//! in memory that never shrinks (wasm): one allocation, no pointers, keys kept by the caller.
//!
//! Hashes are keyed at random, so that no vocabulary can be made to collide.

use std::hash::{BuildHasher, Hash, RandomState};

/// Slots per 3 entries: at 60 % full a miss looks at about four neighbours.
const SLOTS_PER_3: usize = 5;

#[derive(Clone, Debug)]
pub(super) struct Table<V> {
    /// Linear probing; `None`-like slots hold `empty`.
    slots: Box<[V]>,
    empty: V,
    keys: RandomState,
}

impl<V: Copy + PartialEq> Table<V> {
    /// A table for at most `capacity` entries, none of which may be `empty`.
    pub(super) fn new(capacity: usize, empty: V) -> Self {
        let n_slots = capacity / 3 * SLOTS_PER_3 + SLOTS_PER_3;
        Self { slots: vec![empty; n_slots].into_boxed_slice(), empty, keys: RandomState::new() }
    }

    /// The value under `key`, where `is_key` tells whether a value is the one that `key` names.
    pub(super) fn get(&self, key: impl Hash, is_key: impl Fn(V) -> bool) -> Option<V> {
        let value = self.slots[self.slot(key, is_key)];
        (value != self.empty).then_some(value)
    }

    /// Puts `value` under `key`, unless something is there already. Says whether it did.
    pub(super) fn insert(&mut self, key: impl Hash, value: V, is_key: impl Fn(V) -> bool) -> bool {
        let slot = self.slot(key, is_key);
        let free = self.slots[slot] == self.empty;
        if free {
            self.slots[slot] = value;
        }
        free
    }

    /// The slot that holds `key`, or the empty one where it belongs.
    fn slot(&self, key: impl Hash, is_key: impl Fn(V) -> bool) -> usize {
        let hash = self.keys.hash_one(key);
        // The high half of hash * n spreads the hash over any number of slots.
        let mut slot = ((u128::from(hash) * self.slots.len() as u128) >> 64) as usize;
        while self.slots[slot] != self.empty && !is_key(self.slots[slot]) {
            slot += 1;
            if slot == self.slots.len() {
                slot = 0;
            }
        }
        slot
    }
}
