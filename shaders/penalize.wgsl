// scores = logits + bias, with the repetition, frequency and presence penalties for what counts has
// seen. bias carries logit_bias and, at -1e30, the ids that must never be sampled.

struct Args {
    n_vocab: u32,
}

#import sampling

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<uniform> sampling: Sampling;
@group(0) @binding(2) var<storage, read> logits: array<f32>;   // [n_vocab]
@group(0) @binding(3) var<storage, read> bias: array<f32>;     // [n_vocab]
@group(0) @binding(4) var<storage, read> counts: array<u32>;   // [n_vocab]
@group(0) @binding(5) var<storage, read_write> scores: array<f32>;  // [n_vocab]

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
    scores[id.x] = score + bias[id.x];
}
