//! A model on CPU twins alone.

use api::Files;
use engine::Executor;
use kernels::cpu::{self, Memory};
use kernels::ops::{Route, Step};
use kernels::{BufferId, Slice};
use model::{Model, Options, Place};

/// A model's buffers in host memory; every kernel is its twin.
#[derive(Debug)]
pub struct Twins {
    pub model: Model,
    memory: Memory,
}

impl Twins {
    pub fn new(files: &Files, options: Options) -> Self {
        Self::of(files, Model::new(&files.directory, options).unwrap())
    }

    /// The same for a layout that a test may have changed.
    pub fn of(files: &Files, model: Model) -> Self {
        let mut memory = Memory::new();
        for (i, buffer) in model.buffers.iter().enumerate() {
            let mut words: Vec<u32> = bytemuck::pod_collect_to_vec(&buffer.contents);
            words.resize(buffer.bytes as usize / 4, 0);
            memory.insert(BufferId(i as u32), words);
        }
        let mut twins = Self { model, memory };
        // Each expert in the slot of its number.
        let numbers: Vec<u32> = (0..twins.model.config.experts.n).collect();
        for layer in 0..twins.model.layers.len() as u32 {
            twins.write(twins.model.state.paging.row(layer), bytemuck::cast_slice(&numbers));
        }
        let model = &twins.model;
        let every_expert = (0..model.layers.len()).flat_map(|l| (0..model.n_slots).map(move |e| (l, e)));
        let experts = every_expert.flat_map(|(l, e)| model.expert_uploads(l, e, e));
        for upload in model.uploads.iter().cloned().chain(experts).collect::<Vec<_>>() {
            let range = upload.start..upload.start + upload.bytes;
            let bytes = pollster::block_on(store::read_vec(&*files.library.shards()[upload.shard], range)).unwrap();
            match upload.place {
                Place::Copy(slice) => twins.write(slice, &bytes),
                Place::Planes(planes) => planes.gather(0, &bytes, &mut Vec::new(), |buffer, offset, bytes| {
                    // The last write may end within a word.
                    let words = bytes.len().next_multiple_of(4);
                    let bytes = [bytes, &[0; 4][..words - bytes.len()]].concat();
                    twins.write(Slice { buffer, offset, bytes: words as u64 }, &bytes);
                }),
            }
        }
        twins
    }

    pub fn write(&mut self, slice: Slice, bytes: &[u8]) {
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
        let first = slice.offset as usize / 4;
        self.memory.get_mut(&slice.buffer).unwrap()[first..first + words.len()].copy_from_slice(&words);
    }

    pub fn read(&self, slice: Slice) -> Vec<f32> {
        let first = slice.offset as usize / 4;
        self.memory[&slice.buffer][first..].iter().take(slice.bytes as usize / 4).map(|w| f32::from_bits(*w)).collect()
    }

    /// The residual stream of `tokens` after each layer, `[n_layers, n_tokens, n_embd]`; one chunk must hold them.
    pub fn residuals(&mut self, tokens: &[u32]) -> Vec<f32> {
        let layers = std::mem::take(&mut self.model.layers);
        let mut out = Vec::new();
        for n_layers in 1..=layers.len() {
            self.model.layers = layers[..n_layers].to_vec();
            self.place(tokens, 0);
            cpu::execute(&self.model.forward(tokens.len() as u32), &mut self.memory).unwrap();
            out.extend(&self.read(self.model.state.x)[..tokens.len() * self.model.config.n_embd as usize]);
        }
        out
    }

    /// What each layer's router chose for `tokens` as a chunk, `[n_layers, n_tokens, n_used]`.
    pub fn routes(&mut self, tokens: &[u32]) -> Vec<Vec<Route>> {
        self.place(tokens, 0);
        cpu::execute(&self.model.forward(tokens.len() as u32), &mut self.memory).unwrap();
        let n = tokens.len() * self.model.config.experts.n_used as usize;
        let of_layer = |routes: &Slice| {
            let words = &self.memory[&routes.buffer][routes.offset as usize / 4..];
            bytemuck::cast_slice(words)[..n].to_vec()
        };
        self.model.state.routes.iter().map(of_layer).collect()
    }

    fn place(&mut self, tokens: &[u32], position: u32) {
        let step = Step { position, n_sampled: 0, halt: 0, seed: 0 };
        self.write(self.model.state.tokens, bytemuck::cast_slice(tokens));
        self.write(self.model.state.step, bytemuck::bytes_of(&step));
    }

    /// Logits of every position from a GPU instead, all tokens in one chunk.
    pub fn logits_on_gpu(&mut self, executor: &mut Executor, tokens: &[u32]) -> Vec<f32> {
        self.place(tokens, 0);
        let n_tokens = tokens.len() as u32;
        let mut recording = self.model.forward(n_tokens);
        self.model.head(&mut recording, 0, n_tokens);
        let contents: Vec<Vec<u32>> = (0..self.model.buffers.len() as u32).map(|i| self.memory[&BufferId(i)].clone()).collect();
        let after = pollster::block_on(executor.run(&recording, &contents)).unwrap();
        let logits = &after[self.model.state.logits.buffer.0 as usize];
        logits.iter().take(tokens.len() * self.model.config.n_vocab as usize).map(|w| f32::from_bits(*w)).collect()
    }

    /// Logits of every position.
    pub fn logits(&mut self, tokens: &[u32]) -> Vec<f32> {
        let rows = self.model.options.logit_rows as usize;
        let mut out = Vec::new();
        for (i, chunk) in tokens.chunks(rows).enumerate() {
            self.place(chunk, (i * rows) as u32);
            let mut recording = self.model.forward(chunk.len() as u32);
            self.model.head(&mut recording, 0, chunk.len() as u32);
            cpu::execute(&recording, &mut self.memory).unwrap();
            let n = chunk.len() * self.model.config.n_vocab as usize;
            out.extend(&self.read(self.model.state.logits)[..n]);
        }
        out
    }
}
