//! What tests and measurements ask of an engine besides answers.

use kernels::Slice;
use kernels::ops::{Pass, Step as StepState, Steps};

use crate::history::History;
use crate::resident::{StepKind, Tail};
use crate::{Cancel, Engine, Error, readback};

impl Engine {
    /// Logits after `tokens` as a sequence of its own: of the last position, or of `all`, row after row of
    /// `n_vocab`. For tests and measurements: it reads every logit back.
    ///
    /// # Errors
    /// A prompt that does not fit, or what the GPU reports.
    pub async fn logits(&mut self, tokens: &[u32], all: bool) -> Result<Vec<f32>, Error> {
        self.bounds().check(tokens)?;
        self.histories[0] = History::default();
        let n_vocab = u64::from(self.model.config.n_vocab);
        let chunk = self.model.options.logit_rows.min(self.model.options.chunk).max(1) as usize;
        let mut out = Vec::new();
        let mut position = 0;
        for tokens_of_chunk in tokens.chunks(chunk) {
            let step = StepState { position, token: tokens_of_chunk[0], ..StepState::default() };
            self.place(0, tokens_of_chunk, step);
            let n_tokens = tokens_of_chunk.len() as u32;
            position += n_tokens;
            let kind = StepKind { pass: Pass::of(n_tokens), tail: Tail::Logits, stand_ins: false };
            let Some(encoder) = self.encode(kind, position, &Cancel::default()).await? else { break };
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

    /// Takes `tokens` for said though nothing was computed for them: their keys and values are what the cache happens to hold, zeros in a
    /// new one. For measurements far into a context.
    ///
    /// # Errors
    /// As for a prompt.
    pub fn pretend(&mut self, tokens: &[u32]) -> Result<(), Error> {
        self.bounds().check(tokens)?;
        self.histories[0] = History { tokens: tokens.to_vec(), written: tokens.len() as u32, ..History::default() };
        Ok(())
    }

    /// Fills the keys and values of all layers and sequences with `words`, over and over; [`Engine::pretend`] goes on from there.
    pub fn fill_keys(&mut self, words: &[u32]) {
        self.histories.fill(History::default());
        for slice in self.model.layers.iter().flat_map(|layer| [layer.kv.k, layer.kv.v]) {
            let all: Vec<u32> = words.iter().copied().cycle().take(slice.bytes as usize / 4).collect();
            self.write(slice, bytemuck::cast_slice(&all));
        }
    }

    /// One pass over `tokens`, as [`Steps::placed`] says, on whatever the cache holds before `position`, then the head of the last token or of
    /// each row: [`Engine::read`] gives what it left. All experts must be there.
    ///
    /// # Errors
    /// What the GPU reports.
    pub async fn compute(&mut self, pass: Pass, tokens: &[u32], position: u32) -> Result<(), Error> {
        self.place_all(pass, tokens, position);
        self.histories.fill(History::default());
        let prepared = self.executor.prepare(&self.model.forward_and_head(pass), &self.buffers)?;
        let mut encoder = self.gpu.encoder();
        prepared.encode(&mut encoder, &self.gpu);
        self.gpu.queue.submit([encoder.finish()]);
        self.gpu.idle().await
    }

    /// Puts `tokens` where a step of `pass` reads them.
    pub(crate) fn place_all(&mut self, pass: Pass, tokens: &[u32], position: u32) {
        let steps = Steps::placed(pass, tokens, position);
        self.write_rows(|rows| *rows = steps.rows);
        self.write(self.model.state.steps, bytemuck::bytes_of(&steps));
        self.write(self.model.state.tokens, bytemuck::cast_slice(tokens));
    }

    /// The floats of a slice of the model's state.
    ///
    /// # Errors
    /// What the GPU reports.
    pub async fn read(&self, slice: Slice) -> Result<Vec<f32>, Error> {
        let bytes = readback::read(&self.gpu, self.buffer(slice), slice.offset, slice.bytes).await?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }
}
