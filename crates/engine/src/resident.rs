//! A model in GPU memory.

use std::collections::HashMap;

use kernels::Slice;
use kernels::ops::Step;
use model::{Model, Usage};

use crate::executor::Prepared;
use crate::history::History;
use crate::readback::{self, Ring};
use crate::{Error, Executor, Gpu};

/// A model whose buffers are on a GPU, and the one sequence it has in its KV cache.
#[derive(Debug)]
pub struct Engine {
    pub(crate) gpu: Gpu,
    pub(crate) model: Model,
    /// By [`kernels::BufferId`].
    pub(crate) buffers: Vec<wgpu::Buffer>,
    pub(crate) executor: Executor,
    steps: HashMap<StepKind, Prepared>,
    pub(crate) ring: Ring,
    pub(crate) history: History,
    /// Ids that are never sampled: padding rows of the vocabulary.
    pub(crate) unusable: Vec<u32>,
    pub(crate) pace: Pace,
}

/// A recording is fixed by these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StepKind {
    pub(crate) n_tokens: u32,
    pub(crate) tail: Tail,
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

/// What was learned of this GPU's speed, for the size of a submission.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Tokens of the next prefill chunk.
    pub(crate) chunk: u32,
    /// Seconds a decode step.
    pub(crate) step: f64,
}

impl Engine {
    /// Makes all buffers of `model`, zeroed or with their first contents; a [`crate::Loader`] fills the rest.
    ///
    /// # Errors
    /// [`Error::Budget`] if all buffers together are over `budget` bytes, [`Error::OutOfMemory`].
    pub async fn new(gpu: Gpu, model: Model, unusable: Vec<u32>, budget: Option<u64>) -> Result<Self, Error> {
        let bytes = model.buffers.iter().map(|b| b.bytes).sum();
        if let Some(budget) = budget.filter(|b| *b < bytes) {
            return Err(Error::Budget { bytes, budget });
        }
        let mut buffers = Vec::with_capacity(model.buffers.len());
        for wanted in model.buffers.iter() {
            use wgpu::BufferUsages as Use;
            let usage = match wanted.usage {
                Usage::Weights => Use::STORAGE | Use::COPY_DST,
                Usage::State => Use::STORAGE | Use::UNIFORM | Use::COPY_DST | Use::COPY_SRC,
                Usage::Uniform => Use::UNIFORM | Use::COPY_DST,
            };
            let buffer = gpu.buffer(&wanted.label, wanted.bytes, usage).await?;
            gpu.write(&buffer, 0, &wanted.contents);
            buffers.push(buffer);
        }
        let unusable = unusable.into_iter().filter(|id| *id < model.config.n_vocab).collect();
        let mut engine = Self {
            executor: Executor::new(gpu.clone()),
            pace: Pace { chunk: model.options.chunk.min(16), step: 0.1 },
            gpu,
            model,
            buffers,
            steps: HashMap::new(),
            ring: Ring::default(),
            history: History::default(),
            unusable,
        };
        engine.write_logit_bias(&[]);
        Ok(engine)
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

    /// The bias of every token: what must never be sampled, then what the request says.
    pub(crate) fn write_logit_bias(&mut self, bias: &[(u32, f32)]) {
        let mut all = vec![0f32; self.model.config.n_vocab as usize];
        for (id, value) in bias {
            if let Some(slot) = all.get_mut(*id as usize) {
                *slot += value.clamp(-1e30, 1e30);
            }
        }
        for id in &self.unusable {
            all[*id as usize] = -1e30;
        }
        self.write(self.model.state.logit_bias, bytemuck::cast_slice(&all));
    }

    /// An encoder with one step in it.
    pub(crate) fn encode(&mut self, kind: StepKind) -> Result<wgpu::CommandEncoder, Error> {
        if !self.steps.contains_key(&kind) {
            let mut recording = self.model.forward(kind.n_tokens);
            match kind.tail {
                Tail::Nothing => {}
                Tail::Sample => {
                    self.model.head(&mut recording, kind.n_tokens - 1, 1);
                    self.model.sample(&mut recording, kind.n_tokens);
                }
                Tail::Logits => self.model.head(&mut recording, 0, kind.n_tokens),
            }
            let prepared = self.executor.prepare(&recording, &self.buffers)?;
            // Decode and whole chunks come again; ragged chunks do not.
            if !kind.n_tokens.is_power_of_two() {
                let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                prepared.encode(&mut encoder, &self.gpu);
                return Ok(encoder);
            }
            self.steps.insert(kind, prepared);
        }
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if let Some(prepared) = self.steps.get(&kind) {
            prepared.encode(&mut encoder, &self.gpu);
        }
        Ok(encoder)
    }

    /// Puts `tokens` where the next step reads them, at `position`.
    pub(crate) fn place(&self, tokens: &[u32], position: u32, seed: u32) {
        self.write(self.model.state.tokens, bytemuck::cast_slice(tokens));
        self.write(self.model.state.step, bytemuck::bytes_of(&Step { position, n_sampled: 0, halt: 0, seed }));
    }

    /// Logits after `tokens` as a sequence of its own: of the last position, or of `all`, row after row of
    /// `n_vocab`. For tests and measurements: it reads every logit back.
    ///
    /// # Errors
    /// A prompt that does not fit, or what the GPU reports.
    pub async fn logits(&mut self, tokens: &[u32], all: bool) -> Result<Vec<f32>, Error> {
        self.check_prompt(tokens)?;
        self.history = History::default();
        let n_vocab = u64::from(self.model.config.n_vocab);
        let chunk = self.model.options.logit_rows.min(self.model.options.chunk).max(1) as usize;
        let mut out = Vec::new();
        let mut position = 0;
        for tokens_of_chunk in tokens.chunks(chunk) {
            self.place(tokens_of_chunk, position, 0);
            let n_tokens = tokens_of_chunk.len() as u32;
            position += n_tokens;
            let encoder = self.encode(StepKind { n_tokens, tail: Tail::Logits })?;
            self.gpu.queue.submit([encoder.finish()]);
            let last = position as usize == tokens.len();
            if all || last {
                let (first, rows) = if all { (0, n_tokens) } else { (n_tokens - 1, 1) };
                let logits = self.buffer(self.model.state.logits).clone();
                let bytes = readback::read(&self.gpu, &logits, u64::from(first) * n_vocab * 4, u64::from(rows) * n_vocab * 4).await?;
                out.extend(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes));
            } else {
                self.gpu.idle().await?;
            }
        }
        Ok(out)
    }

    pub(crate) fn check_prompt(&self, tokens: &[u32]) -> Result<(), Error> {
        let (context, n_vocab) = (self.model.options.context, self.model.config.n_vocab);
        if tokens.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        if tokens.len() > context as usize {
            return Err(Error::ContextLength { got: tokens.len(), context });
        }
        match tokens.iter().find(|id| **id >= n_vocab) {
            Some(id) => Err(Error::TokenRange { id: *id, n_vocab }),
            None => Ok(()),
        }
    }
}

impl Drop for Engine {
    /// At once: a browser would wait for its garbage collector.
    fn drop(&mut self) {
        for buffer in &self.buffers {
            buffer.destroy();
        }
    }
}
