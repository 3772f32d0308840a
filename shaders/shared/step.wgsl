// What advances from step to step without the CPU, and whose token each row of a step is. A kernel has
// first_row among its args, and steps. A sequence may have drafts, rows that guess its next tokens: each has a step of its own,
// and all else is the sequence's.

const MAX_SEQUENCES: u32 = 16u;
// The row of a step of one sequence, however many tokens it has; those before it are a batch's.
const LONE: u32 = MAX_SEQUENCES;
const MAX_DRAFTS: u32 = 3u;
// What the row of a draft is above its sequence; of the next one, twice that.
const DRAFT: u32 = 32u;

// Of one sequence.
struct Step {
    position: u32,   // of its first token in this step
    n_sampled: u32,  // since the prompt
    halt: u32,       // 1 once a stop token was sampled; later steps change nothing
    seed: u32,
    token: u32,      // at this position, where the step has one token of it
    most: u32,       // sampled since the prompt: it halts then, too
    pad_a: u32,
    pad_b: u32,
}

struct Steps {
    rows: array<vec4<u32>, 5>,               // the sequence of each row
    // Of each sequence, then nobody's, which has halted, then of the drafts.
    each: array<Step, MAX_SEQUENCES + 1u + MAX_DRAFTS>,
}

fn entry_of(row: u32) -> u32 {
    let r = min(args.first_row + row, LONE);
    return steps.rows[r / 4u][r % 4u];
}

fn sequence_of(row: u32) -> u32 {
    return entry_of(row) % DRAFT;
}

// Where a row's step is among all.
fn step_of(row: u32) -> u32 {
    let entry = entry_of(row);
    return select(MAX_SEQUENCES + entry / DRAFT, entry, entry < DRAFT);
}
