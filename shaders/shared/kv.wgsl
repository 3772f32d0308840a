// What a KV cache keeps, eight elements of a head at a time. A kernel has k_cache and v_cache, `row` is a
// position's place times n_kv_heads plus the head.
struct Eight {
    lo: vec4<f32>,
    hi: vec4<f32>,
}

#ifdef KV_F16
alias Cell = vec4<u32>;

fn unpacked(cell: Cell) -> Eight {
    return Eight(
        vec4<f32>(unpack2x16float(cell.x), unpack2x16float(cell.y)),
        vec4<f32>(unpack2x16float(cell.z), unpack2x16float(cell.w)),
    );
}

fn packed(v: Eight) -> Cell {
    return Cell(pack2x16float(v.lo.xy), pack2x16float(v.lo.zw), pack2x16float(v.hi.xy), pack2x16float(v.hi.zw));
}

#ifdef KV_APPENDS
fn keep_key(row: u32, i: u32, v: Eight) {
    k_cache[row * (args.head_dim / 8u) + i] = packed(v);
}

fn keep_value(row: u32, i: u32, v: Eight) {
    v_cache[row * (args.head_dim / 8u) + i] = packed(v);
}
#endif

fn key(row: u32, i: u32) -> Eight {
    return unpacked(k_cache[row * (args.head_dim / 8u) + i]);
}

fn value(row: u32, i: u32) -> Eight {
    return unpacked(v_cache[row * (args.head_dim / 8u) + i]);
}
#else
alias Cell = vec4<f32>;

#ifdef KV_APPENDS
fn keep_key(row: u32, i: u32, v: Eight) {
    let at = row * (args.head_dim / 4u) + 2u * i;
    k_cache[at] = v.lo;
    k_cache[at + 1u] = v.hi;
}

fn keep_value(row: u32, i: u32, v: Eight) {
    let at = row * (args.head_dim / 4u) + 2u * i;
    v_cache[at] = v.lo;
    v_cache[at + 1u] = v.hi;
}
#endif

fn key(row: u32, i: u32) -> Eight {
    let at = row * (args.head_dim / 4u) + 2u * i;
    return Eight(k_cache[at], k_cache[at + 1u]);
}

fn value(row: u32, i: u32) -> Eight {
    let at = row * (args.head_dim / 4u) + 2u * i;
    return Eight(v_cache[at], v_cache[at + 1u]);
}
#endif
