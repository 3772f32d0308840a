//! Who may use the network now: a scheduler over all requests of a library.
//!
//! Every request holds a ticket from before its first byte to after its last. Its future is polled only while its turn
//! lasts: while nothing more urgent is about, and while it is among the first of its own priority. A request that loses
//! its turn is paused where it stands, for what is not polled is not read, and a connection that is not read stops
//! sending; nothing that was sent is lost. How many may run at once follows what the link gives.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::task::{Poll, Waker};
use std::time::Duration;

use web_time::Instant;

use crate::Source;

/// How urgent a read is. More urgent ones go first, and pause those that are less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Somebody waits for it.
    Demand,
    /// Somebody will probably want it soon.
    Prefetch,
    /// It may be of use some day.
    Background,
}

/// Requests at once, before anything is known of the link.
const FIRST_LIMIT: usize = 6;
/// Requests at once, whatever the link gives.
pub(crate) const MOST: usize = 12;
/// Of these, those that nobody waits for: a browser opens six connections to an HTTP/1.1 server, and paused requests
/// hold theirs, so two stay free.
const MOST_SPECULATIVE: usize = 4;
/// Time over which throughput is measured.
const WINDOW: Duration = Duration::from_secs(1);
/// Windows that pass before another number is tried, after one more did not pay.
const REST_WINDOWS: u32 = 8;

/// The scheduler.
#[derive(Debug)]
pub(crate) struct Link {
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    /// In order of arrival.
    tickets: Vec<Slip>,
    next_id: u64,
    pace: Pace,
}

#[derive(Debug)]
struct Slip {
    id: u64,
    /// The address of its source, which tells it from others.
    source: usize,
    priority: Priority,
    has_begun: bool,
    waker: Option<Waker>,
}

/// A place in the order of requests, given back when dropped.
pub(crate) struct Ticket<'a> {
    link: &'a Link,
    source: &'a dyn Source,
    pub(crate) id: u64,
}

impl std::fmt::Debug for Ticket<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ticket").field(&self.id).finish()
    }
}

impl Default for Link {
    fn default() -> Self {
        let pace = Pace::new(Instant::now());
        Self { state: RefCell::new(State { tickets: Vec::new(), next_id: 0, pace }) }
    }
}

impl Link {
    pub(crate) fn ticket<'a>(&'a self, source: &'a dyn Source, priority: Priority) -> Ticket<'a> {
        let mut state = self.state.borrow_mut();
        let id = state.next_id;
        state.next_id += 1;
        let address = std::ptr::from_ref(source).addr();
        state.tickets.push(Slip { id, source: address, priority, has_begun: false, waker: None });
        Ticket { link: self, source, id }
    }

    /// Makes a request more urgent, if it is still about.
    pub(crate) fn raise(&self, id: u64, priority: Priority) {
        let mut state = self.state.borrow_mut();
        if let Some(slip) = state.tickets.iter_mut().find(|slip| slip.id == id)
            && slip.priority > priority
        {
            slip.priority = priority;
            state.wake();
        }
    }

    /// Watches what comes from `source`.
    pub(crate) fn meter<'a>(&'a self, source: &'a dyn Source) -> Meter<'a> {
        Meter { link: self, source, throttled: source.traffic().throttled }
    }

    #[cfg(test)]
    fn limit(&self) -> usize {
        self.state.borrow().pace.limit
    }
}

/// Tells the link how a request fares.
pub(crate) struct Meter<'a> {
    link: &'a Link,
    source: &'a dyn Source,
    throttled: u64,
}

impl Meter<'_> {
    /// Counts bytes that came; notices if the server asked for fewer requests.
    pub(crate) fn came(&mut self, bytes: usize) {
        let mut state = self.link.state.borrow_mut();
        let throttled = self.source.traffic().throttled;
        if throttled > self.throttled {
            self.throttled = throttled;
            state.pace.slow_down();
        }
        let is_full = state.tickets.len() >= state.pace.limit;
        if state.pace.came(bytes as u64, is_full, Instant::now()) {
            state.wake();
        }
    }
}

impl State {
    fn wake(&mut self) {
        for slip in &mut self.tickets {
            if let Some(waker) = slip.waker.take() {
                waker.wake();
            }
        }
    }

    /// Whether it is the turn of request `id`, which leaves its waker if not.
    ///
    /// A source that `is_single` comes only from its start to its end: it has one stream, which readers use one after another.
    /// Who has begun may have it, and must not be paused for those who wait for it.
    fn is_turn(&mut self, id: u64, is_single: bool, waker: &Waker) -> bool {
        let Some(own) = self.tickets.iter().position(|slip| slip.id == id) else {
            return false;
        };
        let priority = self.tickets[own].priority;
        let is_first = self.tickets.iter().all(|slip| slip.priority >= priority);
        let before = self.tickets[..own].iter().filter(|slip| slip.priority == priority).count();
        let most = match priority {
            Priority::Demand => self.pace.limit,
            _ => self.pace.limit.saturating_sub(2).clamp(1, MOST_SPECULATIVE),
        };
        let is_turn = if is_single { self.is_single_turn(own) } else { is_first && before < most };
        if is_turn {
            self.tickets[own].has_begun = true;
        } else {
            self.tickets[own].waker = Some(waker.clone());
        }
        is_turn
    }

    fn is_single_turn(&self, own: usize) -> bool {
        let Slip { source, priority, has_begun, .. } = self.tickets[own];
        let mut others = self.tickets.iter().enumerate().filter(|(i, slip)| *i != own && slip.source == source);
        has_begun || others.all(|(i, slip)| !slip.has_begun && (slip.priority, i) > (priority, own))
    }
}

impl Ticket<'_> {
    /// `work`, polled in turns of this ticket only.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        poll_fn(|cx| {
            let is_single = self.source.comes_from().is_some();
            let is_turn = self.link.state.borrow_mut().is_turn(self.id, is_single, cx.waker());
            if is_turn { work.as_mut().poll(cx) } else { Poll::Pending }
        })
        .await
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut state = self.link.state.borrow_mut();
        state.tickets.retain(|slip| slip.id != self.id);
        state.wake();
    }
}

/// How many requests run at once: one more is tried now and then, and kept if it pays.
#[derive(Debug)]
struct Pace {
    limit: usize,
    since: Instant,
    bytes: u64,
    /// Whether the limit was used up all through the window.
    was_full: bool,
    /// Bytes a second in the last full window, and whether the limit was raised after it.
    last: Option<(f64, bool)>,
    rest: u32,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { limit: FIRST_LIMIT, since: now, bytes: 0, was_full: true, last: None, rest: 0 }
    }

    /// Counts `bytes`; at the end of a window in which all of the limit was used, judges it. True if it rose.
    fn came(&mut self, bytes: u64, is_full: bool, now: Instant) -> bool {
        self.bytes += bytes;
        self.was_full &= is_full;
        let time = now - self.since;
        if time < WINDOW {
            return false;
        }
        let before = self.limit;
        // Longer than two windows is a pause in which nobody asked.
        if self.was_full && time < 2 * WINDOW {
            self.judge(self.bytes as f64 / time.as_secs_f64());
        } else {
            self.last = None;
        }
        (self.since, self.bytes, self.was_full) = (now, 0, true);
        self.limit > before
    }

    fn judge(&mut self, rate: f64) {
        let mut has_risen = false;
        match self.last {
            Some((before, true)) if rate < before * 1.05 => {
                self.limit -= 1;
                self.rest = REST_WINDOWS;
            }
            Some((before, false)) if rate < before * 0.5 => {
                self.limit = self.limit.saturating_sub(1).max(2);
                self.rest = REST_WINDOWS;
            }
            _ if self.rest > 0 => self.rest -= 1,
            _ if self.limit < MOST => {
                self.limit += 1;
                has_risen = true;
            }
            _ => {}
        }
        self.last = Some((rate, has_risen));
    }

    fn slow_down(&mut self) {
        self.limit = (self.limit / 2).max(1);
        self.rest = 2 * REST_WINDOWS;
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    fn waker() -> Waker {
        Waker::noop().clone()
    }

    fn turns(link: &Link, tickets: &[&Ticket<'_>]) -> Vec<bool> {
        tickets.iter().map(|ticket| link.state.borrow_mut().is_turn(ticket.id, false, &waker())).collect()
    }

    #[test]
    fn demand_goes_first_and_pauses_what_runs() {
        let (link, source) = (Link::default(), Memory::new("", Vec::new()));
        let background = link.ticket(&source, Priority::Background);
        assert_eq!(turns(&link, &[&background]), [true]);
        let prefetch = link.ticket(&source, Priority::Prefetch);
        assert_eq!(turns(&link, &[&background, &prefetch]), [false, true]);
        let demand = link.ticket(&source, Priority::Demand);
        assert_eq!(turns(&link, &[&background, &prefetch, &demand]), [false, false, true]);
        drop((demand, prefetch));
        assert_eq!(turns(&link, &[&background]), [true]);
    }

    #[test]
    fn the_first_of_each_priority_run_and_connections_stay_free() {
        let (link, source) = (Link::default(), Memory::new("", Vec::new()));
        let all: Vec<_> = (0..8).map(|_| link.ticket(&source, Priority::Background)).collect();
        let may = turns(&link, &all.iter().collect::<Vec<_>>());
        assert_eq!(may.iter().filter(|&&turn| turn).count(), MOST_SPECULATIVE);
        for ticket in &all {
            link.raise(ticket.id, Priority::Demand);
        }
        let may = turns(&link, &all.iter().collect::<Vec<_>>());
        assert_eq!(may, [true, true, true, true, true, true, false, false]);
    }

    #[test]
    fn of_a_source_with_one_stream_who_has_begun_goes_on_and_the_others_wait() {
        let (link, single, other) = (Link::default(), Memory::new("", Vec::new()), Memory::new("", Vec::new()));
        let turn = |ticket: &Ticket<'_>, is_single| link.state.borrow_mut().is_turn(ticket.id, is_single, &waker());
        let elsewhere = link.ticket(&other, Priority::Background);
        assert!(turn(&elsewhere, false));
        let background = link.ticket(&single, Priority::Background);
        assert!(turn(&background, true));
        let (later, demand) = (link.ticket(&single, Priority::Background), link.ticket(&single, Priority::Demand));
        assert!(turn(&background, true) && !turn(&later, true) && !turn(&demand, true));
        drop(background);
        assert!(!turn(&later, true) && turn(&demand, true));
        drop(demand);
        assert!(turn(&later, true));
    }

    /// Windows of one second each, of a link that gives `rate(limit)` bytes a second.
    fn settle(pace: &mut Pace, windows: u32, rate: impl Fn(usize) -> u64) {
        for _ in 0..windows {
            let now = pace.since + WINDOW;
            let bytes = rate(pace.limit);
            pace.came(bytes, true, now);
        }
    }

    #[test]
    fn more_at_once_is_kept_where_it_pays() {
        let mut pace = Pace::new(Instant::now());
        settle(&mut pace, 100, |limit| limit as u64 * 1000);
        assert_eq!(pace.limit, MOST);
        let mut pace = Pace::new(Instant::now());
        settle(&mut pace, 100, |_| 6000);
        assert!((FIRST_LIMIT..=FIRST_LIMIT + 1).contains(&pace.limit), "{}", pace.limit);
    }

    #[test]
    fn fewer_are_sent_when_the_server_asks_or_the_link_weakens() {
        let link = Link::default();
        link.state.borrow_mut().pace.slow_down();
        assert_eq!(link.limit(), FIRST_LIMIT / 2);
        let mut pace = Pace::new(Instant::now());
        settle(&mut pace, 2, |_| 6000);
        let before = pace.limit;
        settle(&mut pace, 1, |_| 1000);
        assert!(pace.limit < before);
    }
}
