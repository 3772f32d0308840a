//! Bytes of the file, in file order, into the resident weights, through one fixed window.

use kernels::ops::Repack;
use kernels::{BufferId, Recording, Slice};
use model::{Place, Upload};

use crate::{Engine, Error};

/// Bytes that pass through wasm memory and the staging buffer at once.
const WINDOW: usize = 4 << 20;
/// Gaps between tensors that are read along rather than skipped.
const GAP: u64 = 64 << 10;

/// Distributes a model's bytes. The caller reads [`Loader::next_run`] and gives what comes to
/// [`Loader::push`], in order.
#[derive(Debug)]
pub struct Loader {
    uploads: Vec<Upload>,
    /// Of `uploads`: the first that is not whole.
    current: usize,
    /// In the file of the current upload.
    position: u64,
    window: Vec<u8>,
    /// Bytes of the current upload that were flushed.
    flushed: u64,
    staging: wgpu::Buffer,
}

impl Loader {
    /// # Errors
    /// No memory for the staging buffer.
    pub async fn new(engine: &Engine) -> Result<Self, Error> {
        let mut uploads = engine.model.uploads.clone();
        uploads.sort_by_key(|u| (u.shard, u.start));
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let staging = engine.gpu.buffer("staging", WINDOW as u64, usage).await?;
        Ok(Self { uploads, current: 0, position: 0, window: Vec::with_capacity(WINDOW), flushed: 0, staging })
    }

    /// All bytes that have to be read.
    pub fn total(&self) -> u64 {
        self.uploads.iter().map(|u| u.bytes).sum()
    }

    /// The next bytes to read, of at most `most`: a shard and a range of its file. `None` when the model is whole.
    pub fn next_run(&mut self, most: u64) -> Option<(usize, std::ops::Range<u64>)> {
        let first = self.uploads.get(self.current)?;
        let start = first.start + self.flushed + self.window.len() as u64;
        self.position = start;
        let mut end = first.start + first.bytes;
        for next in &self.uploads[self.current + 1..] {
            if next.shard != first.shard || next.start > end + GAP || end - start >= most {
                break;
            }
            end = next.start + next.bytes;
        }
        Some((first.shard, start..end.min(start + most)))
    }

    /// Takes the next bytes of the run.
    ///
    /// # Errors
    /// No memory, or what the GPU reports.
    pub fn push(&mut self, engine: &mut Engine, mut piece: &[u8]) -> Result<(), Error> {
        while let (Some(upload), false) = (self.uploads.get(self.current), piece.is_empty()) {
            let gap = upload.start.saturating_sub(self.position).min(piece.len() as u64);
            piece = &piece[gap as usize..];
            self.position += gap;

            let left = upload.bytes - self.flushed - self.window.len() as u64;
            let room = window_bytes(&upload.place) - self.window.len();
            let n = room.min(piece.len()).min(usize::try_from(left).unwrap_or(usize::MAX));
            self.window.extend_from_slice(&piece[..n]);
            piece = &piece[n..];
            self.position += n as u64;

            let whole = self.flushed + self.window.len() as u64 == upload.bytes;
            if whole || self.window.len() == window_bytes(&upload.place) {
                self.flush(engine)?;
            }
            if whole {
                self.current += 1;
                self.flushed = 0;
            }
        }
        Ok(())
    }

    fn flush(&mut self, engine: &mut Engine) -> Result<(), Error> {
        let gpu = engine.gpu.clone();
        match self.uploads[self.current].place {
            Place::Copy(slice) => gpu.write(&engine.buffers[slice.buffer.0 as usize], slice.offset + self.flushed, &self.window),
            Place::Planes { format, quants, scales, quants_offset, scales_offset, matrix_blocks, first_block } => {
                gpu.write(&self.staging, 0, &self.window);
                let block_bytes = format.dtype().block_bytes();
                let buffers =
                    [&self.staging, &engine.buffers[quants.buffer.0 as usize], &engine.buffers[scales.buffer.0 as usize]].map(Clone::clone);
                let at = |id, slice: Slice| Slice { buffer: BufferId(id), ..slice };
                let repack = Repack {
                    format,
                    raw: Slice { buffer: BufferId(0), offset: 0, bytes: WINDOW as u64 },
                    n_blocks: (self.window.len() / block_bytes) as u32,
                    first_block: first_block + self.flushed / block_bytes as u64,
                    quants_offset,
                    scales_offset,
                    matrix_blocks,
                    quants: at(1, quants),
                    scales: at(2, scales),
                };
                let mut recording = Recording::default();
                recording.repack(&repack);
                let prepared = engine.executor.prepare(&recording, &buffers)?;
                let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                prepared.encode(&mut encoder, &gpu);
                gpu.queue.submit([encoder.finish()]);
            }
        }
        self.flushed += self.window.len() as u64;
        self.window.clear();
        Ok(())
    }

    /// Waits until the GPU has taken what was pushed, so that nothing piles up.
    ///
    /// # Errors
    /// What the GPU reports.
    pub async fn settle(&self, engine: &Engine) -> Result<(), Error> {
        engine.gpu.idle().await
    }
}

/// The window for a place: whole blocks by fours, so that each plane of a run begins and ends at a word.
fn window_bytes(place: &Place) -> usize {
    let unit = match place {
        Place::Copy(_) => 4,
        Place::Planes { format, .. } => format.dtype().block_bytes() * 4,
    };
    WINDOW / unit * unit
}
