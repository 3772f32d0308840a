//! Bytes of files on their way into GPU memory: each piece of a run goes into the planes of its matrix as it comes. Host
//! memory holds no run.

use std::ops::ControlFlow;

use kernels::{BufferId, Planes, Slice};
use model::{Place, Upload};

use crate::feed::{Run, Urgency};
use crate::{Cancel, Engine, Error};

/// Bytes that one run may have: more than an expert's slice of gpt-oss, so that it is one request.
const RUN_BYTES: u64 = 8 << 20;
/// Bytes read before the GPU catches up, so that nothing piles up in front of it.
const BATCH_BYTES: u64 = 128 << 20;

/// A run under way.
#[derive(Debug)]
struct Incoming {
    /// Of the run alone: `first_block` and the slice's offset count what the upload's earlier runs hold.
    place: Place,
    bytes: u64,
    /// Bytes that are in their places.
    written: u64,
    /// The bytes after these that do not make a unit yet.
    waiting: Vec<u8>,
}

impl Engine {
    /// Reads `uploads` into their places. False if `cancel` ended it; what was not read is then undefined.
    ///
    /// # Errors
    /// What the feed or the GPU reports.
    pub(crate) async fn take_in(
        &mut self,
        uploads: &[Upload],
        urgency: Urgency,
        cancel: &Cancel,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<bool, Error> {
        let feed = self.feed.clone();
        let mut runs = uploads.iter().flat_map(runs_of).peekable();
        while runs.peek().is_some() {
            let mut batch_bytes = 0;
            let (batch, mut incoming): (Vec<Run>, Vec<Incoming>) = std::iter::from_fn(|| {
                let next = runs.next_if(|(run, _)| batch_bytes == 0 || batch_bytes + (run.range.end - run.range.start) <= BATCH_BYTES)?;
                batch_bytes += next.1.bytes;
                Some(next)
            })
            .unzip();
            let mut sink = |i: usize, piece: &[u8]| {
                if cancel.is_cancelled() {
                    return ControlFlow::Break(());
                }
                // It only asks whether to go on, perhaps of a run that is done.
                if piece.is_empty() {
                    return ControlFlow::Continue(());
                }
                on_bytes(piece.len() as u64);
                self.push(&mut incoming[i], piece);
                ControlFlow::Continue(())
            };
            let read = feed.read(&batch, urgency, &mut sink).await;
            if cancel.is_cancelled() {
                return Ok(false);
            }
            read.map_err(Error::Feed)?;
            if let Some((run, short)) = batch.iter().zip(&incoming).find(|(_, i)| i.written < i.bytes) {
                let (shard, start) = (run.shard, run.range.start);
                return Err(Error::Unfinished { shard, start, expected: short.bytes, got: short.written });
            }
            self.gpu.idle().await?;
        }
        Ok(true)
    }

    /// Takes the next bytes of a run: as many as make whole blocks by fours, or words, go to their places, the others wait for
    /// what follows them.
    fn push(&mut self, run: &mut Incoming, mut piece: &[u8]) {
        let room = run.bytes - run.written - run.waiting.len() as u64;
        piece = &piece[..piece.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        let unit = unit(&run.place);
        let is_last = piece.len() as u64 == room;
        if !run.waiting.is_empty() {
            let (first, rest) = piece.split_at(piece.len().min(unit - run.waiting.len()));
            run.waiting.extend_from_slice(first);
            piece = rest;
            if run.waiting.len() == unit || is_last && piece.is_empty() {
                let waited = std::mem::take(&mut run.waiting);
                self.put(run, &waited);
            }
        }
        let (now, later) = piece.split_at(if is_last { piece.len() } else { piece.len() / unit * unit });
        self.put(run, now);
        run.waiting.extend_from_slice(later);
    }

    /// Writes the next bytes of a run.
    fn put(&mut self, run: &mut Incoming, bytes: &[u8]) {
        let mut gathered = std::mem::take(&mut self.gathered);
        let write = |buffer: BufferId, at: u64, bytes: &[u8]| self.gpu.write(&self.buffers[buffer.0 as usize], at, bytes);
        match run.place {
            Place::Copy(slice) => write(slice.buffer, slice.offset + run.written, bytes),
            Place::Planes(planes) => {
                let nth = run.written / planes.format.dtype().block_bytes() as u64;
                planes.gather(nth, bytes, &mut gathered, write);
            }
        }
        run.written += bytes.len() as u64;
        self.gathered = gathered;
    }
}

/// Bytes by which a run is taken in: so many begin and end at words wherever they go.
fn unit(place: &Place) -> usize {
    match place {
        Place::Copy(_) => 4,
        Place::Planes(planes) => planes.format.dtype().block_bytes() * 4,
    }
}

/// An upload cut into runs that begin where a unit begins.
fn runs_of(upload: &Upload) -> impl Iterator<Item = (Run, Incoming)> {
    let unit = unit(&upload.place) as u64;
    let step = RUN_BYTES / unit * unit;
    (0..upload.bytes).step_by(step as usize).map(move |from| {
        let bytes = step.min(upload.bytes - from);
        let place = match upload.place {
            Place::Copy(slice) => Place::Copy(Slice { offset: slice.offset + from, ..slice }),
            Place::Planes(planes) => {
                let first_block = planes.first_block + from / planes.format.dtype().block_bytes() as u64;
                Place::Planes(Planes { first_block, ..planes })
            }
        };
        let run = Run { shard: upload.shard, range: upload.start + from..upload.start + from + bytes };
        (run, Incoming { place, bytes, written: 0, waiting: Vec::new() })
    })
}
