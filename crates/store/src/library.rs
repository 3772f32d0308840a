//! The files of one model, read many runs at once.

use std::cell::{Cell, RefCell};
use std::ops::{ControlFlow, Range};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::{TryStreamExt, pin_mut, stream};

use crate::cache::{Cached, Home};
use crate::link::{Link, MOST};
use crate::ram::{Ram, Room};
use crate::runs::{Group, group, merge};
use crate::source::{check_range, read_vec};
use crate::{Error, Http, Manifest, Priority, Retry, Run, Source, Traffic, platform};

/// How often a reader is asked whether to go on while nothing comes.
const TICK: Duration = Duration::from_millis(200);

/// Takes pieces of several runs: the number of the run, and its next bytes.
pub type RunSink<'a> = dyn FnMut(usize, &[u8]) -> ControlFlow<()> + 'a;

/// How a library is opened.
#[derive(Clone, Default)]
pub struct OpenOptions {
    /// Where what comes over the network is kept; `None` keeps nothing.
    pub home: Option<Rc<dyn Home>>,
    /// A bearer token for gated repositories, which goes to the URLs' own hosts alone.
    pub token: Option<String>,
    /// Its `stall` is also how long another process or tab that fetches the same is waited for while nothing of it comes.
    pub retry: Retry,
    /// What the files must be; without it, what the server says if it does. Sizes are checked always, sums of what is kept.
    pub manifest: Option<Manifest>,
}

impl OpenOptions {
    fn http(&self, url: &str, retry: Retry) -> Http {
        let http = Http::with_retry(url, retry);
        match &self.token {
            Some(token) => http.with_token(token),
            None => http,
        }
    }
}

impl std::fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let home = self.home.as_ref().map(|home| home.name());
        let has_token = self.token.is_some();
        f.debug_struct("OpenOptions").field("home", &home).field("has_token", &has_token).field("retry", &self.retry).finish()
    }
}

/// The shards of one model, over one link.
#[derive(Default)]
pub struct Library {
    shards: Vec<Rc<dyn Source>>,
    /// Of the shards, those that have a shelf.
    cached: Vec<Option<Rc<Cached>>>,
    /// Whether the manifest speaks of one that has none.
    has_unchecked_sums: bool,
    /// Where the first of them is and how it is read, if it was opened by its location.
    first: Option<(String, OpenOptions)>,
    /// Of what lies beside it.
    beside: Cell<Traffic>,
    link: Rc<Link>,
    ram: Ram,
    problem: RefCell<Option<Rc<Error>>>,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let locations: Vec<&str> = self.shards.iter().map(|shard| shard.location()).collect();
        f.debug_struct("Library").field("shards", &locations).field("link", &self.link).finish_non_exhaustive()
    }
}

impl Library {
    /// Reads from these sources, shard after shard, and keeps nothing.
    pub fn new(shards: Vec<Rc<dyn Source>>) -> Self {
        let mut library = Self::default();
        shards.into_iter().for_each(|shard| library.push(shard, None));
        library
    }

    /// Opens paths or URLs, shard after shard. A URL of which something is kept is not asked for: what is kept is believed
    /// until [`Library::revalidate`] or a fetch shows that it has changed.
    ///
    /// A home that fails is gone without, and [`Library::take_problem`] says so.
    ///
    /// # Errors
    /// A file that cannot be opened; a URL that nothing is kept of and that does not answer; another size than the manifest says.
    pub async fn open(locations: &[String], options: &OpenOptions) -> Result<Self, Error> {
        let source = |location: &String| match platform::is_url(location) {
            true => Ok(Rc::new(options.http(location, options.retry.clone())) as Rc<dyn Source>),
            false => platform::open(location),
        };
        let mut library = Self::from_sources(locations.iter().map(source).collect::<Result<_, _>>()?, options).await?;
        library.first = locations.first().map(|location| (location.clone(), options.clone()));
        Ok(library)
    }

    /// As [`Library::open`], of sources; the remote ones are kept.
    ///
    /// # Errors
    /// A source that nothing is kept of and that does not tell its size, or has another than the manifest says.
    pub async fn from_sources(shards: Vec<Rc<dyn Source>>, options: &OpenOptions) -> Result<Self, Error> {
        let mut library = Self::default();
        for shard in shards {
            library.add(shard, options).await?;
        }
        Ok(library)
    }

    /// The same, with no other wishes.
    ///
    /// # Errors
    /// As [`Library::from_sources`].
    pub async fn with_home(shards: Vec<Rc<dyn Source>>, home: Rc<dyn Home>) -> Result<Self, Error> {
        Self::from_sources(shards, &OpenOptions { home: Some(home), ..OpenOptions::default() }).await
    }

    fn push(&mut self, shard: Rc<dyn Source>, cached: Option<Rc<Cached>>) {
        self.shards.push(shard);
        self.cached.push(cached);
    }

    async fn add(&mut self, source: Rc<dyn Source>, options: &OpenOptions) -> Result<(), Error> {
        let said = options.manifest.as_ref().map(|manifest| manifest.entry(source.location())).transpose()?;
        if let Some(home) = options.home.as_ref().filter(|_| source.is_remote()) {
            match Cached::open(source.clone(), home.clone(), self.link.clone(), said, options.retry.stall).await {
                Ok(cached) => {
                    let cached = Rc::new(cached);
                    self.push(cached.clone(), Some(cached));
                    return Ok(());
                }
                Err(error @ (Error::Network { .. } | Error::UnknownSize { .. } | Error::Changed { .. } | Error::Unlike { .. })) => {
                    return Err(error);
                }
                Err(error) => {
                    log::warn!("{}: nothing is kept: {error}", home.name());
                    *self.problem.borrow_mut() = Some(Rc::new(error));
                }
            }
        }
        if let Some(said) = said {
            said.check_size(source.location(), source.size().await?)?;
            self.has_unchecked_sums = true;
        }
        self.push(source, None);
        Ok(())
    }

    pub fn shards(&self) -> &[Rc<dyn Source>] {
        &self.shards
    }

    /// What went over the network so far, for all shards and what lies beside them.
    pub fn traffic(&self) -> Traffic {
        let mut sum = self.beside.get();
        for shard in &self.shards {
            sum += shard.traffic();
        }
        sum
    }

    /// Bytes of a run that need no network: all of a local file's, and those that are kept.
    pub fn bytes_here(&self, run: &Run) -> u64 {
        match self.cached.get(run.shard) {
            Some(Some(cached)) => cached.store.index.borrow().bytes_of(&run.range),
            Some(None) if self.shards[run.shard].is_remote() => 0,
            _ => run.range.end.saturating_sub(run.range.start),
        }
    }

    /// The parts of a run that are not here, in order.
    pub fn missing(&self, run: &Run) -> Vec<Run> {
        match self.cached.get(run.shard) {
            Some(Some(cached)) => {
                let gaps = cached.store.index.borrow().gaps(&run.range);
                gaps.into_iter().map(|range| Run { shard: run.shard, range }).collect()
            }
            Some(None) if self.shards[run.shard].is_remote() => vec![run.clone()],
            _ => Vec::new(),
        }
    }

    /// Whether anything that comes is kept.
    pub fn keeps(&self) -> bool {
        self.cached.iter().any(Option::is_some)
    }

    /// Bytes that were read of what is kept.
    pub fn bytes_served(&self) -> u64 {
        self.cached.iter().flatten().map(|cached| cached.served.get()).sum()
    }

    /// Holds in host memory too what is read from now on of `runs`, in parts or whole, for when it is read again: at most so many
    /// bytes at once. What is read in the background is not held. In a browser this memory lies outside wasm's.
    ///
    /// `is_nearer(nth)` says of the nth of `runs` that who reads it has its bytes now: such make room for others sooner.
    pub fn hold_in_memory(&self, bytes: u64, runs: impl IntoIterator<Item = Run>, is_nearer: impl Fn(usize) -> bool + 'static) {
        self.ram.set_budget(bytes, runs, Box::new(is_nearer));
    }

    /// Whether host memory holds all of a run.
    pub fn is_in_memory(&self, run: &Run) -> bool {
        self.ram.has(run)
    }

    /// Bytes that host memory holds now.
    pub fn bytes_in_memory(&self) -> u64 {
        self.ram.held_bytes()
    }

    /// Bytes that were read from host memory, and so from nowhere else.
    pub fn bytes_from_memory(&self) -> u64 {
        self.ram.served_bytes()
    }

    /// Asks each server, by headers alone, whether what is kept is still what it has. To be polled beside other work.
    ///
    /// # Errors
    /// [`Error::Changed`] after a change: what was kept is removed, and the library should be opened anew. Also what the
    /// network reports, after which all goes on as before.
    pub async fn revalidate(&self) -> Result<(), Error> {
        for cached in self.cached.iter().flatten() {
            cached.revalidate().await.inspect_err(|error| self.doubt(error))?;
        }
        Ok(())
    }

    /// Holds what is kept whole against the SHA-256 that the manifest or the server says: a MiB of it. To be called again and again
    /// while there is nothing else to do; what was checked once is not checked at the next visit. False if there is nothing to check now.
    ///
    /// # Errors
    /// [`Error::Unlike`] if a file is another one: what was kept of it is forgotten and comes anew, once. After the second time, reading
    /// it fails so.
    pub async fn check_some(&self) -> Result<bool, Error> {
        for cached in self.cached.iter().flatten() {
            if cached.check_some().await.inspect_err(|error| self.doubt(error))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether all files are kept whole and have the SHA-256 that the manifest or the server says.
    pub fn is_checked(&self) -> bool {
        let is_checked = |cached: &Option<Rc<Cached>>| cached.as_ref().is_some_and(|cached| cached.is_checked());
        !self.cached.is_empty() && self.cached.iter().all(is_checked)
    }

    /// Whether the manifest says sums of files that nobody holds against them, since only what is kept is checked. Their sizes are right.
    pub fn has_unchecked_sums(&self) -> bool {
        self.has_unchecked_sums
    }

    /// Waits until all that came is kept.
    pub async fn flush(&self) {
        for cached in self.cached.iter().flatten() {
            cached.store.settle(0).await;
        }
    }

    /// Why some of what came is not kept, if so, told once: [`Error::Full`] or what the home reports. Reading goes on.
    pub fn take_problem(&self) -> Option<Rc<Error>> {
        let of_shards = || self.cached.iter().flatten().find_map(|cached| cached.store.take_problem());
        self.problem.borrow_mut().take().or_else(of_shards)
    }

    /// The first `bytes` bytes of a small file beside the first shard, which has its name and `suffix`. `None` if it is not there or
    /// shorter, and where it cannot be had at once: it is asked for once, without much patience.
    pub async fn beside(&self, suffix: &str, bytes: u64) -> Option<Vec<u8>> {
        const PATIENCE: Duration = Duration::from_secs(5);
        let (location, options) = self.first.as_ref()?;
        let read = async {
            if platform::is_url(location) {
                let end = location.find(['?', '#']).unwrap_or(location.len());
                let url = format!("{}{suffix}{}", &location[..end], &location[end..]);
                let retry = Retry { attempts: 1, stall: PATIENCE, ..options.retry.clone() };
                let http = options.http(&url, retry);
                let read = read_vec(&http, 0..bytes).await;
                let mut traffic = self.beside.get();
                traffic += http.traffic();
                self.beside.set(traffic);
                read
            } else {
                read_vec(&*platform::open(&format!("{location}{suffix}"))?, 0..bytes).await
            }
        };
        read.await.inspect_err(|error| log::debug!("{error}")).ok()
    }

    /// How much there is room for where it is kept; `None` also where nothing is kept.
    pub async fn free_bytes(&self) -> Option<u64> {
        self.cached.iter().flatten().next()?.free_bytes().await
    }

    /// Whether there is room for so many bytes where it is kept, as far as that can be known. If not, [`Library::take_problem`] says so.
    pub async fn has_room(&self, needed: u64) -> bool {
        let Some(cached) = self.cached.iter().flatten().next() else { return true };
        let free = cached.free_bytes().await;
        let is_full = free.is_some_and(|free| free < needed);
        if is_full {
            *self.problem.borrow_mut() = Some(Rc::new(Error::Full { location: cached.home_name(), needed, free }));
        }
        !is_full
    }

    /// A small piece of data that is kept with the model's first shard; `None` also where nothing is kept.
    ///
    /// # Errors
    /// What the home reports.
    pub async fn note(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.cached.first() {
            Some(Some(cached)) => cached.store.shelf.note(name).await,
            _ => Ok(None),
        }
    }

    /// Keeps such data, if anything is kept.
    ///
    /// # Errors
    /// What the home reports; [`Error::Full`].
    pub async fn set_note(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        match self.cached.first() {
            Some(Some(cached)) => cached.store.shelf.set_note(name, bytes).await,
            _ => Ok(()),
        }
    }

    /// Reads all `runs`, several at once. `sink(i, piece)` gets the bytes of run `i` in order, each once, in pieces of at
    /// most 256 KiB; runs interleave as they arrive.
    ///
    /// Runs that lie close together in a file are fetched by one request; a run is never divided, so what is large and
    /// may come out of order should be cut into several runs. The number of requests at once adapts to the link and
    /// counts all reads of this library. While a more urgent read is under way, a less urgent one is paused; what
    /// one read fetches, others wait for. So poll all of them together. Dropping the future cancels the read.
    ///
    /// An empty piece asks whether to go on, several times a second while nothing comes.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if a shard ends before a run does; [`Error::Cancelled`] if the sink breaks; otherwise what
    /// the first source that failed reports, which ends the other runs too. Pieces given before an error are good.
    ///
    /// # Panics
    /// If a run names a shard that is not there.
    pub async fn read_runs(&self, runs: &[Run], priority: Priority, sink: &mut RunSink<'_>) -> Result<(), Error> {
        for run in runs {
            let shard = &self.shards[run.shard];
            check_range(shard.location(), &run.range, shard.size().await?)?;
        }
        let mut far = Vec::new();
        for (i, run) in runs.iter().enumerate() {
            match self.ram.get(run) {
                None => far.push(i),
                Some(bytes) if bytes.give(&mut |piece| sink(i, piece)).is_break() => {
                    return Err(Error::Cancelled { location: self.shards[run.shard].location().to_owned() });
                }
                Some(_) => {}
            }
        }
        let runs: Vec<Run> = far.iter().map(|&i| runs[i].clone()).collect();
        let room_for = |run| if priority < Priority::Background { self.ram.room_for(run) } else { None };
        let mut rooms: Vec<Option<Room<'_>>> = runs.iter().map(room_for).collect();
        let mut hold = |i: usize, piece: &[u8]| {
            rooms[i].iter_mut().for_each(|room| room.push(piece));
            sink(far[i], piece)
        };
        self.read_far(&runs, priority, &mut hold).await.inspect_err(|error| self.doubt(error))
    }

    /// What host memory holds may be of other files than these, if an error says so.
    fn doubt(&self, error: &Error) {
        if matches!(error, Error::Changed { .. } | Error::Unlike { .. }) {
            self.ram.forget();
        }
    }

    /// Reads what host memory does not hold.
    async fn read_far(&self, runs: &[Run], priority: Priority, sink: &mut RunSink<'_>) -> Result<(), Error> {
        let sink = RefCell::new(sink);
        let groups = group(runs, |shard| self.shards[shard].is_remote());
        let reads = stream::iter(groups.iter().map(|group| Ok(self.read_group(runs, group, priority, &sink))));
        let all = reads.try_buffer_unordered(MOST).try_collect::<()>();
        let watch = async {
            loop {
                platform::sleep(TICK).await;
                if (sink.borrow_mut())(0, &[]).is_break() {
                    break;
                }
            }
        };
        pin_mut!(all, watch);
        match select(all, watch).await {
            Either::Left((done, _)) => done,
            Either::Right(_) => Err(Error::Cancelled { location: self.shards[runs[0].shard].location().to_owned() }),
        }
    }

    /// Reads one group of runs from its start to its end.
    async fn read_group(&self, runs: &[Run], group: &Group, priority: Priority, sink: &RefCell<&mut RunSink<'_>>) -> Result<(), Error> {
        let give = |at: u64, piece: &[u8]| {
            let here = at..at + piece.len() as u64;
            for &i in &group.runs {
                let part = overlap(piece, &here, &runs[i].range);
                // Empty pieces pass: they ask whether to go on.
                if (!part.is_empty() || piece.is_empty()) && (sink.borrow_mut())(i, part).is_break() {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        };
        if let Some(cached) = &self.cached[group.shard] {
            let wanted = merge(group.runs.iter().map(|&i| runs[i].range.clone()));
            return cached.read_wanted(&wanted, priority, &mut { give }).await;
        }
        self.read_plain(&*self.shards[group.shard], group.range.clone(), priority, &give).await
    }

    /// Reads `range` of a source without a shelf, when the link has room for it.
    async fn read_plain(
        &self,
        source: &dyn Source,
        range: Range<u64>,
        priority: Priority,
        give: &dyn Fn(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut at = range.start;
        let mut sink = |piece: &[u8]| {
            at += piece.len() as u64;
            give(at - piece.len() as u64, piece)
        };
        if !source.is_remote() {
            return source.read(range, &mut sink).await;
        }
        let mut meter = self.link.meter(source);
        let mut metered = |piece: &[u8]| {
            meter.came(piece.len());
            sink(piece)
        };
        self.link.ticket(source, priority).run(source.read(range, &mut metered)).await
    }
}

/// The part of `bytes`, which lie at `at`, that is inside `wanted`.
fn overlap<'a>(bytes: &'a [u8], at: &Range<u64>, wanted: &Range<u64>) -> &'a [u8] {
    let start = wanted.start.clamp(at.start, at.end);
    let end = wanted.end.clamp(start, at.end);
    &bytes[(start - at.start) as usize..(end - at.start) as usize]
}
