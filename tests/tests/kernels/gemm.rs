use kernels::ops::GemmArgs;

use crate::bench::Bench;
use crate::random::Random;

fn check(n_rows: u32, n_cols: u32, depth: u32) {
    let mut random = Random(31);
    let a = random.floats((depth * n_rows) as usize, 1.0);
    let b = random.floats((depth * n_cols) as usize, 1.0);
    let mut bench = Bench::default();
    let (a_slice, b_slice) = (bench.floats(&a), bench.floats(&b));
    let y = bench.output((n_rows * n_cols) as usize);
    bench.recording.gemm(GemmArgs { n_rows, n_cols, depth }, a_slice, b_slice, y);

    let mut expected = Vec::new();
    for row in 0..n_rows as usize {
        for column in 0..n_cols as usize {
            let terms = a.iter().skip(row).step_by(n_rows as usize).zip(b.iter().skip(column).step_by(n_cols as usize));
            let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), (a, b)| {
                let term = f64::from(*a) * f64::from(*b);
                (sum + term, size + term.abs())
            });
            expected.push((sum, size * 1e-5));
        }
    }
    bench.run().assert_close(&format!("product of {n_rows} x {depth} x {n_cols}"), y, &expected);
}

#[test]
fn gemm_is_right_in_one_tile_and_in_several() {
    let (tile, depth) = (GemmArgs::TILE, GemmArgs::DEPTH);
    check(tile, tile, depth);
    check(2 * tile, 3 * tile, 5 * depth);
}
