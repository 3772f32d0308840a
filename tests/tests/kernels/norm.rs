use crate::bench::Bench;
use crate::random::Random;

fn check(n_cols: u32, n_tokens: u32, eps: f32, scale: f32) {
    let mut random = Random(21);
    let x = random.floats((n_cols * n_tokens) as usize, scale);
    let gain = random.floats(n_cols as usize, 2.0);
    let mut b = Bench::default();
    let (x_slice, gain_slice) = (b.floats(&x), b.floats(&gain));
    let y = b.output(x.len());
    b.recording.rms_norm(x_slice, gain_slice, eps, y, n_cols, n_tokens);

    let mut expected = Vec::new();
    for row in x.chunks(n_cols as usize) {
        let mean = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / f64::from(n_cols);
        let inverse_rms = 1.0 / (mean + f64::from(eps)).sqrt();
        for (x, gain) in row.iter().zip(&gain) {
            let value = f64::from(*x) * inverse_rms * f64::from(*gain);
            expected.push((value, value.abs() * 4e-6 + 1e-30));
        }
    }
    b.run().assert_close(&format!("norm of {n_tokens} x {n_cols}"), y, &expected);
}

#[test]
fn rms_norm_is_right_at_odd_and_real_widths() {
    check(4, 1, 1e-5, 1.0);
    check(36, 1, 1e-5, 1.0);
    check(64, 3, 1e-6, 100.0);
    check(2880, 2, 1e-5, 10.0);
    check(4096, 1, 1e-5, 0.1);
}

#[test]
fn eps_decides_where_x_is_small() {
    check(64, 1, 1e-5, 1e-4);
    check(64, 1, 1e-5, 0.0);
}
