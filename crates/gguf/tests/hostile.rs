//! Random damage: whatever the bytes, the parser answers, does not panic, and takes no more than twice the file's
//! size in memory.

#![allow(clippy::unwrap_used, reason = "tests")]

mod sample;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gguf::{DType, Directory, Metadata, Parsed, Writer, parse};

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

/// Beyond twice the file: error texts, and entries that are larger in memory than in the file.
const SMALL_BYTES: usize = 16 << 10;

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

/// Parses `file` as a reader would and joins the header into a directory; the outcome is one of three.
fn open(file: &[u8], prefix: usize) -> &'static str {
    match parse(&file[..prefix], file.len() as u64) {
        Err(error) => {
            assert!(!error.to_string().is_empty());
            "refused"
        }
        Ok(Parsed::NeedMore { at_least }) => {
            assert!(at_least > prefix as u64 && at_least <= file.len() as u64);
            "more"
        }
        Ok(Parsed::Header(header)) => match Directory::new(vec![(header, file.len() as u64)]) {
            Ok(directory) => {
                for tensor in directory.tensors.iter() {
                    assert!(tensor.start + tensor.bytes <= file.len() as u64);
                    assert!(directory.get(&tensor.name).is_some());
                }
                "opened"
            }
            Err(_) => "refused",
        },
    }
}

/// Damages `file` in one of the ways in which files are damaged, or made to do damage.
fn damage(file: &mut Vec<u8>, header_bytes: usize, random: &mut Random) {
    const HOSTILE: [u64; 8] = [0, 1, 0xff, 0xffff_ffff, u64::MAX, 1 << 63, 1 << 32, 0x7fff_ffff_ffff_ffff];
    let at = random.below(header_bytes);
    match random.below(5) {
        0 => file[at] ^= 1 << random.below(8),
        1 => file[at] = random.next() as u8,
        2 => {
            let value = HOSTILE[random.below(HOSTILE.len())].to_le_bytes();
            let width = [4, 8][random.below(2)].min(file.len() - at);
            file[at..at + width].copy_from_slice(&value[..width]);
        }
        3 => {
            let from = random.below(header_bytes);
            let len = random.below(64).min(file.len() - at.max(from));
            file.copy_within(from..from + len, at);
        }
        _ => {
            let end = (at + random.below(40)).min(file.len());
            file.drain(at..end);
        }
    }
}

#[test]
fn as_many_tensors_as_there_may_be_of_one_element_each_take_less_than_twice_the_file() {
    let mut writer = Writer::new(Metadata::new()).unwrap();
    (0..16_384).for_each(|i| writer.add(&format!("t{i}"), &[1], DType::F32).unwrap());
    let mut file = writer.header().unwrap();
    file.resize(file.len() + 16_384 * 32, 0);
    let (outcome, held) = most_held(|| open(&file, file.len()));
    assert_eq!(outcome, "opened");
    assert!(held <= 2 * file.len(), "{held} bytes for {}", file.len());
}

#[test]
fn a_hundred_thousand_damaged_files_are_answered_within_twice_their_size() {
    let whole = sample::file();
    let header_bytes = sample::header(&whole).data_start as usize;
    let mut random = Random(7);
    let mut outcomes = std::collections::BTreeMap::new();
    for case in 0..120_000 {
        let mut file = whole.clone();
        for _ in 0..=random.below(3) {
            let reach = header_bytes.min(file.len());
            damage(&mut file, reach, &mut random);
        }
        let prefix = if case % 4 == 0 { random.below(file.len() + 1) } else { file.len() };
        let (outcome, held) = most_held(|| open(&file, prefix));
        assert!(held <= 2 * file.len() + SMALL_BYTES, "case {case}: {held} bytes for {}", file.len());
        *outcomes.entry(outcome).or_insert(0) += 1;
    }
    // Damage that all fell on one side would show that the cases are not worth their time.
    assert!(outcomes.len() == 3 && outcomes.values().all(|&n| n > 5_000), "{outcomes:?}");
}

#[test]
fn a_large_vocabulary_takes_no_more_than_its_bytes() {
    let mut metadata = sample::metadata();
    let tokens: gguf::Strings = (0..100_000).map(|i| format!("{i:x}")).collect();
    metadata.set("tokenizer.ggml.tokens", tokens);
    metadata.set("tokenizer.ggml.token_type", vec![1; 100_000]);
    let file = sample::write(sample::writer(metadata));
    let (outcome, held) = most_held(|| open(&file, file.len()));
    assert_eq!(outcome, "opened");
    assert!(held <= file.len() + SMALL_BYTES, "{held} bytes for {}", file.len());
}

#[test]
fn a_header_of_tiny_entries_takes_little_over_twice_its_file() {
    // As many of the smallest keys and tensors as a file may have.
    let (keys, tensors) = (4096u64, 16_384u64);
    let mut raw = sample::Raw::start(tensors, keys);
    for i in 0..keys {
        raw = raw.string(format!("{i:x}")).u32(0);
        raw.0.push(0);
    }
    for i in 0..tensors {
        raw = raw.tensor(&format!("{i:x}"), &[1], 24, 32 * i);
    }
    let mut file = raw.0;
    file.resize(file.len().next_multiple_of(32) + 32 * tensors as usize, 0);
    let (outcome, held) = most_held(|| open(&file, file.len()));
    assert_eq!(outcome, "opened");
    assert!(held <= 2 * file.len() + (1 << 20), "{held} bytes for {}", file.len());
}
