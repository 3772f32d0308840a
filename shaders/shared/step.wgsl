// What advances from step to step without the CPU.
struct Step {
    position: u32,   // of the first token of this step in its sequence
    n_sampled: u32,  // since the prompt
    halt: u32,       // 1 once a stop token was sampled; later steps change nothing
    seed: u32,
}
