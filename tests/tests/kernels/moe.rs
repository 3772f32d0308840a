use bytemuck::cast_slice;
use gguf::DType;
use kernels::Format;
use kernels::ops::{Choices, ExpertWeight, Experts, MoeSumArgs, Paging, Pass, Route, Swiglu, TileHeader};

use crate::bench::{Bench, GUARD, SENTINEL};
use crate::random::Random;
use crate::weights::{Matrix, dot, formats, odd_width, upload_experts};

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
    pass: Pass,
    experts: Experts,
    slots: &'static [u32],
    swiglu: Swiglu,
}

/// Routes and room for their tiles.
fn choices(b: &mut Bench, experts: Experts, pass: Pass, routes: &[Route]) -> Choices {
    let n_tokens = pass.n_tokens();
    let tiles = b.output(Choices::tiles_bytes(experts, n_tokens) as usize / 4);
    Choices { experts, pass, routes: b.in_out(cast_slice(routes)), tiles, always_in_tiles: n_tokens > 4 }
}

impl Mixture {
    fn of(format: Format) -> Self {
        let experts = Experts { n: 6, n_used: 3 };
        Self { format, n_cols: odd_width(format), n_rows: 8, pass: Pass::Alone, experts, slots: &[5], swiglu: Swiglu::GPT_OSS }
    }

    fn n_cols(self, n_cols: u32) -> Self {
        Self { n_cols, ..self }
    }

    fn n_rows(self, n_rows: u32) -> Self {
        Self { n_rows, ..self }
    }

    fn n_tokens(self, n_tokens: u32) -> Self {
        Self { pass: Pass::of(n_tokens), ..self }
    }

    fn batch(self, n: u32) -> Self {
        Self { pass: Pass::Batch { n, most: 16 }, ..self }
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

    /// Any expert in any slot; one in four has none, or was done before.
    fn routes(&self, random: &mut Random) -> Vec<Route> {
        let slots: Vec<u32> = (0..self.experts.n)
            .map(|_| match random.below(8) {
                0 => Route::MISS,
                1 => Route::DONE,
                _ => random.below(self.n_slots()),
            })
            .collect();
        (0..self.pass.n_tokens() * self.experts.n_used)
            .map(|_| {
                let expert = random.below(self.experts.n);
                Route { expert, slot: slots[expert as usize], weight: random.float(0.5) + 0.5, wanted: 0 }
            })
            .collect()
    }

    fn choices(&self, b: &mut Bench, routes: &[Route]) -> Choices {
        choices(b, self.experts, self.pass, routes)
    }

    fn matrices(&self, random: &mut Random) -> Vec<Matrix> {
        (0..self.n_slots()).map(|_| Matrix::random(self.format, self.n_cols, self.n_rows, random)).collect()
    }

    fn test_gate_up(self) {
        let mut random = Random(11);
        let (gate, up) = (self.matrices(&mut random), self.matrices(&mut random));
        let h = random.floats((self.pass.n_tokens() * self.n_cols) as usize, 2.0);
        let bias = random.floats((2 * self.experts.n * self.n_rows) as usize, 2.0);
        let routes = self.routes(&mut random);

        let mut b = Bench::default();
        let gate_weight = upload_experts(&mut b, &gate, self.n_cols, self.n_rows, self.slots);
        let up_weight = upload_experts(&mut b, &up, self.n_cols, self.n_rows, self.slots);
        let (h_slice, bias_slice, choices) = (b.floats(&h), b.floats(&bias), self.choices(&mut b, &routes));
        let act = b.output(routes.len() * self.n_rows as usize);
        let swiglu = self.swiglu;
        b.recording.moe_group(&choices);
        b.recording.moe_gate_up_swiglu(&gate_weight, &up_weight, bias_slice, swiglu, h_slice, &choices, act);
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
        let act = random.floats((self.pass.n_tokens() * self.experts.n_used * self.n_cols) as usize, 2.0);
        let bias = random.floats((self.experts.n * self.n_rows) as usize, 2.0);
        let routes = self.routes(&mut random);

        let mut b = Bench::default();
        let weight = upload_experts(&mut b, &down, self.n_cols, self.n_rows, self.slots);
        let (act_slice, bias_slice, choices) = (b.floats(&act), b.floats(&bias), self.choices(&mut b, &routes));
        let y = b.output(routes.len() * self.n_rows as usize);
        b.recording.moe_group(&choices);
        b.recording.moe_down(&weight, bias_slice, act_slice, &choices, y);
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
    for format in formats(3) {
        Mixture::of(format).test_gate_up();
        Mixture::of(format).n_rows(70).n_tokens(2).slots(&[2, 3]).test_gate_up();
    }
}

#[test]
fn down_is_right_for_every_format() {
    for format in formats(4) {
        Mixture::of(format).test_down();
        Mixture::of(format).n_rows(70).n_tokens(2).slots(&[2, 3]).test_down();
    }
}

#[test]
fn choices_in_tiles_are_right() {
    for dtype in [DType::Mxfp4, DType::Q4_1, DType::Q4K] {
        let tiles = Mixture::of(Format::new(dtype).unwrap()).n_tokens(6);
        tiles.test_gate_up();
        tiles.n_rows(70).slots(&[2, 3]).test_gate_up();
    }
    for format in formats(0) {
        Mixture::of(format).n_tokens(6).test_down();
        Mixture::of(format).n_rows(130).n_tokens(6).slots(&[2, 3]).test_down();
    }
}

#[test]
fn experts_of_real_width_are_right() {
    let mxfp4 = Mixture::of(Format::new(DType::Mxfp4).unwrap()).n_cols(2880).n_rows(200).experts(32, 4).slots(&[3]);
    mxfp4.test_gate_up();
    mxfp4.n_tokens(2).test_down();
    mxfp4.n_tokens(17).test_gate_up();
    mxfp4.n_tokens(17).test_down();
}

#[test]
fn choices_of_a_batch_are_right() {
    for dtype in [DType::Mxfp4, DType::F32] {
        for n in [1, 7] {
            let batch = Mixture::of(Format::new(dtype).unwrap()).n_rows(70).slots(&[2, 3]).batch(n);
            batch.test_gate_up();
            batch.test_down();
        }
    }
}

#[test]
fn blocks_of_choices_are_right() {
    // Six experts for 210 choices: more than a block of 32 for some.
    let many = Mixture::of(Format::new(DType::Mxfp4).unwrap()).n_rows(70).n_tokens(70).slots(&[2, 3]);
    many.test_gate_up();
    many.test_down();
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

/// A layer of six experts, three used, whose rows and columns end within a workgroup's.
#[derive(Debug)]
struct Layer {
    format: Format,
    gate: Vec<Matrix>,
    up: Vec<Matrix>,
    down: Vec<Matrix>,
    gate_up_bias: Vec<f32>,
    down_bias: Vec<f32>,
    /// `[n_tokens, N_EMBD]`
    h: Vec<f32>,
    /// Of every token; none has a slot.
    routes: Vec<Route>,
}

const EXPERTS: Experts = Experts { n: 6, n_used: 3 };
const N_EMBD: u32 = 288;
const N_FFN: u32 = 416;

impl Layer {
    fn random(dtype: DType, n_tokens: u32) -> Self {
        let format = Format::new(dtype).unwrap();
        let mut random = Random(14);
        let mut matrices = |n_cols, n_rows| (0..EXPERTS.n).map(|_| Matrix::random(format, n_cols, n_rows, &mut random)).collect();
        let (gate, up, down) = (matrices(N_EMBD, N_FFN), matrices(N_EMBD, N_FFN), matrices(N_FFN, N_EMBD));
        let gate_up_bias = random.floats((2 * EXPERTS.n * N_FFN) as usize, 1.0);
        let down_bias = random.floats((EXPERTS.n * N_EMBD) as usize, 1.0);
        let h = random.floats((n_tokens * N_EMBD) as usize, 1.0);
        let routes = (0..n_tokens * EXPERTS.n_used)
            .map(|_| Route { expert: random.below(EXPERTS.n), slot: Route::MISS, weight: random.float(0.5) + 0.5, wanted: 0 })
            .collect();
        Self { format, gate, up, down, gate_up_bias, down_bias, h, routes }
    }

    /// What the experts add to the tokens, with so many slots in so many parts: group after group of experts is put into
    /// the slots, in the order of `order`.
    fn run(&self, slots: &[u32], order: &[u32]) -> [(&'static str, Vec<u32>); 2] {
        let n_tokens = self.routes.len() as u32 / EXPERTS.n_used;
        let mut b = Bench::default();
        let h = b.floats(&self.h);
        let (gate_up_bias, down_bias) = (b.floats(&self.gate_up_bias), b.floats(&self.down_bias));
        let choices = choices(&mut b, EXPERTS, Pass::of(n_tokens), &self.routes);
        let act = b.output((n_tokens * EXPERTS.n_used * N_FFN) as usize);
        let y = b.output((n_tokens * EXPERTS.n_used * N_EMBD) as usize);
        let x = b.in_out_floats(&vec![1.0; self.h.len()]);
        for group in order.chunks(slots.iter().sum::<u32>() as usize) {
            let [gate, up] = [&self.gate, &self.up].map(|all| self.upload(&mut b, all, N_EMBD, N_FFN, group, slots));
            let down = self.upload(&mut b, &self.down, N_FFN, N_EMBD, group, slots);
            let slot = |_, expert| group.iter().position(|e| *e == expert).map(|slot| slot as u32);
            let paging = Paging { whole: b.words(&Paging::words(1, EXPERTS.n, slot)), n_experts: EXPERTS.n };
            b.recording.route_slots(0, &paging, choices.routes, n_tokens * EXPERTS.n_used);
            b.recording.moe_group(&choices);
            b.recording.moe_gate_up_swiglu(&gate, &up, gate_up_bias, Swiglu::GPT_OSS, h, &choices, act);
            b.recording.moe_down(&down, down_bias, act, &choices, y);
        }
        b.recording.moe_sum_residual(MoeSumArgs { n_rows: N_EMBD, n_used: EXPERTS.n_used }, y, choices.routes, x, n_tokens);
        b.run().words(x).map(|(side, words)| (side, words.to_vec()))
    }

    /// Slots that `group` leaves empty hold an expert that nobody asks for.
    fn upload(&self, b: &mut Bench, all: &[Matrix], n_cols: u32, n_rows: u32, group: &[u32], slots: &[u32]) -> ExpertWeight {
        let expert = |slot: u32| all[*group.get(slot as usize).unwrap_or(&0) as usize].raw.clone();
        let here: Vec<Matrix> = (0..slots.iter().sum()).map(|slot| Matrix::new(self.format, expert(slot))).collect();
        upload_experts(b, &here, n_cols, n_rows, slots)
    }
}

#[test]
fn where_experts_lie_and_when_they_come_changes_no_bit() {
    for dtype in [DType::Mxfp4, DType::Q8_0, DType::F32] {
        for n_tokens in [1, 11] {
            let layer = Layer::random(dtype, n_tokens);
            let all = layer.run(&[6], &[0, 1, 2, 3, 4, 5]);
            for (slots, order) in [(&[2, 4][..], [5, 3, 1, 0, 2, 4]), (&[4], [2, 1, 0, 5, 4, 3]), (&[1, 1], [4, 0, 5, 1, 3, 2])] {
                for ((side, words), (_, others)) in all.iter().zip(layer.run(slots, &order)) {
                    assert!(*words == others, "{side}: {n_tokens} tokens, {dtype:?} in {slots:?} slots, experts in the order {order:?}");
                }
            }
        }
    }
}

#[test]
fn choices_are_grouped_by_expert_in_their_order() {
    // Every expert with one choice more than a whole tile, so that not a tile is to spare: of four, and of 32.
    let [worst_of_4, worst_of_32] = [5, 33].map(|n| -> Vec<u32> { (0..n * 16).map(|i| i % 16).collect() });
    let random = |n_experts, n| -> Vec<u32> {
        let mut random = Random(15);
        (0..n).map(|_| random.below(n_experts)).collect()
    };
    for (n, n_used, experts) in [
        (1, 1, vec![0; 7]),
        (1, 1, vec![0; 19]),
        (16, 4, worst_of_4),
        (16, 4, worst_of_32),
        (256, 8, random(256, 65 * 8)),
        (8, 2, random(8, 512 * 2)),
        (6, 3, random(6, 27)),
    ] {
        let slot = |expert| [Route::MISS, Route::DONE, 7, expert, 0, 255][expert as usize * 7 % 11 % 6];
        for all_are_here in [true, false] {
            let slot = |expert| if all_are_here { expert + 1 } else { slot(expert) };
            let routes: Vec<Route> = experts.iter().map(|&e| Route { expert: e, slot: slot(e), weight: 0.0, wanted: 0 }).collect();
            let (experts, n_tokens) = (Experts { n, n_used }, experts.len() as u32 / n_used);
            let mut b = Bench::default();
            let choices = choices(&mut b, experts, Pass::of(n_tokens), &routes);
            b.recording.moe_group(&choices);
            let results = b.run();
            let room = choices.tiles.bytes as usize / 4 - GUARD;
            results.assert_words("tiles", choices.tiles, &tiles_of(&routes, 4, experts, room));
            results.assert_wide_words("tiles", choices.tiles, &tiles_of(&routes, 32, experts, room));
        }
    }
}

/// Choices of `routes` by expert, in tiles of up to `cols`, as words in so much `room`.
fn tiles_of(routes: &[Route], cols: usize, experts: Experts, room: usize) -> Vec<u32> {
    let mut words = Vec::new();
    let put = |words: &mut Vec<u32>, header: TileHeader, choices: &[u32]| {
        words.extend_from_slice(&cast_slice::<_, u32>(&[header])[..3]);
        words.push(SENTINEL);
        words.extend((0..cols).map(|c| choices.get(c).or(choices.first()).copied().unwrap_or(SENTINEL)));
    };
    for expert in 0..experts.n {
        let its: Vec<u32> =
            (0..routes.len()).filter(|i| routes[*i].expert == expert && routes[*i].slot < Route::DONE).map(|i| i as u32).collect();
        for tile in its.chunks(cols) {
            let slot = routes[tile[0] as usize].slot;
            put(&mut words, TileHeader { expert, slot, n_choices: tile.len() as u32, pad: 0 }, tile);
        }
    }
    let most = (routes.len() + (cols - 1) * routes.len().min(experts.n as usize)) / cols;
    assert!(words.len() <= most * (4 + cols), "{} words of tiles, room for {most} tiles", words.len());
    while words.len() < most * (4 + cols) {
        put(&mut words, TileHeader { expert: 0, slot: Route::MISS, n_choices: 0, pad: 0 }, &[]);
    }
    words.resize(room, SENTINEL);
    words
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
        let choices = choices(&mut b, Experts { n: 1, n_used: 1 }, Pass::Alone, &[Route { expert: 0, slot: 0, weight: 1.0, wanted: 0 }]);
        let act = b.output(1);
        b.recording.moe_gate_up_swiglu(&gate, &up, bias, Swiglu::GPT_OSS, h, &choices, act);
        b.run().assert_close("swiglu beyond its limits", act, &[(expected, expected.abs() * 1e-4)]);
    }
}
