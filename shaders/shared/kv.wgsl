// What a KV cache keeps, eight elements of a head at a time. A kernel has k_cache and v_cache; `row` is a
// position's place, those of the sequences before it counted, times n_kv_heads plus the head. One that appends stages a head's elements first.
struct Eight {
    lo: vec4<f32>,
    hi: vec4<f32>,
}

#ifdef KV_APPENDS
var<workgroup> staged: array<vec4<f32>, 128>;

fn staged_eight(first: u32, i: u32) -> Eight {
    return Eight(staged[first + 2u * i], staged[first + 2u * i + 1u]);
}
#endif

#ifdef KV_Q8_0
// Eight bytes of a block of 32. Behind the cells of all rows each row has its blocks' scales, four halves a cell.
alias Cell = vec2<u32>;

fn bytes(cell: Cell) -> Eight {
    let shifts = vec4<u32>(24u, 16u, 8u, 0u);
    return Eight(
        vec4<f32>(vec4<i32>(vec4<u32>(cell.x) << shifts) >> vec4<u32>(24u)),
        vec4<f32>(vec4<i32>(vec4<u32>(cell.y) << shifts) >> vec4<u32>(24u)),
    );
}

fn cell_of(row: u32, i: u32) -> u32 {
    return row * (args.head_dim / 8u) + i;
}

// The cell with the scale of the i-th eight elements.
fn scales_of(row: u32, i: u32) -> u32 {
    return args.n_sequences * args.capacity * args.n_kv_heads * (args.head_dim / 8u) + row * ((args.head_dim + 127u) / 128u) + i / 16u;
}

fn scaled(cell: Cell, scales: Cell, i: u32) -> Eight {
    let block = i / 4u % 4u;
    let scale = unpack2x16float(select(scales.x, scales.y, block >= 2u))[block % 2u];
    let e = bytes(cell);
    return Eight(e.lo * scale, e.hi * scale);
}

fn key(row: u32, i: u32) -> Eight {
    return scaled(k_cache[cell_of(row, i)], k_cache[scales_of(row, i)], i);
}

fn value(row: u32, i: u32) -> Eight {
    return scaled(v_cache[cell_of(row, i)], v_cache[scales_of(row, i)], i);
}

#ifdef KV_APPENDS
// The largest magnitude in a block of those staged from `first` on.
fn block_top(first: u32, block: u32) -> f32 {
    var top = vec4<f32>(1e-30);
    if (block * 32u < args.head_dim) {
        for (var j = 0u; j < 8u; j++) {
            top = max(top, abs(staged[first + block * 8u + j]));
        }
    }
    return max(max(top.x, top.y), max(top.z, top.w));
}

fn packed(first: u32, i: u32) -> Cell {
    let top = block_top(first, i / 4u);
    let e = staged_eight(first, i);
    return Cell(pack4x8snorm(e.lo / top), pack4x8snorm(e.hi / top));
}

fn packed_scales(first: u32, i: u32) -> Cell {
    let b = i / 4u;
    let tops = vec4<f32>(block_top(first, b), block_top(first, b + 1u), block_top(first, b + 2u), block_top(first, b + 3u)) / 127.0;
    return Cell(pack2x16float(tops.xy), pack2x16float(tops.zw));
}

fn keep_key(row: u32, i: u32, first: u32) {
    k_cache[cell_of(row, i)] = packed(first, i);
    if (i % 16u == 0u) {
        k_cache[scales_of(row, i)] = packed_scales(first, i);
    }
}

fn keep_value(row: u32, i: u32, first: u32) {
    v_cache[cell_of(row, i)] = packed(first, i);
    if (i % 16u == 0u) {
        v_cache[scales_of(row, i)] = packed_scales(first, i);
    }
}
#endif
#else
#ifdef KV_F16
alias Cell = vec4<u32>;

fn unpacked(cell: Cell) -> Eight {
    return Eight(
        vec4<f32>(unpack2x16float(cell.x), unpack2x16float(cell.y)),
        vec4<f32>(unpack2x16float(cell.z), unpack2x16float(cell.w)),
    );
}

fn key(row: u32, i: u32) -> Eight {
    return unpacked(k_cache[row * (args.head_dim / 8u) + i]);
}

fn value(row: u32, i: u32) -> Eight {
    return unpacked(v_cache[row * (args.head_dim / 8u) + i]);
}

#ifdef KV_APPENDS
fn packed(v: Eight) -> Cell {
    return Cell(pack2x16float(v.lo.xy), pack2x16float(v.lo.zw), pack2x16float(v.hi.xy), pack2x16float(v.hi.zw));
}

fn keep_key(row: u32, i: u32, first: u32) {
    k_cache[row * (args.head_dim / 8u) + i] = packed(staged_eight(first, i));
}

fn keep_value(row: u32, i: u32, first: u32) {
    v_cache[row * (args.head_dim / 8u) + i] = packed(staged_eight(first, i));
}
#endif
#else
alias Cell = vec4<f32>;

fn key(row: u32, i: u32) -> Eight {
    let at = row * (args.head_dim / 4u) + 2u * i;
    return Eight(k_cache[at], k_cache[at + 1u]);
}

fn value(row: u32, i: u32) -> Eight {
    let at = row * (args.head_dim / 4u) + 2u * i;
    return Eight(v_cache[at], v_cache[at + 1u]);
}

#ifdef KV_APPENDS
fn keep_key(row: u32, i: u32, first: u32) {
    let at = row * (args.head_dim / 4u) + 2u * i;
    k_cache[at] = staged[first + 2u * i];
    k_cache[at + 1u] = staged[first + 2u * i + 1u];
}

fn keep_value(row: u32, i: u32, first: u32) {
    let at = row * (args.head_dim / 4u) + 2u * i;
    v_cache[at] = staged[first + 2u * i];
    v_cache[at + 1u] = staged[first + 2u * i + 1u];
}
#endif
#endif
#endif
