// Attention of a chunk's tokens, which are of one sequence, over a cache that has their keys already. A workgroup works for some query
// rows of one KV head, neighbouring tokens with all heads that share it, and passes over the keys that any
// of them sees in tiles; a row leaves out what it does not see itself. Tiles begin at multiples of their
// size, so that not a bit of a token depends on which others come with it. The sum starts from the sink,
// which takes part in it and has no value.

const THREADS: u32 = 64u;

struct Args {
    n_tokens: u32,
    n_heads: u32,
    n_kv_heads: u32,
    head_dim: u32,  // a multiple of 8
    capacity: u32,  // positions the cache holds of a sequence
    n_sequences: u32,  // that the cache holds
    first_row: u32, // of the step
    window: u32,    // keys that a query sees, itself included
    n_groups: u32,  // of eight query rows a workgroup
    scale: f32,
}

#import step
#import flash

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<uniform> steps: Steps;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;       // [n_tokens, n_heads, head_dim]
@group(0) @binding(3) var<storage, read> k_cache: array<Cell>;      // [n_sequences, capacity, n_kv_heads, head_dim]
@group(0) @binding(4) var<storage, read> v_cache: array<Cell>;
@group(0) @binding(5) var<storage, read> sinks: array<f32>;         // [n_heads]
@group(0) @binding(6) var<storage, read_write> out: array<vec4<f32>>;  // [n_tokens, n_heads, head_dim]

var<workgroup> cache_rows: array<u32, 2u * THREADS>;  // of the keys of a tile

// The token of a row, and the row of q and out, with all heads of all tokens.
fn token_of(row: u32) -> u32 {
    return min(row / (args.n_heads / args.n_kv_heads), args.n_tokens - 1u);
}

fn query_of(row: u32, kv_head: u32) -> u32 {
    let heads_each = args.n_heads / args.n_kv_heads;
    return token_of(row) * args.n_heads + kv_head * heads_each + row % heads_each;
}

// How far the tokens of four rows are into the chunk.
fn tokens_of(row: u32) -> vec4<u32> {
    return vec4<u32>(token_of(row), token_of(row + 1u), token_of(row + 2u), token_of(row + 3u));
}

// Scores of the key at `position` for rows at some positions.
fn seen(score: vec4<f32>, position: u32, rows: vec4<u32>) -> vec4<f32> {
    let is_seen = (rows >= vec4<u32>(position)) & (rows - position < vec4<u32>(args.window));
    return select(vec4<f32>(LEAST), score, is_seen);
}

// Adds up what the threads gathered of row `row` of each group.
fn finish(thread: u32, first_row: u32, row: u32, kv_head: u32, total: f32, lo: vec4<f32>, hi: vec4<f32>) {
    scores[2u * thread] = lo / total;
    scores[2u * thread + 1u] = hi / total;
    workgroupBarrier();
    let n_fours = args.head_dim / 4u;
    let n_rows = args.n_tokens * (args.n_heads / args.n_kv_heads);
    let each = args.n_groups * n_fours;
    let n_threads = THREADS / (each / 2u) * (each / 2u);
    for (var i = thread; i < each; i += THREADS) {
        let at = first_row + i / n_fours * 8u + row;
        var sum = vec4<f32>(0.0);
        for (var j = i; j < 2u * n_threads; j += each) {
            sum += scores[j];
        }
        if (at < n_rows) {
            out[query_of(at, kv_head) * n_fours + i % n_fours] = sum;
        }
    }
    workgroupBarrier();
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let first_row = workgroup.x * args.n_groups * 8u;
    let kv_head = workgroup.y;
    let n_columns = 2u * args.n_groups;
    let sequence = sequence_of(0u);
    let position = steps.each[sequence].position;
    for (var i = thread; i < args.n_groups * args.head_dim * 2u; i += THREADS) {
        let of_group = i / (args.head_dim * 2u);
        let row = first_row + of_group * 8u + i % 8u;
        query[i + of_group] = q[query_of(row, kv_head) * (args.head_dim / 4u) + i / 8u % (args.head_dim / 4u)] * args.scale;
    }
    if (thread < n_columns) {
        let heads_each = args.n_heads / args.n_kv_heads;
        let row = first_row + 4u * thread;
        let heads = (vec4<u32>(row) + vec4<u32>(0u, 1u, 2u, 3u)) % heads_each + kv_head * heads_each;
        tops[thread] = vec4<f32>(sinks[heads.x], sinks[heads.y], sinks[heads.z], sinks[heads.w]);
    }
    workgroupBarrier();

    // A thread scores two keys of a tile for the rows of one group.
    let lanes = THREADS / args.n_groups;
    let group = thread % args.n_groups;
    let lane = thread / args.n_groups;
    let rows_a = tokens_of(first_row + group * 8u) + position;
    let rows_b = tokens_of(first_row + group * 8u + 4u) + position;
    // And gathers eight dimensions for those of maybe another.
    let n_eights = args.head_dim / 8u;
    let values_group = thread / n_eights % args.n_groups;
    let n_subsets = THREADS / (n_eights * args.n_groups);
    let subset = thread / (n_eights * args.n_groups);

    let last = position + token_of(first_row + 8u * args.n_groups - 1u);
    let earliest = position + token_of(first_row) + 1u;
    let begin = (earliest - min(args.window, earliest)) / (2u * lanes) * (2u * lanes);
    // The sink is in the sum once.
    var total = Rows(vec4<f32>(select(0.0, 1.0, lane == 0u)), vec4<f32>(select(0.0, 1.0, lane == 0u)));
    let nothing = mat4x4<f32>(vec4<f32>(0.0), vec4<f32>(0.0), vec4<f32>(0.0), vec4<f32>(0.0));
    var sums = Sums(nothing, nothing, nothing, nothing);
    for (var tile = begin; tile <= last; tile += 2u * lanes) {
        let n = min(2u * lanes, last + 1u - tile);
        // What no query sees has rows of the cache too.
        let row_k = (sequence * args.capacity + (tile + lane) % args.capacity) * args.n_kv_heads + kv_head;
        let row_l = (sequence * args.capacity + (tile + lane + lanes) % args.capacity) * args.n_kv_heads + kv_head;
        if (group == 0u) {
            cache_rows[lane] = row_k;
            cache_rows[lane + lanes] = row_l;
        }
        var score_k = Rows(vec4<f32>(0.0), vec4<f32>(0.0));
        var score_l = score_k;
        for (var i = 0u; i < n_eights; i++) {
            let k = products(group, i, key(row_k, i));
            let l = products(group, i, key(row_l, i));
            score_k = Rows(score_k.a + k.a, score_k.b + k.b);
            score_l = Rows(score_l.a + l.a, score_l.b + l.b);
        }
        score_k = Rows(seen(score_k.a, tile + lane, rows_a), seen(score_k.b, tile + lane, rows_b));
        score_l = Rows(seen(score_l.a, tile + lane + lanes, rows_a), seen(score_l.b, tile + lane + lanes, rows_b));
        // Two columns a group and key.
        let at_k = 2u * thread;
        let at_l = 2u * (thread + THREADS);
        scores[at_k] = score_k.a;
        scores[at_k + 1u] = score_k.b;
        scores[at_l] = score_l.a;
        scores[at_l + 1u] = score_l.b;
        raise_tops(thread, n_columns, n);
        let top_a = tops[2u * group];
        let top_b = tops[2u * group + 1u];
        let weight_k = Rows(exp(score_k.a - top_a), exp(score_k.b - top_b));
        let weight_l = Rows(exp(score_l.a - top_a), exp(score_l.b - top_b));
        total = Rows(total.a * fades[2u * group] + weight_k.a + weight_l.a, total.b * fades[2u * group + 1u] + weight_k.b + weight_l.b);
        scores[at_k] = weight_k.a;
        scores[at_k + 1u] = weight_k.b;
        scores[at_l] = weight_l.a;
        scores[at_l + 1u] = weight_l.b;
        workgroupBarrier();
        sums = fade(sums, 2u * values_group);
        if (subset < n_subsets) {
            for (var j = subset; j < n; j += n_subsets) {
                sums = plus(sums, value(cache_rows[j], thread % n_eights), j * n_columns + 2u * values_group);
            }
        }
        workgroupBarrier();
    }
    scores[2u * thread] = total.a;
    scores[2u * thread + 1u] = total.b;
    sum_totals(thread, n_columns, lanes);
    let total_a = totals[2u * values_group];
    let total_b = totals[2u * values_group + 1u];
    finish(thread, first_row, 0u, kv_head, total_a.x, sums.a_lo[0], sums.a_hi[0]);
    finish(thread, first_row, 1u, kv_head, total_a.y, sums.a_lo[1], sums.a_hi[1]);
    finish(thread, first_row, 2u, kv_head, total_a.z, sums.a_lo[2], sums.a_hi[2]);
    finish(thread, first_row, 3u, kv_head, total_a.w, sums.a_lo[3], sums.a_hi[3]);
    finish(thread, first_row, 4u, kv_head, total_b.x, sums.b_lo[0], sums.b_hi[0]);
    finish(thread, first_row, 5u, kv_head, total_b.y, sums.b_lo[1], sums.b_hi[1]);
    finish(thread, first_row, 6u, kv_head, total_b.z, sums.b_lo[2], sums.b_hi[2]);
    finish(thread, first_row, 7u, kv_head, total_b.w, sums.b_lo[3], sums.b_hi[3]);
}
