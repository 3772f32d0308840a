//! Bad input is normal input: whatever the bytes, a file is a model or an error in words, without a panic and without
//! memory that the bytes do not justify.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;

use api::{Dialect, Error};
use gguf::{DType, Directory, Metadata, Parsed, Value, Writer};
use model::{Model, Options};
use tests::{open_bytes, vector};

/// Counts what each thread holds, and the most that it held.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    HELD.set(HELD.get() + bytes);
    MOST.set(MOST.get().max(HELD.get()));
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait")]
// SAFETY: every call goes to the system's allocator as it is. A reallocation counts the old and the new block at once.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes as isize);
        count(-(layout.size() as isize));
        unsafe { System.realloc(block, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that `f` held at most beyond what was held before it.
fn most_held<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let result = f();
    (result, (MOST.get() - before) as usize)
}

/// Beyond twice the file: what the smallest file costs.
const SMALL_BYTES: usize = 16 << 10;

/// Beyond twice the file, of a model: rotary tables of 512 positions and up to 128 pairs, as numbers and as bytes.
const TABLES_BYTES: usize = 2 << 20;

fn nano() -> Vec<u8> {
    std::fs::read(vector("nano/nano.gguf")).unwrap()
}

fn options() -> Options {
    Options { context: 32, chunk: 16, ..Options::default() }
}

/// All that is made of a header before the first weight is read.
fn make(directory: &Directory) -> Result<Model, Error> {
    let model = Model::new(directory, options())?;
    let tokenizer = api::tokenizer(directory)?;
    match Dialect::new(directory, &tokenizer) {
        Ok(_) | Err(Error::NoDialect) => Ok(model),
        Err(error) => Err(error),
    }
}

/// The file whose first bytes are `header`.
fn read(header: &[u8], file_bytes: u64) -> Result<Directory, Error> {
    let refuse = |error| Error::Header { location: "test".into(), error };
    match gguf::parse(header, file_bytes).map_err(refuse)? {
        Parsed::Header(header) => Directory::new(vec![(header, file_bytes)]).map_err(refuse),
        Parsed::NeedMore { at_least } => panic!("the header has {} bytes and wants {at_least}", header.len()),
    }
}

/// A model's header written anew.
#[derive(Clone)]
struct Draft {
    metadata: Metadata,
    tensors: Vec<(String, Vec<u64>, DType)>,
}

impl Draft {
    fn nano() -> Self {
        let directory = read(&nano(), nano().len() as u64).unwrap();
        let tensors = directory.tensors.iter().map(|t| (t.name.clone(), t.shape.clone(), t.dtype)).collect();
        Self { metadata: directory.metadata, tensors }
    }

    fn make(&self) -> Result<Model, Error> {
        let mut writer = Writer::new(self.metadata.clone()).unwrap();
        for (name, shape, dtype) in &self.tensors {
            writer.add(name, shape, *dtype).unwrap();
        }
        let header = writer.header().unwrap();
        let end = writer.tensors().last().map_or(0, |last| last.offset + last.bytes);
        make(&read(&header, header.len() as u64 + end)?)
    }

    /// What is said of nano after `change`.
    fn refused(change: impl FnOnce(&mut Self)) -> String {
        let mut draft = Self::nano();
        change(&mut draft);
        draft.make().err().unwrap_or_else(|| panic!("this should have been refused")).to_string()
    }

    fn refused_with(key: &str, value: impl Into<Value>) -> String {
        Self::refused(|draft| draft.metadata.set(key, value))
    }
}

fn check_words(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "{said:?} lacks {word:?}");
    }
}

#[test]
fn nano_itself_is_a_model() {
    assert_eq!(Draft::nano().make().unwrap().config.n_layers, 3);
}

#[test]
fn a_file_cut_anywhere_says_that_it_ends_too_early() {
    let whole = nano();
    let header_bytes = match gguf::parse(&whole, whole.len() as u64).unwrap() {
        Parsed::Header(header) => header.data_start as usize,
        Parsed::NeedMore { .. } => panic!("this is all there is"),
    };
    for cut in (4..header_bytes).chain((header_bytes..whole.len()).step_by(997)) {
        let (result, held) = most_held(|| read(&whole[..cut], cut as u64));
        let said = result.unwrap_err().to_string();
        assert!(said.contains("ends at byte") && said.contains(&cut.to_string()), "cut at {cut}: {said}");
        assert!(held <= 2 * cut + SMALL_BYTES, "cut at {cut}: {held} B");
    }
    let source_bytes = 2 * whole.len();
    let (files, held) = most_held(|| open_bytes(whole));
    assert!(files.is_ok() && held <= source_bytes + SMALL_BYTES, "{held} B");
}

/// SplitMix64
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Damages a header in one of the ways in which files are damaged, or made to do damage.
fn damage(header: &mut [u8], random: &mut Random) {
    const HOSTILE: [u64; 8] = [0, 1, 0xff, 0xffff_ffff, u64::MAX, 1 << 63, 1 << 32, 1 << 16];
    // Counts and hyperparameters come first and tensors last; the vocabulary between them is most of the bytes.
    let at = match random.below(3) {
        0 => random.below(header.len().min(2048)),
        1 => header.len() - 1 - random.below(header.len().min(4096)),
        _ => random.below(header.len()),
    };
    match random.below(8) {
        0..=3 => header[at] ^= 1 << random.below(8),
        4 => header[at] = random.next() as u8,
        5 => {
            let value = HOSTILE[random.below(HOSTILE.len())].to_le_bytes();
            let width = [4, 8][random.below(2)].min(header.len() - at);
            header[at..at + width].copy_from_slice(&value[..width]);
        }
        6 => {
            let from = random.below(header.len());
            let len = random.below(64).min(header.len() - at.max(from));
            header.copy_within(from..from + len, at);
        }
        _ => {
            let end = (at + random.below(40)).min(header.len());
            header.copy_within(end.., at);
        }
    }
}

/// Of `n` damaged files by `seed`, those that were opened and those that were refused.
fn outcomes(n: usize, seed: u64) -> BTreeMap<&'static str, usize> {
    let whole = nano();
    let header_bytes = match gguf::parse(&whole, whole.len() as u64).unwrap() {
        Parsed::Header(header) => header.data_start as usize,
        Parsed::NeedMore { .. } => panic!("this is all there is"),
    };
    let (mut file, mut random, mut outcomes) = (whole.clone(), Random(seed), BTreeMap::new());
    for case in 0..n {
        file[..header_bytes].copy_from_slice(&whole[..header_bytes]);
        for _ in 0..1 + random.below(4) / 2 {
            damage(&mut file[..header_bytes], &mut random);
        }
        let (result, held) = most_held(|| read(&file, file.len() as u64).and_then(|directory| make(&directory).map(drop)));
        assert!(held <= 2 * file.len() + TABLES_BYTES, "case {case} of seed {seed}: {held} B");
        let outcome = match &result {
            Ok(()) => "opened",
            Err(Error::Header { .. }) => "no header",
            Err(Error::Model(_)) => "no model",
            Err(_) => "no vocabulary",
        };
        if let Err(error) = result {
            let said = error.to_string();
            assert!(
                !said.is_empty() && said.len() < 4096,
                "case {case} of seed {seed}: {} B of words, {}",
                said.len(),
                &said[..200.min(said.len())]
            );
        }
        *outcomes.entry(outcome).or_default() += 1;
    }
    outcomes
}

#[test]
fn a_hundred_thousand_damaged_files_are_answered() {
    let threads = [1, 2].map(|seed| std::thread::spawn(move || outcomes(50_000, seed)));
    let mut total = BTreeMap::<_, usize>::new();
    for thread in threads {
        for (outcome, n) in thread.join().unwrap() {
            *total.entry(outcome).or_default() += n;
        }
    }
    println!("{total:?}");
    assert_eq!(total.values().sum::<usize>(), 100_000);
    for outcome in ["opened", "no header", "no model", "no vocabulary"] {
        assert!(total.get(outcome).is_some_and(|n| *n >= 100), "{total:?}: too few to mean anything");
    }
}

#[test]
fn every_tensor_is_needed_in_its_shape_and_type() {
    let nano = Draft::nano();
    for i in 0..nano.tensors.len() {
        let (name, shape, _) = &nano.tensors[i];
        let quoted = format!("{name:?}");
        check_words(&Draft::refused(|d| drop(d.tensors.remove(i))), &[&quoted, "missing"]);

        let said = Draft::refused(|d| d.tensors[i].1[0] += 32);
        let mut wide = shape.clone();
        wide[0] += 32;
        check_words(&said, &[&quoted, &format!("{wide:?}"), &format!("{shape:?}")]);

        let said = Draft::refused(|d| d.tensors[i].1.push(2));
        let deep: Vec<u64> = shape.iter().copied().chain([2]).collect();
        check_words(&said, &[&quoted, &format!("{deep:?}"), &format!("{shape:?}")]);

        check_words(&Draft::refused(|d| d.tensors[i].2 = DType::I32), &[&quoted, "I32", "expected"]);
    }
}

#[test]
fn an_unknown_tensor_type_is_named_by_its_number() {
    let mut file = nano();
    let name = b"blk.1.attn_k.weight";
    let at = file.windows(name.len()).position(|w| w == name).unwrap() + name.len();
    // After the number of axes and two of them.
    file[at + 20..at + 24].copy_from_slice(&99u32.to_le_bytes());
    check_words(&read(&file, file.len() as u64).unwrap_err().to_string(), &["blk.1.attn_k.weight", "unknown type 99"]);
}

#[test]
fn what_is_no_model_at_all_is_called_by_its_name() {
    for (bytes, word) in [
        (&b""[..], "empty"),
        (b"dear diary,\ntoday", "a text"),
        (b"<!DOCTYPE html><html><title>404</title>", "an HTML page"),
        (b"{\"error\": \"Repository not found\"}", "a JSON text"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0\0", "a binary file"),
    ] {
        let error = open_bytes(bytes.to_vec()).unwrap_err();
        check_words(&error.to_string(), &["test", "not a GGUF file", word]);
        assert_eq!(error.code(), "format");
    }
}

#[test]
fn hyperparameters_that_make_no_sense_are_named_with_what_was_expected() {
    let refused = |key: &str, value: Value, words: &[&str]| {
        let key = format!("gpt-oss.{key}");
        let said = Draft::refused_with(&key, value);
        check_words(&said, words);
        said
    };
    for (key, value, words) in [
        ("attention.key_length", Value::U32(63), &["key_length", "u32 63", "a multiple of 8"][..]),
        ("attention.key_length", Value::U32(264), &["key_length", "264", "1 to 256"]),
        ("attention.key_length", Value::Str("x".into()), &["key_length", "str", "integer"]),
        ("attention.head_count", Value::U32(0), &["head_count", "0", "1 to 1024"]),
        ("attention.head_count", Value::U32(3), &["head_count", "3", "head_count_kv (2)"]),
        ("attention.head_count_kv", Value::U32(1 << 20), &["head_count_kv", "1048576", "1 to 1024"]),
        ("attention.layer_norm_rms_epsilon", Value::F32(f32::NAN), &["epsilon", "NaN", "above 0"]),
        ("attention.sliding_window", Value::U32(0), &["sliding_window", "0", "1 to"]),
        ("attention.sliding_window_pattern", Value::from(vec![1i32]), &["pattern", "array of 1", "3 flags"]),
        ("block_count", Value::U32(0), &["block_count", "1 to 1024"]),
        ("block_count", Value::U32(4), &["blk.3.attn_norm.weight", "missing"]),
        ("block_count", Value::U64(u64::MAX), &["block_count", "18446744073709551615", "1 to 1024"]),
        ("context_length", Value::U32(u32::MAX), &["context_length", "4294967295"]),
        ("embedding_length", Value::U32(97), &["embedding_length", "97", "a multiple of 32"]),
        ("embedding_length", Value::U32(128), &["token_embd.weight", "[96, 300]", "[128, 300]"]),
        ("expert_count", Value::U32(257), &["expert_count", "257", "1 to 256"]),
        ("expert_used_count", Value::U32(9), &["expert_used_count", "9", "at most expert_count (8)"]),
        ("rope.dimension_count", Value::U32(63), &["dimension_count", "63", "even"]),
        ("rope.dimension_count", Value::U32(66), &["dimension_count", "66", "1 to 64"]),
        ("rope.freq_base", Value::F32(-1.0), &["freq_base", "-1", "above"]),
        ("rope.freq_base", Value::F32(1.0), &["freq_base", "1", "above 1"]),
        ("rope.scaling.factor", Value::F32(0.5), &["factor", "0.5", "1 or more"]),
        ("rope.scaling.factor", Value::F32(f32::INFINITY), &["factor", "inf", "above 0"]),
        ("rope.scaling.type", Value::Str("linear".into()), &["scaling.type", "\"linear\"", "none or yarn"]),
    ] {
        refused(key, value, words);
    }
    let said = refused("rope.scaling.type", Value::Str("x".repeat(1 << 20)), &["scaling.type", "1048576 bytes", "none or yarn"]);
    assert!(said.len() < 256, "{} B of words", said.len());
    for key in ["embedding_length", "block_count", "attention.head_count", "expert_count", "rope.scaling.factor"] {
        let said = Draft::refused(|d| drop(d.metadata.remove(&format!("gpt-oss.{key}"))));
        check_words(&said, &[key, "missing"]);
    }
    // More heads than the residual stream is wide would make them 0 wide.
    let said = Draft::refused(|d| {
        d.metadata.remove("gpt-oss.attention.key_length");
        d.metadata.remove("gpt-oss.attention.value_length");
        d.metadata.set("gpt-oss.attention.head_count", 128u32);
    });
    check_words(&said, &["key_length", "absent", "0 wide"]);
}

#[test]
fn other_architectures_and_parts_that_are_not_there_are_refused_by_name() {
    let said = Draft::refused_with("general.architecture", "gptoss");
    check_words(&said, &["Ollama", "gptoss", "ggml-org/gpt-oss-20b-GGUF"]);
    let said = Draft::refused_with("general.architecture", "qwen3moe");
    check_words(&said, &["qwen3moe", "gpt-oss or llama"]);
    let said = Draft::refused(|d| drop(d.metadata.remove("general.architecture")));
    check_words(&said, &["general.architecture", "missing"]);
    let said = Draft::refused(|d| d.tensors.push(("rope_freqs.weight".into(), vec![32], DType::F32)));
    check_words(&said, &["rope_freqs.weight", "not supported"]);
    let said = Draft::refused_with("tokenizer.ggml.pre", "klingon");
    check_words(&said, &["klingon"]);
    let said = Draft::refused(|d| drop(d.metadata.remove("tokenizer.ggml.tokens")));
    check_words(&said, &["tokenizer.ggml.tokens"]);
}

#[test]
fn options_that_a_model_cannot_have_are_refused() {
    let directory = read(&nano(), nano().len() as u64).unwrap();
    let refused = |options: Options| Model::new(&directory, options).map(drop).unwrap_err().to_string();
    check_words(&refused(Options { context: 0, ..options() }), &["context of 0", "1 to 131072"]);
    check_words(&refused(Options { context: 1 << 30, ..options() }), &["context of 1073741824", "1 to 131072"]);
    check_words(&refused(Options { chunk: 0, ..options() }), &["chunk is 0", "1 or more"]);
    check_words(&refused(Options { logit_rows: 0, ..options() }), &["logit_rows is 0", "1 or more"]);
    check_words(&refused(Options { logit_rows: 1 << 20, ..options() }), &["\"logits\"", "1258291200 B", "1073741824"]);
    check_words(&refused(Options { max_binding: 64, ..options() }), &["64"]);
}
