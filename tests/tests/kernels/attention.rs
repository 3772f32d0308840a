use half::f16;
use kernels::ops::{Heads, KvCache, KvType, Step};

use crate::bench::Bench;
use crate::random::Random;

/// One call to test: queries of `n_tokens` from `position` on.
#[derive(Clone, Copy, Debug)]
struct Attention {
    heads: Heads,
    dtype: KvType,
    capacity: u32,
    window: u32,
    position: u32,
    n_tokens: u32,
    sink: f32,
    q_scale: f32,
}

impl Attention {
    fn at(position: u32) -> Self {
        let heads = Heads { n: 16, n_kv: 2, dim: 64 };
        let capacity = position + 1;
        Self { heads, dtype: KvType::F16, capacity, window: u32::MAX, position, n_tokens: 1, sink: 1.0, q_scale: 1.0 }
    }

    fn heads(self, n: u32, n_kv: u32, dim: u32) -> Self {
        Self { heads: Heads { n, n_kv, dim }, ..self }
    }

    fn over_f32(self) -> Self {
        Self { dtype: KvType::F32, ..self }
    }

    /// In a ring just large enough.
    fn window(self, window: u32) -> Self {
        Self { window, capacity: window + self.n_tokens - 1, ..self }
    }

    fn n_tokens(self, n_tokens: u32) -> Self {
        Self { n_tokens, capacity: self.capacity + n_tokens, ..self }
    }

    fn sink(self, sink: f32) -> Self {
        Self { sink, ..self }
    }

    fn q_scale(self, q_scale: f32) -> Self {
        Self { q_scale, ..self }
    }

    fn test(self) {
        let Heads { n, n_kv, dim } = self.heads;
        let mut random = Random(51);
        let q = random.floats((self.n_tokens * n * dim) as usize, self.q_scale);
        let row = (n_kv * dim) as usize;
        let mut cache = || {
            // What no query may see is large.
            let mut cache = vec![60_000.0; self.capacity as usize * row];
            let last = self.position + self.n_tokens - 1;
            for p in (last + 1).saturating_sub(self.capacity)..=last {
                let at = (p % self.capacity) as usize * row;
                cache[at..at + row].iter_mut().for_each(|v| *v = f16::from_f32(random.float(1.0)).to_f32());
            }
            cache
        };
        let (k, v) = (cache(), cache());
        let sinks: Vec<f32> = (0..n).map(|h| self.sink + h as f32 * 0.1).collect();

        let mut b = Bench::default();
        let mut upload = |values: &[f32]| match self.dtype {
            KvType::F16 => b.bytes(&values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect::<Vec<u8>>()),
            KvType::F32 => b.floats(values),
        };
        let kv = KvCache { k: upload(&k), v: upload(&v), capacity: self.capacity, dtype: self.dtype };
        let step = b.words(bytemuck::cast_slice(&[Step { position: self.position, n_sampled: 0, halt: 0, seed: 0 }]));
        let (q_slice, sinks_slice) = (b.floats(&q), b.floats(&sinks));
        let out = b.output(q.len());
        b.recording.attention(self.heads, self.window, step, q_slice, &kv, sinks_slice, out, self.n_tokens);
        let results = b.run();

        let mut expected = Vec::new();
        for (i, q) in q.chunks(dim as usize).enumerate() {
            let (token, head) = (i as u32 / n, i as u32 % n);
            let position = self.position + token;
            let first = (position + 1).saturating_sub(self.window);
            let at = |p: u32| ((p % self.capacity) * n_kv + head / (n / n_kv)) as usize * dim as usize;
            let scores: Vec<f64> = (first..=position)
                .map(|p| q.iter().zip(&k[at(p)..]).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>() / f64::from(dim).sqrt())
                .collect();
            let sink = f64::from(sinks[head as usize]);
            let top = scores.iter().copied().fold(sink, f64::max);
            let total = (sink - top).exp() + scores.iter().map(|s| (s - top).exp()).sum::<f64>();
            for d in 0..dim as usize {
                let value = (first..=position).zip(&scores).map(|(p, s)| (s - top).exp() / total * f64::from(v[at(p) + d])).sum();
                // Values are within 1; scores grow with q, and exp with the scores' error.
                expected.push((value, 2e-6 * f64::from(self.q_scale.max(1.0))));
            }
        }
        results.assert_close(&format!("{self:?}"), out, &expected);
    }
}

#[test]
fn the_first_token_attends_to_itself_and_the_sink() {
    Attention::at(0).test();
    Attention::at(0).over_f32().n_tokens(3).test();
}

#[test]
fn tiles_may_be_ragged() {
    for position in [1, 62, 63, 64, 65, 127, 300] {
        Attention::at(position).test();
    }
}

#[test]
fn a_window_sees_its_own_128_keys_through_a_ring() {
    for position in [100, 127, 128, 129, 1000] {
        Attention::at(position).window(128).test();
    }
    Attention::at(1000).n_tokens(5).window(128).test();
    Attention::at(125).n_tokens(9).window(128).over_f32().test();
    Attention::at(70).window(1).test();
}

#[test]
fn heads_of_every_size_are_right() {
    Attention::at(200).heads(64, 8, 64).test();
    Attention::at(90).heads(4, 2, 128).over_f32().test();
    Attention::at(90).heads(2, 1, 256).test();
    Attention::at(70).heads(3, 3, 80).n_tokens(2).test();
    Attention::at(70).heads(9, 3, 8).over_f32().test();
}

#[test]
fn a_sink_can_take_all_or_nothing() {
    Attention::at(150).sink(30.0).test();
    Attention::at(150).sink(-1e4).test();
}

#[test]
fn sharp_scores_move_the_running_maximum() {
    Attention::at(400).q_scale(30.0).over_f32().test();
    Attention::at(400).q_scale(30.0).sink(-1e4).test();
}

#[test]
fn several_thousand_keys_add_up() {
    Attention::at(4095).heads(2, 1, 64).test();
}
