//! A model in GPU memory.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use kernels::ops::{Pass, Sampler, Step as StepState, Steps};
use kernels::{Recording, Slice};
use model::{Model, Usage};

use crate::drafts::Drafts;
use crate::executor::Prepared;
use crate::history::History;
use crate::pace::Pace;
use crate::readback::Ring;
use crate::{Cancel, Drafting, Error, Executor, Experts, Feed, Gpu, Routed, Urgency};

/// Devices that one answer, or loading, may wear out.
pub const MOST_LOSSES: usize = 4;

/// A model whose buffers are on a GPU, and the sequences it has in its KV cache.
#[derive(Debug)]
pub struct Engine {
    pub(crate) gpu: Gpu,
    pub(crate) model: Model,
    /// By [`kernels::BufferId`].
    pub(crate) buffers: Vec<wgpu::Buffer>,
    pub(crate) executor: Executor,
    /// Where weights' bytes come from.
    pub(crate) feed: Rc<dyn Feed>,
    pub(crate) steps: HashMap<StepKind, Rc<Step>>,
    /// Room for blocks' bytes on their way into planes.
    pub(crate) gathered: Vec<u8>,
    pub(crate) experts: Experts,
    /// What routers chose, where somebody wants to know.
    pub(crate) watched: Option<Vec<Routed>>,
    pub(crate) ring: Ring,
    /// Of each sequence that nobody is at.
    pub(crate) histories: Vec<History>,
    /// Answers so far.
    pub(crate) n_answers: u64,
    /// Whose rows the next step has, as the GPU knows it.
    rows: [u32; 20],
    /// Ids that are never sampled: padding rows of the vocabulary.
    pub(crate) unusable: Vec<u32>,
    pub(crate) pace: Pace,
    pub(crate) drafts: Drafts,
    /// Whether rows of a step with drafts are, to the last bit, what they are in one without, once somebody has looked.
    pub(crate) rows_agree: Option<bool>,
}

/// A recording is fixed by these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StepKind {
    pub(crate) pass: Pass,
    pub(crate) tail: Tail,
    /// Whether a layer that misses experts goes on with others, for a prediction of what later layers want.
    pub(crate) stand_ins: bool,
}

/// What follows the last layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tail {
    /// Only the KV cache is wanted.
    Nothing,
    /// Logits of the last token, and the next one drawn.
    Sample,
    /// Logits of every token.
    Logits,
}

impl Engine {
    /// Makes all buffers of `model`, zeroed or with their first contents, or of [`Model::smaller`] ones where the GPU has no memory for
    /// it. [`Engine::load`] reads the dense weights from `feed`; experts come from it when a router asks for them.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub async fn new(mut gpu: Gpu, mut model: Model, feed: Rc<dyn Feed>, unusable: Vec<u32>) -> Result<Self, Error> {
        loop {
            let refused = match Self::with_all_of(gpu.clone(), model.clone(), feed.clone(), unusable.clone()).await {
                Err(refused @ Error::OutOfMemory { .. }) => refused,
                // While it tried which kernels suit it.
                Err(Error::DeviceLost { why }) if gpu.is_short() => {
                    let refused = gpu.last_loss(why);
                    gpu = gpu.reopen().await?;
                    refused
                }
                made => return made,
            };
            let Ok(Some(smaller)) = model.smaller() else { return Err(refused) };
            log::warn!("{refused}; trying with {} slots a layer instead of {}", smaller.n_slots, model.n_slots);
            model = smaller;
        }
    }

    async fn with_all_of(gpu: Gpu, model: Model, feed: Rc<dyn Feed>, unusable: Vec<u32>) -> Result<Self, Error> {
        let unusable = unusable.into_iter().filter(|id| *id < model.config.n_vocab).collect();
        let mut engine = Self {
            executor: Executor::new(gpu.clone()),
            pace: Pace::new(model.options.chunk, gpu.is_software()),
            // On a software adapter four rows take as long as four steps.
            drafts: Drafts::new(if gpu.is_software() { Drafting::Never } else { Drafting::WherePays }),
            rows_agree: None,
            histories: vec![History::default(); model.options.sequences as usize],
            n_answers: 0,
            rows: Steps::new().rows,
            experts: Experts::new(&model),
            gpu,
            buffers: Vec::with_capacity(model.buffers.len()),
            model,
            feed,
            steps: HashMap::new(),
            gathered: Vec::new(),
            watched: None,
            ring: Ring::default(),
            unusable,
        };
        for wanted in engine.model.buffers.iter() {
            use wgpu::BufferUsages as Use;
            let usage = match wanted.usage {
                Usage::Weights => Use::STORAGE | Use::COPY_DST,
                Usage::State => Use::STORAGE | Use::UNIFORM | Use::COPY_DST | Use::COPY_SRC,
                Usage::Uniform => Use::UNIFORM | Use::COPY_DST,
            };
            // If there is no room for it, those before it are given back: somebody may try with fewer slots.
            let buffer = engine.gpu.buffer(&wanted.label, wanted.bytes, usage).await?;
            engine.gpu.write(&buffer, 0, &wanted.contents);
            engine.buffers.push(buffer);
        }
        engine.gpu.check_spare().await?;
        engine.tune().await?;
        (0..engine.model.options.sequences).for_each(|sequence| engine.write_logit_bias(sequence, &[]));
        Ok(engine)
    }

    /// Begins anew on another device after this one was lost: buffers are made again, for fewer experts if there is less memory now or this
    /// one ran out of it, and dense weights are read again; experts come when they are asked for. `on_bytes` gets how many came. False if
    /// `cancel` ended it.
    ///
    /// # Errors
    /// No device, [`Error::OutOfMemory`], or what the feed or the GPU reports.
    pub async fn revive(&mut self, cancel: &Cancel, on_bytes: &mut dyn FnMut(u64)) -> Result<bool, Error> {
        // A driver may count them as long as they are held.
        self.free();
        let gpu = self.gpu.reopen().await?;
        let model = match self.model.smaller() {
            Ok(Some(smaller)) if self.gpu.is_short() => smaller,
            _ => self.model.clone(),
        };
        let mut fresh = Self::new(gpu, model, self.feed.clone(), self.unusable.clone()).await?;
        self.experts.vacate(fresh.model.n_slots);
        fresh.experts = self.experts.clone();
        let read = fresh.load(cancel, on_bytes).await;
        // Unless all of it was read the lost one stays, which nobody can mistake for a whole one; or another lost one, which knows why.
        if matches!(read, Ok(true) | Err(Error::DeviceLost { .. })) {
            fresh.watched = self.watched.take();
            fresh.drafts = Drafts::new(self.drafts.when);
            *self = fresh;
        }
        read
    }

    /// Gives back all memory.
    fn free(&self) {
        self.buffers.iter().for_each(|buffer| self.gpu.free(buffer));
    }

    /// Reads the dense weights; `on_bytes` gets how many came. False if `cancel` ended it.
    ///
    /// # Errors
    /// What the feed or the GPU reports.
    pub async fn load(&mut self, cancel: &Cancel, on_bytes: &mut dyn FnMut(u64)) -> Result<bool, Error> {
        let mut uploads = self.model.uploads.clone();
        uploads.sort_by_key(|u| (u.shard, u.start));
        let mut dense_bytes = 0;
        let mut count = |bytes| {
            dense_bytes += bytes;
            on_bytes(bytes);
        };
        let done = self.take_in(&uploads, Urgency::Demand, cancel, &mut count).await;
        self.experts.count(|p| p.dense_bytes += dense_bytes);
        done
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Bytes of all buffers.
    pub fn gpu_bytes(&self) -> u64 {
        self.buffers.iter().map(wgpu::Buffer::size).sum()
    }

    pub(crate) fn write(&self, slice: Slice, bytes: &[u8]) {
        self.gpu.write(&self.buffers[slice.buffer.0 as usize], slice.offset, bytes);
    }

    pub(crate) fn buffer(&self, slice: Slice) -> &wgpu::Buffer {
        &self.buffers[slice.buffer.0 as usize]
    }

    /// A sequence's bias of every token: what must never be sampled, then what the request says.
    pub(crate) fn write_logit_bias(&self, sequence: u32, bias: &[(u32, f32)]) {
        let mut all = vec![0f32; self.model.config.n_vocab as usize];
        for (id, value) in bias {
            if let Some(slot) = all.get_mut(*id as usize) {
                *slot += value.clamp(-1e30, 1e30);
            }
        }
        for id in &self.unusable {
            all[*id as usize] = -1e30;
        }
        let slice = Sampler::of_sequence(self.model.state.sampler.bias, sequence, self.model.config.n_vocab, 4);
        self.write(slice, bytemuck::cast_slice(&all));
    }

    /// The recording of a step, resolved.
    pub(crate) fn step(&mut self, kind: StepKind) -> Result<Rc<Step>, Error> {
        if let Some(step) = self.steps.get(&kind) {
            return Ok(step.clone());
        }
        let step = Rc::new(Step::new(&self.model, kind, &mut self.executor, &self.buffers)?);
        // Decode and whole chunks come again; ragged chunks do not.
        if kind.pass.n_tokens().is_power_of_two() {
            self.steps.insert(kind, step.clone());
        }
        Ok(step)
    }

    /// Encodes the step of `kind` for the tokens that were placed, the last at `n_positions - 1`, ready to be submitted. While experts are missing
    /// or somebody watches it goes layer by layer, else in as many parts as suit the GPU, and all but its end is submitted here; `None` if
    /// `cancel` ended that.
    pub(crate) async fn encode(
        &mut self,
        kind: StepKind,
        n_positions: u32,
        cancel: &Cancel,
    ) -> Result<Option<wgpu::CommandEncoder>, Error> {
        let step = self.step(kind)?;
        if self.needs_routes() {
            return self.layer_by_layer(&step, kind.pass.n_tokens(), n_positions, 0, cancel).await;
        }
        let parts = self.pace.parts(kind.pass.n_tokens());
        let cut = |part| step.end * part / parts;
        let mut before = None;
        let mut encoder = self.gpu.encoder();
        for part in 0..parts {
            step.prepared.encode_range(&mut encoder, &self.gpu, cut(part)..cut(part + 1), n_positions);
            if part + 1 == parts {
                break;
            }
            self.gpu.queue.submit([std::mem::replace(&mut encoder, self.gpu.encoder()).finish()]);
            // The GPU has the next part when it is done with one.
            if let Some(before) = before.replace(self.gpu.idle()) {
                before.await?;
            }
            if cancel.is_cancelled() {
                return Ok(None);
            }
        }
        Ok(Some(encoder))
    }

    /// Puts `tokens` of a sequence where the next step of one sequence reads them; it goes on with `step`.
    pub(crate) fn place(&mut self, sequence: u32, tokens: &[u32], step: StepState) {
        self.write_rows(|rows| rows[Steps::LONE] = sequence);
        self.write(self.model.state.tokens, bytemuck::cast_slice(tokens));
        self.write_step(sequence, step);
    }

    pub(crate) fn write_step(&self, sequence: u32, step: StepState) {
        self.write(Steps::step_of(self.model.state.steps, sequence), bytemuck::bytes_of(&step));
    }

    /// Says whose rows the next step has. Nothing is written if they are whose they were.
    pub(crate) fn write_rows(&mut self, change: impl FnOnce(&mut [u32; 20])) {
        let before = self.rows;
        change(&mut self.rows);
        if self.rows != before {
            self.write(Steps::rows_of(self.model.state.steps), bytemuck::cast_slice(&self.rows));
        }
    }

    /// What a prompt has to fit.
    pub fn bounds(&self) -> Bounds {
        Bounds { context: self.model.options.context, n_vocab: self.model.config.n_vocab }
    }
}

/// What a prompt has to fit.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Tokens.
    pub context: u32,
    pub n_vocab: u32,
}

impl Bounds {
    /// # Errors
    /// A prompt that is empty, longer than the context, or has ids of no token.
    pub fn check(&self, prompt: &[u32]) -> Result<(), Error> {
        let Self { context, n_vocab } = *self;
        if prompt.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        if prompt.len() > context as usize {
            return Err(Error::ContextLength { got: prompt.len(), context });
        }
        match prompt.iter().find(|id| **id >= n_vocab) {
            Some(id) => Err(Error::TokenRange { id: *id, n_vocab }),
            None => Ok(()),
        }
    }
}

/// A step's recording, resolved, and where its parts begin.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) prepared: Prepared,
    pub(crate) layers: Vec<LayerCuts>,
    /// Past the tail; what follows is run on its own only.
    pub(crate) end: usize,
}

/// Where the parts of a layer begin among a step's dispatches.
#[derive(Clone, Debug)]
pub(crate) struct LayerCuts {
    /// Norm and router.
    pub(crate) route: usize,
    /// Gate, up and down of the experts that have slots.
    pub(crate) experts: usize,
    /// The sum over a token's experts.
    pub(crate) combine: usize,
    /// Readies the routes for another group of experts.
    pub(crate) next_group: Range<usize>,
}

impl Step {
    fn new(model: &Model, kind: StepKind, executor: &mut Executor, buffers: &[wgpu::Buffer]) -> Result<Self, Error> {
        let pass = kind.pass;
        let mut rec = Recording::default();
        model.embed(&mut rec, pass);
        let mut layers = Vec::new();
        for layer in 0..model.layers.len() {
            model.attention(&mut rec, layer, pass);
            let route = rec.commands.len();
            model.route(&mut rec, layer, pass, kind.stand_ins);
            let experts = rec.commands.len();
            model.experts(&mut rec, layer, pass);
            let combine = rec.commands.len();
            model.combine(&mut rec, layer, pass);
            layers.push(LayerCuts { route, experts, combine, next_group: 0..0 });
        }
        match kind.tail {
            Tail::Nothing => {}
            Tail::Sample => model.sample(&mut rec, pass),
            Tail::Logits => model.head(&mut rec, 0, pass),
        }
        let end = rec.commands.len();
        if model.is_sparse() {
            for (layer, cuts) in layers.iter_mut().enumerate() {
                let first = rec.commands.len();
                model.route_slots(&mut rec, layer, pass);
                cuts.next_group = first..rec.commands.len();
            }
        }
        Ok(Self { prepared: executor.prepare(&rec, buffers)?, layers, end })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.free();
    }
}
