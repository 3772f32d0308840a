use half::f16;
use kernels::ops::{Heads, KvCache, KvType, ROPE_BASE, Rope, Step, Steps};

use crate::bench::{Bench, SENTINEL};
use crate::random::Random;

const CONCENTRATION: f32 = 1.346_573_6;
const THETA: f64 = 150_000.0;

/// One call to test, from `position` on.
#[derive(Clone, Copy, Debug)]
struct Append {
    heads: Heads,
    n_rot: u32,
    interleaved: bool,
    dtype: KvType,
    capacity: u32,
    position: u32,
    n_tokens: u32,
}

impl Append {
    fn at(position: u32) -> Self {
        let heads = Heads { n: 6, n_kv: 2, dim: 64 };
        Self { heads, n_rot: 64, interleaved: false, dtype: KvType::F32, capacity: 7, position, n_tokens: 1 }
    }

    fn heads(self, n: u32, n_kv: u32, dim: u32) -> Self {
        Self { heads: Heads { n, n_kv, dim }, ..self }
    }

    fn n_rot(self, n_rot: u32) -> Self {
        Self { n_rot, ..self }
    }

    fn interleaved(self) -> Self {
        Self { interleaved: true, ..self }
    }

    fn into_f16(self) -> Self {
        Self { dtype: KvType::F16, ..self }
    }

    fn into_q8_0(self) -> Self {
        Self { dtype: KvType::Q8_0, ..self }
    }

    /// Element `i` of a cache of q8_0, and its scale.
    fn byte(self, words: &[u32], i: usize) -> (u32, f32) {
        let Heads { n_kv, dim, .. } = self.heads;
        let (row, block) = (i / dim as usize, i % dim as usize / 32);
        let scale = (self.capacity * n_kv * dim) as usize / 4 + row * dim.div_ceil(128) as usize * 2 + block / 2;
        let scale = f16::from_bits((words[scale] >> (16 * (block % 2))) as u16).to_f32();
        (words[i / 4] >> (8 * (i % 4)) & 0xFF, scale)
    }

    fn n_tokens(self, n_tokens: u32) -> Self {
        Self { n_tokens, ..self }
    }

    fn frequency(self, pair: u32) -> f64 {
        THETA.powf(-2.0 * f64::from(pair) / f64::from(self.n_rot))
    }

    fn table(self, n: u32, step: u32) -> Vec<f32> {
        let angles = (0..n).flat_map(|digit| (0..self.n_rot / 2).map(move |pair| f64::from(digit * step) * self.frequency(pair)));
        angles.flat_map(|a| [a.cos() as f32, a.sin() as f32]).collect()
    }

    /// `head` turned by `position`, with what f32 may be off by.
    fn rotated(self, head: &[f32], position: u32) -> Vec<(f64, f64)> {
        let mut out: Vec<(f64, f64)> = head.iter().map(|v| (f64::from(*v), 0.0)).collect();
        for pair in 0..self.n_rot / 2 {
            let (i, j) = if self.interleaved { (2 * pair, 2 * pair + 1) } else { (pair, pair + self.n_rot / 2) };
            let (a, b) = (f64::from(head[i as usize]), f64::from(head[j as usize]));
            let (sin, cos) = (f64::from(position) * self.frequency(pair)).sin_cos();
            let c = f64::from(CONCENTRATION);
            let off = 4e-7 * c * (a.abs() + b.abs());
            out[i as usize] = (c * (a * cos - b * sin), off);
            out[j as usize] = (c * (b * cos + a * sin), off);
        }
        out
    }

    fn test(self) {
        let Heads { n, n_kv, dim } = self.heads;
        let n_all = n + 2 * n_kv;
        let qkv = Random(41).floats((self.n_tokens * n_all * dim) as usize, 2.0);
        let mut b = Bench::default();
        let rope = Rope {
            n_rot: self.n_rot,
            interleaved: self.interleaved,
            concentration: CONCENTRATION,
            low: b.floats(&self.table(ROPE_BASE, 1)),
            high: b.floats(&self.table((self.position + self.n_tokens).div_ceil(ROPE_BASE), ROPE_BASE)),
        };
        let step = b.words(Steps::lone(Step { position: self.position, ..Step::default() }).words());
        let qkv_slice = b.floats(&qkv);
        let q = b.output((self.n_tokens * n * dim) as usize);
        let row = (n_kv * dim) as usize;
        let words = self.dtype.bytes(self.heads, self.capacity) as usize / 4;
        let kv = KvCache { k: b.output(words), v: b.output(words), capacity: self.capacity, n_sequences: 1, dtype: self.dtype };
        b.recording.rope_append(self.heads, &rope, step, qkv_slice, q, &kv, self.n_tokens);
        let results = b.run();

        let mut expected_q = Vec::new();
        // None where the cache must stay as it was.
        let mut expected_k = vec![None; self.capacity as usize * row];
        let mut expected_v = expected_k.clone();
        for token in 0..self.n_tokens {
            let position = self.position + token;
            let slot = (position % self.capacity) as usize;
            for (head, values) in qkv[(token * n_all * dim) as usize..].chunks(dim as usize).take(n_all as usize).enumerate() {
                let rotated = self.rotated(values, position);
                let at = |first: usize| slot * row + (head - first) * dim as usize;
                let (n, n_kv) = (n as usize, n_kv as usize);
                if head < n {
                    expected_q.extend(rotated);
                } else if head < n + n_kv {
                    rotated.iter().enumerate().for_each(|(i, v)| expected_k[at(n) + i] = Some(*v));
                } else {
                    values.iter().enumerate().for_each(|(i, v)| expected_v[at(n + n_kv) + i] = Some((f64::from(*v), 0.0)));
                }
            }
        }
        results.assert_close(&format!("q of {self:?}"), q, &expected_q);
        for (cache, expected) in [(kv.k, expected_k), (kv.v, expected_v)] {
            for (side, words) in results.words(cache) {
                for (i, expected) in expected.iter().enumerate() {
                    let bits_of = |word: &dyn Fn(usize) -> u32| match self.dtype {
                        KvType::F16 => word(i / 2) >> (16 * (i % 2)) & 0xFFFF,
                        KvType::F32 => word(i),
                        KvType::Q8_0 => word(i / 4) >> (8 * (i % 4)) & 0xFF,
                    };
                    let bits = bits_of(&|at| words[at]);
                    let Some((value, off)) = *expected else {
                        let untouched = bits_of(&|_| SENTINEL);
                        assert_eq!(bits, untouched, "{self:?}: {side} wrote element {i} of the cache");
                        continue;
                    };
                    // An f16 has eleven bits; GPUs may round it either way.
                    let (got, off) = match self.dtype {
                        KvType::F16 => (f16::from_bits(bits as u16).to_f32(), off + value.abs() / 1024.0 + 6e-8),
                        KvType::F32 => (f32::from_bits(bits), off),
                        KvType::Q8_0 => {
                            let (byte, scale) = self.byte(words, i);
                            (f32::from(byte as i8) * scale, off + 0.51 * f64::from(scale) + value.abs() / 1024.0)
                        }
                    };
                    assert!((f64::from(got) - value).abs() <= off, "{self:?}: {side} has {got} at {i} of the cache, expected {value}");
                }
            }
        }
    }
}

#[test]
fn positions_up_to_the_last_turn_as_in_f64() {
    for position in [0, 1, 511, 512, 513, 4095, 65_537, 131_071] {
        Append::at(position).test();
    }
}

#[test]
fn several_tokens_wrap_around_the_cache() {
    Append::at(509).n_tokens(6).test();
    Append::at(131_066).n_tokens(6).into_f16().test();
    Append::at(509).n_tokens(6).into_q8_0().test();
}

#[test]
fn pairs_can_be_neighbours() {
    Append::at(1000).interleaved().n_tokens(2).test();
    Append::at(70_000).interleaved().into_f16().test();
}

#[test]
fn what_is_beyond_n_rot_stays_as_it_is() {
    Append::at(777).n_rot(32).n_tokens(2).test();
    Append::at(777).n_rot(20).interleaved().into_f16().test();
}

#[test]
fn heads_of_every_size_are_right() {
    Append::at(600).heads(64, 8, 64).into_f16().n_tokens(2).test();
    Append::at(600).heads(3, 3, 80).n_rot(80).test();
    Append::at(600).heads(4, 1, 128).n_rot(128).into_f16().test();
    Append::at(600).heads(2, 1, 256).n_rot(256).test();
    for dim in [32, 96, 256] {
        Append::at(600).heads(2, 2, dim).n_rot(32).into_q8_0().test();
    }
}
