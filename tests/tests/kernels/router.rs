use bytemuck::cast_slice;
use kernels::ops::{MAX_EXPERTS, Paging, Pass, Route, Router, RouterArgs, Steps};

use crate::bench::{Bench, SENTINEL};
use crate::random::Random;

const EPS: f32 = 1e-5;

/// Layers that the table has; the second is tested.
const N_LAYERS: u32 = 3;
const LAYER: u32 = 1;

/// Inputs of a router.
#[derive(Clone, Debug)]
struct Layer {
    args: RouterArgs,
    x: Vec<f32>,
    gain: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// Of each expert; of the other layers, none has one.
    slots: Vec<Option<u32>>,
    /// Before this layer.
    first_miss: u32,
}

impl Layer {
    fn random(n_cols: u32, n_experts: u32, n_used: u32, n_tokens: u32) -> Self {
        let mut random = Random(31);
        let mut floats = |n: u32, scale| random.floats(n as usize, scale);
        let (x, gain, weight, bias) =
            (floats(n_tokens * n_cols, 3.0), floats(n_cols, 2.0), floats(n_experts * n_cols, 0.3), floats(n_experts, 0.5));
        // Some experts have no slot, the others not their own number.
        let slots = (0..n_experts).map(|e| (e % 3 != 1).then_some((e * 7 + 2) % n_experts)).collect();
        let args = RouterArgs { n_cols, n_experts, n_used, eps: EPS, layer: LAYER, stand_ins: 0, first_row: 0 };
        Self { args, x, gain, weight, bias, slots, first_miss: Paging::NO_MISS }
    }

    /// Returns the experts chosen, token after token.
    fn test(&self) -> Vec<u32> {
        let RouterArgs { n_cols, n_experts, n_used, .. } = self.args;
        let n_tokens = self.x.len() as u32 / n_cols;
        let mut b = Bench::default();
        let x = b.floats(&self.x);
        let router = Router { gain: b.floats(&self.gain), weight: b.floats(&self.weight), bias: b.floats(&self.bias) };
        let slot = |layer, expert: u32| if layer == LAYER { self.slots[expert as usize] } else { None };
        let mut words = Paging::words(N_LAYERS, n_experts, slot);
        words[0] = self.first_miss;
        let paging = Paging { whole: b.in_out(&words), n_experts };
        let saved = b.output(self.x.len());
        let h = b.output(self.x.len());
        let routes = b.output((n_tokens * n_used) as usize * 4);
        let steps = b.words(Steps::new().words());
        b.recording.router_topk(self.args, x, &router, &paging, h, routes, saved, steps, Pass::of(n_tokens));
        let results = b.run();

        let (mut expected_h, mut chosen) = (Vec::new(), Vec::new());
        for token in 0..n_tokens as usize {
            let x = &self.x[token * n_cols as usize..(token + 1) * n_cols as usize];
            let mean = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / f64::from(n_cols);
            let inverse_rms = 1.0 / (mean + f64::from(EPS)).sqrt();
            let h: Vec<f64> = x.iter().zip(&self.gain).map(|(x, g)| f64::from(*x) * inverse_rms * f64::from(*g)).collect();
            expected_h.extend(h.iter().map(|v| (*v, v.abs() * 2e-6 + 1e-30)));

            let logit = |e: usize| {
                let row = &self.weight[e * n_cols as usize..(e + 1) * n_cols as usize];
                f64::from(self.bias[e]) + row.iter().zip(&h).map(|(w, h)| f64::from(*w) * h).sum::<f64>()
            };
            let logits: Vec<f64> = (0..n_experts as usize).map(logit).collect();
            let mut order: Vec<usize> = (0..logits.len()).collect();
            order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
            let wanted = &order[..n_used as usize];
            let mut others = order[n_used as usize..].iter().filter(|e| self.slots[**e].is_some());
            let stands_in = self.args.stand_ins == 1;
            let missing = |e: usize| stands_in && self.slots[e].is_none();
            let top: Vec<usize> = wanted.iter().map(|&e| if missing(e) { *others.next().unwrap_or(&e) } else { e }).collect();
            let best = top.iter().map(|e| logits[*e]).fold(f64::MIN, f64::max);
            let total: f64 = top.iter().map(|e| (logits[*e] - best).exp()).sum();
            for (k, (&e, &wanted)) in top.iter().zip(wanted).enumerate() {
                chosen.push(wanted as u32);
                let weight = (logits[e] - best).exp() / total;
                for (side, words) in results.words(routes) {
                    let route: &[Route] = bytemuck::cast_slice(words);
                    let route = route[token * n_used as usize + k];
                    assert_eq!(
                        (route.expert, route.slot, route.wanted),
                        (e as u32, self.slots[e].unwrap_or(Route::MISS), wanted as u32),
                        "{side}: choice {k} of token {token}"
                    );
                    assert!(
                        (f64::from(route.weight) - weight).abs() < 2e-5,
                        "{side}: weight {} of choice {k}, expected {weight}",
                        route.weight
                    );
                }
            }
        }
        results.assert_close("h", h, &expected_h);

        if chosen.iter().any(|e| self.slots[*e as usize].is_none()) {
            words[0] = self.first_miss.min(LAYER);
        }
        results.assert_words("paging", paging.whole, &words);
        match self.first_miss >= LAYER {
            true => results.assert_words("saved", saved, cast_slice(&self.x)),
            false => results.assert_words("saved", saved, &vec![SENTINEL; self.x.len()]),
        }
        chosen
    }
}

#[test]
fn the_router_is_right_at_the_sizes_of_gpt_oss() {
    Layer::random(2880, 32, 4, 2).test();
}

#[test]
fn the_router_is_right_for_ragged_sizes_and_several_tokens() {
    Layer::random(40, 100, 8, 3).test();
    Layer::random(36, 2, 1, 2).test();
    Layer::random(32, 5, 5, 1).test();
}

#[test]
fn the_router_has_room_for_its_largest_number_of_experts() {
    Layer::random(32, MAX_EXPERTS, 4, 1).test();
}

#[test]
fn equal_experts_are_chosen_from_the_lower_index() {
    let mut layer = Layer::random(32, 40, 4, 1);
    layer.weight.fill(0.0);
    layer.bias = (0..40).map(|e| if [39, 7, 8, 33, 20].contains(&e) { 2.0 } else { -1.0 }).collect();
    assert_eq!(layer.test(), [7, 8, 20, 33]);
    layer.bias.fill(0.0);
    assert_eq!(layer.test(), [0, 1, 2, 3]);
}

#[test]
fn very_low_logits_are_chosen_only_once() {
    let mut layer = Layer::random(32, 6, 4, 1);
    layer.weight.fill(0.0);
    layer.bias = vec![-1e30, -2e30, -3e30, -1e30, 5.0, -2e38];
    assert_eq!(layer.test(), [4, 0, 3, 1]);
}

#[test]
fn the_first_layer_that_misses_is_noted_and_what_its_experts_would_have_read_is_saved() {
    for first_miss in [Paging::NO_MISS, LAYER + 1, LAYER, 0] {
        let mut layer = Layer::random(40, 12, 3, 5);
        layer.first_miss = first_miss;
        layer.slots.fill(None);
        layer.test();
        layer.slots = (0..12).map(Some).collect();
        let chosen = layer.test();
        // One token's expert alone is missing: the last choice of the last token.
        layer.slots[*chosen.last().unwrap() as usize] = None;
        layer.test();
    }
}

#[test]
fn the_best_experts_that_have_slots_stand_in_for_those_that_have_none() {
    for (n_experts, n_used) in [(32, 4), (12, 3), (5, 4)] {
        let mut layer = Layer::random(40, n_experts, n_used, 7);
        layer.args.stand_ins = 1;
        layer.test();
        // More are missing than can be stood in for, or all.
        for n_slots in [0, 1, 2] {
            layer.slots = (0..n_experts).map(|e| (e < n_slots).then(|| n_slots - 1 - e)).collect();
            layer.test();
        }
    }
}

#[test]
fn routes_of_the_next_group_are_done_or_looked_up_once_more() {
    for n in [1usize, 64, 100] {
        let mut random = Random(32);
        let slots = [Route::MISS, Route::DONE, 0, 5];
        let routes: Vec<Route> = (0..n)
            .map(|_| Route { expert: random.below(9), slot: slots[random.below(4) as usize], weight: random.float(1.0), wanted: 0 })
            .collect();
        let slot = |layer: u32, expert: u32| expert.is_multiple_of(2).then_some(layer * 100 + expert);
        let mut b = Bench::default();
        let paging = Paging { whole: b.words(&Paging::words(N_LAYERS, 9, slot)), n_experts: 9 };
        let routes_slice = b.in_out(cast_slice(&routes));
        b.recording.route_slots(LAYER, &paging, routes_slice, n as u32);
        let expected: Vec<Route> = routes
            .iter()
            .map(|route| match route.slot {
                Route::MISS => Route { slot: slot(LAYER, route.expert).unwrap_or(Route::MISS), ..*route },
                _ => Route { slot: Route::DONE, ..*route },
            })
            .collect();
        b.run().assert_words("routes", routes_slice, cast_slice(&expected));
    }
}

#[test]
fn rows_that_have_halted_choose_nobody_and_the_others_as_without_them() {
    let layer = Layer::random(64, 9, 2, 4);
    let run = |halted: &[usize]| {
        let mut b = Bench::default();
        let mut steps = Steps::new();
        // Sequences in another order than rows, and one row that nobody has.
        steps.rows[..4].copy_from_slice(&[7, 2, Steps::NOBODY, 0]);
        halted.iter().for_each(|sequence| steps.each[*sequence].halt = 1);
        let x = b.floats(&layer.x);
        let router = Router { gain: b.floats(&layer.gain), weight: b.floats(&layer.weight), bias: b.floats(&layer.bias) };
        let slot = |l, expert: u32| if l == LAYER { layer.slots[expert as usize] } else { None };
        let paging = Paging { whole: b.in_out(&Paging::words(N_LAYERS, 9, slot)), n_experts: 9 };
        let (h, saved, routes) = (b.output(layer.x.len()), b.output(layer.x.len()), b.output(4 * 2 * 4));
        let steps = b.words(steps.words());
        b.recording.router_topk(layer.args, x, &router, &paging, h, routes, saved, steps, Pass::Batch { n: 4, most: 8 });
        let results = b.run();
        let [_, (_, words)] = results.words(routes);
        let first_miss = results.words(paging.whole).map(|(_, words)| words[0]);
        (cast_slice::<u32, Route>(words).to_vec(), first_miss)
    };
    let choices = |routes: &[Route]| routes.iter().map(|r| (r.expert, r.slot, r.weight.to_bits())).collect::<Vec<_>>();
    let nobody = vec![(0, Route::DONE, 0); 2];
    let (all, first_miss) = run(&[]);
    assert_eq!((choices(&all[4..6]), first_miss), (nobody.clone(), [LAYER; 2]));
    let (some, _) = run(&[2]);
    assert_eq!(choices(&some[2..4]), nobody);
    for row in [0, 3] {
        assert_eq!(choices(&some[2 * row..2 * row + 2]), choices(&all[2 * row..2 * row + 2]));
    }
    assert_eq!(run(&[0, 2, 7]).1, [Paging::NO_MISS; 2]);
}
