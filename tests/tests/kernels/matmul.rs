use gguf::DType;
use kernels::Format;
use kernels::ops::{Pass, Rows};

use crate::bench::{Bench, SENTINEL};
use crate::random::Random;
use crate::weights::{Matrix, dot, formats, odd_width, upload};

const EPS: f32 = 1e-5;

/// Share of the sum of the terms' magnitudes that f32 sums may be off by.
const TOLERANCE: f64 = 2e-6;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Family {
    Rms,
    RmsBias,
    BiasResidual,
}

/// One product to test.
#[derive(Clone, Copy, Debug)]
struct Product {
    family: Family,
    format: Format,
    n_cols: u32,
    parts: &'static [u32],
    pass: Pass,
    first_token: u32,
}

impl Product {
    fn of(family: Family, format: Format) -> Self {
        Self { family, format, n_cols: odd_width(format), parts: &[8], pass: Pass::Alone, first_token: 0 }
    }

    fn n_cols(self, n_cols: u32) -> Self {
        Self { n_cols, ..self }
    }

    /// Of each part.
    fn n_rows(self, parts: &'static [u32]) -> Self {
        Self { parts, ..self }
    }

    fn n_tokens(self, n_tokens: u32) -> Self {
        Self { pass: Pass::of(n_tokens), ..self }
    }

    fn batch(self, n: u32) -> Self {
        Self { pass: Pass::Batch { n, most: 16 }, ..self }
    }

    fn first_token(self, first_token: u32) -> Self {
        Self { first_token, ..self }
    }

    fn test(self) {
        let mut random = Random(u64::from(self.n_cols) + 7);
        let n_tokens = self.pass.n_tokens();
        let n_cols = self.n_cols as usize;
        let n_rows: u32 = self.parts.iter().sum();
        let w = Matrix::random(self.format, self.n_cols, n_rows, &mut random);
        let x = random.floats((self.first_token + n_tokens) as usize * n_cols, 3.0);
        let gain = random.floats(n_cols, 2.0);
        let bias = random.floats(n_rows as usize, 1.0);
        // Rows of y have room on both sides, as q, k and v share theirs.
        let (first, stride) = (5, n_rows + 12);
        let residual = random.floats((n_tokens * stride) as usize, 1.0);

        let mut b = Bench::default();
        let weight = upload(&mut b, &w, self.n_cols, self.parts);
        let (x_slice, gain_slice, bias_slice) = (b.floats(&x), b.floats(&gain), b.floats(&bias));
        let has_residual = self.family == Family::BiasResidual;
        let y = if has_residual { b.in_out_floats(&residual) } else { b.output((n_tokens * stride) as usize) };
        let rows = Rows { y, first, stride };
        match self.family {
            Family::Rms => b.recording.rms_matmul(&weight, x_slice, gain_slice, EPS, rows, self.first_token, self.pass),
            Family::RmsBias => b.recording.rms_matmul_bias(&weight, x_slice, gain_slice, EPS, bias_slice, rows, self.pass),
            Family::BiasResidual => b.recording.matmul_bias_residual(&weight, x_slice, bias_slice, rows, self.pass),
        }
        let results = b.run();

        let mut expected = Vec::new();
        for token in 0..n_tokens {
            let at = (self.first_token + token) as usize * n_cols;
            let x = &x[at..at + n_cols];
            let mean: f64 = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / n_cols as f64;
            let inverse_rms = 1.0 / (mean + f64::from(EPS)).sqrt();
            for i in 0..stride {
                let before = f64::from(if has_residual { residual[(token * stride + i) as usize] } else { f32::from_bits(SENTINEL) });
                let Some(row) = i.checked_sub(first).filter(|row| *row < n_rows) else {
                    expected.push((before, 0.0));
                    continue;
                };
                let scaled: Vec<f32> = match self.family {
                    Family::BiasResidual => x.to_vec(),
                    _ => x.iter().zip(&gain).map(|(x, g)| x * g).collect(),
                };
                let (mut value, mut magnitude) = dot(w.row(self.n_cols, row), &scaled);
                if self.family != Family::BiasResidual {
                    (value, magnitude) = (value * inverse_rms, magnitude * inverse_rms);
                }
                if self.family != Family::Rms {
                    value += f64::from(bias[row as usize]);
                }
                if has_residual {
                    value += before;
                }
                expected.push((value, TOLERANCE * (magnitude + 1.0)));
            }
        }
        results.assert_close(&format!("{self:?}"), y, &expected);
    }
}

/// One workgroup, several with a ragged tail in parts, several tokens with a ragged tail. How four tokens share a
/// weight has nothing to do with the norm, so one family stands for all in this.
fn test_every_format(family: Family) {
    for format in formats(family as u32) {
        Product::of(family, format).test();
        Product::of(family, format).n_rows(&[70, 10]).test();
        if family == Family::BiasResidual || [DType::F32, DType::Q8_0, DType::Q4_1].contains(&format.dtype()) {
            Product::of(family, format).n_rows(&[13]).n_tokens(3).test();
            Product::of(family, format).n_rows(&[130]).n_tokens(11).test();
            Product::of(family, format).n_rows(&[70, 10]).n_tokens(35).test();
            Product::of(family, format).n_rows(&[70, 10]).batch(1).test();
            Product::of(family, format).n_rows(&[13]).batch(8).test();
        }
    }
}

#[test]
fn rms_matmul_is_right_for_every_format() {
    test_every_format(Family::Rms);
}

#[test]
fn rms_matmul_bias_is_right_for_every_format() {
    test_every_format(Family::RmsBias);
}

#[test]
fn matmul_bias_residual_is_right_for_every_format() {
    test_every_format(Family::BiasResidual);
}

fn format(dtype: DType) -> Format {
    Format::new(dtype).unwrap()
}

#[test]
fn matrices_of_real_width_are_right() {
    Product::of(Family::RmsBias, format(DType::Q8_0)).n_cols(2880).n_rows(&[512]).test();
    Product::of(Family::RmsBias, format(DType::Q5_0)).n_cols(2880).n_rows(&[100]).n_tokens(9).test();
    Product::of(Family::BiasResidual, format(DType::Q4K)).n_cols(4096).n_rows(&[288]).test();
    Product::of(Family::BiasResidual, format(DType::Q8_0)).n_cols(4096).n_rows(&[100]).n_tokens(17).test();
}

#[test]
fn a_head_of_real_height_in_parts_is_right() {
    Product::of(Family::Rms, format(DType::Q8_0)).n_cols(32).n_rows(&[100_000, 101_088]).test();
}

#[test]
fn the_head_can_begin_at_a_later_token() {
    for (first, n) in [(6, 1), (3, 2), (1, 9)] {
        Product::of(Family::Rms, format(DType::F16)).n_rows(&[9]).first_token(first).n_tokens(n).test();
    }
}

#[test]
fn not_a_bit_of_a_row_depends_on_the_others_of_its_batch() {
    let (n_cols, n_rows) = (160, 70);
    let mut random = Random(8);
    let w = Matrix::random(format(DType::Q8_0), n_cols, n_rows, &mut random);
    let (x, gain, bias) =
        (random.floats(8 * n_cols as usize, 3.0), random.floats(n_cols as usize, 2.0), random.floats(n_rows as usize, 1.0));
    let product = |rows: std::ops::Range<usize>| {
        let mut b = Bench::default();
        let weight = upload(&mut b, &w, n_cols, &[n_rows]);
        let x = b.floats(&x[rows.start * n_cols as usize..rows.end * n_cols as usize]);
        let (gain, bias, y) = (b.floats(&gain), b.floats(&bias), b.output(rows.len() * n_rows as usize));
        let pass = Pass::Batch { n: rows.len() as u32, most: 16 };
        b.recording.rms_matmul_bias(&weight, x, gain, EPS, bias, Rows { y, first: 0, stride: n_rows }, pass);
        b.run().words(y)[1].1.to_vec()
    };
    let together = product(0..8);
    for rows in [0..1, 3..4, 7..8, 2..4, 1..6] {
        let at = rows.start * n_rows as usize..rows.end * n_rows as usize;
        assert!(product(rows.clone()) == together[at], "rows {rows:?} alone are others than among eight");
    }
}
