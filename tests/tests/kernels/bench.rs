//! Runs a recording on the CPU twins and on a GPU, every buffer between guards.

use kernels::{BufferId, Recording, Slice, cpu};

use crate::gpu::{self, Shape};

/// Fills guards and fresh outputs. As f32 it is -6.3e18, so that a value read from beyond an input shows.
pub(crate) const SENTINEL: u32 = 0xDEAD_BEEF;

/// Words before and after the contents of each buffer. A binding takes in the ones after.
pub(crate) const GUARD: usize = 64;

/// A recording under construction and the buffers it works on.
#[derive(Debug, Default)]
pub(crate) struct Bench {
    pub(crate) recording: Recording,
    buffers: Vec<Vec<u32>>,
    is_output: Vec<bool>,
}

/// All buffers after the twins and after the GPU.
#[derive(Debug)]
pub(crate) struct Results {
    cpu: Vec<Vec<u32>>,
    gpu: Vec<Vec<u32>>,
    /// By what it is called, where a kernel has another shape.
    wide: Vec<(&'static str, Vec<Vec<u32>>)>,
}

impl Bench {
    fn buffer(&mut self, words: impl IntoIterator<Item = u32>, is_output: bool) -> Slice {
        let buffer = BufferId(self.buffers.len() as u32);
        let mut contents = vec![SENTINEL; GUARD];
        contents.extend(words);
        contents.extend([SENTINEL; GUARD]);
        let slice = Slice { buffer, offset: 4 * GUARD as u64, bytes: 4 * (contents.len() - GUARD) as u64 };
        self.buffers.push(contents);
        self.is_output.push(is_output);
        slice
    }

    pub(crate) fn words(&mut self, words: &[u32]) -> Slice {
        self.buffer(words.iter().copied(), false)
    }

    pub(crate) fn floats(&mut self, values: &[f32]) -> Slice {
        self.buffer(values.iter().map(|v| v.to_bits()), false)
    }

    /// Filled up to a word with zeros.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Slice {
        self.buffer(bytes_to_words(bytes), false)
    }

    /// `n` words of [`SENTINEL`] to write on.
    pub(crate) fn output(&mut self, n: usize) -> Slice {
        self.buffer(std::iter::repeat_n(SENTINEL, n), true)
    }

    /// Read and written.
    pub(crate) fn in_out(&mut self, words: &[u32]) -> Slice {
        self.buffer(words.iter().copied(), true)
    }

    pub(crate) fn in_out_floats(&mut self, values: &[f32]) -> Slice {
        self.buffer(values.iter().map(|v| v.to_bits()), true)
    }

    /// Runs the recording on both sides, and checks that guards and inputs are as they were.
    pub(crate) fn run(self) -> Results {
        let mut memory: cpu::Memory = self.buffers.iter().cloned().enumerate().map(|(i, words)| (BufferId(i as u32), words)).collect();
        cpu::execute(&self.recording, &mut memory).unwrap_or_else(|e| panic!("CPU twins: {e}"));
        let cpu = (0..self.buffers.len()).map(|i| memory.remove(&BufferId(i as u32)).unwrap()).collect();
        let has_wide = self.recording.commands.iter().any(|c| c.kernel.wide.is_some());
        let run = |shape| gpu::run(&self.recording, &self.buffers, shape);
        let shapes = [("the wide shape", Shape::Wide), ("the wide shape in subgroups", Shape::WideInSubgroups)];
        let shapes = shapes.into_iter().filter(|(_, shape)| has_wide && gpu::has(*shape));
        let results = Results { cpu, gpu: run(Shape::Narrow), wide: shapes.map(|(side, shape)| (side, run(shape))).collect() };
        let sides = [("the CPU twin", &results.cpu), ("the GPU", &results.gpu)];
        for (side, buffers) in sides.into_iter().chain(results.wide.iter().map(|(side, buffers)| (*side, buffers))) {
            for (i, (after, before)) in buffers.iter().zip(&self.buffers).enumerate() {
                assert_eq!(after.len(), before.len(), "{side}: size of buffer {i}");
                let contents = GUARD..before.len() - GUARD;
                for (at, (after, before)) in after.iter().zip(before).enumerate() {
                    let may_change = self.is_output[i] && contents.contains(&at);
                    assert!(may_change || after == before, "{side} wrote word {} of buffer {i}", at as i64 - GUARD as i64);
                }
            }
        }
        results
    }
}

fn contents(buffers: &[Vec<u32>], slice: Slice) -> &[u32] {
    let words = &buffers[slice.buffer.0 as usize];
    &words[GUARD..words.len() - GUARD]
}

impl Results {
    /// The same words of a buffer from the twin and from the GPU, by the names of the two.
    pub(crate) fn words(&self, slice: Slice) -> [(&'static str, &[u32]); 2] {
        [("CPU twin", contents(&self.cpu, slice)), ("GPU", contents(&self.gpu, slice))]
    }

    pub(crate) fn floats(&self, slice: Slice) -> [(&'static str, Vec<f32>); 2] {
        self.words(slice).map(|(side, words)| (side, words.iter().map(|w| f32::from_bits(*w)).collect()))
    }

    /// Checks both sides against (value, tolerance) pairs.
    pub(crate) fn assert_close(&self, what: &str, slice: Slice, expected: &[(f64, f64)]) {
        let floats = |words: &[u32]| words.iter().map(|w| f32::from_bits(*w)).collect();
        let wide = self.wide.iter().map(|(side, buffers)| (*side, floats(contents(buffers, slice))));
        for (side, got) in self.floats(slice).into_iter().chain(wide) {
            assert_eq!(got.len(), expected.len(), "{what}: number of values");
            for (i, (got, (value, tolerance))) in got.iter().zip(expected).enumerate() {
                let off = (f64::from(*got) - value).abs();
                assert!(off <= *tolerance, "{what}: {side} has {got} at {i}, expected {value} within {tolerance:e}");
            }
        }
    }

    /// Checks that the wide shapes left exactly these words.
    pub(crate) fn assert_wide_words(&self, what: &str, slice: Slice, expected: &[u32]) {
        for (side, buffers) in &self.wide {
            let got = contents(buffers, slice);
            assert!(got == expected, "{what}: {side} has {got:?}, expected {expected:?}");
        }
    }

    /// Checks that both sides hold exactly these words.
    pub(crate) fn assert_words(&self, what: &str, slice: Slice, expected: &[u32]) {
        for (side, got) in self.words(slice) {
            assert_eq!(got.len(), expected.len(), "{what}: number of words");
            if let Some(i) = (0..got.len()).find(|&i| got[i] != expected[i]) {
                panic!("{what}: {side} has {:#010x} ({}) at {i}, expected {:#010x}", got[i], f32::from_bits(got[i]), expected[i]);
            }
        }
    }
}

pub(crate) fn bytes_to_words(bytes: &[u8]) -> Vec<u32> {
    let word = |chunk: &[u8]| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        u32::from_le_bytes(word)
    };
    bytes.chunks(4).map(word).collect()
}
