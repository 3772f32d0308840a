use kernels::{BufferId, Format, Planes, Slice};

use crate::random::Random;
use crate::weights::{Matrix, odd_width};

/// Gathers two matrices in pieces of so many blocks, as runs that begin at the matrix and in its midst.
fn gather(format: Format, matrices: &[Matrix; 2], piece: usize) -> (Vec<u8>, Vec<u8>) {
    let n_blocks = matrices[0].n_blocks as u64;
    let (quants_bytes, scales_bytes) = (format.quants_bytes(n_blocks), format.scales_bytes(n_blocks));
    // Both lie behind something else in their buffers.
    let whole = |buffer, bytes| Slice { buffer: BufferId(buffer), offset: 256, bytes: 2 * bytes };
    let mut memory = [quants_bytes, scales_bytes].map(|bytes| vec![0xAA; 256 + 2 * bytes as usize]);
    let block_bytes = format.dtype().block_bytes();
    let cut = matrices[0].n_blocks / 2 / 4 * 4;
    for (i, w) in (0u64..).zip(matrices) {
        for run in [0..cut, cut..w.n_blocks] {
            let planes = Planes {
                format,
                quants: whole(0, quants_bytes),
                scales: whole(1, scales_bytes),
                quants_offset: i * quants_bytes,
                scales_offset: i * scales_bytes,
                matrix_blocks: n_blocks,
                first_block: run.start as u64,
            };
            let raw = &w.raw[run.start * block_bytes..run.end * block_bytes];
            for (nth, blocks) in raw.chunks(piece * block_bytes).enumerate() {
                planes.gather((nth * piece) as u64, blocks, &mut Vec::new(), |buffer, at, bytes| {
                    assert_eq!(at % 4, 0, "{format:?}: a write begins within a word");
                    memory[buffer.0 as usize][at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
                });
            }
        }
    }
    let [quants, scales] = memory.map(|bytes| {
        assert!(bytes[..256].iter().all(|byte| *byte == 0xAA), "{format:?}: written before the slice");
        bytes[256..].to_vec()
    });
    (quants, scales)
}

#[test]
fn blocks_gathered_in_pieces_lie_in_their_planes_beside_another_matrix() {
    for format in Format::all() {
        let mut random = Random(2);
        let mut matrix = || Matrix::random(format, odd_width(format), 5, &mut random);
        let matrices = [matrix(), matrix()];
        let [first, second] = matrices.each_ref().map(Matrix::planes);
        for piece in [4, 12, 1 << 20] {
            let (quants, scales) = gather(format, &matrices, piece);
            assert_eq!(quants, [&first.0[..], &second.0].concat(), "quants of {format:?}");
            assert!(scales.len() == 2 * first.1.len(), "scales of {format:?}");
            for (i, (got, expected)) in scales.chunks(first.1.len().max(1)).zip([&first.1, &second.1]).enumerate() {
                // What fills the last word up is nobody's.
                let n: usize = format.planes()[1..].iter().map(|plane| plane.bytes as usize * matrices[i].n_blocks).sum();
                assert_eq!(got[..n], expected[..n], "scales of {format:?}");
            }
        }
    }
}
