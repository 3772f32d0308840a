//! The model's parts by name, and the state it works on; shapes beside each.

use std::sync::Arc;

use gguf::{Directory, Tensors};
use kernels::Slice;
use kernels::ops::{
    Choices, ExpertWeight, KvCache, KvType, MAX_DRAFTS, MAX_SEQUENCES, Paging, ROPE_BASE, Rope, Route, Router, Sampler, Sampling, Steps,
    Weight,
};

use crate::buffers::{Buffers, Usage};
use crate::placement::{ExpertTensor, Placer, Upload};
use crate::rope::Tables;
use crate::{Architecture, Config, Error};

/// What a caller decides about a model.
#[derive(Clone, Debug)]
pub struct Options {
    /// Positions to keep keys and values for, of each sequence.
    pub context: u32,
    /// Sequences that are kept and can share a step, at most [`MAX_SEQUENCES`].
    pub sequences: u32,
    pub kv: KvType,
    /// Tokens a prefill step may have.
    pub chunk: u32,
    /// Rows of logits a step may be asked for.
    pub logit_rows: u32,
    /// Round YaRN's correction range, as llama.cpp does and the trained model does not.
    pub yarn_rounded: bool,
    /// Bytes that one binding may have, if the adapter allows as many: every one allows 128 MiB.
    pub max_binding: u64,
    /// Experts of a layer that are on the GPU at once, more than a token uses; `None` is all of them.
    pub slots: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            context: 4096,
            sequences: 1,
            kv: KvType::F16,
            chunk: 512,
            logit_rows: 1,
            yarn_rounded: false,
            max_binding: 1 << 30,
            slots: None,
        }
    }
}

/// Bytes of tensors in the file, by what they are for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bytes {
    pub dense: u64,
    pub experts: u64,
    /// Of one expert in one layer; 0 in a dense model.
    pub per_expert: u64,
}

/// A model laid out in buffers.
#[derive(Clone, Debug)]
pub struct Model {
    pub config: Config,
    tensors: Arc<Tensors>,
    pub options: Options,
    pub token_embd: Weight, // (n_vocab, n_embd)
    pub rope: Rope,
    pub layers: Vec<Layer>,
    pub output_norm: Slice, // (n_embd)
    pub output: Weight,     // (n_vocab, n_embd)
    pub state: State,
    pub buffers: Buffers,
    /// Dense weights to read, in the order in which they are needed. Experts: [`Model::expert_uploads`].
    pub uploads: Vec<Upload>,
    /// Experts of a layer that have a place on the GPU at once.
    pub n_slots: u32,
    pub bytes: Bytes,
    /// Whether a prompt's chunks are grouped by expert however short they are. Where kernels of single choices and of tiles round
    /// alike, short ones are faster without.
    pub always_in_tiles: bool,
}

/// One block of the residual stream.
#[derive(Clone, Debug)]
pub struct Layer {
    pub attn_norm: Slice, // (n_embd)
    /// Query, key and value projections; neighbours of one type are one.
    pub qkv: Vec<Projection>,
    pub sinks: Slice, // (n_heads)
    /// Keys a query sees, itself included.
    pub window: u32,
    pub kv: KvCache,
    pub attn_output: Weight,     // (n_embd, n_heads * head_dim)
    pub attn_output_bias: Slice, // (n_embd)
    pub ffn_norm: Slice,         // (n_embd)
    /// `None` in a dense layer.
    pub router: Option<Router>,
    pub gate: ExpertWeight,  // (n_slots, n_ffn, n_embd)
    pub up: ExpertWeight,    // (n_slots, n_ffn, n_embd)
    pub gate_up_bias: Slice, // (2, n_experts, n_ffn)
    pub down: ExpertWeight,  // (n_slots, n_embd, n_ffn)
    pub down_bias: Slice,    // (n_experts, n_embd)
    /// Where experts of gate, up and down lie in the files; `None` in a dense layer.
    pub expert_tensors: Option<[ExpertTensor; 3]>,
}

/// Rows of the query, key and value matrices, and where their products go in a token's qkv.
#[derive(Clone, Debug)]
pub struct Projection {
    pub weight: Weight,
    pub bias: Slice,
    pub first: u32,
}

/// What a step reads and writes, for up to `chunk` tokens, or one of each sequence, or of one with its drafts.
#[derive(Clone, Debug)]
pub struct State {
    pub tokens: Slice, // (chunk) u32
    /// Rows that a token can be drawn for.
    pub n_drawn: u32,
    pub steps: Slice, // Steps
    pub x: Slice,     // (chunk, n_embd), the residual stream
    pub qkv: Slice,   // (chunk, n_heads + 2 n_kv_heads, head_dim)
    pub q: Slice,     // (chunk, n_heads, head_dim)
    pub attn: Slice,  // (chunk, n_heads, head_dim)
    pub parts: Slice, // what the query heads of a token of each sequence find in the parts of its keys
    pub h: Slice,     // (chunk, n_embd)
    pub paging: Paging,
    pub routes: Vec<Slice>, // (chunk, n_used) Route, of each layer; one buffer
    pub saved: Slice,       // (chunk, n_embd), x before the experts of the first layer that missed one
    pub tiles: Slice,       // choices by expert, in tiles
    pub act: Slice,         // (chunk, n_used, n_ffn)
    pub y: Slice,           // (chunk, n_used, n_embd)
    pub logits: Slice,      // (logit_rows, n_vocab), or a row for each sequence
    pub sampler: Sampler,
}

impl Model {
    /// Lays the model out. Nothing is read yet but the header.
    ///
    /// # Errors
    /// Not a model that can be run, or options that it cannot be run with.
    pub fn new(directory: &Directory, options: Options) -> Result<Self, Error> {
        let config = Config::new(directory)?;
        check_options(&config, &options)?;
        let n_slots = n_slots(&config, &options)?;
        Self::lay_out(config, directory.tensors.clone(), options, n_slots)
    }

    /// The same with so many slots a layer, between [`Model::least_slots`] and all.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn with_slots(&self, n_slots: u32) -> Result<Self, Error> {
        let n_slots = n_slots.clamp(self.least_slots(), self.config.experts.n);
        Self::lay_out(self.config.clone(), self.tensors.clone(), self.options.clone(), n_slots)
    }

    fn lay_out(config: Config, tensors: Arc<Tensors>, options: Options, n_slots: u32) -> Result<Self, Error> {
        let mut placer = Placer::new(&tensors, options.max_binding);
        if placer.has("rope_freqs.weight") {
            return Err(Error::UnsupportedTensor {
                tensor: "rope_freqs.weight".into(),
                why: "scaled rotary frequencies are not implemented",
            });
        }
        let token_embd = placer.matrix("token_embd.weight", config.n_embd, config.n_vocab)?;
        let shared = Shared::new(&mut placer.buffers, &config, &options);
        let layers: Vec<Layer> =
            (0..config.n_layers).map(|l| Layer::new(&mut placer, &config, &options, &shared, n_slots, l)).collect::<Result<_, _>>()?;
        let output_norm = placer.vector(&[("output_norm.weight", &[config.n_embd.into()])])?;
        let has_head = config.architecture == Architecture::GptOss || placer.has("output.weight");
        let output = if has_head { placer.matrix("output.weight", config.n_embd, config.n_vocab)? } else { token_embd.clone() };
        let n_parts = layers.iter().map(|layer| layer.kv.n_parts(layer.window)).max().unwrap_or(1);
        let state = State::new(&mut placer.buffers, &config, &options, &shared, n_parts);
        placer.check_state()?;
        let Placer { buffers, uploads, mut bytes, .. } = placer;
        bytes.per_expert = bytes.experts / (u64::from(config.n_layers) * u64::from(config.experts.n)).max(1);
        Ok(Self {
            config,
            tensors,
            options,
            token_embd,
            rope: shared.rope,
            layers,
            output_norm,
            output,
            state,
            buffers,
            uploads,
            n_slots,
            bytes,
            always_in_tiles: false,
        })
    }

    /// What to read so that `expert` of `layer` lies in `slot`: its gate, up and down. Nothing in a dense layer.
    pub fn expert_uploads(&self, layer: usize, expert: u32, slot: u32) -> Vec<Upload> {
        let Some(Layer { expert_tensors: Some(tensors), gate, up, down, .. }) = self.layers.get(layer) else { return Vec::new() };
        tensors.iter().zip([gate, up, down]).map(|(tensor, weight)| tensor.upload(weight, expert, slot)).collect()
    }

    /// The fewest slots a layer that a step can do with.
    pub fn least_slots(&self) -> u32 {
        least_slots(&self.config)
    }

    /// Whether the model has experts of which a token uses some.
    pub fn is_sparse(&self) -> bool {
        self.config.architecture == Architecture::GptOss
    }
}

/// One more than a token uses, so that there is always one to give up.
fn least_slots(config: &Config) -> u32 {
    match config.architecture {
        Architecture::GptOss => (config.experts.n_used + 1).min(config.experts.n),
        Architecture::Llama => 1,
    }
}

/// Slots a layer, as the options say or one for each expert.
fn n_slots(config: &Config, options: &Options) -> Result<u32, Error> {
    let (experts, least) = (config.experts, least_slots(config));
    match options.slots {
        None => Ok(experts.n),
        Some(n) if n >= least => Ok(n.min(experts.n)),
        Some(got) => Err(Error::Slots { got, least, n_used: experts.n_used }),
    }
}

fn check_options(config: &Config, options: &Options) -> Result<(), Error> {
    for (name, got) in [("chunk", options.chunk), ("logit_rows", options.logit_rows)] {
        if got == 0 {
            return Err(Error::Option { name, expected: "1 or more", got: 0 });
        }
    }
    if !(1..=MAX_SEQUENCES as u32).contains(&options.sequences) {
        return Err(Error::Option { name: "sequences", expected: "1 to 16", got: options.sequences.into() });
    }
    let refuse = |why: String| Err(Error::Context { got: options.context, why });
    let keys = options.kv.bytes(config.heads, options.context * options.sequences);
    if options.context == 0 || options.context > config.n_context {
        return refuse(format!("the model was made for 1 to {}", config.n_context));
    }
    if keys > options.max_binding {
        let of = if options.sequences > 1 { format!(" of {} sequences", options.sequences) } else { String::new() };
        return refuse(format!("a layer's keys{of} would take {keys} B, a binding may have {}", options.max_binding));
    }
    if options.kv == KvType::Q8_0 && !config.heads.dim.is_multiple_of(32) {
        return Err(Error::Option { name: "kv", expected: "f16 or f32, as heads are no multiple of 32", got: config.heads.dim.into() });
    }
    Ok(())
}

/// What every layer reads alike.
struct Shared {
    rope: Rope,
    /// Biases of a model that has none.
    zeros: Slice,
    /// Sinks of a model that has none.
    no_sinks: Slice,
    /// Every token to expert 0, weight 1.
    dense_routes: Slice,
}

impl Shared {
    fn new(buffers: &mut Buffers, config: &Config, options: &Options) -> Self {
        let heads = config.heads;
        let tables = Tables::new(&config.rope, options.context, options.yarn_rounded);
        let rope = Rope {
            n_rot: config.rope.n_rot,
            interleaved: config.rope.interleaved,
            concentration: tables.concentration,
            low: buffers.holding_f32(format!("rope, position % {ROPE_BASE}"), tables.low.into_iter(), Usage::Weights),
            high: buffers.holding_f32(format!("rope, position / {ROPE_BASE}"), tables.high.into_iter(), Usage::Weights),
        };
        let widest = (2 * config.n_ffn).max(config.n_embd).max((heads.n + 2 * heads.n_kv) * heads.dim);
        let n_routes = if config.architecture == Architecture::Llama { n_rows(options) } else { 1 };
        let dense_route = [0, 0, 1f32.to_bits(), 0];
        Self {
            rope,
            zeros: buffers.zeros("no bias", u64::from(widest) * 4, Usage::Weights),
            no_sinks: buffers.holding_f32("no sinks", (0..heads.n).map(|_| -1e30), Usage::Weights),
            dense_routes: buffers.holding("routes to the one expert", (0..n_routes).flat_map(|_| dense_route), Usage::State),
        }
    }
}

impl Layer {
    fn new(placer: &mut Placer<'_>, config: &Config, options: &Options, shared: &Shared, n_slots: u32, l: u32) -> Result<Self, Error> {
        let name = |suffix: &str| format!("blk.{l}.{suffix}");
        let (heads, window) = (config.heads, config.windows[l as usize]);
        let (n_embd, n_ffn, n_experts) = (config.n_embd, config.n_ffn, config.experts.n);
        let (embd, ffn, experts) = (u64::from(n_embd), u64::from(n_ffn), u64::from(n_experts));
        let sparse = config.architecture == Architecture::GptOss;

        let attn_norm = placer.vector(&[(&name("attn_norm.weight"), &[embd])])?;
        let qkv = Projection::all(placer, config, shared, l)?;
        let sinks = if sparse { placer.vector(&[(&name("attn_sinks.weight"), &[heads.n.into()])])? } else { shared.no_sinks };
        let attn_output = placer.matrix(&name("attn_output.weight"), heads.n * heads.dim, n_embd)?;
        let bias = |placer: &mut Placer<'_>, tensors: &[(&str, &[u64])]| if sparse { placer.vector(tensors) } else { Ok(shared.zeros) };
        let attn_output_bias = bias(placer, &[(&name("attn_output.bias"), &[embd])])?;

        let ffn_norm = placer.vector(&[(&name(if sparse { "post_attention_norm.weight" } else { "ffn_norm.weight" }), &[embd])])?;
        let router = match sparse {
            true => Some(Router {
                gain: ffn_norm,
                weight: placer.vector(&[(&name("ffn_gate_inp.weight"), &[embd, experts])])?,
                bias: placer.vector(&[(&name("ffn_gate_inp.bias"), &[experts])])?,
            }),
            false => None,
        };
        let mut place = |which: &str, n_cols, n_rows| match sparse {
            true => {
                placer.experts(&name(&format!("ffn_{which}_exps.weight")), n_cols, n_rows, n_experts, n_slots).map(|(w, t)| (w, Some(t)))
            }
            false => placer.only_expert(&name(&format!("ffn_{which}.weight")), n_cols, n_rows).map(|w| (w, None)),
        };
        let (gate, gate_tensor) = place("gate", n_embd, n_ffn)?;
        let (up, up_tensor) = place("up", n_embd, n_ffn)?;
        let (down, down_tensor) = place("down", n_ffn, n_embd)?;
        let expert_tensors = gate_tensor.zip(up_tensor).zip(down_tensor).map(|((gate, up), down)| [gate, up, down]);
        if gate.format != up.format {
            return Err(Error::TensorType {
                tensor: name(if sparse { "ffn_up_exps.weight" } else { "ffn_up.weight" }),
                expected: gate.format.dtype().name(),
                got: up.format.dtype().name(),
            });
        }
        let gate_up_shape = [ffn, experts];
        let gate_up_bias = bias(placer, &[(&name("ffn_gate_exps.bias"), &gate_up_shape), (&name("ffn_up_exps.bias"), &gate_up_shape)])?;
        let down_bias = bias(placer, &[(&name("ffn_down_exps.bias"), &[embd, experts])])?;

        let capacity = kv_capacity(window, options);
        let kv_bytes = options.kv.bytes(heads, capacity * options.sequences);
        let mut cache = |which: &str| placer.buffers.zeros(name(which), kv_bytes, Usage::State);
        let kv = KvCache { k: cache("keys"), v: cache("values"), capacity, n_sequences: options.sequences, dtype: options.kv };
        Ok(Self {
            attn_norm,
            qkv,
            sinks,
            window,
            kv,
            attn_output,
            attn_output_bias,
            ffn_norm,
            router,
            gate,
            up,
            gate_up_bias,
            down,
            down_bias,
            expert_tensors,
        })
    }
}

/// A window's keys, those of a chunk that are appended before its first query looks, and as many again
/// to go back by; never more than the context.
fn kv_capacity(window: u32, options: &Options) -> u32 {
    window.saturating_add(options.chunk.max(512)).min(options.context)
}

/// Tokens that a step may have.
fn n_rows(options: &Options) -> u32 {
    options.chunk.max(n_drawn(options))
}

/// Rows of a step that a token can be drawn for, those of drafts among them unless bindings are too small for these.
fn n_drawn(options: &Options) -> u32 {
    let (sequences, drafts) = (options.sequences.next_power_of_two(), 1 + MAX_DRAFTS as u32);
    if Sampler::bins_bytes(drafts) > options.max_binding { sequences } else { sequences.max(drafts) }
}

impl Projection {
    fn all(placer: &mut Placer<'_>, config: &Config, shared: &Shared, l: u32) -> Result<Vec<Self>, Error> {
        let (heads, n_embd) = (config.heads, config.n_embd);
        let rows = [("q", heads.n * heads.dim), ("k", heads.n_kv * heads.dim), ("v", heads.n_kv * heads.dim)];
        let names = rows.map(|(x, n)| (format!("blk.{l}.attn_{x}.weight"), format!("blk.{l}.attn_{x}.bias"), n));
        let bias = |placer: &mut Placer<'_>, which: &[(String, String, u32)]| {
            if config.architecture == Architecture::Llama {
                return Ok(shared.zeros);
            }
            let shapes: Vec<[u64; 1]> = which.iter().map(|w| [w.2.into()]).collect();
            let tensors: Vec<(&str, &[u64])> = which.iter().zip(&shapes).map(|(w, shape)| (w.1.as_str(), shape.as_slice())).collect();
            placer.vector(&tensors)
        };
        let mut first = 0;
        let mut all = Vec::new();
        let tensors = placer.tensors;
        let dtype = |name: &str| tensors.named(name).map(|tensor| tensor.dtype);
        for alike in names.chunk_by(|a, b| dtype(&a.0) == dtype(&b.0)) {
            let matrices: Vec<(&str, u32)> = alike.iter().map(|(weight, _, n)| (weight.as_str(), *n)).collect();
            let weights = placer.stacked(n_embd, &matrices)?;
            let each = alike.chunks(alike.len() / weights.len());
            for (weight, names) in weights.into_iter().zip(each) {
                let n_rows = weight.n_rows;
                all.push(Self { weight, bias: bias(placer, names)?, first });
                first += n_rows;
            }
        }
        Ok(all)
    }
}

impl State {
    fn new(buffers: &mut Buffers, config: &Config, options: &Options, shared: &Shared, n_parts: u32) -> Self {
        let (chunk, n_drawn, sequences) = (u64::from(n_rows(options)), n_drawn(options), u64::from(options.sequences));
        let heads = config.heads;
        let sampling = buffers.zeros("sampling", (MAX_SEQUENCES * size_of::<Sampling>()) as u64, Usage::Uniform);
        let steps = buffers.holding("steps", Steps::new().words().iter().copied(), Usage::State);
        let entries = Paging::words(config.n_layers, config.experts.n, |_, _| None);
        let paging = Paging { whole: buffers.holding("slots", entries.into_iter(), Usage::State), n_experts: config.experts.n };
        let mut words = |label: &str, n: u64| buffers.zeros(label, n * 4, Usage::State);
        let [all_heads, q_heads] = [heads.n + 2 * heads.n_kv, heads.n].map(|n| u64::from(n * heads.dim));
        let n_used = u64::from(config.experts.n_used);
        let (n_vocab, n_layers) = (u64::from(config.n_vocab), u64::from(config.n_layers));
        let routes = match config.architecture {
            Architecture::GptOss => {
                let bytes = (chunk * n_used * size_of::<Route>() as u64).next_multiple_of(256);
                let all = words("routes", n_layers * bytes / 4);
                (0..n_layers).map(|layer| Slice { offset: layer * bytes, bytes, ..all }).collect()
            }
            Architecture::Llama => vec![shared.dense_routes; n_layers as usize],
        };
        let tokens = words("tokens", chunk);
        let logits = words("logits", u64::from(options.logit_rows.max(n_drawn)) * n_vocab);
        let sampler = Sampler {
            logits,
            bias: words("logit bias", sequences * n_vocab),
            mask: words("mask", sequences * n_vocab.div_ceil(32)),
            scores: words("scores", u64::from(n_drawn) * n_vocab),
            counts: words("counts", sequences * n_vocab),
            steps,
            report: words("report", Sampler::REPORT_BYTES / 4),
            scan: words("scan of the scores", Sampler::scan_bytes(config.n_vocab, n_drawn) / 4),
            bins: words("bins of the scores", Sampler::bins_bytes(n_drawn) / 4),
            sampling,
            paging,
        };
        Self {
            tokens,
            n_drawn,
            steps,
            x: words("x", chunk * u64::from(config.n_embd)),
            qkv: words("qkv", chunk * all_heads),
            q: words("q", chunk * q_heads),
            attn: words("attn", chunk * q_heads),
            parts: words("parts of attention", u64::from(n_drawn) * heads.parts_bytes(n_parts) / 4),
            h: words("h", chunk * u64::from(config.n_embd)),
            paging,
            routes,
            saved: words("saved x", chunk * u64::from(config.n_embd)),
            tiles: words("tiles", Choices::tiles_bytes(config.experts, n_rows(options)) / 4),
            act: words("act", chunk * n_used * u64::from(config.n_ffn)),
            y: words("y of each expert", chunk * n_used * u64::from(config.n_embd)),
            logits,
            sampler,
        }
    }
}
