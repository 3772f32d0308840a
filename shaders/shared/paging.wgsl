// What the GPU and the host tell each other about experts. The table begins at byte 256.
struct Paging {
    first_miss: atomic<u32>,  // the first layer of this pass that missed an expert, or NO_MISS
    pad: array<u32, 63>,
    table: array<u32>,        // [n_layers, n_experts]: slot of each expert, or MISS
}

const NO_MISS: u32 = 0xFFFFFFFFu;
