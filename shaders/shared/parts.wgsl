// How the keys that a query sees are cut into parts: none shorter than PART, as many as args say at most.
// A kernel has window and n_parts among its args.

const PART: u32 = 128u;
const MAX_PARTS: u32 = 64u;

// Keys that a token sees, itself included.
fn n_seen_at(position: u32) -> u32 {
    return min(args.window, position + 1u);
}

// Keys of every part but the last, which may have fewer.
fn part_keys(n_seen: u32) -> u32 {
    return PART * ((n_seen + PART * args.n_parts - 1u) / (PART * args.n_parts));
}
