//! The sum of a whole file, taken in the background, a piece at a time, and held against what was said of it.

use std::cell::{Cell, RefCell};

use sha2::{Digest, Sha256};

use super::index::Index;
use super::tools::read_chunk;
use super::{Chunk, Shelf};
use crate::{Error, KnownSum, Sum};

/// What is summed before others may work: some milliseconds.
const STEP_BYTES: u64 = 1 << 20;

/// How often a file may turn out to be another one before it is not asked for any more.
const MOST_WRONG: u32 = 2;

/// What was said of one file, and how far it is checked.
pub(crate) struct Check {
    location: String,
    /// Bytes
    size: u64,
    known: Cell<Option<KnownSum>>,
    summing: RefCell<Option<Summing>>,
    /// Times that the sum was another.
    n_wrong: Cell<u32>,
    /// What was found the last time.
    found: Cell<Option<Sum>>,
}

#[derive(Clone)]
struct Summing {
    hash: Sha256,
    /// Up to which byte.
    at: u64,
    /// Of the index, when it began: what was lost since then may have come back as something else.
    losses: u64,
}

/// What one step came to.
pub(crate) enum Step {
    /// There is nothing to check, or not yet.
    Idle,
    Further,
    /// What is kept is what was said.
    Good,
    /// It is not; nothing of it may be used.
    Wrong,
    /// This chunk cannot be read, or is damaged.
    Bad(Chunk),
}

impl Check {
    pub(crate) fn new(location: String, size: u64, known: Option<KnownSum>) -> Self {
        Self { location, size, known: Cell::new(known), summing: RefCell::default(), n_wrong: Cell::default(), found: Cell::default() }
    }

    pub(crate) fn known(&self) -> Option<KnownSum> {
        self.known.get()
    }

    pub(crate) fn is_good(&self) -> bool {
        self.known.get().is_some_and(|known| known.is_checked)
    }

    /// Sets whether it was checked; true if it was otherwise before.
    pub(crate) fn set_checked(&self, is_checked: bool) -> bool {
        let before = self.known.get();
        self.known.set(before.map(|known| KnownSum { is_checked, ..known }));
        before != self.known.get()
    }

    /// That it has turned out to be another file, as often as it may.
    pub(crate) fn refuses(&self) -> Result<(), Error> {
        if self.n_wrong.get() < MOST_WRONG { Ok(()) } else { Err(self.unlike()) }
    }

    /// What was found instead of what was said.
    pub(crate) fn unlike(&self) -> Error {
        let words = |sum: Option<Sum>| sum.map_or_else(String::new, |sum| sum.to_string());
        let expected = words(self.known.get().map(|known| known.sum));
        Error::Unlike { location: self.location.clone(), what: "its SHA-256", expected, got: words(self.found.get()) }
    }

    /// Sums up some more, once all is kept.
    pub(crate) async fn step(&self, shelf: &dyn Shelf, index: &RefCell<Index>) -> Step {
        let Some(known) = self.known.get().filter(|known| !known.is_checked && self.n_wrong.get() < MOST_WRONG) else {
            return Step::Idle;
        };
        let losses = index.borrow().losses();
        if index.borrow().bytes() < self.size {
            return Step::Idle;
        }
        // A copy: a step that is dropped halfway is taken again.
        let begun = self.summing.borrow().clone().filter(|summing| summing.losses == losses);
        let mut summing = begun.unwrap_or_else(|| Summing { hash: Sha256::new(), at: 0, losses });
        let row = index.borrow().row(summing.at, self.size.min(summing.at + STEP_BYTES));
        for chunk in row {
            // Another one has taken the place of the one that was summed: from the start.
            if chunk.start != summing.at {
                self.summing.take();
                return Step::Further;
            }
            let Some(bytes) = read_chunk(shelf, &chunk).await else {
                return Step::Bad(chunk);
            };
            summing.hash.update(&bytes);
            summing.at = chunk.range().end;
        }
        if summing.at < self.size {
            self.summing.replace(Some(summing));
            return Step::Further;
        }
        self.summing.take();
        let found = Sum(summing.hash.finalize().into());
        self.found.set(Some(found));
        if found == known.sum {
            return Step::Good;
        }
        self.n_wrong.set(self.n_wrong.get() + 1);
        Step::Wrong
    }
}
