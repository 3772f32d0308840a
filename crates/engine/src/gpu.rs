//! One device, what it can do, and what went wrong with it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_channel::oneshot;
use web_time::Instant;

use crate::tuning::ShapeKey;
use crate::{Error, platform, subgroups};

/// A device and its queue. Clones share both.
#[derive(Clone, Debug)]
pub struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    name: String,
    limits: wgpu::Limits,
    /// Threads of the smallest subgroup, if a tile of 32 lanes can lie in it, or in several that are all alike.
    pub(crate) subgroup: Option<u32>,
    trouble: Arc<Mutex<Trouble>>,
    counters: Rc<Cell<Counters>>,
    /// Which kernels run in their wide shape: all engines on this adapter do alike.
    pub(crate) shapes: Shapes,
    /// Bytes that [`Gpu::buffer`] may still give; more than there are, unless [`Gpu::confine`] says less.
    room: Rc<Cell<u64>>,
}

/// Percent of the memory that a driver says there is for us, where it says so.
const MOST_OF_BUDGET: u8 = 90;
const SPARE_BYTES: u64 = 128 << 20;

type Shapes = Rc<RefCell<HashMap<ShapeKey, bool>>>;

/// Work given to the GPU since [`Gpu::open`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub dispatches: u64,
    pub bind_groups: u64,
    /// By the host, into buffers.
    pub bytes_written: u64,
    /// By the host, of buffers.
    pub bytes_read: u64,
    pub readbacks: u64,
}

impl std::ops::Sub for Counters {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            dispatches: self.dispatches - before.dispatches,
            bind_groups: self.bind_groups - before.bind_groups,
            bytes_written: self.bytes_written - before.bytes_written,
            bytes_read: self.bytes_read - before.bytes_read,
            readbacks: self.readbacks - before.readbacks,
        }
    }
}

/// What went wrong with a device.
#[derive(Debug, Default)]
struct Trouble {
    first: Option<Error>,
    /// Whether it ran out of memory while it worked.
    is_short: bool,
}

impl Trouble {
    fn note(this: &Mutex<Self>, error: Error) {
        let is_lost = matches!(error, Error::DeviceLost { .. });
        match is_lost {
            // Answers go on on another one.
            true => log::warn!("{error}"),
            false => log::error!("{error}"),
        }
        let Ok(mut trouble) = this.lock() else { return };
        // What failed before a loss was its herald.
        if is_lost || trouble.first.is_none() {
            trouble.first = Some(error);
        }
    }

    /// Without memory for what comes and goes with each step, nothing is right any more: the device counts as lost.
    fn note_short(this: &Mutex<Self>, why: &str) {
        Self::note(this, Error::DeviceLost { why: format!("it ran out of memory: {why}") });
        if let Ok(mut trouble) = this.lock() {
            trouble.is_short = true;
        }
    }
}

impl Gpu {
    /// The fastest adapter there is, with no optional feature and the largest buffers it allows.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::NoDevice`].
    pub async fn open() -> Result<Self, Error> {
        Self::open_with(Rc::default(), Rc::default()).await
    }

    /// A new device in this one's place, which was lost; it goes on with its counters, and with the shapes that were chosen.
    ///
    /// # Errors
    /// As [`Gpu::open`].
    pub async fn reopen(&self) -> Result<Self, Error> {
        let opened = Self::open_with(self.counters.clone(), self.shapes.clone()).await?;
        Ok(Self { room: self.room.clone(), ..opened.named(self.name.clone()) })
    }

    /// The same under a better name, where `wgpu` is not told one.
    #[must_use]
    pub fn named(self, name: String) -> Self {
        Self { name, ..self }
    }

    async fn open_with(counters: Rc<Cell<Counters>>, shapes: Shapes) -> Result<Self, Error> {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = platform::BACKENDS;
        // Else some drivers give more than there is, and move it to and fro.
        descriptor.memory_budget_thresholds.for_resource_creation = Some(MOST_OF_BUDGET);
        let instance = wgpu::Instance::new(descriptor);
        let options = wgpu::RequestAdapterOptions { power_preference: wgpu::PowerPreference::HighPerformance, ..Default::default() };
        let adapter = instance.request_adapter(&options).await.map_err(|e| Error::NoAdapter { why: e.to_string() })?;
        let allowed = adapter.limits();
        let limits = wgpu::Limits {
            max_storage_buffer_binding_size: allowed.max_storage_buffer_binding_size,
            max_buffer_size: allowed.max_buffer_size,
            ..wgpu::Limits::default()
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("quire"),
            required_features: adapter.features() & wgpu::Features::SUBGROUP,
            required_limits: limits.clone(),
            ..Default::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|e| Error::NoDevice { why: e.to_string() })?;

        let trouble = Arc::new(Mutex::new(Trouble::default()));
        let on_error = trouble.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| match error {
            wgpu::Error::OutOfMemory { .. } => Trouble::note_short(&on_error, &error.to_string()),
            _ => Trouble::note(&on_error, Error::Gpu { why: error.to_string() }),
        }));
        let on_lost = trouble.clone();
        device.set_device_lost_callback(move |reason, why| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                Trouble::note(&on_lost, Error::DeviceLost { why });
            }
        });
        let info = adapter.get_info();
        let name = name(&info);
        let (least, most) = (info.subgroup_min_size, info.subgroup_max_size);
        let suits = least >= 4 && (least >= 32 || least == most);
        let gpu = Self { device, queue, info, name, limits, subgroup: None, trouble, counters, shapes, room: Rc::new(Cell::new(u64::MAX)) };
        let subgroup = (suits && subgroups::add_up(&gpu, least).await).then_some(least);
        Ok(Self { subgroup, ..gpu })
    }

    /// Loses the device, as a driver does that is reset: for tests.
    pub fn lose(&self) {
        Trouble::note(&self.trouble, Error::DeviceLost { why: "it was given up".into() });
        self.device.destroy();
    }

    /// Has it run out of memory, as a driver says it: for tests.
    pub fn run_out(&self) {
        Trouble::note_short(&self.trouble, "a test took the rest");
    }

    /// What is said of the last of several devices that were lost in a row.
    pub fn last_loss(&self, why: String) -> Error {
        if self.is_short() { Error::RanOut { why } } else { Error::DeviceLost { why } }
    }

    /// Whether it had no memory left for what a step needs.
    pub(crate) fn is_short(&self) -> bool {
        self.trouble.lock().is_ok_and(|trouble| trouble.is_short)
    }

    /// Gives no more than `bytes` to buffers from now on, as a device with less memory would: for tests.
    pub fn confine(&self, bytes: u64) {
        self.room.set(bytes);
    }

    /// The adapter, as its driver names it.
    pub fn adapter(&self) -> String {
        self.name.clone()
    }

    /// Whether it is a program that stands in for a graphics processor.
    pub fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// Whether its memory is the machine's.
    pub fn shares_memory(&self) -> bool {
        matches!(self.info.device_type, wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::Cpu)
    }

    /// Bytes that one binding may have.
    pub fn max_binding(&self) -> u64 {
        self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size)
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        self.counters.get()
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counters)) {
        let mut counters = self.counters.get();
        change(&mut counters);
        self.counters.set(counters);
    }

    /// Writes from `offset` on, a multiple of 4; a tail of under 4 bytes is filled up with zeros.
    pub(crate) fn write(&self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) {
        let (words, tail) = bytes.split_at(bytes.len() / 4 * 4);
        if !words.is_empty() {
            self.queue.write_buffer(buffer, offset, words);
        }
        if !tail.is_empty() {
            let mut word = [0; 4];
            word[..tail.len()].copy_from_slice(tail);
            self.queue.write_buffer(buffer, offset + words.len() as u64, &word);
        }
        self.count(|c| c.bytes_written += bytes.len() as u64);
    }

    /// Makes a buffer, which [`Gpu::free`] gives back.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] with its label and size.
    pub(crate) async fn buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, Error> {
        let room = self.room.get();
        if bytes > room {
            return Err(Error::OutOfMemory { label: label.into(), bytes, why: format!("{room} B are left") });
        }
        let buffer = self.try_buffer(label, bytes, usage).await?;
        self.room.set(room.saturating_sub(bytes));
        Ok(buffer)
    }

    /// Whether there is room for what comes and goes while an engine works, which has no other way to fail than the work's.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub(crate) async fn check_spare(&self) -> Result<(), Error> {
        self.try_buffer("arguments and staging", SPARE_BYTES, wgpu::BufferUsages::COPY_DST).await?.destroy();
        Ok(())
    }

    async fn try_buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, Error> {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let valid = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let buffer =
            self.device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size: bytes, usage, mapped_at_creation: false });
        let (invalid, out) = (valid.pop(), memory.pop());
        match invalid.await.or(out.await) {
            None => Ok(buffer),
            Some(error) => Err(Error::OutOfMemory { label: label.into(), bytes, why: error.to_string() }),
        }
    }

    /// Gives a buffer's memory back at once: a browser would wait for its garbage collector.
    pub(crate) fn free(&self, buffer: &wgpu::Buffer) {
        buffer.destroy();
        // What a lost device gave, the next one does not have to spare.
        if self.check().is_ok() {
            self.room.set(self.room.get().saturating_add(buffer.size()));
        }
    }

    pub(crate) fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    /// Makes a buffer that is too small to fail on its own; if it does, [`Gpu::check`] says so.
    pub(crate) fn small_buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size: bytes, usage, mapped_at_creation: false })
    }

    /// How long the plainest way of `bytes` to a place takes that was used before: pieces, one after the other. A ceiling to hold other ways
    /// against.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], or what the GPU reports.
    pub async fn time_upload(&self, bytes: &[u8]) -> Result<Duration, Error> {
        const PIECE: usize = 256 << 10;
        let place = self.buffer("uploaded", (bytes.len() as u64).next_multiple_of(4).max(4), wgpu::BufferUsages::COPY_DST).await?;
        let mut took = Duration::ZERO;
        for _warmed in [false, true] {
            let began = Instant::now();
            for (i, piece) in bytes.chunks(PIECE).enumerate() {
                self.write(&place, (i * PIECE) as u64, piece);
            }
            self.idle().await?;
            took = began.elapsed();
        }
        self.free(&place);
        Ok(took)
    }

    /// Once everything submitted before this call is done.
    ///
    /// # Errors
    /// As [`Gpu::check`].
    pub fn idle(&self) -> impl Future<Output = Result<(), Error>> {
        let (sender, receiver) = oneshot::channel();
        let submission = self.queue.submit([]);
        self.queue.on_submitted_work_done(move || {
            let _ = sender.send(());
        });
        async move {
            let done = platform::wait(&self.device, &submission, receiver).await;
            self.check()?;
            done.ok_or_else(|| Error::DeviceLost { why: "it answers no more".into() })
        }
    }

    /// # Errors
    /// The first that the GPU reported.
    pub fn check(&self) -> Result<(), Error> {
        match self.trouble.lock() {
            Ok(trouble) => trouble.first.clone().map_or(Ok(()), Err),
            Err(_) => Ok(()),
        }
    }
}

fn name(wgpu::AdapterInfo { name, driver, backend, .. }: &wgpu::AdapterInfo) -> String {
    let name = if name.is_empty() { "unnamed adapter" } else { name };
    if driver.is_empty() { format!("{name} ({backend})") } else { format!("{name} ({backend}, {driver})") }
}
