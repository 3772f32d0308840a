use super::{Call, Error, Words};
use crate::Product;
use crate::ops::{MoeGroupArgs, Route, TileHeader};

/// What a workgroup of a kernel of experts works on, and for which choices: a tile, or one choice as the router wrote it.
pub(crate) fn tile(call: &Call<'_>, chosen: Words<'_>, workgroup: u32) -> (TileHeader, Vec<u32>) {
    if !call.kernel.has("IN_TILES") {
        let (expert, slot) = (chosen.u(workgroup * 4), chosen.u(workgroup * 4 + 1));
        return (TileHeader { expert, slot, n_choices: 1, pad: 0 }, vec![workgroup]);
    }
    let at = workgroup * (4 + call.kernel.columns);
    let header = TileHeader { expert: chosen.u(at), slot: chosen.u(at + 1), n_choices: chosen.u(at + 2), pad: 0 };
    (header, (0..header.n_choices.min(call.kernel.columns)).map(|c| chosen.u(at + 4 + c)).collect())
}

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: MoeGroupArgs = call.args();
    let [routes, tiles] = call.bindings()?;
    let cols = call.kernel.columns;
    let mut at = 0;
    for expert in 0..args.n_experts {
        let is_wanted = |i: &u32| routes.u(i * 4) == expert && routes.u(i * 4 + 1) < Route::DONE;
        let choices: Vec<u32> = (0..args.n_choices).filter(is_wanted).collect();
        for tile in choices.chunks(cols as usize) {
            put_header(tiles, at, expert, routes.u(tile[0] * 4 + 1), tile.len() as u32);
            for c in 0..cols {
                tiles.set_u(at + 4 + c, *tile.get(c as usize).unwrap_or(&tile[0]));
            }
            at += 4 + cols;
        }
    }
    let all = Product { n_rows: 0, n_columns: args.n_choices, n_groups: args.n_experts };
    while at < all.most_tiles(cols) * (4 + cols) {
        put_header(tiles, at, 0, Route::MISS, 0);
        at += 4 + cols;
    }
    Ok(())
}

fn put_header(tiles: Words<'_>, at: u32, expert: u32, slot: u32, n_choices: u32) {
    tiles.set_u(at, expert);
    tiles.set_u(at + 1, slot);
    tiles.set_u(at + 2, n_choices);
}
