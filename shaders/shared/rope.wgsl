// How a position turns queries and keys. Its angle is the sum of the angles of its two digits to the base
// BASE, whose cosines and sines are tabled: exact to f32 rounding at any position, on GPUs with a coarse
// sin too. A kernel has qkv, low and high; n_rot, interleaved and concentration among its args.

const BASE: u32 = 512u;

// Element e, rotated, of the head that begins at `first` of qkv.
fn rotated(first: u32, e: u32, position: u32) -> f32 {
    if (e >= args.n_rot) {
        return qkv[first + e];
    }
    let n_pairs = args.n_rot / 2u;
    var pair = e % n_pairs;
    var is_second = e >= n_pairs;
    var partner = select(e + n_pairs, e - n_pairs, is_second);
    if (args.interleaved == 1u) {
        pair = e / 2u;
        is_second = e % 2u == 1u;
        partner = e ^ 1u;
    }
    let l = low[(position % BASE) * n_pairs + pair];
    let h = high[(position / BASE) * n_pairs + pair];
    let cos = (h.x * l.x - h.y * l.y) * args.concentration;
    let sin = (h.y * l.x + h.x * l.y) * args.concentration;
    return qkv[first + e] * cos + select(-sin, sin, is_second) * qkv[first + partner];
}
