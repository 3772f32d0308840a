// One expert chosen for one token.
struct Route {
    expert: u32,   // that computes
    slot: u32,     // of the expert cache, or MISS or DONE
    weight: f32,
    wanted: u32,   // the router's choice; another expert than `expert` if that one stands in for it
}

// The expert is not on the GPU: it adds nothing.
const MISS: u32 = 0xFFFFFFFFu;
// What the expert adds was already computed, with a group of experts before the present one.
const DONE: u32 = 0xFFFFFFFEu;
