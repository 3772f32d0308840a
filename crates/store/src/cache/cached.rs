//! A file behind a shelf: what is there is read and checked, what is missing is fetched and put there.

use std::cell::Cell;
use std::ops::{ControlFlow, Range};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};

use super::check::{Check, Step};
use super::flights::Flights;
use super::keeper::{Keeper, Store};
use super::{CHUNK_BYTES, Change, Chunk, Claim, Home, Identity, Kept, checksum, import};
use crate::http::TAG;
use crate::link::Link;
use crate::manifest::Entry;
use crate::platform::sleep;
use crate::source::{check_range, give};
use crate::{Error, KnownSum, LocalFuture, Priority, Sink, Source, Sum, Traffic};

/// The most that one request fetches, so that who comes later need not wait for all of it.
const REQUEST_BYTES: u64 = 32 << 20;

/// The most that is asked of a shelf at once.
const SERVED_BYTES: u64 = 4 << 20;

/// A remote source and its shelf.
pub(crate) struct Cached {
    source: Rc<dyn Source>,
    /// Of what is kept. Its location is where it came from first.
    identity: Identity,
    /// Whether a manifest says which file this is, whatever its address and its tags.
    is_said: bool,
    check: Check,
    home: Rc<dyn Home>,
    link: Rc<Link>,
    pub(crate) store: Rc<Store>,
    flights: Flights,
    /// Bytes given from the shelf.
    pub(crate) served: Cell<u64>,
    /// How long others may fetch what is wanted here without any of it coming.
    patience: Duration,
}

/// What is to be done for the next bytes.
enum Next {
    Serve(Vec<Chunk>),
    Wait,
    Fetch(Range<u64>),
}

impl Cached {
    /// Opens what is kept, without asking the network: what `said` means, wherever it came from, or else the newest version. If there
    /// is none, asks which there is.
    pub(crate) async fn open(
        source: Rc<dyn Source>,
        home: Rc<dyn Home>,
        link: Rc<Link>,
        said: Option<&Entry>,
        patience: Duration,
    ) -> Result<Self, Error> {
        let location = source.location().to_owned();
        let all = import::list(&*home).await?;
        let identity = match choose(&all, &location, said) {
            Some(identity) => {
                source.expect(&Identity { tag: identity.tag.clone().filter(|_| said.is_none()), ..identity.clone() });
                identity
            }
            None => {
                let size = source.size().await?;
                said.map_or(Ok(()), |said| said.check_size(&location, size))?;
                Identity { location: location.clone(), size, tag: source.tag() }
            }
        };
        if all.iter().any(|kept| kept.is_importing && kept.identity == identity) {
            return Err(Error::Busy { location });
        }
        let store = Store::new(home.open(&identity).await?);
        store.learn().await?;
        let noted = store.shelf.note(KnownSum::NOTE).await?.and_then(|note| KnownSum::from_note(&note));
        let sum = said.map(|said| said.sum).or_else(|| source.sum());
        let known = match sum {
            Some(sum) if noted.is_none_or(|noted| noted.sum != sum) => Some(KnownSum { sum, is_checked: false }),
            _ => noted,
        };
        let check = Check::new(location.clone(), identity.size, known);
        let (flights, served) = (Flights::default(), Cell::new(0));
        let cached = Self { source, identity, is_said: said.is_some(), check, home, link, store, flights, served, patience };
        if known != noted {
            cached.note_sum().await;
        }
        if said.is_some() {
            // What the same place had before.
            for old in all.iter().map(|kept| &kept.identity).filter(|old| old.location == location && **old != cached.identity) {
                cached.remove(old).await;
            }
        }
        Ok(cached)
    }

    pub(crate) fn home_name(&self) -> String {
        self.home.name()
    }

    /// As [`Home::free_bytes`].
    pub(crate) fn free_bytes(&self) -> LocalFuture<'_, Option<u64>> {
        self.home.free_bytes()
    }

    /// Writes down what is known of the sum.
    async fn note_sum(&self) {
        if let Some(known) = self.check.known()
            && let Err(error) = self.store.shelf.set_note(KnownSum::NOTE, &known.to_note()).await
        {
            log::warn!("{}: its SHA-256 is not kept: {error}", self.location());
        }
    }

    /// Whether all of it is kept and what it should be.
    pub(crate) fn is_checked(&self) -> bool {
        self.check.is_good() && self.store.index.borrow().bytes() == self.identity.size
    }

    /// As [`Library::check_some`](crate::Library::check_some).
    pub(crate) async fn check_some(&self) -> Result<bool, Error> {
        match self.check.step(&*self.store.shelf, &self.store.index).await {
            Step::Idle => return Ok(false),
            Step::Further => {}
            Step::Bad(chunk) => self.lose(chunk.range()).await,
            Step::Good => {
                self.check.set_checked(true);
                self.note_sum().await;
            }
            Step::Wrong => {
                self.lose(0..self.identity.size).await;
                return Err(self.check.unlike());
            }
        }
        Ok(true)
    }

    /// Asks the server which version it has; another one, said twice alike, retires what is kept.
    pub(crate) async fn revalidate(&self) -> Result<(), Error> {
        let said = self.source.identify().await?;
        let (now, sum) = &said;
        if !self.differs(now, *sum) || self.source.identify().await? != said {
            return Ok(());
        }
        let (expected, got) = match (&self.identity.tag, &now.tag) {
            _ if self.identity.size != now.size => (self.identity.size.to_string(), now.size.to_string()),
            (expected, got) => (expected.clone().unwrap_or_default(), got.clone().unwrap_or_default()),
        };
        let what = if self.identity.size == now.size { TAG } else { "the size" };
        self.remove(&self.identity).await;
        Err(Error::Changed { url: self.location().to_owned(), what, expected, got })
    }

    /// Whether the server has another file than what is kept.
    fn differs(&self, now: &Identity, sum: Option<Sum>) -> bool {
        match (self.check.known(), sum) {
            (Some(known), Some(sum)) => known.sum != sum,
            _ if self.is_said => self.identity.size != now.size,
            _ => self.identity.differs(now),
        }
    }

    /// Removes what is kept of an old version.
    async fn remove(&self, old: &Identity) {
        if let Err(error) = self.home.remove(old).await {
            log::warn!("{}: cannot remove what is kept of an old version: {error}", old.location);
        }
    }

    /// Reads `range`, of which the caller wants only `wanted`: ordered ranges inside it that do not overlap. What lies
    /// between them is given only where it costs nothing; `sink` is told where a piece lies.
    pub(crate) async fn read_wanted(
        &self,
        wanted: &[Range<u64>],
        priority: Priority,
        sink: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.check.refuses()?;
        let Some(end) = wanted.last().map(|range| range.end) else {
            return Ok(());
        };
        let mut at = 0;
        while at < end {
            // Past what nobody wants.
            let Some(next) = wanted.iter().find(|range| range.end > at) else {
                return Ok(());
            };
            at = at.max(next.start);
            match self.next(at, wanted) {
                Next::Serve(chunks) => self.serve(&chunks, &mut at, end, sink).await?,
                Next::Wait => self.wait(at, priority).await,
                Next::Fetch(range) => self.fetch(range, &mut at, priority, sink).await?,
            }
        }
        Ok(())
    }

    fn next(&self, at: u64, wanted: &[Range<u64>]) -> Next {
        let end = wanted.last().map_or(at, |range| range.end);
        let index = self.store.index.borrow();
        let row = index.row(at, end.min(at + SERVED_BYTES));
        if !row.is_empty() {
            return Next::Serve(row);
        }
        if self.store.is_pending(at) || self.flights.at(at).is_some() {
            return Next::Wait;
        }
        let others = [index.next_from(at), self.store.next_from(at), self.flights.next_from(at)];
        let free = others.into_iter().flatten().fold(end.min(at + REQUEST_BYTES), u64::min);
        // No further than somebody wants.
        let last = wanted.iter().rfind(|range| range.start < free).map_or(free, |range| range.end.min(free));
        Next::Fetch(at..last)
    }

    async fn wait(&self, at: u64, priority: Priority) {
        if self.store.written(at).await {
            return;
        }
        if let Some(flight) = self.flights.at(at) {
            flight.priority.set(flight.priority.get().min(priority));
            if let Some(ticket) = flight.ticket.get() {
                self.link.raise(ticket, priority);
            }
            flight.landed().await;
        }
    }

    /// Gives what `chunks`, which follow each other, have from `at` to `end`, as far as they are good.
    async fn serve(
        &self,
        chunks: &[Chunk],
        at: &mut u64,
        end: u64,
        sink: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else {
            return Ok(());
        };
        let mut rest = chunks.iter();
        let mut chunk = *first;
        let mut window = Vec::with_capacity(CHUNK_BYTES);
        let (mut bad, mut has_enough) = (None, false);
        rest.next();
        let mut check = |mut piece: &[u8]| {
            while !piece.is_empty() {
                let whole = chunk.len as usize;
                let n = piece.len().min(whole - window.len());
                let (now, later) = piece.split_at(n);
                // A chunk that comes in one piece is used where it lies.
                let bytes = if window.is_empty() && n == whole {
                    now
                } else {
                    window.extend_from_slice(now);
                    &window
                };
                piece = later;
                if bytes.len() < whole {
                    continue;
                }
                if checksum(bytes) != chunk.sum {
                    bad = Some(chunk);
                    return ControlFlow::Break(());
                }
                let upto = chunk.range().end.min(end);
                self.served.set(self.served.get() + upto - *at);
                has_enough = sink(*at, &bytes[(*at - chunk.start) as usize..(upto - chunk.start) as usize]).is_break();
                *at = upto;
                window.clear();
                match rest.next() {
                    Some(next) if !has_enough => chunk = *next,
                    _ => return ControlFlow::Break(()),
                }
            }
            ControlFlow::Continue(())
        };
        let read = self.store.shelf.read(first.start..last.range().end, &mut check).await;
        if has_enough {
            return Err(Error::Cancelled { location: self.location().to_owned() });
        }
        if let Some(chunk) = bad {
            log::warn!("{}: bytes {:?} are damaged in the cache; fetching them again", self.location(), chunk.range());
            self.lose(chunk.range()).await;
        } else if *at < last.range().end.min(end) {
            // The medium itself fails, or ends early.
            match read {
                Ok(()) => self.lose(*at..last.range().end).await,
                // What cannot be read today may be good tomorrow.
                Err(error) => {
                    log::warn!("{}: {error}; fetching it again", self.location());
                    self.store.index.borrow_mut().apply(&Change::Lost(*at..last.range().end));
                }
            }
        }
        Ok(())
    }

    async fn lose(&self, range: Range<u64>) {
        self.store.index.borrow_mut().apply(&Change::Lost(range.clone()));
        if let Err(error) = self.store.shelf.forget(range).await {
            self.store.suffer(error);
        }
        // What comes in its place was not checked.
        if self.check.set_checked(false) {
            self.note_sum().await;
        }
    }

    /// Fetches `range`, keeps it, and gives what comes from `at`, which lies at its start.
    async fn fetch(
        &self,
        range: Range<u64>,
        at: &mut u64,
        priority: Priority,
        sink: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let flying = self.flights.begin(range.clone(), priority);
        // Before it asks for its turn: who waits for another process must not pause those whom that one waits for, and who is paused
        // must not keep the journal from the writer, for whom others wait.
        let claim = self.claim(&range).await;
        let Some(end) = self.still_missing(&range) else {
            return Ok(());
        };
        let range = range.start..end;
        let ticket = self.link.ticket(&*self.source, flying.flight.priority.get());
        flying.flight.ticket.set(Some(ticket.id));
        let done = ticket.run(self.fetch_now(range, at, claim, sink)).await;
        match &done {
            // The same file under another tag, as far as anybody knows before all of it is here.
            Err(Error::Changed { what: TAG, .. }) if self.is_said => {
                self.source.expect(&Identity { tag: None, ..self.identity.clone() });
                Ok(())
            }
            Err(Error::Changed { .. }) => {
                self.remove(&self.identity).await;
                done
            }
            _ => done,
        }
    }

    /// Waits until nobody else fetches `range`, as long as anything comes near it: whoever does may have been stopped. Learns what
    /// others have brought meanwhile.
    ///
    /// Two may then write the same chunks, and nothing is torn by it: both write the same bytes of the same version, in a directory to the
    /// same places and elsewhere to places of their own, a journal speaks of a chunk only once its bytes are safe, and its
    /// checksum is held against them at every read.
    async fn claim(&self, range: &Range<u64>) -> Option<Claim> {
        // As far as a request may reach that shares a lock with this one, on both sides.
        let near = range.start.saturating_sub(2 * REQUEST_BYTES)..range.end.saturating_add(2 * REQUEST_BYTES);
        let kept = || self.store.index.borrow().bytes_of(&near);
        let mut claiming = self.store.shelf.claim(range.clone());
        loop {
            let before = kept();
            let claimed = select(claiming, Box::pin(sleep(self.patience))).await;
            if let Err(error) = self.store.learn().await {
                self.store.suffer(error);
            }
            claiming = match claimed {
                Either::Left((Ok(claim), _)) => return claim,
                Either::Left((Err(error), _)) => {
                    self.store.suffer(error);
                    return None;
                }
                Either::Right((_, claiming)) => claiming,
            };
            if kept() == before {
                log::warn!("{}: nothing comes of bytes {range:?}, which somebody else fetches; fetching them too", self.location());
                return None;
            }
        }
    }

    async fn fetch_now(
        &self,
        mut range: Range<u64>,
        at: &mut u64,
        claim: Option<Claim>,
        sink: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        // What comes before the range anyway is kept as well.
        if let Some(from) = self.source.comes_from() {
            range.start = if from <= *at { from } else { 0 };
        }
        let mut keeper = Keeper::new(&self.store, range.start, claim);
        let mut meter = self.link.meter(&*self.source);
        let mut comes_at = range.start;
        let mut take = |piece: &[u8]| {
            keeper.push(piece);
            meter.came(piece.len());
            let skip = (at.saturating_sub(comes_at) as usize).min(piece.len());
            comes_at += piece.len() as u64;
            let given = *at;
            *at = comes_at.max(*at);
            sink(given, &piece[skip..])
        };
        self.store.pace(self.source.read(range, &mut take)).await
    }

    /// Where the first part of `range` that is missing ends, if it begins at its start.
    fn still_missing(&self, range: &Range<u64>) -> Option<u64> {
        let next = self.store.index.borrow().next_from(range.start).unwrap_or(range.end);
        (next > range.start).then(|| next.min(range.end))
    }
}

/// What is kept of the file that `said` means, or which `location` gave last.
fn choose(all: &[Kept], location: &str, said: Option<&Entry>) -> Option<Identity> {
    let most = |is_it: &dyn Fn(&Kept) -> bool| all.iter().filter(|kept| is_it(kept)).max_by_key(|kept| kept.bytes);
    let kept = match said {
        None => all.iter().rfind(|kept| kept.identity.location == location),
        Some(said) => {
            let is_size = |kept: &Kept| kept.identity.size == said.size;
            let is_sum = |kept: &Kept| is_size(kept) && kept.sum.is_some_and(|known| known.sum == said.sum);
            // Kept before anybody said what it is.
            let may_be = |kept: &Kept| is_size(kept) && kept.identity.location == location && kept.sum.is_none();
            most(&is_sum).or_else(|| most(&may_be))
        }
    };
    kept.map(|kept| kept.identity.clone())
}

impl Source for Cached {
    fn location(&self) -> &str {
        self.source.location()
    }

    fn size(&self) -> LocalFuture<'_, Result<u64, Error>> {
        Box::pin(async { Ok(self.identity.size) })
    }

    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            check_range(self.location(), &range, self.identity.size)?;
            if range.is_empty() {
                return Ok(());
            }
            give(self.location(), sink, &[])?;
            self.read_wanted(&[range], Priority::Demand, &mut |_, piece| sink(piece)).await
        })
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn traffic(&self) -> Traffic {
        self.source.traffic()
    }

    fn tag(&self) -> Option<String> {
        self.identity.tag.clone()
    }
}
