use super::{Call, Error};
use crate::ops::{Route, RouteSlotsArgs};

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: RouteSlotsArgs = call.args();
    let [table, routes] = call.bindings()?;
    for i in 0..args.n_routes {
        let (expert, slot) = (routes.u(i * 4), routes.u(i * 4 + 1));
        let next = if slot == Route::MISS { table.u(args.layer * args.n_experts + expert) } else { Route::DONE };
        routes.set_u(i * 4 + 1, next);
    }
    Ok(())
}
