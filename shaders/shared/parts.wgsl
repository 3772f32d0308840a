// How the keys that a query sees are cut into parts: none shorter than PART, as many as args say at most.
// A kernel has window and n_parts among its args, and step.

const PART: u32 = 128u;
const MAX_PARTS: u32 = 64u;

// Keys that the token sees, itself included.
fn n_seen() -> u32 {
    return min(args.window, step.position + 1u);
}

// Keys of every part but the last, which may have fewer.
fn part_keys() -> u32 {
    return PART * ((n_seen() + PART * args.n_parts - 1u) / (PART * args.n_parts));
}
