use bytemuck::cast_slice;
use gguf::DType;
use kernels::Format;
use kernels::ops::{Experts, Route, Swiglu};

use crate::bench::Bench;
use crate::random::Random;
use crate::weights::{Matrix, dot, odd_width, upload_experts};

/// Share of the sum of the terms' magnitudes that f32 sums may be off by.
const TOLERANCE: f64 = 2e-6;

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

    /// Any expert in any slot, one choice in four of an expert that has none.
    fn routes(&self, random: &mut Random) -> Vec<Route> {
        let n = self.n_tokens * self.experts.n_used;
        let slot = |random: &mut Random| if random.below(4) == 0 { Route::MISS } else { random.below(self.n_slots()) };
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
                if route.slot == Route::MISS {
                    expected.push((0.0, 0.0));
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
        let x = random.floats((self.n_tokens * self.n_rows) as usize, 1.0);
        let routes = self.routes(&mut random);

        let mut b = Bench::default();
        let weight = upload_experts(&mut b, &down, self.n_cols, self.n_rows, self.slots);
        let (act_slice, bias_slice, routes_slice) = (b.floats(&act), b.floats(&bias), b.words(cast_slice(&routes)));
        let x_slice = b.in_out_floats(&x);
        b.recording.moe_down_residual(&weight, bias_slice, self.experts, act_slice, routes_slice, x_slice, self.n_tokens);
        let results = b.run();

        let mut expected = Vec::new();
        for (i, x) in x.iter().enumerate() {
            let (token, row) = (i as u32 / self.n_rows, i as u32 % self.n_rows);
            let (mut value, mut off) = (f64::from(*x), TOLERANCE);
            for k in token * self.experts.n_used..(token + 1) * self.experts.n_used {
                let route = routes[k as usize];
                if route.slot == Route::MISS {
                    continue;
                }
                let act = &act[(k * self.n_cols) as usize..((k + 1) * self.n_cols) as usize];
                let (sum, magnitude) = dot(down[route.slot as usize].row(self.n_cols, row), act);
                let bias = f64::from(bias[(route.expert * self.n_rows + row) as usize]);
                value += f64::from(route.weight) * (sum + bias);
                off += TOLERANCE * f64::from(route.weight) * (magnitude + bias.abs());
            }
            expected.push((value, off));
        }
        results.assert_close(&format!("down of {self:?}"), x_slice, &expected);
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
fn down_residual_is_right_for_every_format() {
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
