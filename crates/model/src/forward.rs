//! The forward pass, top down.

use kernels::Recording;
use kernels::ops::{Choices, MoeSumArgs, Pass, RouterArgs, Rows};

use crate::weights::Model;

impl Model {
    /// One prefill chunk, from `state.tokens`, or decode step, of each row's token: the residual stream of all tokens
    /// through all layers, at the positions that `state.steps` say. Where experts were missing, it can
    /// be taken up again from `state.saved` at the router of the first layer that missed one.
    pub fn forward(&self, pass: Pass) -> Recording {
        let mut rec = Recording::default();
        self.embed(&mut rec, pass);
        for layer in 0..self.layers.len() {
            self.attention(&mut rec, layer, pass);
            self.route(&mut rec, layer, pass, false);
            self.experts(&mut rec, layer, pass);
            self.combine(&mut rec, layer, pass);
        }
        rec
    }

    /// `x (n_tokens, n_embd)` of the tokens.
    pub fn embed(&self, rec: &mut Recording, pass: Pass) {
        let s = &self.state;
        rec.get_rows(&self.token_embd, s.tokens, s.steps, s.x, pass);
    }

    /// `x += Wo attention(rope(Wq h), rope(Wk h), Wv h) + bo`, `h = rms(x)`.
    pub fn attention(&self, rec: &mut Recording, layer: usize, pass: Pass) {
        let (config, s, layer) = (&self.config, &self.state, &self.layers[layer]);
        let heads = config.heads;
        let stride = (heads.n + 2 * heads.n_kv) * heads.dim;
        for proj in &layer.qkv {
            let y = Rows { y: s.qkv, first: proj.first, stride };
            rec.rms_matmul_bias(&proj.weight, s.x, layer.attn_norm, config.eps, proj.bias, y, pass);
        }
        match pass {
            Pass::Chunk(n) => {
                rec.rope_append(heads, &self.rope, s.steps, s.qkv, s.q, &layer.kv, n);
                rec.attention(heads, layer.window, s.steps, s.q, &layer.kv, layer.sinks, s.attn, n);
            }
            Pass::Alone | Pass::Batch { .. } | Pass::Drafts { .. } => {
                rec.flash_decode(heads, &self.rope, layer.window, pass, s.steps, s.qkv, &layer.kv, layer.sinks, s.parts, s.attn);
            }
        }
        let x = Rows { y: s.x, first: 0, stride: config.n_embd };
        rec.matmul_bias_residual(&layer.attn_output, s.attn, layer.attn_output_bias, x, pass);
    }

    /// `h = rms(x)`, and the experts that each token is for, with their slots. With `stand_ins` others take the places of
    /// those that are missing. A dense layer is one expert of weight 1.
    pub fn route(&self, rec: &mut Recording, layer: usize, pass: Pass, stand_ins: bool) {
        let (config, s) = (&self.config, &self.state);
        let (n_cols, eps) = (config.n_embd, config.eps);
        match &self.layers[layer].router {
            Some(router) => {
                let experts = config.experts;
                let args = RouterArgs {
                    n_cols,
                    n_experts: experts.n,
                    n_used: experts.n_used,
                    eps,
                    layer: layer as u32,
                    stand_ins: stand_ins.into(),
                    first_row: 0,
                };
                rec.router_topk(args, s.x, router, &s.paging, s.h, s.routes[layer], s.saved, s.steps, pass);
            }
            None => rec.rms_norm(s.x, self.layers[layer].ffn_norm, eps, s.h, n_cols, pass.n_tokens()),
        }
    }

    /// Readies what [`Model::route`] found for the next group of experts: choices that had their slot are
    /// done, the others are looked up in the slot table as it now is.
    pub fn route_slots(&self, rec: &mut Recording, layer: usize, pass: Pass) {
        let s = &self.state;
        rec.route_slots(layer as u32, &s.paging, s.routes[layer], pass.n_tokens() * self.config.experts.n_used);
    }

    /// `y_e = Wd_e swiglu(Wg_e h + bg_e, Wu_e h + bu_e) + bd_e` for each choice whose expert e has a slot.
    pub fn experts(&self, rec: &mut Recording, layer: usize, pass: Pass) {
        let (config, s) = (&self.config, &self.state);
        let (routes, always_in_tiles) = (s.routes[layer], self.always_in_tiles);
        let choices = Choices { experts: config.experts, pass, routes, tiles: s.tiles, always_in_tiles };
        let layer = &self.layers[layer];
        rec.moe_group(&choices);
        rec.moe_gate_up_swiglu(&layer.gate, &layer.up, layer.gate_up_bias, config.swiglu, s.h, &choices, s.act);
        rec.moe_down(&layer.down, layer.down_bias, s.act, &choices, s.y);
    }

    /// `x += sum of w_e y_e` over the experts e that the router chose, but those that are missing.
    pub fn combine(&self, rec: &mut Recording, layer: usize, pass: Pass) {
        let (config, s) = (&self.config, &self.state);
        let args = MoeSumArgs { n_rows: config.n_embd, n_used: config.experts.n_used };
        rec.moe_sum_residual(args, s.y, s.routes[layer], s.x, pass.n_tokens());
    }

    /// Logits of the tokens of `pass` into `state.logits`, from row `first_token` of the residual stream on.
    pub fn head(&self, rec: &mut Recording, first_token: u32, pass: Pass) {
        let y = Rows { y: self.state.logits, first: 0, stride: self.config.n_vocab };
        rec.rms_matmul(&self.output, self.state.x, self.output_norm, self.config.eps, y, first_token, pass);
    }

    /// All layers, then the logits after the last token of a chunk, or after each row's.
    pub fn forward_and_head(&self, pass: Pass) -> Recording {
        let mut rec = self.forward(pass);
        self.last_head(&mut rec, pass);
        rec
    }

    fn last_head(&self, rec: &mut Recording, pass: Pass) {
        match pass {
            Pass::Chunk(n) => self.head(rec, n - 1, Pass::Alone),
            Pass::Alone | Pass::Batch { .. } | Pass::Drafts { .. } => self.head(rec, 0, pass),
        }
    }

    /// Draws the token after the last one of a chunk, or after each row's.
    pub fn sample(&self, rec: &mut Recording, pass: Pass) {
        self.last_head(rec, pass);
        rec.sample(self.config.n_vocab, &self.state.sampler, pass);
    }
}
