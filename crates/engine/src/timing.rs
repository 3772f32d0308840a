//! How long each kernel of a step takes, beside what the adapter could do at best.

use std::time::Duration;

use kernels::ops::{GemmArgs, Pass};
use kernels::{BufferId, Command, Product, Recording, Slice, Work};
use web_time::Instant;

use crate::history::History;
use crate::resident::Engine;
use crate::{Error, Gpu};

/// The dispatches of a step that run one kernel over one shape.
#[derive(Clone, Debug)]
pub struct KernelTime {
    /// In its narrow shape, if it has two.
    pub kernel: &'static str,
    /// Whether its wide shape ran, if it has two.
    pub is_wide: Option<bool>,
    pub workgroups: [u32; 3],
    /// Of matrix kernels.
    pub product: Option<Product>,
    /// Of them in a step.
    pub dispatches: usize,
    /// Seconds of one dispatch.
    pub seconds: f64,
    /// Of one dispatch.
    pub work: Work,
}

/// What [`Engine::time_kernels`] found.
#[derive(Clone, Debug)]
pub struct Timings {
    /// In the order of their first dispatch.
    pub kernels: Vec<KernelTime>,
    pub ceiling: Ceiling,
}

/// What an adapter does at best, a second.
#[derive(Clone, Copy, Debug)]
pub struct Ceiling {
    /// Of a large copy, which reads each byte and writes it.
    pub bytes: f64,
    /// Multiplications and additions of a large product of f32, which is what the engine computes in.
    pub operations: f64,
}

/// What a kernel cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Bytes,
    Operations,
}

impl Ceiling {
    /// Seconds that `work` takes at least, and what takes them; `None` for no work.
    pub fn least(&self, work: Work) -> Option<(f64, Need)> {
        let (bytes, operations) = (work.weight_bytes as f64 / self.bytes, work.operations as f64 / self.operations);
        let least = if bytes >= operations { (bytes, Need::Bytes) } else { (operations, Need::Operations) };
        (work != Work::default()).then_some(least)
    }
}

/// Bytes of the copy that is the ceiling: more than caches hold.
const COPY_BYTES: u64 = 256 << 20;
const LEAST_COPY_BYTES: u64 = 16 << 20;
const COPIES_AT_ONCE: usize = 16;
/// Rows, columns and terms of the product that is the other ceiling. Software adapters would take a minute; they pay for loads more than for
/// operations, so there a product with quantised weights, which are fewer loads, may do more.
const GEMM_SIZE: u32 = 4096;
const SOFTWARE_GEMM_SIZE: u32 = 512;
/// Dispatches of one submission, so that no driver's watchdog is woken.
const MOST_AT_ONCE: usize = 256;

impl Engine {
    /// Runs the kernels of a step one kind after the other, each for `at_least` so long, after a run of the whole
    /// step. Its dispatches follow each other through all layers, so that weights come from memory as in a step.
    ///
    /// # Errors
    /// What the GPU reports.
    pub async fn time_kernels(&mut self, pass: Pass, at_least: Duration) -> Result<Timings, Error> {
        // Of those who are at their beginning.
        let n_positions = if let Pass::Chunk(n) = pass { n } else { 1 };
        let mut all = self.model.forward(pass);
        self.model.sample(&mut all, pass);
        self.place_any(pass);
        self.time(&all, n_positions, Duration::ZERO).await?;

        let mut kernels = Vec::new();
        for kind in kinds(all) {
            let first = self.executor.shaped(&kind.commands[0]).into_owned();
            // Where sampling did not lead away from.
            self.place_any(pass);
            let took = self.time(&kind, n_positions, at_least).await?;
            kernels.push(KernelTime {
                kernel: kind.commands[0].kernel.name,
                is_wide: kind.commands[0].kernel.wide.map(|wide| wide.name == first.kernel.name),
                workgroups: first.workgroups,
                product: first.product,
                dispatches: kind.commands.len(),
                seconds: took / kind.commands.len() as f64,
                work: first.work,
            });
        }
        self.histories.fill(History::default());
        let ceiling = Ceiling { bytes: self.gpu.time_copy(at_least).await?, operations: self.time_gemm(at_least).await? };
        Ok(Timings { kernels, ceiling })
    }

    /// Operations a second of a large product.
    async fn time_gemm(&mut self, at_least: Duration) -> Result<f64, Error> {
        let n = if self.gpu.is_software() { SOFTWARE_GEMM_SIZE } else { GEMM_SIZE };
        let bytes = u64::from(n) * u64::from(n) * 4;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let mut matrices = Vec::new();
        for label in ["gemm a", "gemm b", "gemm y"] {
            matrices.push(self.gpu.buffer(label, bytes, usage).await?);
        }
        // A processor that multiplies zeros may run faster.
        let values: Vec<f32> = (0..n * n).map(|i| (i % 251) as f32 - 125.0).collect();
        matrices[..2].iter().for_each(|matrix| self.gpu.write(matrix, 0, bytemuck::cast_slice(&values)));
        let mut recording = Recording::default();
        let [a, b, y] = [0, 1, 2].map(|buffer| Slice { buffer: BufferId(buffer), offset: 0, bytes });
        recording.gemm(GemmArgs { n_rows: n, n_cols: n, depth: n }, a, b, y);
        let prepared = self.executor.prepare(&recording, &matrices)?;
        let gpu = self.gpu.clone();
        let took = gpu.time(at_least, 1, |encoder| prepared.encode(encoder, &gpu)).await;
        matrices.iter().for_each(|matrix| gpu.free(matrix));
        took.map(|took| 2.0 * f64::from(n).powi(3) / took)
    }

    /// Puts tokens where a step of `pass` reads them, each at the beginning of its sequence.
    fn place_any(&mut self, pass: Pass) {
        let n_vocab = self.model.config.n_vocab;
        let ids: Vec<u32> = (0..pass.n_tokens()).map(|i| i * 31 % n_vocab).collect();
        self.place_all(pass, &ids, 0);
    }

    /// Seconds that `recording` takes for sequences of `n_positions`, of many runs in a row, which together take `at_least` so long.
    pub(crate) async fn time(&mut self, recording: &Recording, n_positions: u32, at_least: Duration) -> Result<f64, Error> {
        let prepared = self.executor.prepare(recording, &self.buffers)?;
        let n = recording.commands.len();
        let gpu = self.gpu.clone();
        gpu.time(at_least, (MOST_AT_ONCE / n).max(1), |encoder| prepared.encode_range(encoder, &gpu, 0..n, n_positions)).await
    }
}

impl Gpu {
    /// Bytes a second that a large copy reads and writes.
    async fn time_copy(&self, at_least: Duration) -> Result<f64, Error> {
        let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let mut bytes = COPY_BYTES;
        let (from, to) = loop {
            let from = self.buffer("copied", bytes, usage).await;
            match (from, self.buffer("copy", bytes, usage).await) {
                (Ok(from), Ok(to)) => break (from, to),
                (Err(e), _) | (_, Err(e)) if bytes <= LEAST_COPY_BYTES => return Err(e),
                // The model may have left no room for so much.
                (from, to) => from.iter().chain(&to).for_each(|buffer| self.free(buffer)),
            }
            bytes /= 2;
        };
        let took = self.time(at_least, COPIES_AT_ONCE, |encoder| encoder.copy_buffer_to_buffer(&from, 0, &to, 0, bytes)).await;
        self.free(&from);
        self.free(&to);
        took.map(|took| 2.0 * bytes as f64 / took)
    }

    /// Seconds of one `encode`, from submissions of `n` of them that take `at_least` so long in all.
    async fn time(&self, at_least: Duration, n: usize, encode: impl Fn(&mut wgpu::CommandEncoder)) -> Result<f64, Error> {
        let mut spent = Duration::ZERO;
        let mut runs = 0;
        let mut alone = f64::INFINITY;
        // The first is a warm-up: pipelines, pages of memory.
        for nth in 0.. {
            let n = n.min((at_least.as_secs_f64() / alone) as usize).max(1);
            self.idle().await?;
            let began = Instant::now();
            let mut encoder = self.encoder();
            for _ in 0..n {
                encode(&mut encoder);
            }
            self.queue.submit([encoder.finish()]);
            self.idle().await?;
            let took = began.elapsed();
            alone = (took.as_secs_f64() / n as f64).max(1e-6);
            if nth > 0 {
                spent += took;
                runs += n;
            }
            if spent >= at_least && runs > 0 {
                break;
            }
        }
        Ok(spent.as_secs_f64() / runs as f64)
    }
}

/// The dispatches of a step by kernel and shape, in the order of their first.
pub(crate) fn kinds(step: Recording) -> Vec<Recording> {
    let mut kinds: Vec<Recording> = Vec::new();
    for command in step.commands {
        match kinds.iter_mut().find(|kind| is_alike(&kind.commands[0], &command)) {
            Some(kind) => kind.commands.push(command),
            None => kinds.push(Recording { commands: vec![command], args: step.args.clone() }),
        }
    }
    kinds
}

fn is_alike(a: &Command, b: &Command) -> bool {
    let sizes = |c: &Command| c.bindings.iter().map(|slice| slice.bytes).collect::<Vec<_>>();
    (a.kernel.name, a.workgroups) == (b.kernel.name, b.workgroups) && sizes(a) == sizes(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_bound_by_whatever_takes_it_longer() {
        let ceiling = Ceiling { bytes: 100.0, operations: 1000.0 };
        let least = |weight_bytes, operations| ceiling.least(Work { weight_bytes, operations });
        assert_eq!(least(50, 100), Some((0.5, Need::Bytes)));
        assert_eq!(least(50, 2000), Some((2.0, Need::Operations)));
        assert_eq!(least(0, 0), None);
    }
}
