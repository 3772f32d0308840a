// scores = logits + bias, with the repetition, frequency and presence penalties for what counts has
// seen. bias carries logit_bias and, at -1e30, the ids that must never be sampled. A request whose form is
// constrained has a mask, too: what it does not allow loses to all that it allows, whatever their bias.

const MASKED: f32 = -1e35;

struct Args {
    n_vocab: u32,
    first_row: u32,  // of the step
}

#import step
#import sampling

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<uniform> samplings: array<Sampling, MAX_SEQUENCES>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;   // [rows, n_vocab]
@group(0) @binding(3) var<storage, read> bias: array<f32>;     // [n_sequences, n_vocab]
@group(0) @binding(4) var<storage, read> counts: array<u32>;   // [n_sequences, n_vocab]
@group(0) @binding(5) var<storage, read> mask: array<u32>;     // [n_sequences, n_vocab / 32], bit id % 32: whether id is allowed
@group(0) @binding(6) var<storage, read_write> scores: array<f32>;  // [rows, n_vocab]
@group(0) @binding(7) var<uniform> steps: Steps;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let sequence = sequence_of(id.y);
    if (id.x >= args.n_vocab || steps.each[step_of(id.y)].halt != 0u) {
        return;
    }
    let sampling = samplings[sequence];
    let of_row = id.y * args.n_vocab + id.x;
    let of_sequence = sequence * args.n_vocab + id.x;
    var score = logits[of_row];
    let count = counts[of_sequence];
    if (count != 0u) {
        score = select(score * sampling.repetition, score / sampling.repetition, score > 0.0);
        let sampled = count & ~IN_PROMPT;
        if (sampled != 0u) {
            score -= sampling.frequency * f32(sampled) + sampling.presence;
        }
    }
    let is_allowed = sampling.is_masked == 0u || ((mask[sequence * ((args.n_vocab + 31u) / 32u) + id.x / 32u] >> (id.x % 32u)) & 1u) == 1u;
    scores[of_row] = select(MASKED, score + bias[of_sequence], is_allowed);
}
