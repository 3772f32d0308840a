//! A model on CPU twins alone: slow, and what every GPU is held against.

use kernels::cpu::{self, Memory};
use kernels::ops::{Pass, Step, Steps};
use kernels::{BufferId, Slice};
use model::{Model, Options, Place};

use crate::Files;

/// A model's buffers in host memory, each expert in the slot of its number; every kernel is its twin.
#[derive(Debug)]
pub struct Twins {
    pub model: Model,
    pub memory: Memory,
}

/// Why twins cannot run a model.
#[derive(Debug, thiserror::Error)]
pub enum TwinsError {
    #[error(transparent)]
    Model(#[from] model::Error),
    #[error(transparent)]
    Read(#[from] store::Error),
    #[error(transparent)]
    Kernel(#[from] cpu::Error),
    #[error("a recording binds {slice:?}, of which the model has no buffer")]
    NoBuffer { slice: Slice },
}

impl Twins {
    /// Reads all weights of `files`, experts included, into memory.
    ///
    /// # Errors
    /// What the files or their medium report.
    pub async fn new(files: &Files, options: Options) -> Result<Self, TwinsError> {
        let model = Model::new(&files.directory, Options { slots: None, ..options })?;
        Self::of(files, model).await
    }

    /// The same for a layout that somebody has changed.
    ///
    /// # Errors
    /// As [`Twins::new`].
    pub async fn of(files: &Files, model: Model) -> Result<Self, TwinsError> {
        let mut memory = Memory::new();
        for (i, buffer) in model.buffers.iter().enumerate() {
            let mut words: Vec<u32> = bytemuck::pod_collect_to_vec(&buffer.contents);
            words.resize(buffer.bytes as usize / 4, 0);
            memory.insert(BufferId(i as u32), words);
        }
        let mut twins = Self { model, memory };
        let numbers: Vec<u32> = (0..twins.model.config.experts.n).collect();
        for layer in 0..twins.model.layers.len() as u32 {
            twins.write(twins.model.state.paging.row(layer), bytemuck::cast_slice(&numbers))?;
        }
        let model = &twins.model;
        let every_expert = (0..model.layers.len()).flat_map(|l| (0..model.n_slots).map(move |e| (l, e)));
        let experts = every_expert.flat_map(|(l, e)| model.expert_uploads(l, e, e));
        for upload in model.uploads.iter().cloned().chain(experts).collect::<Vec<_>>() {
            let range = upload.start..upload.start + upload.bytes;
            let bytes = store::read_vec(&*files.library.shards()[upload.shard], range).await?;
            match upload.place {
                Place::Copy(slice) => twins.write(slice, &bytes)?,
                Place::Planes(planes) => {
                    let mut done = Ok(());
                    planes.gather(0, &bytes, &mut Vec::new(), |buffer, offset, bytes| {
                        let slice = Slice { buffer, offset, bytes: bytes.len() as u64 };
                        done = std::mem::replace(&mut done, Ok(())).and_then(|()| twins.write(slice, bytes));
                    });
                    done?;
                }
            }
        }
        Ok(twins)
    }

    /// Writes to the start of `slice`; a last word that `bytes` ends within is filled up with zeros.
    ///
    /// # Errors
    /// [`TwinsError::NoBuffer`] where the model has nothing there.
    pub fn write(&mut self, slice: Slice, bytes: &[u8]) -> Result<(), TwinsError> {
        let first = slice.offset as usize / 4;
        let n = bytes.len().div_ceil(4);
        let words = self.memory.get_mut(&slice.buffer).and_then(|words| words.get_mut(first..first + n));
        let words = words.ok_or(TwinsError::NoBuffer { slice })?;
        for (word, bytes) in words.iter_mut().zip(bytes.chunks(4)) {
            let mut whole = [0; 4];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word = u32::from_le_bytes(whole);
        }
        Ok(())
    }

    /// The floats of a slice; none where the model has nothing there.
    pub fn read(&self, slice: Slice) -> Vec<f32> {
        let words = self.memory.get(&slice.buffer).map_or(&[][..], |words| words.get(slice.offset as usize / 4..).unwrap_or_default());
        words.iter().take(slice.bytes as usize / 4).map(|w| f32::from_bits(*w)).collect()
    }

    /// Puts `tokens` where the next recording reads them, at `position`.
    ///
    /// # Errors
    /// [`TwinsError::NoBuffer`] for more tokens than a chunk has.
    pub fn place(&mut self, tokens: &[u32], position: u32) -> Result<(), TwinsError> {
        let step = Step { position, token: tokens.first().copied().unwrap_or_default(), ..Step::default() };
        self.write(self.model.state.tokens, bytemuck::cast_slice(tokens))?;
        self.write(Steps::step_of(self.model.state.steps, 0), bytemuck::bytes_of(&step))
    }

    /// Fills the keys and values of all layers and sequences with `words`, over and over.
    ///
    /// # Errors
    /// [`TwinsError::NoBuffer`], which no model has.
    pub fn fill_keys(&mut self, words: &[u32]) -> Result<(), TwinsError> {
        for slice in self.model.layers.iter().flat_map(|layer| [layer.kv.k, layer.kv.v]).collect::<Vec<_>>() {
            let all: Vec<u32> = words.iter().copied().cycle().take(slice.bytes as usize / 4).collect();
            self.write(slice, bytemuck::cast_slice(&all))?;
        }
        Ok(())
    }

    /// One pass over `tokens` and the head, as the engine's `compute`.
    ///
    /// # Errors
    /// A kernel without a twin, or more tokens than a chunk has.
    pub fn compute(&mut self, pass: Pass, tokens: &[u32], position: u32) -> Result<(), TwinsError> {
        self.write(self.model.state.tokens, bytemuck::cast_slice(tokens))?;
        self.write(self.model.state.steps, bytemuck::bytes_of(&Steps::placed(pass, tokens, position)))?;
        Ok(cpu::execute(&self.model.forward_and_head(pass), &mut self.memory)?)
    }

    /// Logits of every position of `tokens`, `[n_tokens, n_vocab]`.
    ///
    /// # Errors
    /// A kernel without a twin.
    pub fn logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, TwinsError> {
        let rows = self.model.options.logit_rows as usize;
        let mut out = Vec::new();
        for (i, chunk) in tokens.chunks(rows).enumerate() {
            self.place(chunk, (i * rows) as u32)?;
            let pass = Pass::of(chunk.len() as u32);
            let mut recording = self.model.forward(pass);
            self.model.head(&mut recording, 0, pass);
            cpu::execute(&recording, &mut self.memory)?;
            let n = chunk.len() * self.model.config.n_vocab as usize;
            out.extend(&self.read(self.model.state.logits)[..n]);
        }
        Ok(out)
    }
}
