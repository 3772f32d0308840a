//! Runs that are held in host memory, between disk or network and those who read them again and again.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::rc::Rc;

use crate::Run;
use crate::platform::Buffer;

/// By how much the age of a run counts more while its bytes are nearer too: they are not read again before they leave there,
/// but then they are wanted here.
const NEARER: u64 = 3;

/// Says of the nth range of which runs are held whether its bytes are nearer than here.
pub(crate) type IsNearer = dyn Fn(usize) -> bool;

/// Holds at most a budget of bytes; what was not read for the longest time makes room, and sooner what is nearer too.
#[derive(Debug, Default)]
pub(crate) struct Ram(RefCell<State>);

#[derive(Default)]
struct State {
    budget_bytes: u64,
    /// Ends of the ranges of which runs are held, and which they are, by shard and start.
    worth: BTreeMap<(usize, u64), (u64, usize)>,
    is_nearer: Option<Box<IsNearer>>,
    /// By shard and start.
    held: HashMap<(usize, u64), Held>,
    held_bytes: u64,
    /// Of rooms that are being filled.
    filling_bytes: u64,
    served_bytes: u64,
    /// Reads so far, as a clock.
    now: u64,
    /// How often all was forgotten.
    n_forgotten: u64,
}

#[derive(Debug)]
struct Held {
    bytes: Rc<Buffer>,
    read_at: u64,
    /// Of `worth`.
    nth: usize,
}

/// Room for a run, to be filled from its start to its end. Full, it is held; dropped before, it is given back.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    ram: &'a Ram,
    at: (usize, u64),
    nth: usize,
    buffer: Option<Buffer>,
    filled: usize,
    n_forgotten: u64,
}

impl Ram {
    /// Holds runs that lie inside one of `worth`, at most so many bytes of them, in place of what was held.
    pub(crate) fn set_budget(&self, bytes: u64, worth: impl IntoIterator<Item = Run>, is_nearer: Box<IsNearer>) {
        self.forget();
        let mut state = self.0.borrow_mut();
        state.budget_bytes = bytes;
        let worth = worth.into_iter().enumerate();
        state.worth = worth.map(|(nth, run)| ((run.shard, run.range.start), (run.range.end, nth))).collect();
        state.is_nearer = Some(is_nearer);
    }

    /// Lets go of everything, also of what is being read.
    pub(crate) fn forget(&self) {
        let mut state = self.0.borrow_mut();
        state.held.clear();
        state.held_bytes = 0;
        state.n_forgotten += 1;
    }

    /// Bytes that were read from here.
    pub(crate) fn served_bytes(&self) -> u64 {
        self.0.borrow().served_bytes
    }

    pub(crate) fn held_bytes(&self) -> u64 {
        self.0.borrow().held_bytes
    }

    /// Whether all of a run is held, be it as several.
    pub(crate) fn has(&self, run: &Run) -> bool {
        let state = self.0.borrow();
        let mut at = run.range.start;
        while at < run.range.end {
            match state.held.get(&(run.shard, at)) {
                Some(held) => at += held.bytes.len() as u64,
                None => return false,
            }
        }
        at == run.range.end
    }

    pub(crate) fn get(&self, run: &Run) -> Option<Rc<Buffer>> {
        let mut state = self.0.borrow_mut();
        state.now += 1;
        let now = state.now;
        let held = state.held.get_mut(&(run.shard, run.range.start))?;
        if held.bytes.len() as u64 != run.range.end - run.range.start {
            return None;
        }
        held.read_at = now;
        let bytes = held.bytes.clone();
        state.served_bytes += bytes.len() as u64;
        Some(bytes)
    }

    /// `None` if the run is not to be held or is held already, and where neither the budget nor the machine has so much to give.
    pub(crate) fn room_for(&self, run: &Run) -> Option<Room<'_>> {
        let mut state = self.0.borrow_mut();
        let at = (run.shard, run.range.start);
        let bytes = run.range.end - run.range.start;
        if bytes == 0 || state.filling_bytes + bytes > state.budget_bytes {
            return None;
        }
        let nth = state.worth_of(at, bytes)?;
        if state.held.contains_key(&at) {
            return None;
        }
        let used_before = state.make_room(bytes);
        let buffer = used_before.or_else(|| Buffer::new(usize::try_from(bytes).ok()?))?;
        state.filling_bytes += bytes;
        Some(Room { ram: self, at, nth, buffer: Some(buffer), filled: 0, n_forgotten: state.n_forgotten })
    }
}

impl State {
    /// Lets go what was not read for the longest time, as ages count, until so many bytes have room. Gives a buffer of as many bytes that
    /// nobody needs any more, if there is one.
    fn make_room(&mut self, needed: u64) -> Option<Buffer> {
        let mut spare = None;
        while self.held_bytes + self.filling_bytes + needed > self.budget_bytes {
            let oldest = self.held.iter().max_by_key(|(_, held)| self.age(held)).map(|(&at, _)| at)?;
            let bytes = self.held.remove(&oldest)?.bytes;
            self.held_bytes -= bytes.len() as u64;
            if bytes.len() as u64 == needed {
                spare = Rc::try_unwrap(bytes).ok();
            }
        }
        spare
    }

    fn age(&self, held: &Held) -> u64 {
        let reads = self.now - held.read_at + 1;
        let is_nearer = self.is_nearer.as_ref().is_some_and(|is_nearer| is_nearer(held.nth));
        if is_nearer { NEARER * reads } else { reads }
    }

    /// Which range of which runs are held a run of so many bytes lies in.
    fn worth_of(&self, at: (usize, u64), bytes: u64) -> Option<usize> {
        let (&(shard, _), &(end, nth)) = self.worth.range(..=at).next_back()?;
        (shard == at.0 && at.1 + bytes <= end).then_some(nth)
    }
}

impl Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { budget_bytes, held_bytes, served_bytes, .. } = self;
        f.debug_struct("State")
            .field("budget", budget_bytes)
            .field("held", held_bytes)
            .field("served", served_bytes)
            .finish_non_exhaustive()
    }
}

impl Room<'_> {
    /// Takes the next bytes of the run.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        if let Some(buffer) = &mut self.buffer {
            buffer.write(self.filled, piece);
            self.filled += piece.len();
        }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut state = self.ram.0.borrow_mut();
        let Some(buffer) = self.buffer.take() else { return };
        let bytes = buffer.len() as u64;
        state.filling_bytes -= bytes;
        let is_good = self.filled == buffer.len() && self.n_forgotten == state.n_forgotten;
        if !is_good || state.held.contains_key(&self.at) {
            return;
        }
        state.held_bytes += bytes;
        let (read_at, nth) = (state.now, self.nth);
        state.held.insert(self.at, Held { bytes: Rc::new(buffer), read_at, nth });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::ops::ControlFlow;

    use super::*;

    fn run(start: u64) -> Run {
        Run { shard: 0, range: start..start + 10 }
    }

    /// With a budget of so many bytes for runs between 0 and 50, and between 50 and 100, which are nearer too.
    fn ram(budget: u64) -> Ram {
        let ram = Ram::default();
        ram.set_budget(budget, [Run { shard: 0, range: 0..50 }, Run { shard: 0, range: 50..100 }], Box::new(|nth| nth == 1));
        ram
    }

    /// Whether there was room.
    fn put(ram: &Ram, run: &Run, byte: u8) -> bool {
        let Some(mut room) = ram.room_for(run) else { return false };
        room.push(&[byte; 4]);
        room.push(&vec![byte; (run.range.end - run.range.start) as usize - 4]);
        true
    }

    fn bytes(ram: &Ram, run: &Run) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let given = ram.get(run)?.give(&mut |piece| {
            bytes.extend_from_slice(piece);
            ControlFlow::Continue(())
        });
        assert!(given.is_continue());
        Some(bytes)
    }

    fn held(ram: &Ram) -> Vec<u64> {
        (0..100).filter(|&start| ram.has(&run(start))).collect()
    }

    #[test]
    fn what_was_not_read_for_the_longest_time_makes_room() {
        let ram = ram(30);
        for start in [0, 10, 20] {
            assert!(put(&ram, &run(start), start as u8));
            assert_eq!(bytes(&ram, &run(start)), Some(vec![start as u8; 10]));
        }
        assert!(bytes(&ram, &run(0)).is_some());
        assert!(put(&ram, &run(30), 30) && !put(&ram, &run(30), 31));
        assert_eq!(held(&ram), [0, 20, 30]);
        assert_eq!(bytes(&ram, &run(30)), Some(vec![30; 10]));
        assert!(!put(&ram, &Run { shard: 0, range: 40..71 }, 40));
        assert_eq!(held(&ram), [0, 20, 30]);
        assert_eq!((ram.held_bytes(), ram.served_bytes()), (30, 50));
    }

    #[test]
    fn what_is_nearer_too_makes_room_sooner_though_not_at_once() {
        for (reads_between, expected) in [(1, [0, 20]), (4, [20, 50])] {
            let ram = ram(20);
            assert!(put(&ram, &run(0), 0));
            (0..reads_between).for_each(|_| assert!(bytes(&ram, &run(90)).is_none()));
            assert!(put(&ram, &run(50), 5));
            assert!(put(&ram, &run(20), 2));
            assert_eq!(held(&ram), expected, "{reads_between} reads between");
        }
    }

    #[test]
    fn what_is_being_read_counts_and_counts_no_more_when_its_reading_ends() {
        let ram = ram(20);
        assert!(put(&ram, &run(0), 1));
        let rooms = [ram.room_for(&run(10)), ram.room_for(&run(20)), ram.room_for(&run(30))];
        assert_eq!(rooms.each_ref().map(Option::is_some), [true, true, false]);
        assert_eq!((held(&ram), ram.held_bytes()), (vec![], 0));
        for mut room in rooms.into_iter().flatten() {
            room.push(&[1; 9]);
        }
        assert!(put(&ram, &run(40), 4) && put(&ram, &run(50), 5));
        assert_eq!((held(&ram), ram.held_bytes()), (vec![40, 50], 20));
    }

    #[test]
    fn of_two_readings_of_a_run_one_is_held() {
        let ram = ram(40);
        let rooms = [ram.room_for(&run(0)), ram.room_for(&run(0))];
        for mut room in rooms.into_iter().flatten() {
            room.push(&[7; 10]);
        }
        assert_eq!((held(&ram), ram.held_bytes()), (vec![0], 10));
    }

    #[test]
    fn nothing_is_left_of_what_was_read_or_being_read_before_all_was_forgotten() {
        let ram = ram(40);
        assert!(put(&ram, &run(0), 1));
        let mut room = ram.room_for(&run(10)).unwrap();
        room.push(&[1; 10]);
        ram.forget();
        drop(room);
        assert_eq!((held(&ram), ram.held_bytes()), (vec![], 0));
        assert!((0..4).all(|i| put(&ram, &run(i * 10), 2)));
        assert_eq!((held(&ram), ram.held_bytes()), (vec![0, 10, 20, 30], 40));
    }

    #[test]
    fn only_what_is_worth_it_is_held() {
        let ram = ram(30);
        let others = [Run { shard: 1, range: 0..10 }, run(95), Run { shard: 0, range: 0..0 }];
        assert!(others.iter().all(|run| ram.room_for(run).is_none()));
        assert!(Ram::default().room_for(&run(0)).is_none());
        assert!(put(&ram, &run(40), 4) && ram.room_for(&run(45)).is_none());
    }

    #[test]
    fn a_run_may_be_held_in_parts() {
        let ram = ram(50);
        assert!(put(&ram, &run(0), 0) && put(&ram, &run(20), 2));
        let whole = Run { shard: 0, range: 0..30 };
        assert!(!ram.has(&whole) && !ram.has(&Run { shard: 0, range: 0..5 }));
        assert!(put(&ram, &run(10), 1));
        assert!(ram.has(&whole) && ram.get(&whole).is_none());
    }
}
