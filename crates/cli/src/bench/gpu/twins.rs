//! Whether a GPU computes what the CPU twins do, at the widths of gpt-oss-20b.

use anyhow::Result;
use api::Twins;
use engine::Gpu;
use half::f16;
use kernels::ops::Pass;
use measures::Row;
use model::{Model, Options};

use super::{Bench, SOFTWARE_CHUNK, files, load, options, say};
use crate::synth::Random;

/// One that slides and one that sees all keys.
const LAYERS: u32 = 2;
/// Positions whose keys and values are noise, but for what a pass writes.
const CONTEXT: u32 = 16_384;
/// More than a window has.
const NEAR: u32 = 200;
/// So far that the keys come in parts of more than the shortest.
const FAR: u32 = 12_000;
/// Of a batch, which has room for one more.
const ROWS: u32 = 3;
/// Tokens of a chunk, unless it is [`SOFTWARE_CHUNK`]: blocks of 32 that are whole and one that is not, choices enough for tiles by expert.
const CHUNK: u32 = 72;
/// Relative RMS of a row: sums are taken in another order, and keys rounded to f16 after that.
const BOUND: f64 = 1e-3;

impl Bench<'_> {
    /// Holds what passes of a shallow model leave to what the twins do, in the shapes that kernels may have here; says what differs by more
    /// than rounding.
    pub(super) async fn twins(&mut self, gpu: &Gpu) -> Result<Vec<String>> {
        let files = files(self.args, LAYERS).await?;
        let (chunk, shapes): (_, &[_]) = match gpu.is_software() {
            true => (SOFTWARE_CHUNK, &[("narrow", false)]),
            false => (CHUNK, &[("narrow", false), ("wide", true)]),
        };
        let options = Options { context: CONTEXT, sequences: ROWS, chunk: CHUNK, ..options(gpu) };
        let mut engine = load(gpu, &files, options.clone()).await?;
        let mut twins = Twins::new(&files, options).await?;
        let noise = noise();
        engine.fill_keys(&noise);
        twins.fill_keys(&noise)?;
        let n_vocab = twins.model.config.n_vocab;
        let mut wrong = Vec::new();
        for (pass, position) in [(Pass::Chunk(chunk), NEAR), (Pass::Alone, FAR), (Pass::Batch { n: 4, most: ROWS }, FAR)] {
            if self.is_over("what the twins say") {
                break;
            }
            let n_tokens = if let Pass::Batch { most, .. } = pass { most } else { pass.n_tokens() };
            let tokens: Vec<u32> = (0..n_tokens).map(|i| (i * 9029 + 976) % n_vocab).collect();
            twins.compute(pass, &tokens, position)?;
            for (shape, is_wide) in shapes {
                engine.set_shapes(*is_wide);
                engine.compute(pass, &tokens, position).await?;
                let Model { config, state, .. } = &twins.model;
                let n_logits = n_tokens.min(pass.n_drawn());
                for (what, slice, n_rows, width) in
                    [("residual stream", state.x, n_tokens, config.n_embd), ("logits", state.logits, n_logits, n_vocab)]
                {
                    let n = (n_rows * width) as usize;
                    let error = worst_row(&engine.read(slice).await?[..n], &twins.read(slice)[..n], width as usize);
                    let what = format!("{what} beside the CPU twins, relative RMS");
                    let row = Row { variant: (*shape).to_owned(), ..self.row(None, Some(position), Some(n_tokens)) };
                    self.note(&what, row, error, "")?;
                    // Not a number is no agreement either.
                    if error.is_nan() || error > BOUND {
                        let words =
                            format!("{what}, of {n_tokens} tokens after {position}, {shape} kernels: {error:.1e}, at most {BOUND:.0e}");
                        say(&words);
                        wrong.push(words);
                    }
                }
            }
        }
        Ok(wrong)
    }
}

/// Pairs of f16 from -1 to 1, of a number that has no divisor with the words of a row of keys.
fn noise() -> Vec<u32> {
    let mut random = Random::new(1);
    let mut half = || u32::from(f16::from_f32(random.unit()).to_bits());
    (0..4099).map(|_| half() | half() << 16).collect()
}

/// The relative RMS of the row that is off most, rows of `n` numbers; NaN if one has such.
fn worst_row(got: &[f32], expected: &[f32], n: usize) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let error = |(got, expected): (&[f32], &[f32])| {
        let error: f64 = got.iter().zip(expected).map(|(g, e)| square(g - e)).sum();
        (error / expected.iter().map(|e| square(*e)).sum::<f64>()).sqrt()
    };
    got.chunks(n).zip(expected.chunks(n)).map(error).fold(0.0, |a, b| if a.is_nan() || b <= a { a } else { b })
}
