//! SmolLM2's vocabulary against llama.cpp, whose answers `tests/vectors/text/tokenizer_smollm.py` keeps.

use crate::corpus::{LEN, corpus};
use crate::vocabularies::{smollm2, vector};

/// FNV-1a of the ids.
fn hash(ids: &[u32]) -> u32 {
    ids.iter().flat_map(|id| id.to_le_bytes()).fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[test]
fn smollm_encodes_the_corpus_as_llama_cpp_does() {
    let tokenizer = smollm2().tokenizer().unwrap();
    assert_eq!(tokenizer.vocab_len(), 49_152);
    let hashes = vector("tokenizer_smollm_hashes.bin");
    assert_eq!(hashes.len(), 4 * LEN);
    let mut differ = Vec::new();
    for (text, expected) in corpus().into_iter().zip(hashes.chunks_exact(4)) {
        if hash(&tokenizer.encode(&text)).to_le_bytes() != expected {
            differ.push(text);
        }
    }
    assert!(differ.is_empty(), "{} differ: {:#?}", differ.len(), &differ[..differ.len().min(40)]);
}

#[test]
fn smollm_encodes_known_texts_as_llama_cpp_does() {
    let tokenizer = smollm2().tokenizer().unwrap();
    let cases = String::from_utf8(vector("tokenizer_smollm_cases.txt")).unwrap();
    assert!(cases.lines().count() >= 10);
    for case in cases.lines() {
        let mut fields = case.split('\t');
        let special = fields.next() == Some("1");
        let text: String = serde_json::from_str(fields.next().unwrap()).unwrap();
        let expected: Vec<u32> = fields.next().unwrap().split(' ').map(|id| id.parse().unwrap()).collect();
        let ids = if special { tokenizer.encode_special(&text) } else { tokenizer.encode(&text) };
        assert_eq!(ids, expected, "{text:?}");
    }
}
