//! Hyperparameters, from the metadata.

use gguf::{Directory, Metadata, Value};
use kernels::ops::{Experts, Heads, MAX_EXPERTS, Swiglu};

use crate::Error;

/// A family of models that `forward` can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Sparse, with sinks, a window on every second layer, biases everywhere and a clamped SwiGLU.
    GptOss,
    /// Dense: one expert of weight 1, no sinks, no window, no biases.
    Llama,
}

/// What the file says of the model.
#[derive(Clone, Debug)]
pub struct Config {
    pub architecture: Architecture,
    pub name: String,
    pub n_layers: u32,
    /// Width of the residual stream.
    pub n_embd: u32,
    /// Rows of the embedding, padding rows included.
    pub n_vocab: u32,
    /// Positions the model was made for.
    pub n_context: u32,
    pub heads: Heads,
    /// Width of one expert's FFN.
    pub n_ffn: u32,
    pub experts: Experts,
    pub swiglu: Swiglu,
    pub eps: f32,
    pub rope: RopeConfig,
    /// Keys a query sees, itself included, in each layer; `u32::MAX` where it sees all.
    pub windows: Vec<u32>,
}

/// How positions are encoded.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeConfig {
    /// Elements of a head that turn.
    pub n_rot: u32,
    /// Pairs are (2i, 2i + 1) rather than (i, i + n_rot/2).
    pub interleaved: bool,
    pub theta: f32,
    pub yarn: Option<Yarn>,
}

/// YaRN's stretch of the context.
#[derive(Clone, Debug, PartialEq)]
pub struct Yarn {
    pub factor: f32,
    pub original_context: f32,
    pub beta_fast: f32,
    pub beta_slow: f32,
}

impl Config {
    /// # Errors
    /// Another architecture, or a key that is missing or makes no sense.
    pub fn new(directory: &Directory) -> Result<Self, Error> {
        let metadata = &directory.metadata;
        let prefix = metadata.str("general.architecture")?.ok_or_else(|| missing("general.architecture"))?;
        let architecture = match prefix {
            "gpt-oss" => Architecture::GptOss,
            "llama" => Architecture::Llama,
            "gptoss" => return Err(Error::OllamaDialect),
            got => return Err(Error::Architecture { got: got.chars().take(64).collect() }),
        };
        let keys = Keys { metadata, prefix };
        let n_embd = keys.count("embedding_length", 1 << 16)?;
        let n_heads = keys.count("attention.head_count", 1 << 10)?;
        let head_dim = keys.count_or("attention.key_length", n_embd / n_heads, MAX_HEAD_DIM)?;
        let heads = Heads { n: n_heads, n_kv: keys.count_or("attention.head_count_kv", n_heads, 1 << 10)?, dim: head_dim };
        keys.expect("embedding_length", n_embd % 32 == 0, || "a multiple of 32".into())?;
        keys.expect("attention.key_length", (8..=MAX_HEAD_DIM).contains(&head_dim) && head_dim % 8 == 0, || {
            format!("a multiple of 8 up to {MAX_HEAD_DIM} (heads would be {head_dim} wide)")
        })?;
        keys.expect("attention.value_length", keys.count_or("attention.value_length", head_dim, MAX_HEAD_DIM)? == head_dim, || {
            format!("{head_dim}, as attention.key_length")
        })?;
        keys.expect("attention.head_count", n_heads % heads.n_kv == 0, || {
            format!("a multiple of attention.head_count_kv ({})", heads.n_kv)
        })?;
        keys.expect("attention.head_count", (n_heads * head_dim) % 32 == 0, || {
            format!("a multiple of 32 when multiplied by the width of a head ({head_dim})")
        })?;

        let n_layers = keys.count("block_count", 1 << 10)?;
        let dense_ffn = keys.count("feed_forward_length", 1 << 17)?;
        let (n_ffn, experts, swiglu, windows) = match architecture {
            Architecture::GptOss => {
                let experts =
                    Experts { n: keys.count("expert_count", MAX_EXPERTS)?, n_used: keys.count("expert_used_count", MAX_EXPERTS)? };
                keys.expect("expert_used_count", experts.n_used <= experts.n, || format!("at most expert_count ({})", experts.n))?;
                let n_ffn = keys.count_or("expert_feed_forward_length", dense_ffn, 1 << 17)?;
                (n_ffn, experts, Swiglu::GPT_OSS, keys.windows(n_layers)?)
            }
            Architecture::Llama => {
                let n_experts = keys.count_or("expert_count", 0, MAX_EXPERTS)?;
                keys.expect("expert_count", n_experts == 0, || "none: sparse llama models are not supported".into())?;
                (dense_ffn, Experts { n: 1, n_used: 1 }, Swiglu::PLAIN, vec![u32::MAX; n_layers as usize])
            }
        };
        keys.expect("feed_forward_length", n_ffn % 32 == 0, || "a multiple of 32".into())?;

        let embedding = directory.get("token_embd.weight").ok_or_else(|| Error::MissingTensor { tensor: "token_embd.weight".into() })?;
        let n_tokens = metadata.strings("tokenizer.ggml.tokens")?.map_or(0, gguf::Strings::len);
        let n_vocab = match embedding.shape.as_slice() {
            [_, n] => u32::try_from(*n).ok().filter(|n| *n < 1 << 24),
            _ => None,
        }
        .ok_or_else(|| Error::Shape {
            tensor: embedding.name.clone(),
            expected: vec![n_embd.into(), n_tokens as u64],
            got: embedding.shape.clone(),
        })?;

        Ok(Self {
            architecture,
            name: metadata.str("general.name")?.unwrap_or(prefix).to_owned(),
            n_layers,
            n_embd,
            n_vocab,
            n_context: keys.count("context_length", 1 << 24)?,
            heads,
            n_ffn,
            experts,
            swiglu,
            eps: keys.number("attention.layer_norm_rms_epsilon")?,
            rope: keys.rope(architecture, head_dim)?,
            windows,
        })
    }
}

/// Widest head that the attention kernel has room for.
const MAX_HEAD_DIM: u32 = 256;

/// A value as an error quotes it: short, whatever the file says.
fn shown(value: &Value) -> String {
    match value {
        Value::Str(text) if text.len() <= 64 => format!("{text:?}"),
        value => value.describe(),
    }
}

fn missing(key: &str) -> Error {
    Error::MissingKey { key: key.into() }
}

/// Keys under the architecture's prefix.
struct Keys<'a> {
    metadata: &'a Metadata,
    prefix: &'a str,
}

impl Keys<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn expect(&self, name: &str, holds: bool, expected: impl FnOnce() -> String) -> Result<(), Error> {
        if holds {
            return Ok(());
        }
        let got = self.metadata.get(&self.key(name)).map_or("absent".to_owned(), shown);
        Err(Error::BadValue { key: self.key(name), expected: expected(), got })
    }

    /// From 1 to `most`.
    fn count(&self, name: &str, most: u32) -> Result<u32, Error> {
        let got = self.metadata.u64(&self.key(name))?.ok_or_else(|| missing(&self.key(name)))?;
        u32::try_from(got).ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| Error::BadValue {
            key: self.key(name),
            expected: format!("1 to {most}"),
            got: got.to_string(),
        })
    }

    fn count_or(&self, name: &str, default: u32, most: u32) -> Result<u32, Error> {
        match self.metadata.u64(&self.key(name))? {
            None | Some(0) => Ok(default),
            Some(_) => self.count(name, most),
        }
    }

    fn number(&self, name: &str) -> Result<f32, Error> {
        let got = self.metadata.f32(&self.key(name))?.ok_or_else(|| missing(&self.key(name)))?;
        self.above(0.0, name, got)
    }

    fn number_or(&self, name: &str, default: f32) -> Result<f32, Error> {
        let got = self.metadata.f32(&self.key(name))?.unwrap_or(default);
        self.above(0.0, name, got)
    }

    fn at_least_one(&self, name: &str) -> Result<f32, Error> {
        let got = self.number(name)?;
        self.expect(name, got >= 1.0, || "1 or more".into())?;
        Ok(got)
    }

    fn above(&self, least: f32, name: &str, got: f32) -> Result<f32, Error> {
        if got.is_finite() && got > least {
            return Ok(got);
        }
        Err(Error::BadValue { key: self.key(name), expected: format!("a number above {least}"), got: got.to_string() })
    }

    /// `sliding_window_pattern` is a period (its last layer sees all) or a flag a layer; without it
    /// even layers slide.
    fn windows(&self, n_layers: u32) -> Result<Vec<u32>, Error> {
        let window = self.count("attention.sliding_window", 1 << 24)?;
        let pattern = self.key("attention.sliding_window_pattern");
        let slides: Vec<bool> = match self.metadata.get(&pattern) {
            None => (0..n_layers).map(|l| l % 2 == 0).collect(),
            Some(gguf::Value::Array(_)) => {
                let flags = self.metadata.i32s(&pattern)?.unwrap_or_default();
                self.expect("attention.sliding_window_pattern", flags.len() >= n_layers as usize, || format!("{n_layers} flags"))?;
                flags.iter().map(|f| *f != 0).take(n_layers as usize).collect()
            }
            Some(_) => {
                let period = self.count("attention.sliding_window_pattern", 1 << 10)?;
                (0..n_layers).map(|l| l % period < period - 1).collect()
            }
        };
        Ok(slides.into_iter().map(|slides| if slides { window } else { u32::MAX }).collect())
    }

    fn rope(&self, architecture: Architecture, head_dim: u32) -> Result<RopeConfig, Error> {
        let n_rot = self.count_or("rope.dimension_count", head_dim, head_dim)?;
        self.expect("rope.dimension_count", n_rot % 2 == 0, || "an even number".into())?;
        let scaling = self.metadata.str(&self.key("rope.scaling.type"))?;
        let yarn = match scaling {
            None | Some("none") => None,
            Some("yarn") => Some(Yarn {
                factor: self.at_least_one("rope.scaling.factor")?,
                original_context: self.count("rope.scaling.original_context_length", 1 << 24)? as f32,
                beta_fast: self.number_or("rope.scaling.yarn_beta_fast", 32.0)?,
                beta_slow: self.number_or("rope.scaling.yarn_beta_slow", 1.0)?,
            }),
            Some(_) => {
                self.expect("rope.scaling.type", false, || "none or yarn".into())?;
                None
            }
        };
        // At 1 all pairs would turn alike, and YaRN's range has no place.
        let theta = self.above(1.0, "rope.freq_base", self.number_or("rope.freq_base", 10000.0)?)?;
        Ok(RopeConfig { n_rot, interleaved: architecture == Architecture::Llama, theta, yarn })
    }
}
