//! Bytes that are on their way already: who wants them too waits, and does not fetch them again.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::Shared;

use crate::Priority;

/// What is being fetched of one file.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    flights: RefCell<Vec<Rc<Flight>>>,
}

#[derive(Debug)]
pub(crate) struct Flight {
    range: Range<u64>,
    /// The most urgent of those who wait.
    pub(crate) priority: Cell<Priority>,
    /// Of its request, once there is one.
    pub(crate) ticket: Cell<Option<u64>>,
    landed: Shared<oneshot::Receiver<()>>,
}

impl Flight {
    /// Waits until it has landed or was given up.
    pub(crate) async fn landed(&self) {
        let _ = self.landed.clone().await;
    }
}

/// A flight as its pilot holds it: dropped, it is over.
#[derive(Debug)]
pub(crate) struct Flying<'a> {
    flights: &'a Flights,
    pub(crate) flight: Rc<Flight>,
    _over: oneshot::Sender<()>,
}

impl Flights {
    pub(crate) fn begin(&self, range: Range<u64>, priority: Priority) -> Flying<'_> {
        let (over, landed) = oneshot::channel();
        let flight = Rc::new(Flight { range, priority: Cell::new(priority), ticket: Cell::new(None), landed: landed.shared() });
        self.flights.borrow_mut().push(flight.clone());
        Flying { flights: self, flight, _over: over }
    }

    /// The flight that brings byte `at`.
    pub(crate) fn at(&self, at: u64) -> Option<Rc<Flight>> {
        self.flights.borrow().iter().find(|flight| flight.range.contains(&at)).cloned()
    }

    /// Where the first flight after `at` begins.
    pub(crate) fn next_from(&self, at: u64) -> Option<u64> {
        self.flights.borrow().iter().map(|flight| flight.range.start).filter(|&start| start >= at).min()
    }
}

impl Drop for Flying<'_> {
    fn drop(&mut self) {
        self.flights.flights.borrow_mut().retain(|flight| !Rc::ptr_eq(flight, &self.flight));
    }
}
