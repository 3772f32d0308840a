//! The files of one model, read many runs at once.

use std::cell::RefCell;
use std::ops::{ControlFlow, Range};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::{TryStreamExt, pin_mut, stream};

use crate::link::{Link, MOST};
use crate::runs::{Group, group};
use crate::source::check_range;
use crate::{Error, Priority, Run, Sink, Source, Traffic, platform};

/// How often a reader is asked whether to go on while nothing comes.
const TICK: Duration = Duration::from_millis(200);

/// Takes pieces of several runs: the number of the run, and its next bytes.
pub type RunSink<'a> = dyn FnMut(usize, &[u8]) -> ControlFlow<()> + 'a;

/// The shards of one model, over one link.
#[derive(Default)]
pub struct Library {
    shards: Vec<Rc<dyn Source>>,
    link: Link,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let locations: Vec<&str> = self.shards.iter().map(|shard| shard.location()).collect();
        f.debug_struct("Library").field("shards", &locations).field("link", &self.link).finish()
    }
}

impl Library {
    /// Reads from these sources, shard after shard.
    pub fn new(shards: Vec<Rc<dyn Source>>) -> Self {
        Self { shards, link: Link::default() }
    }

    pub fn shards(&self) -> &[Rc<dyn Source>] {
        &self.shards
    }

    /// What went over the network so far, over all shards.
    pub fn traffic(&self) -> Traffic {
        let mut sum = Traffic::default();
        for shard in &self.shards {
            sum += shard.traffic();
        }
        sum
    }

    /// Reads all `runs`, several at once. `sink(i, piece)` gets the bytes of run `i` in order, each once, in pieces of at
    /// most 256 KiB; runs interleave as they arrive.
    ///
    /// Runs that lie close together in a file are fetched by one request; a run is never divided, so what is large and
    /// may come out of order should be cut into several runs. The number of requests at once adapts to the link and
    /// counts all reads of this library. While a more urgent read is under way, a less urgent one is paused: poll them
    /// together. Dropping the future cancels the read.
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
        let shard = &*self.shards[group.shard];
        let mut at = group.range.start;
        let mut give = |piece: &[u8]| {
            let here = at..at + piece.len() as u64;
            at = here.end;
            for &i in &group.runs {
                let part = overlap(piece, &here, &runs[i].range);
                // Empty pieces pass: they ask whether to go on.
                if (!part.is_empty() || piece.is_empty()) && (sink.borrow_mut())(i, part).is_break() {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        };
        self.fetch(shard, group.range.clone(), priority, &mut give).await
    }

    /// Reads `range` of `source` when the link has room for it.
    async fn fetch(&self, source: &dyn Source, range: Range<u64>, priority: Priority, sink: &mut Sink<'_>) -> Result<(), Error> {
        if !source.is_remote() {
            return source.read(range, sink).await;
        }
        let mut throttled = source.traffic().throttled;
        let mut counting = |piece: &[u8]| {
            self.link.came(piece.len());
            let now = source.traffic().throttled;
            if now > throttled {
                self.link.slow_down();
                throttled = now;
            }
            sink(piece)
        };
        let ticket = self.link.ticket(priority);
        ticket.run(source.read(range, &mut counting)).await
    }
}

/// The part of `bytes`, which lie at `at`, that is inside `wanted`.
fn overlap<'a>(bytes: &'a [u8], at: &Range<u64>, wanted: &Range<u64>) -> &'a [u8] {
    let start = wanted.start.clamp(at.start, at.end);
    let end = wanted.end.clamp(start, at.end);
    &bytes[(start - at.start) as usize..(end - at.start) as usize]
}
