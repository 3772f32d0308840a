//! What tests ask of a model on CPU twins beyond its logits.

use api::Files;
use engine::Executor;
use kernels::cpu;
use kernels::ops::{Pass, Route};
use kernels::{BufferId, Slice};
use model::{Model, Options};

/// A model on CPU twins; trouble ends the test.
#[derive(Debug)]
pub struct Twins(api::Twins);

impl Twins {
    pub fn new(files: &Files, options: Options) -> Self {
        Self(pollster::block_on(api::Twins::new(files, options)).unwrap())
    }

    /// The same for a layout that a test may have changed.
    pub fn of(files: &Files, model: Model) -> Self {
        Self(pollster::block_on(api::Twins::of(files, model)).unwrap())
    }

    /// Logits of every position.
    pub fn logits(&mut self, tokens: &[u32]) -> Vec<f32> {
        self.0.logits(tokens).unwrap()
    }

    /// The residual stream of `tokens` after each layer, `[n_layers, n_tokens, n_embd]`; one chunk must hold them.
    pub fn residuals(&mut self, tokens: &[u32]) -> Vec<f32> {
        let twins = &mut self.0;
        let layers = std::mem::take(&mut twins.model.layers);
        let mut out = Vec::new();
        for n_layers in 1..=layers.len() {
            twins.model.layers = layers[..n_layers].to_vec();
            twins.place(tokens, 0).unwrap();
            cpu::execute(&twins.model.forward(Pass::of(tokens.len() as u32)), &mut twins.memory).unwrap();
            out.extend(&twins.read(twins.model.state.x)[..tokens.len() * twins.model.config.n_embd as usize]);
        }
        out
    }

    /// What each layer's router chose for `tokens` as a chunk, `[n_layers, n_tokens, n_used]`.
    pub fn routes(&mut self, tokens: &[u32]) -> Vec<Vec<Route>> {
        let twins = &mut self.0;
        twins.place(tokens, 0).unwrap();
        cpu::execute(&twins.model.forward(Pass::of(tokens.len() as u32)), &mut twins.memory).unwrap();
        let n = tokens.len() * twins.model.config.experts.n_used as usize;
        let of_layer = |routes: &Slice| {
            let words = &twins.memory[&routes.buffer][routes.offset as usize / 4..];
            bytemuck::cast_slice(words)[..n].to_vec()
        };
        twins.model.state.routes.iter().map(of_layer).collect()
    }

    /// Logits of every position from a GPU instead, all tokens in one chunk.
    pub fn logits_on_gpu(&mut self, executor: &mut Executor, tokens: &[u32]) -> Vec<f32> {
        let twins = &mut self.0;
        twins.place(tokens, 0).unwrap();
        let pass = Pass::of(tokens.len() as u32);
        let mut recording = twins.model.forward(pass);
        twins.model.head(&mut recording, 0, pass);
        let contents: Vec<Vec<u32>> = (0..twins.model.buffers.len() as u32).map(|i| twins.memory[&BufferId(i)].clone()).collect();
        let after = pollster::block_on(executor.run(&recording, &contents)).unwrap();
        let logits = &after[twins.model.state.logits.buffer.0 as usize];
        logits.iter().take(tokens.len() * twins.model.config.n_vocab as usize).map(|w| f32::from_bits(*w)).collect()
    }
}
