//! Answers that are asked for apart and made together.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::{Batch, Cancel, Constraint, Engine, Error, Event, Generated, Request, Said, SamplingOptions, SequenceId};

/// Who answers requests: an engine, one after the other, or a seat at one, where others are answered too.
pub trait Voice {
    /// Generates as [`Engine::generate`] does, within `constraint` if there is one.
    ///
    /// # Errors
    /// As [`Engine::generate_within`].
    fn say(
        &mut self,
        request: &Request<'_>,
        constraint: Option<Box<dyn Constraint>>,
        cancel: &Cancel,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> impl Future<Output = Result<Generated, Error>>;
}

impl Voice for Engine {
    async fn say(
        &mut self,
        request: &Request<'_>,
        constraint: Option<Box<dyn Constraint>>,
        cancel: &Cancel,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Generated, Error> {
        self.answer(request, constraint, cancel, on_event).await
    }
}

/// Where those who want answers meet the engine that makes them. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Seats(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    /// Who has asked and is not in the batch yet.
    asked: VecDeque<Asked>,
    /// Of the engine, which waits for somebody to ask or to have heard.
    waker: Option<Waker>,
}

/// A request on its way into the batch.
struct Asked {
    prompt: Vec<u32>,
    max_tokens: u32,
    sampling: SamplingOptions,
    stops: Vec<u32>,
    constraint: Option<Box<dyn Constraint>>,
    cancel: Cancel,
    ear: Ear,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("prompt", &self.prompt.len()).finish_non_exhaustive()
    }
}

/// What one who has asked is told.
type Ear = Rc<RefCell<Heard>>;

#[derive(Debug, Default)]
struct Heard {
    said: VecDeque<Said>,
    waker: Option<Waker>,
    /// Whether it wants no more.
    has_enough: bool,
    /// Whether nobody listens any more.
    is_gone: bool,
}

/// Somebody who wants answers, one after the other.
#[derive(Clone, Debug)]
pub struct Seat(Seats);

impl Seats {
    pub fn seat(&self) -> Seat {
        Seat(self.clone())
    }

    /// Ends what the engine waits for.
    fn wake(&self) {
        if let Some(waker) = self.0.borrow_mut().waker.take() {
            waker.wake();
        }
    }

    /// Waits until `ready`, which seats can change.
    async fn until(&self, ready: impl Fn(&State) -> bool) {
        poll_fn(|context| {
            let mut state = self.0.borrow_mut();
            if ready(&state) {
                return Poll::Ready(());
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Voice for Seat {
    async fn say(
        &mut self,
        request: &Request<'_>,
        constraint: Option<Box<dyn Constraint>>,
        cancel: &Cancel,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Generated, Error> {
        let Self(seats) = self;
        let ear = Ear::default();
        let (sampling, stops) = (request.sampling.clone(), request.stops.to_vec());
        let (prompt, max_tokens, cancel) = (request.prompt.to_vec(), request.max_tokens, cancel.clone());
        seats.0.borrow_mut().asked.push_back(Asked {
            prompt,
            max_tokens,
            sampling,
            stops,
            constraint,
            cancel: cancel.clone(),
            ear: ear.clone(),
        });
        seats.wake();
        let listener = Listener { seats, ear };
        loop {
            match listener.next().await {
                Said::Prefill { done, total } if on_event(Event::Prefill { done, total }).is_break() => cancel.cancel(),
                Said::Token(token) if on_event(Event::Token(&token)).is_break() => listener.ear.borrow_mut().has_enough = true,
                Said::Prefill { .. } | Said::Token(_) => {}
                Said::Failed(error) => return Err(error),
                Said::Done(generated) => return Ok(generated),
            }
        }
    }
}

/// Who listens to an answer; if it is dropped, the answer ends.
struct Listener<'a> {
    seats: &'a Seats,
    ear: Ear,
}

impl Listener<'_> {
    async fn next(&self) -> Said {
        poll_fn(|context| {
            let mut heard = self.ear.borrow_mut();
            if let Some(said) = heard.said.pop_front() {
                return Poll::Ready(said);
            }
            heard.waker = Some(context.waker().clone());
            // The engine goes on once all of it was heard.
            self.seats.wake();
            Poll::Pending
        })
        .await
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        let mut heard = self.ear.borrow_mut();
        heard.is_gone = true;
        heard.said.clear();
        self.seats.wake();
    }
}

impl Engine {
    /// Answers whoever asks at `seats` while `work` goes on, which is what asks. An answer's next token is not taken before the last
    /// one was heard, as if the engine were its own.
    pub async fn attend<T>(&mut self, seats: &Seats, work: impl Future<Output = T>) -> T {
        let (mut work, mut answers) = (pin!(work), pin!(self.answer_all(seats)));
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => answers.as_mut().poll(context).map(|never| match never {}),
        })
        .await
    }

    async fn answer_all(&mut self, seats: &Seats) -> std::convert::Infallible {
        loop {
            seats.until(|state| !state.asked.is_empty()).await;
            self.answer_some(seats).await;
        }
    }

    /// Until nobody asks, or they cannot be answered any more.
    async fn answer_some(&mut self, seats: &Seats) {
        let mut batch = Batch::new(self);
        let mut ears: HashMap<SequenceId, (Ear, Cancel)> = HashMap::new();
        loop {
            while batch.room() > 0 {
                let Some(asked) = seats.0.borrow_mut().asked.pop_front() else { break };
                let Asked { prompt, max_tokens, sampling, stops, constraint, cancel, ear } = asked;
                let request = Request { prompt: &prompt, max_tokens, sampling, stops: &stops };
                match batch.join(&request, constraint, &cancel) {
                    Ok(id) => drop(ears.insert(id, (ear, cancel))),
                    Err(error) => tell(&ear, Said::Failed(error)),
                }
            }
            if batch.is_empty() {
                return;
            }
            match batch.step().await {
                Ok(said) => {
                    for (id, said) in said {
                        let is_last = matches!(said, Said::Done(_) | Said::Failed(_));
                        if let Some((ear, _)) = ears.get(&id) {
                            tell(ear, said);
                        }
                        if is_last {
                            ears.remove(&id);
                        }
                    }
                }
                Err(error) => return ears.values().for_each(|(ear, _)| tell(ear, Said::Failed(error.clone()))),
            }
            seats.until(|_| ears.values().all(|(ear, _)| ear.borrow().said.is_empty())).await;
            for (id, (ear, cancel)) in &ears {
                let ear = ear.borrow();
                if ear.has_enough {
                    batch.leave(*id);
                }
                if ear.is_gone {
                    cancel.cancel();
                }
            }
        }
    }
}

/// Whoever has gone does not hear it.
fn tell(ear: &Ear, said: Said) {
    let mut heard = ear.borrow_mut();
    if heard.is_gone {
        return;
    }
    heard.said.push_back(said);
    if let Some(waker) = heard.waker.take() {
        waker.wake();
    }
}
