//! Bytes of files on their way into GPU memory: each run goes to a staging buffer piece by piece, and from
//! there, when it is whole, into the planes of its matrix. Host memory holds no run.

use std::ops::ControlFlow;

use kernels::ops::Repack;
use kernels::{BufferId, Recording, Slice};
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
    /// Bytes written to `target`.
    written: u64,
    /// Bytes that do not fill a word yet.
    tail: Vec<u8>,
    target: Option<wgpu::Buffer>,
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
            let mut failed = None;
            let mut sink = |i: usize, piece: &[u8]| {
                if cancel.is_cancelled() {
                    return ControlFlow::Break(());
                }
                // It only asks whether to go on, perhaps of a run that is done.
                if piece.is_empty() {
                    return ControlFlow::Continue(());
                }
                on_bytes(piece.len() as u64);
                match self.push(&mut incoming[i], piece) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                }
            };
            let read = feed.read(&batch, urgency, &mut sink).await;
            if let Some(error) = failed {
                return Err(error);
            }
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

    /// Takes the next bytes of a run; with its last it goes to its place.
    fn push(&mut self, run: &mut Incoming, mut piece: &[u8]) -> Result<(), Error> {
        let (target, offset) = match (&run.target, run.place) {
            (Some(target), Place::Planes { .. }) => (target.clone(), 0),
            (_, Place::Copy(slice)) => (self.buffers[slice.buffer.0 as usize].clone(), slice.offset),
            (None, Place::Planes { .. }) => {
                let target = self.staging(run.bytes);
                run.target = Some(target.clone());
                (target, 0)
            }
        };
        let room = run.bytes - run.written - run.tail.len() as u64;
        piece = &piece[..piece.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        // Writes begin and end at words.
        if !run.tail.is_empty() {
            let missing = piece.len().min(4 - run.tail.len());
            run.tail.extend_from_slice(&piece[..missing]);
            piece = &piece[missing..];
            if run.tail.len() == 4 {
                self.gpu.write(&target, offset + run.written, &run.tail);
                run.written += 4;
                run.tail.clear();
            }
        }
        if run.tail.is_empty() {
            let (words, tail) = piece.split_at(piece.len() / 4 * 4);
            self.gpu.write(&target, offset + run.written, words);
            run.written += words.len() as u64;
            run.tail.extend_from_slice(tail);
        }
        if run.written + run.tail.len() as u64 == run.bytes {
            self.gpu.write(&target, offset + run.written, &run.tail);
            run.written = run.bytes;
            self.repack(run)?;
        }
        Ok(())
    }

    /// Gathers the planes of a run that is whole; its staging buffer is free at once, since the queue keeps order.
    fn repack(&mut self, run: &mut Incoming) -> Result<(), Error> {
        let Place::Planes { format, quants, scales, quants_offset, scales_offset, matrix_blocks, first_block } = run.place else {
            return Ok(());
        };
        let Some(staging) = run.target.take() else { return Ok(()) };
        let buffers = [&staging, &self.buffers[quants.buffer.0 as usize], &self.buffers[scales.buffer.0 as usize]].map(Clone::clone);
        let at = |id, slice: Slice| Slice { buffer: BufferId(id), ..slice };
        let mut recording = Recording::default();
        recording.repack(&Repack {
            format,
            raw: Slice { buffer: BufferId(0), offset: 0, bytes: staging.size() },
            n_blocks: (run.bytes / format.dtype().block_bytes() as u64) as u32,
            first_block,
            quants_offset,
            scales_offset,
            matrix_blocks,
            quants: at(1, quants),
            scales: at(2, scales),
        });
        let prepared = self.executor.prepare(&recording, &buffers)?;
        let mut encoder = self.gpu.encoder();
        prepared.encode(&mut encoder, &self.gpu);
        self.gpu.queue.submit([encoder.finish()]);
        self.staging.push(staging);
        Ok(())
    }

    /// A free buffer of at least `bytes`, or a new one.
    fn staging(&mut self, bytes: u64) -> wgpu::Buffer {
        let free = self.staging.iter().position(|b| b.size() >= bytes);
        free.map_or_else(
            || {
                let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
                self.gpu.small_buffer("staging", bytes.next_multiple_of(1 << 20), usage)
            },
            |i| self.staging.swap_remove(i),
        )
    }
}

/// An upload cut into runs of whole blocks by fours, so that each plane of a run begins and ends at a word.
fn runs_of(upload: &Upload) -> impl Iterator<Item = (Run, Incoming)> {
    let unit = match upload.place {
        Place::Copy(_) => 4,
        Place::Planes { format, .. } => format.dtype().block_bytes() as u64 * 4,
    };
    let step = RUN_BYTES / unit * unit;
    (0..upload.bytes).step_by(step as usize).map(move |from| {
        let bytes = step.min(upload.bytes - from);
        let place = match upload.place {
            Place::Copy(slice) => Place::Copy(Slice { offset: slice.offset + from, ..slice }),
            Place::Planes { format, quants, scales, quants_offset, scales_offset, matrix_blocks, first_block } => {
                let first_block = first_block + from / format.dtype().block_bytes() as u64;
                Place::Planes { format, quants, scales, quants_offset, scales_offset, matrix_blocks, first_block }
            }
        };
        let run = Run { shard: upload.shard, range: upload.start + from..upload.start + from + bytes };
        (run, Incoming { place, bytes, written: 0, tail: Vec::new(), target: None })
    })
}
