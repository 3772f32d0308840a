// One expert chosen for one token.
struct Route {
    expert: u32,
    slot: u32,     // of the expert cache; MISS if the expert is not on the GPU
    weight: f32,
    pad: u32,
}

const MISS: u32 = 0xFFFFFFFFu;
