use bytemuck::cast_slice;
use gguf::DType;
use kernels::Format;
use kernels::ops::{Experts, MoeSumArgs, Paging, Route, Swiglu};

use crate::bench::{Bench, SENTINEL};
use crate::random::Random;
use crate::weights::{Matrix, dot, odd_width, upload_experts};

/// Share of the sum of the terms' magnitudes that f32 sums may be off by.
const TOLERANCE: f64 = 2e-6;

/// What an output holds where nothing was written.
const UNTOUCHED: (f64, f64) = (f32::from_bits(SENTINEL) as f64, 0.0);

/// One mixture to test: `slots` experts are on the GPU, in parts of so many.
#[derive(Clone, Copy, Debug)]
struct Mixture {
    format: Format,
    n_cols: u32,
    n_rows: u32,
    n_tokens: u32,
    experts: Experts,
    slots: &'static [u32],
    swiglu: Swiglu,
}

impl Mixture {
    fn of(format: Format) -> Self {
        let experts = Experts { n: 6, n_used: 3 };
        Self { format, n_cols: odd_width(format), n_rows: 8, n_tokens: 1, experts, slots: &[5], swiglu: Swiglu::GPT_OSS }
    }

    fn n_cols(self, n_cols: u32) -> Self {
        Self { n_cols, ..self }
    }

    fn n_rows(self, n_rows: u32) -> Self {
        Self { n_rows, ..self }
    }

    fn n_tokens(self, n_tokens: u32) -> Self {
        Self { n_tokens, ..self }
    }

    fn slots(self, slots: &'static [u32]) -> Self {
        Self { slots, ..self }
    }

    fn experts(self, n: u32, n_used: u32) -> Self {
        Self { experts: Experts { n, n_used }, ..self }
    }

    fn swiglu(self, swiglu: Swiglu) -> Self {
        Self { swiglu, ..self }
    }

    fn n_slots(&self) -> u32 {
        self.slots.iter().sum()
    }

    /// Any expert in any slot, one choice in four of an expert that has none or was done before.
    fn routes(&self, random: &mut Random) -> Vec<Route> {
        let n = self.n_tokens * self.experts.n_used;
        let slot = |random: &mut Random| match random.below(8) {
            0 => Route::MISS,
            1 => Route::DONE,
            _ => random.below(self.n_slots()),
        };
        (0..n)
            .map(|_| Route { expert: random.below(self.experts.n), slot: slot(random), weight: random.float(0.5) + 0.5, pad: 0 })
            .collect()
    }

    fn matrices(&self, random: &mut Random) -> Vec<Matrix> {
        (0..self.n_slots()).map(|_| Matrix::random(self.format, self.n_cols, self.n_rows, random)).collect()
    }

    fn test_gate_up(self) {
        let mut random = Random(11);
        let (gate, up) = (self.matrices(&mut random), self.matrices(&mut random));
        let h = random.floats((self.n_tokens * self.n_cols) as usize, 2.0);
        let bias = random.floats((2 * self.experts.n * self.n_rows) as usize, 2.0);
        let routes = self.routes(&mut random);

        let mut b = Bench::default();
        let gate_weight = upload_experts(&mut b, &gate, self.n_cols, self.n_rows, self.slots);
        let up_weight = upload_experts(&mut b, &up, self.n_cols, self.n_rows, self.slots);
        let (h_slice, bias_slice, routes_slice) = (b.floats(&h), b.floats(&bias), b.words(cast_slice(&routes)));
        let act = b.output(routes.len() * self.n_rows as usize);
        let (swiglu, experts, n_tokens) = (self.swiglu, self.experts, self.n_tokens);
        b.recording.moe_gate_up_swiglu(&gate_weight, &up_weight, bias_slice, swiglu, experts, h_slice, routes_slice, act, n_tokens);
        let results = b.run();

        let (alpha, limit, shift) = (f64::from(swiglu.alpha), f64::from(swiglu.limit), f64::from(swiglu.shift));
        let mut expected = Vec::new();
        for (choice, route) in routes.iter().enumerate() {
            let token = choice / self.experts.n_used as usize;
            let h = &h[token * self.n_cols as usize..(token + 1) * self.n_cols as usize];
            for row in 0..self.n_rows {
                if route.slot >= self.n_slots() {
                    expected.push(UNTOUCHED);
                    continue;
                }
                let with_bias = |w: &Matrix, expert: u32| {
                    let bias = f64::from(bias[(expert * self.n_rows + row) as usize]);
                    let (value, magnitude) = dot(w.row(self.n_cols, row), h);
                    (value + bias, TOLERANCE * (magnitude + bias.abs()))
                };
                let (g, g_off) = with_bias(&gate[route.slot as usize], route.expert);
                let (u, u_off) = with_bias(&up[route.slot as usize], self.experts.n + route.expert);
                let (g, u) = (g.min(limit), u.clamp(-limit, limit));
                let silu = g / (1.0 + (-alpha * g).exp());
                let value = silu * (u + shift);
                // The slope of g * sigmoid(alpha * g) is at most 1.1; exp is a few units off.
                expected.push((value, 1.1 * g_off * (u + shift).abs() + u_off * silu.abs() + 2e-6 * (1.0 + g.abs()) * value.abs() + 1e-30));
            }
        }
        results.assert_close(&format!("gate and up of {self:?}"), act, &expected);
    }

    fn test_down(self) {
        let mut random = Random(12);
        let down = self.matrices(&mut random);
        let act = random.floats((self.n_tokens * self.experts.n_used * self.n_cols) as usize, 2.0);
        let bias = random.floats((self.experts.n * self.n_rows) as usize, 2.0);
        let routes = self.routes(&mut random);

        let mut b = Bench::default();
        let weight = upload_experts(&mut b, &down, self.n_cols, self.n_rows, self.slots);
        let (act_slice, bias_slice, routes_slice) = (b.floats(&act), b.floats(&bias), b.words(cast_slice(&routes)));
        let y = b.output(routes.len() * self.n_rows as usize);
        b.recording.moe_down(&weight, bias_slice, self.experts, act_slice, routes_slice, y, self.n_tokens);
        let results = b.run();

        let mut expected = Vec::new();
        for (route, act) in routes.iter().zip(act.chunks(self.n_cols as usize)) {
            for row in 0..self.n_rows {
                if route.slot >= self.n_slots() {
                    expected.push(UNTOUCHED);
                    continue;
                }
                let (sum, magnitude) = dot(down[route.slot as usize].row(self.n_cols, row), act);
                let bias = f64::from(bias[(route.expert * self.n_rows + row) as usize]);
                expected.push((sum + bias, TOLERANCE * (magnitude + bias.abs())));
            }
        }
        results.assert_close(&format!("down of {self:?}"), y, &expected);
    }
}

#[test]
fn gate_up_swiglu_is_right_for_every_format() {
    for format in Format::all() {
        Mixture::of(format).test_gate_up();
        Mixture::of(format).n_rows(11).n_tokens(4).slots(&[2, 3]).test_gate_up();
    }
}

#[test]
fn down_is_right_for_every_format() {
    for format in Format::all() {
        Mixture::of(format).test_down();
        Mixture::of(format).n_rows(11).n_tokens(4).slots(&[2, 3]).test_down();
    }
}

#[test]
fn experts_of_real_width_are_right() {
    let mxfp4 = Mixture::of(Format::new(DType::Mxfp4).unwrap()).n_cols(2880).n_rows(200).experts(32, 4).slots(&[3]);
    mxfp4.test_gate_up();
    mxfp4.n_tokens(2).test_down();
}

#[test]
fn a_dense_layer_is_one_expert_of_plain_swiglu() {
    let dense = Mixture::of(Format::new(DType::Q4_1).unwrap()).n_cols(576).n_rows(48).experts(1, 1).slots(&[1]).swiglu(Swiglu::PLAIN);
    dense.n_tokens(5).test_gate_up();
    dense.n_tokens(5).test_down();
}

#[test]
fn the_choices_of_a_token_are_summed_in_order_but_those_that_missed() {
    for (n_rows, n_used, n_tokens) in [(1, 1, 1), (64, 4, 2), (200, 3, 5), (2880, 4, 3)] {
        let mixture = Mixture::of(Format::new(DType::F32).unwrap()).n_tokens(n_tokens).experts(6, n_used);
        let mut random = Random(13);
        let routes = mixture.routes(&mut random);
        let mut y = random.floats(routes.len() * n_rows, 2.0);
        for (route, y) in routes.iter().zip(y.chunks_mut(n_rows)) {
            if route.slot == Route::MISS {
                y.fill(f32::NAN);
            }
        }
        let x = random.floats(n_tokens as usize * n_rows, 1.0);

        let mut b = Bench::default();
        let (y_slice, routes_slice, x_slice) = (b.floats(&y), b.words(cast_slice(&routes)), b.in_out_floats(&x));
        b.recording.moe_sum_residual(MoeSumArgs { n_rows: n_rows as u32, n_used }, y_slice, routes_slice, x_slice, n_tokens);

        let mut expected = Vec::new();
        for (i, x) in x.iter().enumerate() {
            let (token, row) = (i / n_rows, i % n_rows);
            let (mut value, mut magnitude) = (f64::from(*x), 1.0);
            for k in token * n_used as usize..(token + 1) * n_used as usize {
                if routes[k].slot != Route::MISS {
                    let term = f64::from(routes[k].weight) * f64::from(y[k * n_rows + row]);
                    value += term;
                    magnitude += term.abs();
                }
            }
            expected.push((value, 3e-7 * magnitude));
        }
        b.run().assert_close("sum of the experts", x_slice, &expected);
    }
}

/// A layer's experts on all tokens, with so many slots in so many parts: group after group of experts is put
/// into the slots, in the order of `order`.
fn in_groups(format: Format, slots: &[u32], order: &[u32]) -> [(&'static str, Vec<u32>); 2] {
    let (n_cols, n_rows, n_tokens) = (256, 96, 21);
    let experts = Experts { n: 6, n_used: 3 };
    let mut random = Random(14);
    let matrices = |random: &mut Random, n_cols, n_rows| (0..experts.n).map(|_| Matrix::random(format, n_cols, n_rows, random)).collect();
    let gate: Vec<Matrix> = matrices(&mut random, n_cols, n_rows * 8);
    let up: Vec<Matrix> = matrices(&mut random, n_cols, n_rows * 8);
    let down: Vec<Matrix> = matrices(&mut random, n_rows * 8, n_cols);
    let h = random.floats((n_tokens * n_cols) as usize, 1.0);
    let gate_up_bias = random.floats((2 * experts.n * n_rows * 8) as usize, 1.0);
    let down_bias = random.floats((experts.n * n_cols) as usize, 1.0);
    let first = random.below(experts.n);
    let routes: Vec<Route> = (0..n_tokens * experts.n_used)
        .map(|i| Route { expert: (first + i * i) % experts.n, slot: Route::MISS, weight: random.float(0.5) + 0.5, pad: 0 })
        .collect();

    let mut b = Bench::default();
    let (h, gate_up_bias, down_bias) = (b.floats(&h), b.floats(&gate_up_bias), b.floats(&down_bias));
    let routes = b.in_out(cast_slice(&routes));
    let (act, y) = (b.output((n_tokens * experts.n_used * n_rows * 8) as usize), b.output((n_tokens * experts.n_used * n_cols) as usize));
    let x = b.in_out_floats(&vec![1.0; (n_tokens * n_cols) as usize]);
    let n_slots = slots.iter().sum::<u32>() as usize;
    for group in order.chunks(n_slots) {
        // The last group may be small: other experts fill it up, and nobody asks for them.
        let mut here = group.to_vec();
        here.resize(n_slots, group[0]);
        let planes = |b: &mut Bench, all: &[Matrix], n_cols, n_rows| {
            let group: Vec<Matrix> = here.iter().map(|e| Matrix::new(format, all[*e as usize].raw.clone())).collect();
            upload_experts(b, &group, n_cols, n_rows, slots)
        };
        let (gate, up) = (planes(&mut b, &gate, n_cols, n_rows * 8), planes(&mut b, &up, n_cols, n_rows * 8));
        let down = planes(&mut b, &down, n_rows * 8, n_cols);
        let slot = |_, expert| group.iter().position(|e| *e == expert).map(|slot| slot as u32);
        let paging = Paging { whole: b.words(&Paging::words(1, experts.n, slot)), n_experts: experts.n };
        b.recording.route_slots(0, &paging, routes, n_tokens * experts.n_used);
        b.recording.moe_gate_up_swiglu(&gate, &up, gate_up_bias, Swiglu::GPT_OSS, experts, h, routes, act, n_tokens);
        b.recording.moe_down(&down, down_bias, experts, act, routes, y, n_tokens);
    }
    b.recording.moe_sum_residual(MoeSumArgs { n_rows: n_cols, n_used: experts.n_used }, y, routes, x, n_tokens);
    b.run().words(x).map(|(side, words)| (side, words.to_vec()))
}

#[test]
fn where_experts_lie_and_when_they_come_changes_no_bit() {
    for dtype in [DType::Mxfp4, DType::Q8_0, DType::F32] {
        let format = Format::new(dtype).unwrap();
        let all = in_groups(format, &[6], &[0, 1, 2, 3, 4, 5]);
        for (slots, order) in [(&[2, 4][..], [5, 3, 1, 0, 2, 4]), (&[4], [2, 1, 0, 5, 4, 3]), (&[1, 1], [4, 0, 5, 1, 3, 2])] {
            for ((side, words), (_, others)) in all.iter().zip(in_groups(format, slots, &order)) {
                assert!(*words == others, "{side}: {format:?} in {slots:?} slots, experts in the order {order:?}");
            }
        }
    }
}

/// With the clamps taken out the value is another.
#[test]
fn gate_and_up_are_clamped_at_the_limit() {
    let format = Format::new(DType::F32).unwrap();
    let (n_cols, n_rows) = (32, 1);
    let ones = || Matrix::new(format, 1f32.to_le_bytes().repeat(n_cols));
    for (sign, expected) in [(1.0, 7.0 / (1.0 + (-1.702f64 * 7.0).exp()) * 8.0), (-1.0, -32.0 / (1.0 + (1.702f64 * 32.0).exp()) * -6.0)] {
        let mut b = Bench::default();
        let gate = upload_experts(&mut b, &[ones()], n_cols as u32, n_rows, &[1]);
        let up = upload_experts(&mut b, &[ones()], n_cols as u32, n_rows, &[1]);
        let (h, bias) = (b.floats(&vec![sign; n_cols]), b.floats(&[0.0, 0.0]));
        let routes = b.words(cast_slice(&[Route { expert: 0, slot: 0, weight: 1.0, pad: 0 }]));
        let act = b.output(1);
        b.recording.moe_gate_up_swiglu(&gate, &up, bias, Swiglu::GPT_OSS, Experts { n: 1, n_used: 1 }, h, routes, act, 1);
        b.run().assert_close("swiglu beyond its limits", act, &[(expected, expected.abs() * 1e-4)]);
    }
}
