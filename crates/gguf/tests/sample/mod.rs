//! A small GGUF file with every value type and several block formats.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use gguf::{DType, Header, Metadata, Parsed, Strings, Writer};

pub const TENSORS: [(&str, &[u64], DType); 6] = [
    ("token_embd.weight", &[64, 3], DType::Q8_0),
    ("blk.0.attn_norm.weight", &[5], DType::F32),
    ("blk.0.ffn_up_exps.weight", &[32, 2, 3], DType::Mxfp4),
    ("blk.0.attn_output.weight", &[256, 1], DType::Q4K),
    ("blk.0.four", &[2, 2, 2, 2], DType::F16),
    ("output_norm.weight", &[7], DType::BF16),
];

pub fn metadata() -> Metadata {
    let mut m = Metadata::new();
    m.set("general.architecture", "gpt-oss");
    m.set("a.u8", 200u8);
    m.set("a.i8", -3i8);
    m.set("a.u16", 60_000u16);
    m.set("a.i16", -300i16);
    m.set("a.u32", 4_000_000_000u32);
    m.set("a.i32", -70_000i32);
    m.set("a.f32", 1.5f32);
    m.set("a.bool", true);
    m.set("a.u64", u64::MAX);
    m.set("a.i64", i64::MIN);
    m.set("a.f64", 0.1f64);
    m.set("a.empty", "");
    m.set("l.u8", vec![1u8, 2]);
    m.set("l.i8", vec![-1i8]);
    m.set("l.u16", vec![9u16]);
    m.set("l.i16", vec![-9i16, 9]);
    m.set("l.u32", vec![7u32, 8, 9]);
    m.set("l.i32", vec![3i32, 1, 1]);
    m.set("l.f32", vec![0.5f32, -0.5]);
    m.set("l.bool", vec![true, false, true]);
    m.set("l.u64", vec![u64::MAX]);
    m.set("l.i64", vec![i64::MIN]);
    m.set("l.f64", vec![2.5f64]);
    m.set("l.none", Vec::<u32>::new());
    m.set("tokenizer.ggml.tokens", ["Hello", "", "Ġकि", "!"].into_iter().collect::<Strings>());
    m
}

pub fn writer(metadata: Metadata) -> Writer {
    let mut writer = Writer::new(metadata).unwrap();
    for (name, shape, dtype) in TENSORS {
        writer.add(name, shape, dtype).unwrap();
    }
    writer
}

/// The data of tensor `name`: bytes that tell tensors and places apart.
pub fn data(name: &str, bytes: u64) -> Vec<u8> {
    (0..bytes).map(|i| (i as u8).wrapping_mul(31) ^ name.len() as u8 ^ name.as_bytes()[4]).collect()
}

pub fn write(writer: Writer) -> Vec<u8> {
    let tensors = writer.tensors().to_vec();
    let mut data_writer = writer.start(Vec::new()).unwrap();
    for tensor in tensors {
        data_writer.tensor(&tensor.name, &data(&tensor.name, tensor.bytes)).unwrap();
    }
    data_writer.finish().unwrap()
}

pub fn file() -> Vec<u8> {
    write(writer(metadata()))
}

/// Parses a whole file.
pub fn header(file: &[u8]) -> Header {
    match gguf::parse(file, file.len() as u64).unwrap() {
        Parsed::Header(header) => header,
        Parsed::NeedMore { at_least } => unreachable!("the file of {} bytes wants {at_least}", file.len()),
    }
}

/// The bytes of a header, piece by piece, right or wrong.
#[derive(Default)]
pub struct Raw(pub Vec<u8>);

impl Raw {
    pub fn start(tensors: u64, keys: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(3).u64(tensors).u64(keys)
    }

    pub fn u32(mut self, v: u32) -> Self {
        self.0.extend(v.to_le_bytes());
        self
    }

    pub fn u64(mut self, v: u64) -> Self {
        self.0.extend(v.to_le_bytes());
        self
    }

    pub fn string(self, v: impl AsRef<[u8]>) -> Self {
        let mut raw = self.u64(v.as_ref().len() as u64);
        raw.0.extend(v.as_ref());
        raw
    }

    pub fn tensor(self, name: &str, shape: &[u64], id: u32, offset: u64) -> Self {
        let raw = self.string(name).u32(shape.len() as u32);
        shape.iter().fold(raw, |raw, &n| raw.u64(n)).u32(id).u64(offset)
    }

    /// What the parser says of these bytes followed by `bytes` of data.
    pub fn refused(mut self, bytes: usize) -> gguf::Error {
        self.0.resize(self.0.len().next_multiple_of(32) + bytes, 0);
        gguf::parse(&self.0, self.0.len() as u64).unwrap_err()
    }
}
