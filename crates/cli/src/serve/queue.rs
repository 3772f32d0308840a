//! Between the connections and the model: requests take a place, are read, and wait in the order in which they were, no more of them
//! than there are places. Whoever goes away leaves the queue, or ends the answer that is being made for them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use api::{Call, ErrorReply, Frame, Reply};
use engine::Cancel;
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_util::StreamExt;

/// Shared by all connections and those who answer.
#[derive(Debug)]
pub(super) struct Queue {
    places: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    waiting: VecDeque<Job>,
    /// Of all who have a place: those who are still read, those who wait, and those who are being answered.
    in_hand: Vec<(u64, Cancel)>,
    next_id: u64,
    /// Of those who answer.
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// The model is being loaded.
    #[default]
    Loading,
    Open,
    Closed,
}

/// A request to answer.
#[derive(Debug)]
pub(super) struct Job {
    id: u64,
    pub(super) call: Call,
    pub(super) cancel: Cancel,
    events: UnboundedSender<Event>,
}

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Event {
    /// A part of a stream.
    Frame(Frame),
    Done(Box<Reply>),
    Failed(ErrorReply),
}

/// A place in the queue, which is given up when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    queue: Arc<Queue>,
    id: u64,
    cancel: Cancel,
}

/// A request that waits for its answer, or hears it.
#[derive(Debug)]
pub(super) struct Asked {
    _place: Place,
    events: UnboundedReceiver<Event>,
}

impl Queue {
    /// For so many requests at once, once it is open.
    pub(super) fn new(places: usize) -> Self {
        Self { places, state: Mutex::default() }
    }

    /// Lets requests in: the model is there.
    pub(super) fn open(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Loading {
            state.phase = Phase::Open;
        }
    }

    /// Lets nobody in any more and turns away who waits. Answers under way may go on.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        for job in state.waiting.drain(..) {
            job.say(Event::Failed(closing()));
        }
        state.wake();
    }

    /// Ends the answers under way too.
    pub(super) fn cut(&self) {
        self.close();
        self.lock().in_hand.iter().for_each(|(_, cancel)| cancel.cancel());
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().phase == Phase::Open
    }

    /// How many are in hand, and how many of them wait.
    pub(super) fn len(&self) -> (usize, usize) {
        let state = self.lock();
        (state.in_hand.len(), state.waiting.len())
    }

    /// Takes a place.
    ///
    /// # Errors
    /// If there is none, or not yet, or no longer.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Place, ErrorReply> {
        let mut state = self.lock();
        state.admits(self.places)?;
        let id = state.next_id;
        state.next_id += 1;
        let cancel = Cancel::default();
        state.in_hand.push((id, cancel.clone()));
        Ok(Place { queue: self.clone(), id, cancel })
    }

    /// Who has waited longest; `None` once it is closed.
    pub(super) async fn next(&self) -> Option<Job> {
        poll_fn(|context| {
            let mut state = self.lock();
            match state.waiting.pop_front() {
                Some(job) => Poll::Ready(Some(job)),
                None if state.phase == Phase::Closed => Poll::Ready(None),
                None => {
                    state.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn leave(&self, id: u64) {
        let mut state = self.lock();
        state.waiting.retain(|job| job.id != id);
        if let Some(at) = state.in_hand.iter().position(|(of, _)| *of == id) {
            state.in_hand.swap_remove(at).1.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closing() -> ErrorReply {
    ErrorReply::unavailable("the server is being stopped")
}

impl State {
    fn admits(&self, places: usize) -> Result<(), ErrorReply> {
        match self.phase {
            Phase::Loading => Err(ErrorReply::unavailable("the model is being loaded")),
            Phase::Closed => Err(closing()),
            Phase::Open if self.in_hand.len() >= places => {
                Err(ErrorReply::busy(format!("{places} requests are in hand, and no more are taken; try again later")))
            }
            Phase::Open => Ok(()),
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Job {
    /// Whoever has gone does not hear it.
    pub(super) fn say(&self, event: Event) {
        let _ = self.events.unbounded_send(event);
    }
}

impl Place {
    /// Waits for an answer, behind all who do.
    ///
    /// # Errors
    /// If nobody is answered any more.
    pub(super) fn ask(self, call: Call) -> Result<Asked, ErrorReply> {
        let (says, events) = unbounded();
        let mut state = self.queue.lock();
        if state.phase == Phase::Closed {
            return Err(closing());
        }
        state.waiting.push_back(Job { id: self.id, call, cancel: self.cancel.clone(), events: says });
        state.wake();
        drop(state);
        Ok(Asked { _place: self, events })
    }
}

impl Asked {
    /// What happens next. After [`Event::Done`] or [`Event::Failed`] nothing does.
    pub(super) async fn event(&mut self) -> Event {
        let gone = || ErrorReply::unavailable("the model has gone");
        self.events.next().await.unwrap_or_else(|| Event::Failed(gone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.leave(self.id);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use api::Endpoint;
    use futures_util::FutureExt;

    fn call(model: &str) -> Call {
        Call::from_json(Endpoint::Completions, &format!(r#"{{"model": "{model}", "prompt": "x"}}"#)).unwrap()
    }

    fn open(places: usize) -> Arc<Queue> {
        let queue = Arc::new(Queue::new(places));
        queue.open();
        queue
    }

    fn enter(queue: &Arc<Queue>, model: &str) -> Result<Asked, ErrorReply> {
        queue.enter()?.ask(call(model))
    }

    /// The model that the next request asks for; `None` if nobody waits.
    fn next(queue: &Queue) -> Option<String> {
        queue.next().now_or_never().map(|job| job.unwrap().call.model.unwrap())
    }

    fn failure(asked: &mut Asked) -> u16 {
        match asked.event().now_or_never() {
            Some(Event::Failed(error)) => error.status,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn requests_are_answered_in_the_order_in_which_they_came() {
        let queue = open(3);
        let _places = ["a", "b", "c"].map(|model| enter(&queue, model).unwrap());
        assert_eq!([next(&queue), next(&queue), next(&queue), next(&queue)], [Some("a".into()), Some("b".into()), Some("c".into()), None]);
    }

    #[test]
    fn there_are_no_more_than_there_are_places_and_who_goes_frees_one() {
        let queue = open(2);
        let first = enter(&queue, "a").unwrap();
        let second = enter(&queue, "b").unwrap();
        let job = queue.next().now_or_never().flatten().unwrap();
        assert_eq!((enter(&queue, "c").unwrap_err().status, queue.len()), (429, (2, 1)));
        // Who waits is forgotten, who is being answered is told to end.
        drop(second);
        assert_eq!((queue.len(), next(&queue), job.cancel.is_cancelled()), ((1, 0), None, false));
        drop(first);
        assert_eq!((queue.len(), job.cancel.is_cancelled()), ((0, 0), true));
        assert!(enter(&queue, "d").is_ok());
    }

    #[test]
    fn a_place_is_taken_before_it_is_known_what_is_asked() {
        let queue = open(1);
        let place = queue.enter().unwrap();
        assert_eq!((queue.len(), next(&queue), queue.enter().unwrap_err().status), ((1, 0), None, 429));
        drop(place);
        let place = queue.enter().unwrap();
        queue.close();
        assert_eq!(place.ask(call("a")).unwrap_err().status, 503);
        assert_eq!(queue.len(), (0, 0));
    }

    #[test]
    fn nobody_gets_in_before_it_opens_and_after_it_closes() {
        let queue = Arc::new(Queue::new(2));
        assert_eq!(enter(&queue, "a").unwrap_err().status, 503);
        queue.open();
        let _first = enter(&queue, "a").unwrap();
        let job = queue.next().now_or_never().flatten().unwrap();
        let mut second = enter(&queue, "b").unwrap();
        queue.close();
        assert_eq!((failure(&mut second), enter(&queue, "c").unwrap_err().status), (503, 503));
        assert!(queue.next().now_or_never().unwrap().is_none() && !job.cancel.is_cancelled());
        queue.cut();
        assert!(job.cancel.is_cancelled());
    }
}
