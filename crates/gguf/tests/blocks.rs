//! Dequantisers and quantisers against gguf-py, on the committed vectors.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use gguf::{DType, Error};

fn vectors(file: &str) -> Vec<u8> {
    let path = format!("{}/../../tests/vectors/blocks/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn floats(file: &str) -> Vec<f32> {
    vectors(file).as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

const DEQUANTIZED: [DType; 15] = [
    DType::F16,
    DType::BF16,
    DType::Q4_0,
    DType::Q4_1,
    DType::Q5_0,
    DType::Q5_1,
    DType::Q8_0,
    DType::Q2K,
    DType::Q3K,
    DType::Q4K,
    DType::Q5K,
    DType::Q6K,
    DType::Iq4Nl,
    DType::Iq4Xs,
    DType::Mxfp4,
];

#[test]
fn every_block_format_dequantizes_bit_for_bit_as_gguf_py() {
    for dtype in DEQUANTIZED {
        let blocks = vectors(&format!("{dtype}.blocks"));
        let expected = floats(&format!("{dtype}.values"));
        assert!(expected.iter().any(|v| v.is_finite() && *v != 0.0), "{dtype}");
        let mut got = vec![0.0; expected.len()];
        dtype.dequantize(&blocks, &mut got).unwrap();
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            let same = got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan();
            assert!(same, "{dtype} element {i}: {got:e}, expected {expected:e}");
        }
    }
}

#[test]
fn f32_blocks_are_taken_bit_for_bit() {
    let bits = [0, 0x8000_0000, 1, 0x7f80_0000, 0x3f80_0001u32];
    let blocks: Vec<u8> = bits.iter().flat_map(|b| b.to_le_bytes()).collect();
    let mut got = [0.0; 5];
    DType::F32.dequantize(&blocks, &mut got).unwrap();
    assert_eq!(got.map(f32::to_bits), bits);
}

#[test]
fn quantized_blocks_are_byte_for_byte_those_of_gguf_py() {
    let values = floats("quantize.values");
    for dtype in [DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1, DType::Q8_0, DType::Mxfp4] {
        let expected = vectors(&format!("{dtype}.quantized"));
        let mut got = Vec::new();
        dtype.quantize(&values, &mut got).unwrap();
        assert_eq!(got.len(), expected.len(), "{dtype}");
        let size = dtype.block_bytes();
        for (i, (got, expected)) in got.chunks(size).zip(expected.chunks(size)).enumerate() {
            assert_eq!(got, expected, "{dtype} block {i} of {:?}", &values[32 * i..32 * (i + 1)]);
        }
    }
}

#[test]
fn plain_formats_round_as_gguf_py_does() {
    let values = floats("scalars.values");
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let mut got = Vec::new();
        dtype.quantize(&values, &mut got).unwrap();
        let expected = vectors(&format!("{dtype}.scalars"));
        let size = dtype.block_bytes();
        assert_eq!(got.len(), expected.len());
        for ((got, expected), value) in got.chunks(size).zip(expected.chunks(size)).zip(&values) {
            if value.is_nan() {
                let mut back = [0.0];
                dtype.dequantize(got, &mut back).unwrap();
                assert!(back[0].is_nan());
            } else {
                assert_eq!(got, expected, "{dtype} of {value:e}");
            }
        }
    }
}

#[test]
fn magnitudes_below_the_mxfp4_range_become_the_smallest_or_zero() {
    let mut x = [0.0; 32];
    x[3] = f32::from_bits(1);
    x[4] = 1.5e-38;
    let (mut blocks, mut back) = (Vec::new(), [0.0; 32]);
    DType::Mxfp4.quantize(&x, &mut blocks).unwrap();
    DType::Mxfp4.dequantize(&blocks, &mut back).unwrap();
    assert_eq!(blocks[0], 0);
    assert_eq!(back[3], 0.0);
    assert!((back[4] - x[4]).abs() < 3e-39, "{:e}", back[4]);
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let mut out = [0.0; 32];
    assert_eq!(
        DType::Q4_0.dequantize(&[0; 17], &mut out),
        Err(Error::BlockBytes { dtype: DType::Q4_0, elements: 32, expected: 18, got: 17 })
    );
    assert_eq!(DType::Q4K.dequantize(&[0; 144], &mut out), Err(Error::PartialBlock { dtype: DType::Q4K, expected: 256, got: 32 }));
    let mut blocks = vec![7];
    assert_eq!(DType::Mxfp4.quantize(&[0.0; 31], &mut blocks), Err(Error::PartialBlock { dtype: DType::Mxfp4, expected: 32, got: 31 }));
    out[9] = f32::INFINITY;
    assert_eq!(DType::Q8_0.quantize(&out, &mut blocks), Err(Error::NotFinite { dtype: DType::Q8_0, index: 9, value: f32::INFINITY }));
    assert_eq!(blocks, [7]);
}

#[test]
fn types_known_by_size_only_are_not_converted() {
    for &dtype in DType::ALL {
        let (len, size) = (dtype.block_len(), dtype.block_bytes());
        let dequantized = dtype.dequantize(&vec![0; size], &mut vec![0.0; len]);
        if dtype == DType::F32 || DEQUANTIZED.contains(&dtype) {
            assert_eq!(dequantized, Ok(()));
        } else {
            assert_eq!(dequantized, Err(Error::NoDequantizer { dtype }));
        }
    }
    let refused = DType::Q6K.quantize(&[0.0; 256], &mut Vec::new());
    assert_eq!(refused, Err(Error::NoQuantizer { dtype: DType::Q6K }));
}

#[test]
fn ids_and_names_tell_types_apart() {
    for (i, &dtype) in DType::ALL.iter().enumerate() {
        assert_eq!(DType::from_id(dtype.id()), Some(dtype));
        assert!(DType::ALL[..i].iter().all(|other| other.name() != dtype.name()));
    }
    assert_eq!(DType::from_id(4), None);
    assert_eq!(DType::from_id(u32::MAX), None);
}

#[test]
fn row_bytes_count_whole_blocks_only() {
    assert_eq!(DType::Mxfp4.row_bytes(2880), Some(1530));
    assert_eq!(DType::Q8_0.row_bytes(2880), Some(3060));
    assert_eq!(DType::Q4K.row_bytes(2880), None);
    assert_eq!(DType::F32.row_bytes(u64::MAX), None);
    assert_eq!(DType::Q4_0.row_bytes(0), Some(0));
}
