//! Headers: round trips through the writer, what is refused and in which words, prefixes.

#![allow(clippy::unwrap_used, reason = "tests")]

mod sample;

use gguf::{Array, DType, Error, Metadata, Parsed, Strings, Value, WriteError, Writer, parse};
use sample::{Raw, header};

#[test]
fn what_is_written_is_what_is_parsed() {
    let file = sample::file();
    let header = header(&file);
    assert_eq!(header.version, 3);
    assert_eq!(header.alignment, 32);
    assert_eq!(header.metadata, sample::metadata());
    let written = sample::writer(sample::metadata());
    let parsed = header.tensors.iter().map(|t| (&t.name, &t.shape, t.dtype, t.start - header.data_start, t.bytes));
    assert!(parsed.eq(written.tensors().iter().map(|t| (&t.name, &t.shape, t.dtype, t.offset, t.bytes))));
    for tensor in &header.tensors {
        let start = tensor.start as usize;
        assert_eq!(start % 32, 0);
        let data = &file[start..start + tensor.bytes as usize];
        assert_eq!(data, sample::data(&tensor.name, tensor.bytes), "{}", tensor.name);
    }
    assert_eq!(header.tensors[2].bytes, 17 * 2 * 3);
}

#[test]
fn version_2_reads_as_version_3() {
    let mut file = sample::file();
    file[4] = 2;
    assert_eq!(header(&file).tensors, header(&sample::file()).tensors);
}

#[test]
fn data_may_come_in_chunks_and_is_padded() {
    let writer = sample::writer(sample::metadata());
    let tensors = writer.tensors().to_vec();
    let mut out = writer.start(Vec::new()).unwrap();
    for tensor in tensors {
        sample::data(&tensor.name, tensor.bytes).chunks(13).for_each(|chunk| out.chunk(chunk).unwrap());
    }
    assert_eq!(out.finish().unwrap(), sample::file());
}

#[test]
fn data_that_does_not_fit_the_header_is_refused() {
    let mut out = sample::writer(Metadata::new()).start(Vec::new()).unwrap();
    assert!(matches!(out.tensor("x", &[]), Err(WriteError::Order { expected, .. }) if expected == "token_embd.weight"));
    assert!(matches!(out.tensor("token_embd.weight", &[0; 203]), Err(WriteError::Length { expected: 204, got: 203, .. })));
    assert!(matches!(out.chunk(&[0; 205]), Err(WriteError::Length { expected: 204, got: 205, .. })));
    out.chunk(&[0; 200]).unwrap();
    assert!(matches!(out.finish(), Err(WriteError::Length { expected: 204, got: 200, .. })));

    let mut out = Writer::new(Metadata::new()).unwrap().start(Vec::new()).unwrap();
    assert!(matches!(out.chunk(&[1]), Err(WriteError::Surplus { got: 1 })));
    assert!(matches!(out.tensor("x", &[1, 2]), Err(WriteError::Surplus { got: 2 })));
}

#[test]
fn an_own_alignment_is_kept_to() {
    let mut metadata = sample::metadata();
    metadata.set("general.alignment", 64u32);
    let file = sample::write(sample::writer(metadata));
    let header = header(&file);
    assert_eq!(header.alignment, 64);
    assert_eq!(header.data_start % 64, 0);
    assert!(header.tensors.iter().all(|t| t.start % 64 == 0));
    assert_eq!(file.len() % 64, 0);
}

#[test]
fn a_truncated_header_asks_for_more_bytes_until_it_is_whole() {
    let file = sample::file();
    let whole = header(&file);
    let file_bytes = file.len() as u64;
    let mut asked = 0;
    for len in 0..file.len() {
        match parse(&file[..len], file_bytes).unwrap() {
            Parsed::NeedMore { at_least } => {
                assert!(at_least > len as u64 && at_least <= file_bytes, "{len}: {at_least}");
                asked += 1;
            }
            Parsed::Header(header) => assert_eq!(header, whole, "{len}"),
        }
    }
    assert!(asked > 500 && asked <= whole.data_start as usize, "{asked}");
}

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let file = sample::file();
    // The padding after the last tensor's 14 bytes is not needed.
    for len in 0..file.len() - 18 {
        let error = parse(&file[..len], len as u64).unwrap_err();
        let named = matches!(error, Error::NotGguf { .. } | Error::Truncated { .. } | Error::TooMany { .. } | Error::PastEnd { .. });
        assert!(named, "{len}: {error}");
    }
    header(&file[..file.len() - 18]);
}

#[test]
fn a_vocabulary_is_read_in_a_few_tries() {
    let tokens: Strings = (0..150_000u32).map(|i| format!("token-{}", i.wrapping_mul(2_654_435_761))).collect();
    let merges: Strings = (0..150_000u32).map(|i| format!("mer {}", i.wrapping_mul(40_503))).collect();
    let mut metadata = sample::metadata();
    metadata.set("tokenizer.ggml.tokens", tokens);
    metadata.set("tokenizer.ggml.token_type", vec![1i32; 150_000]);
    metadata.set("tokenizer.ggml.merges", merges);
    let file = sample::write(sample::writer(metadata.clone()));
    let claimed_bytes = 12 << 30;
    let (mut have, mut tries, mut parsed) = (0, 0, 0);
    let header = loop {
        tries += 1;
        parsed += have;
        match parse(&file[..have.min(file.len())], claimed_bytes).unwrap() {
            Parsed::Header(header) => break header,
            Parsed::NeedMore { at_least } => have = at_least as usize,
        }
    };
    assert_eq!(header.metadata, metadata);
    assert!(tries <= 6, "{tries}");
    assert!(have < file.len() * 3 / 2, "{have} of {}", file.len());
    assert!(parsed < file.len() * 4, "{parsed} of {}", file.len());
}

#[test]
fn other_files_are_told_by_what_they_are() {
    let cases: [(&[u8], &str); 9] = [
        (b"", "empty"),
        (
            b"\n<!DOCTYPE html>\n<html><title>502 Bad Gateway</title>",
            "an HTML page that begins with \"<!DOCTYPE html> <html><title>502 Bad Gat\"",
        ),
        (b"{\"error\": \"Entry not found\"}", "a JSON text that begins with \"{\\\"error\\\": \\\"Entry not found\\\"}\""),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "a Git LFS pointer, not the file it points to"),
        (b"Not found", "a text that begins with \"Not found\""),
        (b"PK\x03\x04\x14\0", "a ZIP archive (perhaps a PyTorch checkpoint)"),
        (b"\x10\0\0\0\0\0\0\0{\"a\":1}", "a safetensors file"),
        (b"tjgg\x03\0\0\0", "a GGML file from before GGUF"),
        (b"\0\x01\xff\xfe", "a binary file that begins with the bytes 00 01 ff fe"),
    ];
    for (file, words) in cases {
        assert_eq!(parse(file, file.len() as u64), Err(Error::NotGguf { found: words.to_owned() }));
    }
    let html = parse(b"<!DOCTYPE html><html>", 12 << 30).unwrap_err();
    assert!(html.to_string().starts_with("not a GGUF file: it is an HTML page"), "{html}");
}

#[test]
fn other_versions_and_byte_orders_are_refused() {
    let with_version = |version: u32| Raw(b"GGUF".to_vec()).u32(version).u64(0).u64(0).refused(0);
    for got in [0, 1, 4] {
        assert_eq!(with_version(got), Error::Version { got });
    }
    assert_eq!(with_version(3u32.swap_bytes()), Error::BigEndian);
}

#[test]
fn counts_are_checked_against_the_file() {
    let huge = 1 << 60;
    assert_eq!(Raw::start(0, huge).refused(0), Error::TooMany { what: "metadata keys", count: huge, limit: 0 });
    assert_eq!(Raw::start(huge, 0).refused(64), Error::TooMany { what: "tensors", count: huge, limit: 2 });
    let array = |id: u32, count: u64| Raw::start(0, 1).string("k").u32(9).u32(id).u64(count).refused(64);
    assert!(matches!(array(5, huge), Error::TooMany { what: "array elements", .. }));
    assert!(matches!(array(8, huge), Error::TooMany { what: "array elements", .. }));
    assert!(matches!(array(7, u64::MAX), Error::Truncated { needed: u64::MAX, .. }));
    let long_key = Raw::start(0, 1).u64(u64::MAX).refused(64);
    assert!(matches!(long_key, Error::Truncated { reading: "a metadata key", .. }), "{long_key}");
}

#[test]
fn a_header_that_claims_gigabytes_is_refused_before_they_are_read() {
    let raw = Raw::start(0, 1).string("k").u32(8).u64(5 << 30);
    let refused = parse(&raw.0, 12 << 30).unwrap_err();
    assert!(matches!(refused, Error::HeaderTooLarge { needed, .. } if needed > 5 << 30), "{refused}");
}

#[test]
fn bad_metadata_is_refused() {
    let key = || "k".to_owned();
    assert_eq!(Raw::start(0, 1).string("").u32(4).u32(0).refused(0), Error::EmptyKey { at: 24 });
    let twice = Raw::start(0, 2).string("k").u32(4).u32(0).string("k").u32(4).u32(0);
    assert_eq!(twice.refused(0), Error::DuplicateKey { key: key() });
    assert_eq!(Raw::start(0, 1).string("k").u32(13).refused(0), Error::ValueType { key: key(), id: 13 });
    let nested = Raw::start(0, 1).string("k").u32(9).u32(9).u64(0);
    assert_eq!(nested.refused(0), Error::NestedArray { key: key() });
    let list = Raw::start(0, 1).string("k").u32(9).u32(99).u64(0);
    assert_eq!(list.refused(0), Error::ValueType { key: key(), id: 99 });
    assert_eq!(Raw::start(0, 1).string("k").u32(7).u32(2).refused(0), Error::NotBool { key: key(), got: 2 });
    assert_eq!(Raw::start(0, 1).string([0xff]).refused(0), Error::NotUtf8 { what: "a metadata key", at: 32 });
    // One character in two strings: each of them is broken.
    let split = Raw::start(0, 1).string("k").u32(9).u32(8).u64(2).string([0xc3]).string([0xa9]);
    assert!(matches!(split.refused(0), Error::NotUtf8 { what: "an array's string", .. }));
    for got in [0, 3, 48] {
        let raw = Raw::start(0, 1).string("general.alignment").u32(4).u32(got);
        assert_eq!(raw.refused(0), Error::Alignment { got: got.into() });
    }
    let words = Raw::start(0, 1).string("general.alignment").u32(8).string("32");
    assert!(matches!(words.refused(0), Error::WrongType { .. }));
}

#[test]
fn bad_tensors_are_refused() {
    let name = || "t".to_owned();
    let one = |name: &str, shape: &[u64], id, offset| Raw::start(1, 0).tensor(name, shape, id, offset).refused(128);
    assert_eq!(one("", &[1], 0, 0), Error::EmptyName { index: 0 });
    let long = "n".repeat(64);
    assert_eq!(one(&long, &[1], 0, 0), Error::NameTooLong { tensor: long.clone(), got: 64, limit: 63 });
    assert_eq!(one("t", &[], 0, 0), Error::Dimensions { tensor: name(), got: 0 });
    assert_eq!(one("t", &[1; 5], 0, 0), Error::Dimensions { tensor: name(), got: 5 });
    assert_eq!(one("t", &[4, 0], 0, 0), Error::NoElements { tensor: name(), shape: vec![4, 0] });
    assert_eq!(one("t", &[4], 4, 0), Error::UnknownType { tensor: name(), id: 4 });
    let partial = Error::PartialRow { tensor: name(), dtype: DType::Q8_0, expected: 32, got: 33 };
    assert_eq!(one("t", &[33], 8, 0), partial);
    let shape = vec![1 << 31, 1 << 31, 4];
    assert_eq!(one("t", &shape, 0, 0), Error::TensorTooLarge { tensor: name(), shape: shape.clone() });
    assert_eq!(one("t", &[4], 0, 32), Error::Offset { tensor: name(), expected: 0, got: 32 });
    assert_eq!(one("t", &[33], 0, 0), Error::PastEnd { tensor: name(), end: 64 + 132, file_bytes: 64 + 128 });

    let two = |second: &str, offset| Raw::start(2, 0).tensor("t", &[3], 0, 0).tensor(second, &[3], 0, offset).refused(128);
    assert_eq!(two("t", 32), Error::DuplicateTensor { tensor: name() });
    assert_eq!(two("u", 12), Error::Offset { tensor: "u".to_owned(), expected: 32, got: 12 });
    let near_end = Raw::start(2, 0).tensor("t", &[u64::MAX], 24, 0).tensor("u", &[1], 24, 0).refused(0);
    assert!(matches!(near_end, Error::TensorTooLarge { .. }), "{near_end}");
}

#[test]
fn an_error_speaks_with_its_operands() {
    let error = Raw::start(1, 0).tensor("blk.0.x", &[33], 8, 0).refused(64);
    assert_eq!(error.to_string(), "tensor \"blk.0.x\" has rows of 33 elements: Q8_0 needs a multiple of 32");
}

#[test]
fn the_writer_keeps_the_readers_rules() {
    let mut metadata = Metadata::new();
    metadata.set("general.alignment", 33u32);
    assert_eq!(Writer::new(metadata).unwrap_err(), Error::Alignment { got: 33 });
    let mut writer = Writer::new(Metadata::new()).unwrap();
    assert!(matches!(writer.add("", &[1], DType::F32), Err(Error::EmptyName { index: 0 })));
    assert!(matches!(writer.add("t", &[31], DType::Q4_0), Err(Error::PartialRow { .. })));
    writer.add("t", &[1], DType::F32).unwrap();
    writer.add("t", &[1], DType::F32).unwrap();
    assert_eq!(writer.header(), Err(Error::DuplicateTensor { tensor: "t".to_owned() }));
}

#[test]
fn integers_are_taken_in_any_width_in_which_they_fit() {
    let m = sample::metadata();
    assert_eq!(m.u64("a.u8"), Ok(Some(200)));
    assert_eq!(m.u64("a.u32"), Ok(Some(4_000_000_000)));
    assert_eq!(m.u64("a.u64"), Ok(Some(u64::MAX)));
    assert_eq!(m.u64("absent"), Ok(None));
    assert_eq!(m.u64("a.i8").unwrap_err().to_string(), "metadata key \"a.i8\": expected a non-negative integer, got i8 -3");
    assert!(matches!(m.u64("a.f32"), Err(Error::WrongType { got, .. }) if got == "f32 1.5"));
    assert!(matches!(m.u64("l.u32"), Err(Error::WrongType { got, .. }) if got == "array of 3 u32"));
    assert_eq!(m.u32s("l.i32"), Ok(Some(vec![3, 1, 1])));
    assert_eq!(m.i32s("l.i16"), Ok(Some(vec![-9, 9])));
    assert!(matches!(m.u32s("l.i16"), Err(Error::WrongType { .. })));
    assert!(matches!(m.u32s("l.u64"), Err(Error::WrongType { .. })));
    assert_eq!(m.u32s("l.none"), Ok(Some(vec![])));
}

#[test]
fn floats_bools_and_strings_have_their_own_getters() {
    let m = sample::metadata();
    assert_eq!(m.f32("a.f32"), Ok(Some(1.5)));
    assert_eq!(m.f32("a.f64"), Ok(Some(0.1)));
    assert!(matches!(m.f32("a.u8"), Err(Error::WrongType { .. })));
    assert_eq!(m.f32s("l.f64"), Ok(Some(vec![2.5])));
    assert_eq!(m.bool("a.bool"), Ok(Some(true)));
    assert!(matches!(m.bool("a.u8"), Err(Error::WrongType { .. })));
    assert_eq!(m.str("general.architecture"), Ok(Some("gpt-oss")));
    assert!(matches!(m.str("a.bool"), Err(Error::WrongType { .. })));
    let tokens = m.strings("tokenizer.ggml.tokens").unwrap().unwrap();
    assert_eq!(tokens.iter().collect::<Vec<_>>(), ["Hello", "", "Ġकि", "!"]);
    assert_eq!((tokens.len(), tokens.get(2), tokens.get(4)), (4, Some("Ġकि"), None));
    assert_eq!(tokens.bytes(1), Some(&b""[..]));
    assert!(matches!(m.strings("l.u8"), Err(Error::WrongType { .. })));
}

#[test]
fn setting_a_key_again_replaces_its_value_in_place() {
    let mut m = Metadata::new();
    m.set("a", 1u32);
    m.set("b", 2u32);
    m.set("a", vec![1.0f32]);
    let entries: Vec<_> = m.iter().collect();
    assert_eq!(entries, [("a", &Value::Array(Array::F32(vec![1.0]))), ("b", &Value::U32(2))]);
    assert_eq!(m.remove("b"), Some(Value::U32(2)));
    assert_eq!((m.len(), m.get("b")), (1, None));
}
