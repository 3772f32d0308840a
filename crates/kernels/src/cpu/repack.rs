use super::{Call, Error};
use crate::ops::RepackArgs;

pub(crate) fn run(call: &Call<'_>) -> Result<(), Error> {
    let args: RepackArgs = call.args();
    let [raw, plane] = call.bindings()?;
    let n_bytes = args.n_blocks * args.run_bytes;
    for word in 0..n_bytes.div_ceil(4) {
        let mut packed = [0; 4];
        for i in 0..4 {
            let byte = word * 4 + i;
            if byte < n_bytes {
                let at = args.first_byte + byte / args.run_bytes * args.block_bytes + args.plane_offset + byte % args.run_bytes;
                packed[i as usize] = raw.byte(at as usize);
            }
        }
        plane.set_u(args.first_word + word, u32::from_le_bytes(packed));
    }
    Ok(())
}
