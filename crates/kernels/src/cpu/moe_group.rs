use super::{Call, Error, Words};
use crate::ops::{MoeGroupArgs, Route, Tile};

/// What a workgroup of a kernel of experts works on: a tile, or one choice as the router wrote it.
pub(crate) fn tile(call: &Call<'_>, chosen: Words<'_>, workgroup: u32) -> Tile {
    if call.kernel.has("FOUR") {
        let words: Vec<u32> = (0..8).map(|i| chosen.u(workgroup * 8 + i)).collect();
        return bytemuck::pod_read_unaligned(bytemuck::cast_slice(&words));
    }
    let (expert, slot) = (chosen.u(workgroup * 4), chosen.u(workgroup * 4 + 1));
    Tile { expert, slot, n_choices: 1, pad: 0, choices: [workgroup; Tile::COLS] }
}

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: MoeGroupArgs = call.args();
    let [routes, tiles] = call.bindings()?;
    let mut found = Vec::new();
    for expert in 0..args.n_experts {
        let is_wanted = |i: &u32| routes.u(i * 4) == expert && routes.u(i * 4 + 1) < Route::DONE;
        let choices: Vec<u32> = (0..args.n_choices).filter(is_wanted).collect();
        for tile in choices.chunks(Tile::COLS) {
            let mut all = [tile[0]; Tile::COLS];
            all[..tile.len()].copy_from_slice(tile);
            found.push(Tile { expert, slot: routes.u(tile[0] * 4 + 1), n_choices: tile.len() as u32, pad: 0, choices: all });
        }
    }
    found.resize(args.n_tiles as usize, Tile { expert: 0, slot: Route::MISS, n_choices: 0, pad: 0, choices: [0; Tile::COLS] });
    let words: &[u32] = bytemuck::cast_slice(&found);
    for (i, word) in words.iter().enumerate() {
        tiles.set_u(i as u32, *word);
    }
    Ok(())
}
