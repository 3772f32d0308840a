//! The synthetic model without a file: its bytes are made when they are read, from a pattern that tensors of one kind share.

use std::ops::{ControlFlow, Range};
use std::rc::Rc;

use anyhow::Result;
use store::{Error, LocalFuture, Sink, Source};

use super::random::Random;
use super::tensors::{Tensor, Values};
use super::{CHUNK_BYTES, metadata, tensors, writer};

/// The most that a sink is given at once.
const PIECE_BYTES: u64 = 256 * 1024;

/// What `quire synth` would write, but for which random blocks lie where: here they come again every few MiB, at another phase in
/// each tensor and expert.
pub(crate) struct SynthSource {
    name: String,
    header: Vec<u8>,
    /// In the order of the file.
    tensors: Vec<Run>,
    size: u64,
}

/// A tensor's data: byte `at` of it is byte `phase + at` of its pattern, which begins anew at its end.
struct Run {
    range: Range<u64>,
    phase: u64,
    pattern: Rc<[u8]>,
}

impl SynthSource {
    /// A model like gpt-oss-20b with so many layers, and rows of embedding and head.
    ///
    /// # Errors
    /// More layers than a file can tell.
    pub(crate) fn new(layers: u32, n_vocab: u64, seed: u64) -> Result<Self> {
        let plan = tensors::plan(layers, n_vocab);
        let writer = writer(metadata::metadata(layers)?, &plan)?;
        let header = writer.header()?;
        let mut random = Random::new(seed);
        let mut patterns: Vec<(Values, Rc<[u8]>)> = Vec::new();
        let mut pattern_of = |tensor: &Tensor, random: &mut Random| {
            if let Some((_, pattern)) = patterns.iter().find(|(values, _)| *values == tensor.values) {
                return pattern.clone();
            }
            let block_bytes = tensor.dtype.block_bytes() as u64;
            let mut bytes = vec![0; (CHUNK_BYTES / block_bytes * block_bytes) as usize];
            tensor.values.fill(&mut bytes, random);
            let pattern: Rc<[u8]> = bytes.into();
            patterns.push((tensor.values, pattern.clone()));
            pattern
        };
        let mut runs = Vec::new();
        for (tensor, info) in plan.iter().zip(writer.tensors()) {
            let pattern = pattern_of(tensor, &mut random);
            let block_bytes = tensor.dtype.block_bytes() as u64;
            let phase = random.next() % (pattern.len() as u64 / block_bytes) * block_bytes;
            let start = header.len() as u64 + info.offset;
            runs.push(Run { range: start..start + info.bytes, phase, pattern });
        }
        let size = runs.last().map_or(header.len() as u64, |run| run.range.end);
        Ok(Self { name: format!("gpt-oss-20b of random weights, {layers} layers"), header, tensors: runs, size })
    }

    /// The bytes from `at` on that lie together in memory, at most to `end`; padding is zeros.
    fn piece(&self, at: u64, end: u64) -> &[u8] {
        const ZEROS: [u8; 4096] = [0; 4096];
        let next = self.tensors.partition_point(|run| run.range.end <= at);
        let (bytes, end): (&[u8], u64) = match self.tensors.get(next) {
            _ if at < self.header.len() as u64 => (&self.header[at as usize..], end),
            Some(Run { range, phase, pattern }) if range.start <= at => {
                let from = (phase + at - range.start) % pattern.len() as u64;
                (&pattern[from as usize..], end.min(range.end))
            }
            Some(Run { range, .. }) => (&ZEROS, end.min(range.start)),
            None => (&[], end),
        };
        let most = (end - at).min(PIECE_BYTES) as usize;
        &bytes[..bytes.len().min(most)]
    }
}

impl Source for SynthSource {
    fn location(&self) -> &str {
        &self.name
    }

    fn size(&self) -> LocalFuture<'_, Result<u64, Error>> {
        Box::pin(async { Ok(self.size) })
    }

    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let location = || self.name.clone();
            if range.start > range.end || range.end > self.size {
                return Err(Error::OutOfRange { location: location(), start: range.start, end: range.end, size: self.size });
            }
            let mut at = range.start;
            while at < range.end {
                let piece = self.piece(at, range.end);
                if let ControlFlow::Break(()) = sink(piece) {
                    return Err(Error::Cancelled { location: location() });
                }
                at += piece.len() as u64;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use api::Files;
    use gguf::DType;

    #[test]
    fn it_is_a_file_that_opens_and_whose_blocks_are_whole_wherever_it_is_read() {
        let source = Rc::new(SynthSource::new(1, tensors::N_VOCAB, 3).unwrap());
        let files = pollster::block_on(Files::from_sources(vec![source.clone()])).unwrap();
        let config = model::Config::new(&files.directory).unwrap();
        assert_eq!((config.n_vocab, config.experts.n, config.experts.n_used), (201_088, 32, 4));

        let read = |range| pollster::block_on(store::read_vec(&*source, range)).unwrap();
        let experts = files.directory.get("blk.0.ffn_down_exps.weight").unwrap();
        assert_eq!(experts.dtype, DType::Mxfp4);
        let slice = experts.bytes / 32;
        let [first, second] = [0, 1].map(|e| read(experts.start + e * slice..experts.start + (e + 1) * slice));
        assert!(first.chunks(17).chain(second.chunks(17)).all(|block| matches!(block[0], 119 | 120)));
        assert!(first != second, "two experts are not the same");
        let whole = read(experts.start - 100..experts.start + 1000);
        let parts = [read(experts.start - 100..experts.start + 3), read(experts.start + 3..experts.start + 1000)].concat();
        assert!(whole == parts);
        let end = pollster::block_on(source.size()).unwrap();
        assert!(pollster::block_on(store::read_vec(&*source, end - 1..end + 1)).is_err());
    }
}
