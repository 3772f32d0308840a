use super::step::StepRows;
use super::{Call, Error};
use crate::ops::{FlashMergeArgs, part_keys};

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: FlashMergeArgs = call.args();
    let [steps, parts, out] = call.bindings()?;
    for row in 0..call.workgroups[1] {
        let step = StepRows::of(steps, args.first_row).step(row);
        if step.halt != 0 {
            continue;
        }
        let parts = parts.from(row * args.n_parts * args.n_heads * (args.head_dim + 4));
        let out = out.from(row * args.n_heads * args.head_dim);
        let n_seen = args.window.min(step.position + 1);
        let n = n_seen.div_ceil(part_keys(n_seen, args.n_parts));
        for head in 0..args.n_heads {
            let found = |part: u32, i: u32| parts.f(args.n_parts * args.n_heads * args.head_dim + (part * args.n_heads + head) * 4 + i);
            let top = (0..n).map(|p| found(p, 0)).fold(f32::MIN, f32::max);
            let weights: Vec<f32> = (0..n).map(|p| (found(p, 0) - top).exp()).collect();
            let total: f32 = (0..n).map(|p| weights[p as usize] * found(p, 1)).sum();
            for i in 0..args.head_dim {
                let sum: f32 = (0..n).map(|p| weights[p as usize] * parts.f((p * args.n_heads + head) * args.head_dim + i)).sum();
                out.set_f(head * args.head_dim + i, sum / total);
            }
        }
    }
    Ok(())
}
