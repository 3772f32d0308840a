//! The tensors of gpt-oss-20b, and random values for them that keep activations sane: a matrix of n columns has a
//! standard deviation of about 1/sqrt(n), so that it neither shrinks nor blows up what it multiplies.

use gguf::DType;
use half::f16;

use super::random::Random;

pub(super) const N_EMBD: u64 = 2880;
pub(super) const N_FFN: u64 = 2880;
pub(super) const N_HEADS: u64 = 64;
pub(super) const N_KV_HEADS: u64 = 8;
pub(super) const HEAD_DIM: u64 = 64;
pub(super) const N_EXPERTS: u64 = 32;
pub(crate) const N_VOCAB: u64 = 201_088;

/// One tensor to be.
#[derive(Debug)]
pub(super) struct Tensor {
    pub(super) name: String,
    /// The fastest axis first.
    pub(super) shape: Vec<u64>,
    pub(super) dtype: DType,
    pub(super) values: Values,
}

/// What a tensor is filled with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Values {
    /// F32, evenly within `spread` of `mean`.
    F32 { mean: f32, spread: f32 },
    /// Q8_0 blocks of one scale and even levels.
    Q8_0 { std: f32 },
    /// MXFP4 blocks whose scales have one of two exponents.
    Mxfp4 { exponent: u8 },
}

/// Root mean square of the levels -128 ..= 127.
const Q8_0_LEVELS: f32 = 73.9;
/// 2^(120 - 127) and half of it, times the E2M1 values' root mean square of 2.93: 0.023 and 0.011, around 1/sqrt(2880).
const EXPERT_EXPONENT: u8 = 119;
/// Router logits deviate by 1 from token to token; so much do an expert's own lie around 0. Where the least recently used makes room,
/// a quarter of the slots then hits in 74 %, a little less often than on recorded routes of real models: there 79 to 81 %.
const FAVOUR: f32 = 3.0;

impl Values {
    /// Fills whole blocks.
    pub(super) fn fill(self, bytes: &mut [u8], random: &mut Random) {
        match self {
            Self::F32 { mean, spread } => {
                for value in bytes.chunks_exact_mut(4) {
                    value.copy_from_slice(&(mean + spread * random.unit()).to_le_bytes());
                }
            }
            Self::Q8_0 { std } => {
                let scale = f16::from_f32(std / Q8_0_LEVELS).to_le_bytes();
                random.fill(bytes);
                for block in bytes.chunks_exact_mut(DType::Q8_0.block_bytes()) {
                    block[..2].copy_from_slice(&scale);
                }
            }
            Self::Mxfp4 { exponent } => {
                random.fill(bytes);
                for block in bytes.chunks_exact_mut(DType::Mxfp4.block_bytes()) {
                    block[0] = exponent + (block[0] & 1);
                }
            }
        }
    }
}

/// All tensors of a model with `layers` layers and so many rows of embedding and head.
pub(super) fn plan(layers: u32, n_vocab: u64) -> Vec<Tensor> {
    let q8_0 = |name: &str, n_cols: u64, n_rows: u64, std: f32| Tensor {
        name: name.to_owned(),
        shape: vec![n_cols, n_rows],
        dtype: DType::Q8_0,
        values: Values::Q8_0 { std },
    };
    let f32 = |name: &str, shape: &[u64], mean: f32, spread: f32| Tensor {
        name: name.to_owned(),
        shape: shape.to_vec(),
        dtype: DType::F32,
        values: Values::F32 { mean, spread },
    };
    let (norm, narrow) = ([N_EMBD], std_of(N_EMBD));
    let (q, kv) = (N_HEADS * HEAD_DIM, N_KV_HEADS * HEAD_DIM);

    let mut all = vec![
        q8_0("token_embd.weight", N_EMBD, n_vocab, 1.0),
        q8_0("output.weight", N_EMBD, n_vocab, narrow),
        f32("output_norm.weight", &norm, 1.0, 0.1),
    ];
    for layer in 0..layers {
        let name = |suffix: &str| format!("blk.{layer}.{suffix}");
        all.push(f32(&name("attn_norm.weight"), &norm, 1.0, 0.1));
        for (which, n_rows) in [("q", q), ("k", kv), ("v", kv)] {
            all.push(q8_0(&name(&format!("attn_{which}.weight")), N_EMBD, n_rows, narrow));
            all.push(f32(&name(&format!("attn_{which}.bias")), &[n_rows], 0.0, 0.1));
        }
        all.push(q8_0(&name("attn_output.weight"), q, N_EMBD, std_of(q)));
        all.push(f32(&name("attn_output.bias"), &norm, 0.0, 0.1));
        all.push(f32(&name("attn_sinks.weight"), &[N_HEADS], 0.0, 1.0));
        all.push(f32(&name("post_attention_norm.weight"), &norm, 1.0, 0.1));
        // Even values of spread sqrt(3) have a standard deviation of 1.
        all.push(f32(&name("ffn_gate_inp.weight"), &[N_EMBD, N_EXPERTS], 0.0, 3f32.sqrt() * narrow));
        all.push(f32(&name("ffn_gate_inp.bias"), &[N_EXPERTS], 0.0, FAVOUR));
        for (which, n_cols, n_rows) in [("gate", N_EMBD, N_FFN), ("up", N_EMBD, N_FFN), ("down", N_FFN, N_EMBD)] {
            all.push(Tensor {
                name: name(&format!("ffn_{which}_exps.weight")),
                shape: vec![n_cols, n_rows, N_EXPERTS],
                dtype: DType::Mxfp4,
                values: Values::Mxfp4 { exponent: EXPERT_EXPONENT },
            });
            all.push(f32(&name(&format!("ffn_{which}_exps.bias")), &[n_rows, N_EXPERTS], 0.0, 0.1));
        }
    }
    all
}

fn std_of(n_cols: u64) -> f32 {
    1.0 / (n_cols as f32).sqrt()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn twenty_four_layers_are_the_tensors_of_gpt_oss_20b() {
        let plan = plan(24, N_VOCAB);
        let count = |dtype| plan.iter().filter(|tensor| tensor.dtype == dtype).count();
        assert_eq!([count(DType::F32), count(DType::Q8_0), count(DType::Mxfp4)], [289, 98, 72]);
        let bytes = |tensor: &Tensor| tensor.dtype.row_bytes(tensor.shape[0]).unwrap() * tensor.shape[1..].iter().product::<u64>();
        assert_eq!(plan.iter().map(bytes).sum::<u64>(), 12_096_558_336);
    }

    #[test]
    fn values_have_the_deviation_that_keeps_activations_sane() {
        let rms = |values: Values, dtype: DType| {
            let mut random = Random::new(7);
            let mut bytes = vec![0; dtype.block_bytes() * 1000];
            values.fill(&mut bytes, &mut random);
            let mut floats = vec![0.0; dtype.block_len() * 1000];
            dtype.dequantize(&bytes, &mut floats).unwrap();
            (floats.iter().map(|x| x * x).sum::<f32>() / floats.len() as f32).sqrt()
        };
        let expected = std_of(2880);
        let q8_0 = rms(Values::Q8_0 { std: expected }, DType::Q8_0);
        let mxfp4 = rms(Values::Mxfp4 { exponent: EXPERT_EXPONENT }, DType::Mxfp4);
        assert!((q8_0 / expected - 1.0).abs() < 0.05, "{q8_0} {expected}");
        assert!((mxfp4 / expected - 1.0).abs() < 0.2, "{mxfp4} {expected}");
        let norm = rms(Values::F32 { mean: 1.0, spread: 0.1 }, DType::F32);
        assert!((norm - 1.0).abs() < 0.01, "{norm}");
    }

    #[test]
    fn routers_favour_experts_so_that_a_quarter_of_the_slots_hits_nearly_as_on_recorded_routes() {
        const N_USED: usize = 4;
        let (n, mut random) = (N_EXPERTS as usize, Random::new(7));
        let (mut hits, mut asked) = (0, 0);
        for _ in 0..20 {
            let favours: Vec<f32> = (0..n).map(|_| FAVOUR * random.unit()).collect();
            let mut recent: Vec<usize> = Vec::new();
            for _ in 0..300 {
                // Twelve even numbers of variance 1/3 have one of 4 together.
                let mut normal = || (0..12).map(|_| random.unit()).sum::<f32>() / 2.0;
                let logits: Vec<f32> = favours.iter().map(|favour| favour + normal()).collect();
                let mut order: Vec<usize> = (0..n).collect();
                order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
                for expert in &order[..N_USED] {
                    asked += 1;
                    hits += usize::from(recent.contains(expert));
                    recent.retain(|other| other != expert);
                    recent.insert(0, *expert);
                    recent.truncate(n / 4);
                }
            }
        }
        let rate = hits as f64 / asked as f64;
        assert!((0.71..0.79).contains(&rate), "{rate}");
    }
}
