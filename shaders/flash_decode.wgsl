// Attention of the one token of each row: turns its queries and its key, appends key and value to the cache,
// and looks back. A workgroup works for up to eight query heads of one KV head over one part of the keys; parts past
// the position have nothing to do. The sum starts from the sink, which takes part in it and has no value.

#ifdef WIDE
const THREADS: u32 = 128u;
const KEYS: u32 = 1u;  // of a tile that a thread scores
#else
// Few, whom a barrier on a software adapter has not long to wait for; the longest heads have as many eights.
const THREADS: u32 = 32u;
const KEYS: u32 = 4u;
#endif
const TILE: u32 = THREADS * KEYS;

struct Args {
    n_heads: u32,
    n_kv_heads: u32,
    head_dim: u32,      // a multiple of 8
    n_rot: u32,         // elements of a head that are rotated, from its start
    interleaved: u32,   // 0: pairs (i, i + n_rot/2); 1: pairs (2i, 2i + 1)
    capacity: u32,      // positions the cache holds of a sequence; a position lives at position % capacity
    n_sequences: u32,   // that the cache holds
    window: u32,        // keys that a query sees, itself included
    n_parts: u32,       // 1: out is the whole, and no merge follows
    first_row: u32,     // of the step
    row: u32,           // of the step's, that the first workgroups work for
    concentration: f32, // YaRN's factor on cosine and sine
    scale: f32,
}

#import step
#import parts
#import rope
#import flash

@group(0) @binding(0) var<uniform> args: Args;
@group(0) @binding(1) var<uniform> steps: Steps;
@group(0) @binding(2) var<storage, read> qkv: array<f32>;          // [rows, n_heads + 2 n_kv_heads, head_dim]
@group(0) @binding(3) var<storage, read> low: array<vec2<f32>>;    // [BASE, n_rot/2] cos, sin of position % BASE
@group(0) @binding(4) var<storage, read> high: array<vec2<f32>>;   // [.., n_rot/2] of BASE * (position / BASE)
@group(0) @binding(5) var<storage, read_write> k_cache: array<Cell>;  // [n_sequences, capacity, n_kv_heads, head_dim]
@group(0) @binding(6) var<storage, read_write> v_cache: array<Cell>;
@group(0) @binding(7) var<storage, read> sinks: array<f32>;        // [n_heads]
// [rows, n_heads, head_dim]; or of each row sums [n_parts, n_heads, head_dim], then [n_parts, n_heads] of their top and total
@group(0) @binding(8) var<storage, read_write> out: array<vec4<f32>>;

// Where a head of a row's qkv begins.
fn head_at(row: u32, head: u32) -> u32 {
    return (row * (args.n_heads + 2u * args.n_kv_heads) + head) * args.head_dim;
}

// Four elements from 4i on, rotated by p, of the head that begins at `first` of qkv.
fn four(first: u32, i: u32, p: u32) -> vec4<f32> {
    let e = 4u * i;
    return vec4<f32>(rotated(first, e, p), rotated(first, e + 1u, p), rotated(first, e + 2u, p), rotated(first, e + 3u, p));
}

fn four_as_they_are(first: u32, i: u32) -> vec4<f32> {
    let at = first + 4u * i;
    return vec4<f32>(qkv[at], qkv[at + 1u], qkv[at + 2u], qkv[at + 3u]);
}

// The row of a cache that a position's KV head has, `j` positions after the one at `slot` of those of a sequence.
fn row_of(sequence: u32, slot: u32, j: u32, kv_head: u32) -> u32 {
    let at = slot + j;
    let place = select(at, at - args.capacity, at >= args.capacity);
    return (sequence * args.capacity + place) * args.n_kv_heads + kv_head;
}

fn append(thread: u32, step_row: u32, sequence: u32, position: u32, kv_head: u32) {
    let n_fours = args.head_dim / 4u;
    for (var i = thread; i < 2u * n_fours; i += THREADS) {
        if (i < n_fours) {
            staged[i] = four(head_at(step_row, args.n_heads + kv_head), i, position);
        } else {
            staged[i] = four_as_they_are(head_at(step_row, args.n_heads + args.n_kv_heads + kv_head), i - n_fours);
        }
    }
    workgroupBarrier();
    let row = row_of(sequence, position % args.capacity, 0u, kv_head);
    for (var i = thread; i < args.head_dim / 8u; i += THREADS) {
        keep_key(row, i, 0u);
        keep_value(row, i, n_fours);
    }
}

// Adds up what the threads gathered for one query head.
fn finish(thread: u32, step_row: u32, part: u32, head: u32, top: f32, total: f32, lo: vec4<f32>, hi: vec4<f32>) {
    scores[2u * thread] = lo;
    scores[2u * thread + 1u] = hi;
    workgroupBarrier();
    let n_fours = args.head_dim / 4u;
    let n_threads = THREADS / (n_fours / 2u) * (n_fours / 2u);
    let is_whole = args.n_parts == 1u;
    let at = part * args.n_heads + head;
    let first = step_row * args.n_heads * select(args.n_parts * (n_fours + 1u), n_fours, is_whole);
    for (var i = thread; i < n_fours; i += THREADS) {
        var sum = vec4<f32>(0.0);
        for (var j = i; j < 2u * n_threads; j += n_fours) {
            sum += scores[j];
        }
        out[first + at * n_fours + i] = select(sum, sum / total, is_whole);
    }
    if (thread == 0u && !is_whole) {
        out[first + args.n_parts * args.n_heads * n_fours + at] = vec4<f32>(top, total, 0.0, 0.0);
    }
    workgroupBarrier();
}

fn finish_four(thread: u32, step_row: u32, part: u32, head: u32, n: u32, top: vec4<f32>, total: vec4<f32>, lo: mat4x4<f32>, hi: mat4x4<f32>) {
    finish(thread, step_row, part, head, top.x, total.x, lo[0], hi[0]);
    if (n > 1u) {
        finish(thread, step_row, part, head + 1u, top.y, total.y, lo[1], hi[1]);
    }
    if (n > 2u) {
        finish(thread, step_row, part, head + 2u, top.z, total.z, lo[2], hi[2]);
    }
    if (n > 3u) {
        finish(thread, step_row, part, head + 3u, top.w, total.w, lo[3], hi[3]);
    }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let part = group.x;
    let kv_head = group.y;
    let heads_each = args.n_heads / args.n_kv_heads;
    let n_eights_of_heads = (heads_each + 7u) / 8u;
    let step_row = args.row + group.z / n_eights_of_heads;
    let sequence = sequence_of(step_row);
    let step = steps.each[step_of(step_row)];
    let position = step.position;
    let n_seen = n_seen_at(position);
    let begin = part * part_keys(n_seen);
    if (step.halt != 0u || begin >= n_seen) {
        return;
    }
    let n_keys = min(part_keys(n_seen), n_seen - begin);
    let first_row = group.z % n_eights_of_heads * 8u;
    let first_head = kv_head * heads_each + first_row;
    let n_rows = min(8u, heads_each - first_row);

    for (var i = thread; i < args.head_dim * 2u; i += THREADS) {
        let row = i % 8u;
        query[i] = vec4<f32>(0.0);
        if (row < n_rows) {
            query[i] = four(head_at(step_row, first_head + row), i / 8u, position) * args.scale;
        }
    }
    if (thread < 2u) {
        var top = vec4<f32>(LEAST);
        for (var r = 0u; r < 4u; r++) {
            if (part == 0u && 4u * thread + r < n_rows) {
                top[r] = sinks[first_head + 4u * thread + r];
            }
        }
        tops[thread] = top;
    }
    // Whoever sees the newest key keeps it; where there are more than eight query heads, each does the same.
    if (begin + n_keys == n_seen) {
        append(thread, step_row, sequence, position, kv_head);
    }
    storageBarrier();
    workgroupBarrier();

    let n_eights = args.head_dim / 8u;
    let n_subsets = THREADS / n_eights;
    let subset = thread / n_eights;
    let slot = (position + 1u - n_seen + begin) % args.capacity;
    // The sink is in the sum once.
    let has_sink = thread == 0u && part == 0u;
    var total = Rows(vec4<f32>(select(0.0, 1.0, has_sink)), vec4<f32>(select(0.0, 1.0, has_sink)));
    let nothing = mat4x4<f32>(vec4<f32>(0.0), vec4<f32>(0.0), vec4<f32>(0.0), vec4<f32>(0.0));
    var sums = Sums(nothing, nothing, nothing, nothing);
    for (var tile = 0u; tile < n_keys; tile += TILE) {
        let n = min(TILE, n_keys - tile);
        var rows = array<u32, KEYS>();
        var score = array<Rows, KEYS>();
        for (var j = 0u; j < KEYS; j++) {
            rows[j] = row_of(sequence, slot, tile + min(thread + j * THREADS, n - 1u), kv_head);
        }
        for (var i = 0u; i < n_eights; i++) {
            let q = 16u * i;
            let a_lo = mat4x4<f32>(query[q], query[q + 1u], query[q + 2u], query[q + 3u]);
            let a_hi = mat4x4<f32>(query[q + 8u], query[q + 9u], query[q + 10u], query[q + 11u]);
            let b_lo = mat4x4<f32>(query[q + 4u], query[q + 5u], query[q + 6u], query[q + 7u]);
            let b_hi = mat4x4<f32>(query[q + 12u], query[q + 13u], query[q + 14u], query[q + 15u]);
            for (var j = 0u; j < KEYS; j++) {
                let k = key(rows[j], i);
                score[j].a += k.lo * a_lo + k.hi * a_hi;
                // Where four heads or fewer share a KV head there is no second four.
                if (n_rows > 4u) {
                    score[j].b += k.lo * b_lo + k.hi * b_hi;
                }
            }
        }
        for (var j = 0u; j < KEYS; j++) {
            let at = thread + j * THREADS;
            if (at >= n) {
                score[j] = Rows(vec4<f32>(LEAST), vec4<f32>(LEAST));
            }
            scores[2u * at] = score[j].a;
            scores[2u * at + 1u] = score[j].b;
        }
        raise_tops(thread, 2u, n);
        total = Rows(total.a * fades[0], total.b * fades[1]);
        for (var j = 0u; j < KEYS; j++) {
            let at = thread + j * THREADS;
            let weight = Rows(exp(score[j].a - tops[0]), exp(score[j].b - tops[1]));
            total = Rows(total.a + weight.a, total.b + weight.b);
            scores[2u * at] = weight.a;
            scores[2u * at + 1u] = weight.b;
        }
        workgroupBarrier();
        sums = fade(sums, 0u);
        if (subset < n_subsets) {
            for (var j = subset; j < n; j += n_subsets) {
                let v = value(row_of(sequence, slot, tile + j, kv_head), thread % n_eights);
                sums.a_lo += outer(v.lo, scores[2u * j]);
                sums.a_hi += outer(v.hi, scores[2u * j]);
                if (n_rows > 4u) {
                    sums.b_lo += outer(v.lo, scores[2u * j + 1u]);
                    sums.b_hi += outer(v.hi, scores[2u * j + 1u]);
                }
            }
        }
        workgroupBarrier();
    }
    scores[2u * thread] = total.a;
    scores[2u * thread + 1u] = total.b;
    sum_totals(thread, 2u, THREADS);
    finish_four(thread, step_row, part, first_head, min(4u, n_rows), tops[0], totals[0], sums.a_lo, sums.a_hi);
    if (n_rows > 4u) {
        finish_four(thread, step_row, part, first_head + 4u, n_rows - 4u, tops[1], totals[1], sums.b_lo, sums.b_hi);
    }
}
