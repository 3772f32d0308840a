use gguf::DType;
use kernels::Format;
use kernels::ops::{Pass, Steps};

use crate::bench::{Bench, SENTINEL};
use crate::random::Random;
use crate::weights::{Matrix, odd_width, upload};

/// Where the last operation is a sum, a GPU may fuse it with the product before.
fn may_be_fused(format: Format) -> bool {
    matches!(format.dtype(), DType::Q4_1 | DType::Q5_1 | DType::Q2K | DType::Q4K | DType::Q5K)
}

/// Gets `tokens` of `w`, whose parts have so many rows; ids beyond them must leave their row of y.
fn check(w: &Matrix, n_cols: u32, parts: &[u32], tokens: &[u32]) {
    let mut b = Bench::default();
    let weight = upload(&mut b, w, n_cols, parts);
    let (ids, steps) = (b.words(tokens), b.words(Steps::new().words()));
    let y = b.output(tokens.len() * n_cols as usize);
    b.recording.get_rows(&weight, ids, steps, y, Pass::Chunk(tokens.len() as u32));
    assert_rows(w, n_cols, tokens, &b.run().floats(y));
}

fn assert_rows(w: &Matrix, n_cols: u32, tokens: &[u32], y: &[(&str, Vec<f32>)]) {
    let n_rows = (w.values.len() / n_cols as usize) as u32;
    for (side, y) in y {
        for (t, &token) in tokens.iter().enumerate() {
            let got = &y[t * n_cols as usize..(t + 1) * n_cols as usize];
            if token >= n_rows {
                assert!(got.iter().all(|v| v.to_bits() == SENTINEL), "{:?} on {side}: id {token} of {n_rows} has a row", w.format);
                continue;
            }
            let row = w.row(n_cols, token);
            let largest = row.iter().fold(0.0, |m: f32, v| m.max(v.abs()));
            // Two units in the last place of the terms that the sum is made of.
            let tolerance = if may_be_fused(w.format) { largest * f32::EPSILON } else { 0.0 };
            for (i, (got, expected)) in got.iter().zip(row).enumerate() {
                assert!((got - expected).abs() <= tolerance, "{:?} on {side}: {got} at {i} of row {token}, expected {expected}", w.format);
            }
        }
    }
}

#[test]
fn every_format_is_dequantised_exactly() {
    for format in Format::all() {
        let (n_cols, n_rows) = (odd_width(format), 7);
        let w = Matrix::random(format, n_cols, n_rows, &mut Random(1));
        check(&w, n_cols, &[n_rows], &[6, 0, 3, 3, 7, u32::MAX, 1]);
    }
}

#[test]
fn a_table_in_parts_serves_tokens_from_each_part_at_real_width() {
    for dtype in [DType::Q8_0, DType::Q5_0] {
        let w = Matrix::random(Format::new(dtype).unwrap(), 2880, 24, &mut Random(3));
        check(&w, 2880, &[9, 8, 7], &[0, 8, 9, 16, 17, 23, 24, 5]);
    }
    let w = Matrix::random(Format::new(DType::Q4K).unwrap(), 4096, 5, &mut Random(4));
    check(&w, 4096, &[2, 3], &[4, 3, 2, 1, 0]);
}

#[test]
fn scales_below_the_normal_f16_are_kept() {
    let format = Format::new(DType::Q8_0).unwrap();
    let mut w = Matrix::random(format, 64, 2, &mut Random(5));
    for (i, block) in w.raw.chunks_mut(34).enumerate() {
        block[..2].copy_from_slice(&[1 << i, 0]);
    }
    check(&Matrix::new(format, w.raw), 64, &[2], &[0, 1]);
}

#[test]
fn exponents_of_mxfp4_from_one_end_to_the_other_are_exact() {
    let format = Format::new(DType::Mxfp4).unwrap();
    let mut w = Matrix::random(format, 32, 256, &mut Random(6));
    for (e, block) in w.raw.chunks_mut(17).enumerate() {
        block[0] = e as u8;
    }
    let w = Matrix::new(format, w.raw);
    // Products with subnormal scales may be flushed, and the last scales overflow.
    let tokens: Vec<u32> = (3..252).collect();
    check(&w, 32, &[256], &tokens);
}

#[test]
fn rows_of_a_step_get_the_next_tokens_of_their_sequences() {
    let (format, n_cols) = (Format::new(DType::Q8_0).unwrap(), 96);
    let w = Matrix::random(format, n_cols, 9, &mut Random(7));
    let mut steps = Steps::new();
    for (sequence, token) in [(0, 4), (3, 8), (5, 0), (15, 6)] {
        steps.each[sequence].token = token;
    }
    // Sequences in the order of their rows; nobody's token is 0.
    steps.rows[..4].copy_from_slice(&[15, 3, Steps::NOBODY, 5]);
    steps.rows[Steps::LONE] = 3;
    for (pass, tokens) in [(Pass::Batch { n: 4, most: 16 }, &[6, 8, 0, 0][..]), (Pass::Alone, &[8])] {
        let mut b = Bench::default();
        let weight = upload(&mut b, &w, n_cols, &[4, 5]);
        let (ids, steps) = (b.words(&[]), b.words(steps.words()));
        let y = b.output(tokens.len() * n_cols as usize);
        b.recording.get_rows(&weight, ids, steps, y, pass);
        assert_rows(&w, n_cols, tokens, &b.run().floats(y));
    }
}
