//! The one stream of a server that ignores `Range`, which readers use one after another.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use crate::platform::Answer;

/// A body and the byte of the file that comes next.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) answer: Answer,
    pub(super) at: u64,
}

#[derive(Debug, Default)]
pub(super) struct Single {
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `None` also while it is lent.
    stream: Option<Stream>,
    is_lent: bool,
    waiting: Vec<Waker>,
}

/// The right to read from the stream, or to begin another. What stands in it when it is dropped is there for the next.
#[derive(Debug)]
pub(super) struct Loan<'a> {
    single: &'a Single,
    pub(super) stream: Option<Stream>,
}

impl Single {
    /// Waits until nobody else reads, or until `is_needed` says no: then `None`.
    ///
    /// Whoever waits is woken by whatever changes and looks for himself: no reader depends on another being polled.
    pub(super) async fn lend(&self, is_needed: impl Fn() -> bool) -> Option<Loan<'_>> {
        poll_fn(|cx| {
            let mut state = self.state.borrow_mut();
            if !is_needed() {
                return Poll::Ready(None);
            }
            if state.is_lent {
                state.waiting.push(cx.waker().clone());
                return Poll::Pending;
            }
            state.is_lent = true;
            Poll::Ready(Some(Loan { single: self, stream: state.stream.take() }))
        })
        .await
    }

    /// Keeps a stream that a reader has begun by himself, if there is none.
    pub(super) fn leave(&self, stream: Stream) {
        let mut state = self.state.borrow_mut();
        if !state.is_lent {
            state.stream.get_or_insert(stream);
        }
    }

    /// Lets those who wait look again.
    pub(super) fn wake(&self) {
        let waiting = std::mem::take(&mut self.state.borrow_mut().waiting);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        {
            let mut state = self.single.state.borrow_mut();
            state.is_lent = false;
            state.stream = self.stream.take();
        }
        self.single.wake();
    }
}
