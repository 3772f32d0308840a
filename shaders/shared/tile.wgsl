// Up to COLS choices of one expert.
struct Tile {
    expert: u32,
    slot: u32,       // MISS: there is no such tile
    n_choices: u32,
    pad: u32,
    choices: array<vec4<u32>, COLS / 4u>,  // of [n_tokens, n_used]; past n_choices the first again
}
