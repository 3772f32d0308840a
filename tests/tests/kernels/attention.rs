use half::f16;
use kernels::ops::{Heads, KvCache, KvType, Pass, Rope, Step, Steps};

use crate::bench::{Bench, SENTINEL, bytes_to_words};
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

    fn over_q8_0(self) -> Self {
        Self { dtype: KvType::Q8_0, ..self }
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

    /// By the kernels of a chunk, and if it is one token by those of decode too.
    fn test(self) {
        self.run(false);
        if self.n_tokens == 1 {
            self.run(true);
        }
    }

    fn run(self, decode: bool) {
        let Heads { n, n_kv, dim } = self.heads;
        let mut random = Random(51);
        let q = random.floats((self.n_tokens * n * dim) as usize, self.q_scale);
        let row = (n_kv * dim) as usize;
        let last = self.position + self.n_tokens - 1;
        let mut cache = || {
            // What no query may see is large.
            let mut cache = vec![60_000.0; self.capacity as usize * row];
            for p in (last + 1).saturating_sub(self.capacity)..=last {
                let at = (p % self.capacity) as usize * row;
                cache[at..at + row].iter_mut().for_each(|v| *v = f16::from_f32(random.float(1.0)).to_f32());
            }
            if self.dtype == KvType::Q8_0 {
                cache.chunks_mut(32).for_each(|block| {
                    let (bytes, scale) = quantized(block);
                    block.iter_mut().zip(bytes).for_each(|(v, byte)| *v = f32::from(byte) * scale.to_f32());
                });
            }
            cache
        };
        let (k, v) = (cache(), cache());
        let sinks: Vec<f32> = (0..n).map(|h| self.sink + h as f32 * 0.1).collect();

        let mut b = Bench::default();
        let step = b.words(Steps::lone(Step { position: self.position, ..Step::default() }).words());
        let sinks_slice = b.floats(&sinks);
        let out = b.output(q.len());
        // Decode appends the newest itself.
        let newest = (last % self.capacity) as usize * row..((last % self.capacity) as usize + 1) * row;
        let mut before = [k.clone(), v.clone()];
        if decode {
            before.iter_mut().for_each(|cache| cache[newest.clone()].fill(-60_000.0));
        }
        let [k_slice, v_slice] = before.map(|cache| b.in_out(&self.cells(&cache)));
        let kv = KvCache { k: k_slice, v: v_slice, capacity: self.capacity, n_sequences: 1, dtype: self.dtype };
        if decode {
            let qkv = b.floats(&[&q[..], &k[newest.clone()], &v[newest]].concat());
            let nothing = b.floats(&[]);
            let rope = Rope { n_rot: 0, interleaved: false, concentration: 1.0, low: nothing, high: nothing };
            // The twin and the GPU may differ in what the merge reads.
            let parts = b.output(self.heads.parts_bytes(kv.n_parts(self.window)) as usize / 4);
            b.recording.flash_decode(self.heads, &rope, self.window, Pass::Alone, step, qkv, &kv, sinks_slice, parts, out);
        } else {
            let q_slice = b.floats(&q);
            b.recording.attention(self.heads, self.window, step, q_slice, &kv, sinks_slice, out, self.n_tokens);
        }
        let results = b.run();
        for (cache, expected) in [(kv.k, &k), (kv.v, &v)] {
            results.assert_words(&format!("the cache after {self:?}"), cache, &self.cells(expected));
        }

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
        results.assert_close(&format!("{self:?}, decode {decode}"), out, &expected);
    }

    /// A cache of these elements.
    fn cells(self, values: &[f32]) -> Vec<u32> {
        match self.dtype {
            KvType::F16 => bytes_to_words(&values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect::<Vec<u8>>()),
            KvType::F32 => values.iter().map(|v| v.to_bits()).collect(),
            KvType::Q8_0 => {
                let mut bytes: Vec<u8> = values.chunks(32).flat_map(|block| quantized(block).0).map(|byte| byte as u8).collect();
                for row in values.chunks(self.heads.dim as usize) {
                    let mut scales: Vec<f16> = row.chunks(32).map(|block| quantized(block).1).collect();
                    scales.resize(row.len().div_ceil(128) * 4, f16::from_f32(1e-30 / 127.0));
                    bytes.extend(scales.iter().flat_map(|scale| scale.to_le_bytes()));
                }
                bytes_to_words(&bytes)
            }
        }
    }
}

/// A block of q8_0.
fn quantized(block: &[f32]) -> (Vec<i8>, f16) {
    let top = block.iter().fold(1e-30f32, |top, v| top.max(v.abs()));
    (block.iter().map(|v| (127.0 * v / top).round() as i8).collect(), f16::from_f32(top / 127.0))
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
    Attention::at(150).heads(16, 2, 64).over_q8_0().test();
    Attention::at(150).heads(4, 2, 96).over_q8_0().test();
    Attention::at(150).heads(4, 4, 32).over_q8_0().n_tokens(20).test();
    Attention::at(90).heads(2, 1, 256).over_q8_0().test();
    Attention::at(150).heads(24, 2, 64).test();
    Attention::at(150).heads(20, 2, 64).n_tokens(3).test();
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

#[test]
fn a_context_of_131072_is_seen_to_its_beginning() {
    Attention::at(131_071).heads(2, 1, 64).run(true);
    Attention { position: 70_000, ..Attention::at(131_071).heads(2, 1, 64) }.run(true);
    Attention::at(131_071).window(128).test();
    // llvmpipe ends all loops of a thread after 65,535 turns in all, which are about as many keys of 64 elements, and more of fewer.
    Attention::at(50_000).heads(2, 1, 64).n_tokens(32).test();
    Attention::at(131_071 - 8).heads(2, 1, 16).n_tokens(9).test();
    Attention::at(131_071 - 8).heads(2, 1, 16).n_tokens(9).over_f32().test();
}

#[test]
fn not_a_bit_of_a_token_depends_on_those_that_come_with_it() {
    let (heads, n_tokens, capacity) = (Heads { n: 6, n_kv: 2, dim: 64 }, 45, 600);
    let mut random = Random(52);
    let (q, sinks) = (random.floats((n_tokens * heads.n * heads.dim) as usize, 3.0), random.floats(heads.n as usize, 1.0));
    let row = (heads.n_kv * heads.dim) as usize;
    let (k, v) = (random.floats(capacity as usize * row, 1.0), random.floats(capacity as usize * row, 1.0));
    for window in [u32::MAX, 100] {
        let attend = |first: u32, n: u32| {
            let mut b = Bench::default();
            let step = b.words(Steps::lone(Step { position: 321 + first, ..Step::default() }).words());
            let rows = (first * heads.n * heads.dim) as usize..((first + n) * heads.n * heads.dim) as usize;
            let (q, sinks) = (b.floats(&q[rows.clone()]), b.floats(&sinks));
            let kv = KvCache { k: b.floats(&k), v: b.floats(&v), capacity, n_sequences: 1, dtype: KvType::F32 };
            let out = b.output(rows.len());
            b.recording.attention(heads, window, step, q, &kv, sinks, out, n);
            b.run().words(out)[1].1.to_vec()
        };
        let at_once = attend(0, n_tokens);
        let in_chunks: Vec<u32> = [(0, 16), (16, 8), (24, 20), (44, 1)].into_iter().flat_map(|(first, n)| attend(first, n)).collect();
        assert!(at_once == in_chunks, "a window of {window}: chunks change what a token attends to");
    }
}

#[test]
fn a_halted_step_neither_looks_nor_appends() {
    let heads = Heads { n: 4, n_kv: 2, dim: 64 };
    let mut b = Bench::default();
    let step = b.words(Steps::lone(Step { position: 300, halt: 1, ..Step::default() }).words());
    let qkv = b.floats(&[1.0; 8 * 64]);
    let sinks = b.floats(&[0.0; 4]);
    let kv = KvCache { k: b.output(512 * 64), v: b.output(512 * 64), capacity: 512, n_sequences: 1, dtype: KvType::F16 };
    let (parts, out) = (b.output(heads.parts_bytes(kv.n_parts(u32::MAX)) as usize / 4), b.output(4 * 64));
    let nothing = b.floats(&[]);
    let rope = Rope { n_rot: 0, interleaved: false, concentration: 1.0, low: nothing, high: nothing };
    b.recording.flash_decode(heads, &rope, u32::MAX, Pass::Alone, step, qkv, &kv, sinks, parts, out);
    let results = b.run();
    for slice in [kv.k, kv.v, parts, out] {
        assert!(results.words(slice).iter().all(|(_, words)| words.iter().all(|word| *word == SENTINEL)));
    }
}
