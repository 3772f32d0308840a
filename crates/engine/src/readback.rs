//! Getting bytes back from the GPU.

use std::collections::VecDeque;

use futures_channel::oneshot;

use crate::{Error, Gpu, platform};

/// `bytes` (a multiple of 4) of `buffer` from `offset` on, once all work submitted so far is done.
pub(crate) async fn read(gpu: &Gpu, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> Result<Vec<u8>, Error> {
    if bytes == 0 {
        return Ok(Vec::new());
    }
    let staging = gpu.buffer("readback", bytes, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST).await?;
    let mut encoder = gpu.encoder();
    encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, bytes);
    let submission = gpu.queue.submit([encoder.finish()]);
    let (data, staging) = Pending::map(staging, submission, bytes).take(gpu).await?;
    gpu.free(&staging);
    Ok(data)
}

/// A staging buffer on its way to the host.
#[derive(Debug)]
struct Pending {
    staging: wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
    bytes: u64,
    mapped: oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>,
}

impl Pending {
    fn map(staging: wgpu::Buffer, submission: wgpu::SubmissionIndex, bytes: u64) -> Self {
        let (sender, mapped) = oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, 0..bytes, move |result| drop(sender.send(result)));
        Self { staging, submission, bytes, mapped }
    }

    /// The bytes, and the staging buffer to use again.
    async fn take(self, gpu: &Gpu) -> Result<(Vec<u8>, wgpu::Buffer), Error> {
        let mapped = platform::wait(&gpu.device, &self.submission, self.mapped).await;
        match mapped {
            Some(Ok(())) => gpu.check()?,
            // A browser says this before it says that the device is gone.
            Some(Err(error)) => return Err(Error::DeviceLost { why: error.to_string() }),
            None => return Err(Error::DeviceLost { why: "a readback was dropped".into() }),
        }
        let data = match self.staging.slice(0..self.bytes).get_mapped_range() {
            Ok(view) => view.to_vec(),
            Err(error) => return Err(Error::Gpu { why: error.to_string() }),
        };
        self.staging.unmap();
        gpu.count(|c| {
            c.bytes_read += self.bytes;
            c.readbacks += 1;
        });
        Ok((data, self.staging))
    }
}

/// Staging buffers of one size that go round: steps are submitted ahead of their results.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    free: Vec<wgpu::Buffer>,
    pending: VecDeque<Pending>,
}

impl Ring {
    /// Nobody wants what is under way.
    pub(crate) fn forget(&mut self) {
        self.pending.clear();
    }

    /// Submits `encoder` with a copy behind it of the first bytes of some buffers, end to end.
    pub(crate) fn submit(&mut self, gpu: &Gpu, mut encoder: wgpu::CommandEncoder, sources: &[(wgpu::Buffer, u64, u64)]) {
        let bytes = sources.iter().map(|(_, _, bytes)| bytes).sum();
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let free = self.free.pop().filter(|b| b.size() >= bytes);
        let staging = free.unwrap_or_else(|| gpu.small_buffer("readback ring", bytes, usage));
        let mut at = 0;
        for (source, offset, bytes) in sources {
            encoder.copy_buffer_to_buffer(source, *offset, &staging, at, *bytes);
            at += bytes;
        }
        let submission = gpu.queue.submit([encoder.finish()]);
        self.pending.push_back(Pending::map(staging, submission, bytes));
    }

    /// The oldest result; `None` if there is none under way.
    pub(crate) async fn next(&mut self, gpu: &Gpu) -> Result<Option<Vec<u8>>, Error> {
        let Some(pending) = self.pending.pop_front() else { return Ok(None) };
        let (data, staging) = pending.take(gpu).await?;
        self.free.push(staging);
        Ok(Some(data))
    }
}
