// scores = logits + bias, with the repetition, frequency and presence penalties for what counts has
// seen. bias carries logit_bias and, at -1e30, the ids that must never be sampled. A request whose form is
// constrained has a mask, too: what it does not allow loses to all that it allows, whatever their bias.

const MASKED: f32 = -1e35;

struct Args {
    n_vocab: u32,
}

#import sampling

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<uniform> sampling: Sampling;
@group(0) @binding(2) var<storage, read> logits: array<f32>;   // [n_vocab]
@group(0) @binding(3) var<storage, read> bias: array<f32>;     // [n_vocab]
@group(0) @binding(4) var<storage, read> counts: array<u32>;   // [n_vocab]
@group(0) @binding(5) var<storage, read> mask: array<u32>;     // [n_vocab / 32], bit id % 32: whether id is allowed
@group(0) @binding(6) var<storage, read_write> scores: array<f32>;  // [n_vocab]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= args.n_vocab) {
        return;
    }
    var score = logits[id.x];
    let count = counts[id.x];
    if (count != 0u) {
        score = select(score * sampling.repetition, score / sampling.repetition, score > 0.0);
        let sampled = count & ~IN_PROMPT;
        if (sampled != 0u) {
            score -= sampling.frequency * f32(sampled) + sampling.presence;
        }
    }
    let is_allowed = sampling.is_masked == 0u || ((mask[id.x / 32u] >> (id.x % 32u)) & 1u) == 1u;
    scores[id.x] = select(MASKED, score + bias[id.x], is_allowed);
}
