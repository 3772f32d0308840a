//! A dense llama rewritten as a gpt-oss mixture of experts that computes the same function.
//!
//! Each expert is the whole feed-forward block with its hidden neurons in an order of its own: rows of gate and up and
//! columns of down are permuted together. So any routing gives the dense model's output, while one expert's gate
//! beside another's down gives garbage. The activations differ by constants:
//!
//! ```text
//! dense:    silu(g) u                                    = g sigmoid(g) u
//! gpt-oss:  g' sigmoid(1.702 g') (u' + 1)
//! with      g' = g / 1.702, u' = c u - 1 (the bias):       g sigmoid(g) u * c / 1.702
//! and       down' = down * 1.702 / c
//! ```
//!
//! `c` is small, so that gpt-oss's clamps (7) lie outside what occurs. Attention is the same but for the order of the
//! rows of Q and K: llama's GGUF rotates neighbours, gpt-oss the two halves of a head. Sinks are far below any score
//! and the window is the whole context.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use gguf::{DType, Header, Metadata, Parsed, Tensor, Writer};

use super::{progress, write_whole};

/// What the mixture is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recipe {
    experts: u32,
    used: u32,
    dtype: DType,
    /// ggml's `general.file_type` for this mix.
    file_type: u32,
}

pub(super) const MXFP4_OF_8: Recipe = Recipe { experts: 8, used: 2, dtype: DType::Mxfp4, file_type: 38 };
pub(super) const Q8_0_OF_2: Recipe = Recipe { experts: 2, used: 2, dtype: DType::Q8_0, file_type: 7 };

/// gpt-oss's `sigmoid(ALPHA g)`.
const ALPHA: f32 = 1.702;
/// The `c` above.
const UP_SCALE: f32 = 0.25;
/// A logit that softmax turns into nothing.
const NO_SINK: f32 = -1e4;
/// Chosen so that the mixture still answers as the dense model does where MXFP4 leaves it little room: asked for the
/// capital of France in its chat format, greedily, it says "The capital of France is Paris, France."
const SEED: u64 = 4 << 40;
/// Standard deviation of the router's weights: enough to route differently token by token.
const ROUTER_SCALE: f32 = 0.05;

/// Writes the mixture of the dense model at `from` to `to`.
pub(super) fn make(from: &Path, to: &Path, recipe: Recipe) -> Result<()> {
    let dense = Dense::read(from)?;
    let plan = dense.plan(recipe);
    let mut writer = Writer::new(dense.metadata(recipe)?)?;
    for (name, shape, dtype) in &plan {
        writer.add(name, shape, *dtype)?;
    }
    write_whole(to, |part| {
        let mut data = writer.start(BufWriter::new(File::create(part)?))?;
        let bar = progress(plan.len() as u64, "rewriting tensors");
        for (name, ..) in &plan {
            data.tensor(name, &dense.tensor(name, recipe)?)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        data.finish()?.flush()?;
        Ok(())
    })
}

/// Splits the mixture over the shards of a set, of which `to` is the first.
pub(super) fn split(whole: &Path, to: &Path) -> Result<()> {
    let whole = Gguf::read(whole)?;
    let mut writer = Writer::new(whole.header.metadata.clone())?;
    for tensor in &whole.header.tensors {
        writer.add(&tensor.name, &tensor.shape, tensor.dtype)?;
    }
    let first = to.file_name().unwrap_or_default().to_string_lossy();
    let names = gguf::shard_names(&first).with_context(|| format!("{first} is no name of a shard"))?;
    let shards = writer.split(names.len())?;
    // The first is last to be in place: where it is, all are.
    for (name, shard) in names.iter().zip(shards).rev() {
        write_whole(&to.with_file_name(name), |part| {
            let tensors = shard.tensors().to_vec();
            let mut data = shard.start(BufWriter::new(File::create(part)?))?;
            for tensor in &tensors {
                data.tensor(&tensor.name, whole.data(&tensor.name)?.1)?;
            }
            data.finish()?.flush()?;
            Ok(())
        })?;
    }
    Ok(())
}

/// A GGUF in memory.
struct Gguf {
    bytes: Vec<u8>,
    header: Header,
}

impl Gguf {
    fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        match gguf::parse(&bytes, bytes.len() as u64)? {
            Parsed::Header(header) => Ok(Self { bytes, header }),
            Parsed::NeedMore { at_least } => bail!("{} ends before byte {at_least}", path.display()),
        }
    }

    fn data(&self, name: &str) -> Result<(&Tensor, &[u8])> {
        let tensor = self.header.tensors.iter().find(|tensor| tensor.name == name);
        let tensor = tensor.with_context(|| format!("the model has no tensor {name}"))?;
        let start = tensor.start as usize;
        let bytes = self.bytes.get(start..start + tensor.bytes as usize);
        Ok((tensor, bytes.with_context(|| format!("{name} lies outside the file"))?))
    }
}

/// The model that is rewritten, and its widths.
struct Dense {
    file: Gguf,
    layers: u64,
    /// Width of the residual stream.
    hidden: u64,
    /// Neurons of a feed-forward block.
    neurons: u64,
    heads: u64,
    kv_heads: u64,
    head_dim: u64,
}

impl Dense {
    fn read(path: &Path) -> Result<Self> {
        let file = Gguf::read(path)?;
        let metadata = &file.header.metadata;
        if metadata.str("general.architecture")? != Some("llama") {
            bail!("{} is not of the llama architecture", path.display());
        }
        let need = |key: &str| -> Result<u64> { metadata.u64(key)?.filter(|&n| n > 0).with_context(|| format!("the model says no {key}")) };
        let hidden = need("llama.embedding_length")?;
        let heads = need("llama.attention.head_count")?;
        Ok(Self {
            layers: need("llama.block_count")?,
            hidden,
            neurons: need("llama.feed_forward_length")?,
            heads,
            kv_heads: need("llama.attention.head_count_kv")?,
            head_dim: metadata.u64("llama.attention.key_length")?.unwrap_or(hidden / heads),
            file,
        })
    }

    /// Keys of the tokenizer and of the model's origin are carried over, those of its architecture are written anew.
    fn metadata(&self, recipe: Recipe) -> Result<Metadata> {
        let old = &self.file.header.metadata;
        let mut new = Metadata::new();
        new.set("general.architecture", "gpt-oss");
        for (key, value) in old.iter().filter(|(key, _)| key.starts_with("general.")) {
            if key != "general.architecture" {
                new.set(key, value.clone());
            }
        }
        let name = old.str("general.name")?.unwrap_or("a llama");
        new.set("general.name", format!("{name} as gpt-oss, {} of {} experts", recipe.used, recipe.experts));
        new.set("general.file_type", recipe.file_type);
        new.set("general.quantization_version", 2_u32);

        let context = old.u64("llama.context_length")?.unwrap_or(8192) as u32;
        let rope_base = old.f32("llama.rope.freq_base")?.unwrap_or(10_000.0);
        let eps = old.f32("llama.attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5);
        let mut set = |key: &str, n: u64| new.set(format!("gpt-oss.{key}"), n as u32);
        set("block_count", self.layers);
        set("context_length", context.into());
        set("embedding_length", self.hidden);
        set("feed_forward_length", self.neurons);
        set("attention.head_count", self.heads);
        set("attention.head_count_kv", self.kv_heads);
        set("expert_count", recipe.experts.into());
        set("expert_used_count", recipe.used.into());
        set("attention.key_length", self.head_dim);
        set("attention.value_length", self.head_dim);
        set("attention.sliding_window", context.into());
        set("expert_feed_forward_length", self.neurons);
        new.set("gpt-oss.rope.freq_base", rope_base);
        new.set("gpt-oss.attention.layer_norm_rms_epsilon", eps);
        for (key, value) in old.iter().filter(|(key, _)| key.starts_with("tokenizer.")) {
            new.set(key, value.clone());
        }
        Ok(new)
    }

    /// Name, shape (fastest axis first) and type of every tensor of the mixture.
    fn plan(&self, recipe: Recipe) -> Vec<(String, Vec<u64>, DType)> {
        let (h, f, e) = (self.hidden, self.neurons, u64::from(recipe.experts));
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let kept = |name: &str| {
            let tensor = self.file.header.tensors.iter().find(|tensor| tensor.name == name);
            tensor.map_or((vec![], DType::F32), |tensor| (tensor.shape.clone(), tensor.dtype))
        };
        let mut plan = Vec::new();
        let mut add = |name: String, (shape, dtype): (Vec<u64>, DType)| plan.push((name, shape, dtype));
        add("token_embd.weight".to_owned(), kept("token_embd.weight"));
        add("output.weight".to_owned(), kept(self.head()));
        add("output_norm.weight".to_owned(), kept("output_norm.weight"));
        let f32 = |shape: &[u64]| (shape.to_vec(), DType::F32);
        for layer in 0..self.layers {
            let name = |part: &str| format!("blk.{layer}.{part}");
            add(name("attn_norm.weight"), kept(&name("attn_norm.weight")));
            for (part, width) in [("attn_q", q), ("attn_k", kv), ("attn_v", kv), ("attn_output", h)] {
                add(name(&format!("{part}.weight")), kept(&name(&format!("{part}.weight"))));
                add(name(&format!("{part}.bias")), f32(&[width]));
            }
            add(name("attn_sinks.weight"), f32(&[self.heads]));
            add(name("post_attention_norm.weight"), kept(&name("ffn_norm.weight")));
            add(name("ffn_gate_inp.weight"), f32(&[h, e]));
            add(name("ffn_gate_inp.bias"), f32(&[e]));
            for (part, from, to) in [("gate", h, f), ("up", h, f), ("down", f, h)] {
                add(name(&format!("ffn_{part}_exps.weight")), (vec![from, to, e], recipe.dtype));
                add(name(&format!("ffn_{part}_exps.bias")), f32(&[to, e]));
            }
        }
        plan
    }

    /// The tensor that gives the logits; a tied model uses its embedding.
    fn head(&self) -> &'static str {
        let has_head = self.file.header.tensors.iter().any(|tensor| tensor.name == "output.weight");
        if has_head { "output.weight" } else { "token_embd.weight" }
    }

    /// The data of one tensor of the plan.
    fn tensor(&self, name: &str, recipe: Recipe) -> Result<Vec<u8>> {
        let kept = |name: &str| Ok(self.file.data(name)?.1.to_vec());
        let Some((layer, part)) = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) else {
            return kept(if name == "output.weight" { self.head() } else { name });
        };
        let layer: u64 = layer.parse()?;
        let experts = recipe.experts as usize;
        let constant = |value: f32, n: usize| Ok(value.to_le_bytes().repeat(n));
        match part {
            "attn_q.weight" | "attn_k.weight" => self.halves(name),
            "post_attention_norm.weight" => kept(&format!("blk.{layer}.ffn_norm.weight")),
            "attn_q.bias" => constant(0.0, (self.heads * self.head_dim) as usize),
            "attn_k.bias" | "attn_v.bias" => constant(0.0, (self.kv_heads * self.head_dim) as usize),
            "attn_output.bias" => constant(0.0, self.hidden as usize),
            "attn_sinks.weight" => constant(NO_SINK, self.heads as usize),
            "ffn_gate_inp.bias" => constant(0.0, experts),
            "ffn_gate_inp.weight" => {
                let mut random = Random::new(SEED + layer);
                let n = self.hidden as usize * experts;
                Ok((0..n).flat_map(|_| (random.normal() * ROUTER_SCALE).to_le_bytes()).collect())
            }
            "ffn_gate_exps.bias" => constant(0.0, self.neurons as usize * experts),
            "ffn_up_exps.bias" => constant(-1.0, self.neurons as usize * experts),
            "ffn_down_exps.bias" => constant(0.0, self.hidden as usize * experts),
            "ffn_gate_exps.weight" => self.experts(layer, "gate", 1.0 / ALPHA, recipe),
            "ffn_up_exps.weight" => self.experts(layer, "up", UP_SCALE, recipe),
            "ffn_down_exps.weight" => self.experts(layer, "down", ALPHA / UP_SCALE, recipe),
            _ => kept(name),
        }
    }

    /// Rows of Q or K with the pairs of each head, which were neighbours (2i, 2i+1), half a head apart (i, i + d/2).
    fn halves(&self, name: &str) -> Result<Vec<u8>> {
        let (tensor, data) = self.file.data(name)?;
        let row_bytes = tensor.dtype.row_bytes(tensor.shape[0]).context("a partial row")? as usize;
        let head_dim = self.head_dim as usize;
        let mut out = Vec::with_capacity(data.len());
        for head in data.chunks_exact(row_bytes * head_dim) {
            for row in 0..head_dim {
                let (half, pair) = (row / (head_dim / 2), row % (head_dim / 2));
                out.extend(&head[(2 * pair + half) * row_bytes..][..row_bytes]);
            }
        }
        Ok(out)
    }

    /// One matrix of a feed-forward block for every expert: scaled, its neurons in each expert's order.
    fn experts(&self, layer: u64, part: &str, scale: f32, recipe: Recipe) -> Result<Vec<u8>> {
        let (tensor, blocks) = self.file.data(&format!("blk.{layer}.ffn_{part}.weight"))?;
        let (columns, neurons) = (tensor.shape[0] as usize, self.neurons as usize);
        let mut dense = vec![0.0; tensor.shape.iter().product::<u64>() as usize];
        tensor.dtype.dequantize(blocks, &mut dense)?;
        dense.iter_mut().for_each(|weight| *weight *= scale);
        let (mut out, mut permuted) = (Vec::new(), Vec::with_capacity(dense.len()));
        for expert in 0..recipe.experts {
            let order = Random::new(SEED + (layer << 32 | u64::from(expert) << 1 | 1)).permutation(neurons);
            permuted.clear();
            if part == "down" {
                for row in dense.chunks_exact(columns) {
                    permuted.extend(order.iter().map(|&neuron| row[neuron]));
                }
            } else {
                for &neuron in &order {
                    permuted.extend(&dense[neuron * columns..][..columns]);
                }
            }
            recipe.dtype.quantize(&permuted, &mut out)?;
        }
        Ok(out)
    }
}

/// A seeded generator (splitmix64), so that every machine makes the same file.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Mean 0, standard deviation 1: twelve uniforms, which need no transcendental function of the machine's own.
    fn normal(&mut self) -> f32 {
        let uniform = |random: &mut Self| (random.next() >> 40) as f32 / (1 << 24) as f32;
        (0..12).map(|_| uniform(self)).sum::<f32>() - 6.0
    }

    /// The numbers below `n`, shuffled.
    fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, (self.next() % (i as u64 + 1)) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn f32s(bytes: &[u8]) -> Vec<f32> {
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    /// One layer of 32 wide, 64 neurons, 2 heads of 16 over 1, with weights in F32.
    fn tiny() -> Dense {
        let (hidden, neurons, head_dim) = (32, 64, 16);
        let mut metadata = Metadata::new();
        metadata.set("general.architecture", "llama");
        let mut writer = Writer::new(metadata).unwrap();
        let tensors: [(&str, [u64; 2]); 5] = [
            ("blk.0.attn_q.weight", [hidden, 2 * head_dim]),
            ("blk.0.ffn_gate.weight", [hidden, neurons]),
            ("blk.0.ffn_up.weight", [hidden, neurons]),
            ("blk.0.ffn_down.weight", [neurons, hidden]),
            ("token_embd.weight", [hidden, 3]),
        ];
        for (name, shape) in &tensors {
            writer.add(name, shape, DType::F32).unwrap();
        }
        let mut data = writer.start(Vec::new()).unwrap();
        let mut random = Random::new(7);
        for (name, shape) in &tensors {
            let n = shape.iter().product::<u64>();
            let bytes: Vec<u8> = (0..n).flat_map(|_| (random.normal() * 0.2).to_le_bytes()).collect();
            data.tensor(name, &bytes).unwrap();
        }
        let bytes = data.finish().unwrap();
        let Parsed::Header(header) = gguf::parse(&bytes, bytes.len() as u64).unwrap() else { unreachable!() };
        let file = Gguf { bytes, header };
        Dense { file, layers: 1, hidden, neurons, heads: 2, kv_heads: 1, head_dim }
    }

    fn rows(matrix: &[f32], x: &[f32]) -> Vec<f32> {
        matrix.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
    }

    fn sigmoid(x: f32) -> f32 {
        1.0 / (1.0 + (-x).exp())
    }

    #[test]
    fn every_expert_computes_the_dense_feed_forward_block_and_no_mixed_pair_does() {
        let dense = tiny();
        let recipe = Recipe { experts: 3, used: 2, dtype: DType::F32, file_type: 0 };
        let mut random = Random::new(1);
        let x: Vec<f32> = (0..32).map(|_| random.normal()).collect();

        let matrix = |part: &str| f32s(dense.file.data(&format!("blk.0.ffn_{part}.weight")).unwrap().1);
        let (gate, up) = (rows(&matrix("gate"), &x), rows(&matrix("up"), &x));
        let act: Vec<f32> = gate.iter().zip(&up).map(|(g, u)| g * sigmoid(*g) * u).collect();
        let expected = rows(&matrix("down"), &act);

        let part = |name: &str| f32s(&dense.tensor(&format!("blk.0.ffn_{name}_exps.weight"), recipe).unwrap());
        let bias = |name: &str| f32s(&dense.tensor(&format!("blk.0.ffn_{name}_exps.bias"), recipe).unwrap());
        let slice = |matrix: &[f32], e: usize| matrix[e * 2048..][..2048].to_vec();
        for e in 0..3 {
            let gate = rows(&slice(&part("gate"), e), &x);
            let up = rows(&slice(&part("up"), e), &x);
            let act: Vec<f32> = (gate.iter().zip(&up).zip(&bias("up")[e * 64..]))
                .map(|((g, u), b)| g.min(7.0) * sigmoid(ALPHA * g.min(7.0)) * ((u + b).clamp(-7.0, 7.0) + 1.0))
                .collect();
            let far = |down: usize| {
                let got = rows(&slice(&part("down"), down), &act);
                got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
            };
            assert!(far(e) < 1e-5, "{}", far(e));
            assert!(far((e + 1) % 3) > 0.1, "{}", far((e + 1) % 3));
        }
    }

    #[test]
    fn query_rows_go_from_neighbours_to_halves() {
        let dense = tiny();
        let before = f32s(dense.file.data("blk.0.attn_q.weight").unwrap().1);
        let after = f32s(&dense.halves("blk.0.attn_q.weight").unwrap());
        let row = |matrix: &[f32], row: usize| matrix[row * 32..][..32].to_vec();
        for (head, pair) in [(0, 0), (0, 3), (1, 7)] {
            assert_eq!(row(&after, head * 16 + pair), row(&before, head * 16 + 2 * pair));
            assert_eq!(row(&after, head * 16 + pair + 8), row(&before, head * 16 + 2 * pair + 1));
        }
    }

    #[test]
    fn the_generator_is_even_and_a_permutation_has_every_number() {
        let mut random = Random::new(0);
        let sample: Vec<f32> = (0..20_000).map(|_| random.normal()).collect();
        let mean = sample.iter().sum::<f32>() / 20_000.0;
        let variance = sample.iter().map(|x| x * x).sum::<f32>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        let mut order = random.permutation(100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }
}
