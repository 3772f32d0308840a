//! Runs that are held in host memory, between disk or network and those who read them again and again.
//!
//! Not for wasm, whose memory never shrinks and is too small for tensors.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::Run;

/// Holds at most a budget of bytes; what was not read for the longest time makes room.
#[derive(Debug, Default)]
pub(crate) struct Ram(RefCell<State>);

#[derive(Debug, Default)]
struct State {
    budget_bytes: u64,
    held_bytes: u64,
    served_bytes: u64,
    held: HashMap<Run, Held>,
    /// Reads so far, as a clock.
    now: u64,
}

#[derive(Debug)]
struct Held {
    bytes: Rc<Vec<u8>>,
    read_at: u64,
}

impl Ram {
    pub(crate) fn set_budget(&self, bytes: u64) {
        let mut state = self.0.borrow_mut();
        state.budget_bytes = bytes;
        state.make_room(0);
    }

    /// Whether a run of `bytes` bytes could be held.
    pub(crate) fn takes(&self, bytes: u64) -> bool {
        bytes <= self.0.borrow().budget_bytes
    }

    /// Bytes that were read from here.
    pub(crate) fn served_bytes(&self) -> u64 {
        self.0.borrow().served_bytes
    }

    pub(crate) fn get(&self, run: &Run) -> Option<Rc<Vec<u8>>> {
        let mut state = self.0.borrow_mut();
        state.now += 1;
        let now = state.now;
        let held = state.held.get_mut(run)?;
        held.read_at = now;
        let bytes = held.bytes.clone();
        state.served_bytes += bytes.len() as u64;
        Some(bytes)
    }

    /// Holds the bytes of `run`, if they fit into the budget at all.
    pub(crate) fn put(&self, run: Run, bytes: Vec<u8>) {
        let mut state = self.0.borrow_mut();
        let needed = bytes.len() as u64;
        if needed > state.budget_bytes || state.held.contains_key(&run) {
            return;
        }
        state.make_room(needed);
        state.held_bytes += needed;
        let read_at = state.now;
        state.held.insert(run, Held { bytes: Rc::new(bytes), read_at });
    }
}

impl State {
    fn make_room(&mut self, needed: u64) {
        while self.held_bytes + needed > self.budget_bytes {
            let oldest = self.held.iter().min_by_key(|(_, held)| held.read_at).map(|(run, _)| run.clone());
            let Some(held) = oldest.and_then(|run| self.held.remove(&run)) else {
                return;
            };
            self.held_bytes -= held.bytes.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u64) -> Run {
        Run { shard: 0, range: start..start + 10 }
    }

    #[test]
    fn what_was_not_read_for_the_longest_time_makes_room() {
        let ram = Ram::default();
        ram.put(run(0), vec![0; 10]);
        assert!(ram.get(&run(0)).is_none() && !ram.takes(1));
        ram.set_budget(30);
        for start in [0, 1, 2] {
            ram.put(run(start), vec![start as u8; 10]);
            assert!(ram.get(&run(start)).is_some());
        }
        assert!(ram.get(&run(0)).is_some());
        ram.put(run(3), vec![3; 10]);
        let held = |ram: &Ram| [0, 1, 2, 3].map(|start| ram.0.borrow().held.contains_key(&run(start)));
        assert_eq!(held(&ram), [true, false, true, true]);
        ram.put(run(4), vec![4; 31]);
        assert_eq!(held(&ram), [true, false, true, true]);
        ram.set_budget(10);
        assert_eq!((ram.0.borrow().held_bytes, ram.served_bytes()), (10, 40));
    }
}
