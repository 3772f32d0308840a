//! Vocabularies to test with, in the form that GGUF files have them.

use std::collections::HashMap;

use text::{Error, SpecialIds, Tokenizer};

/// The values of `tokenizer.ggml.*`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gguf {
    pub(crate) model: String,
    pub(crate) pre: String,
    /// In the byte-level alphabet, but for control tokens.
    pub(crate) tokens: Vec<String>,
    pub(crate) types: Vec<i32>,
    pub(crate) merges: Vec<String>,
    pub(crate) special: SpecialIds,
}

impl Gguf {
    pub(crate) fn tokenizer(&self) -> Result<Tokenizer, Error> {
        Tokenizer::new(
            &self.model,
            &self.pre,
            self.tokens.iter().map(String::as_bytes),
            &self.types,
            self.merges.iter().map(String::as_bytes),
            self.special,
        )
    }

    /// A vocabulary that ranks tokens: the merges are all splits of every token in turn into two others, by their ids.
    pub(crate) fn from_ranks(pre: &str, tokens: &[Vec<u8>]) -> Self {
        let ids: HashMap<&[u8], usize> = (0..).zip(tokens).map(|(id, t)| (t.as_slice(), id)).collect();
        let texts: Vec<String> = tokens.iter().map(|token| byte_level(token)).collect();
        let mut merges = Vec::new();
        for token in tokens {
            let mut splits: Vec<(usize, usize)> =
                (1..token.len()).filter_map(|at| Some((*ids.get(&token[..at])?, *ids.get(&token[at..])?))).collect();
            splits.sort_unstable();
            merges.extend(splits.iter().map(|&(a, b)| format!("{} {}", texts[a], texts[b])));
        }
        Self {
            model: "gpt2".to_owned(),
            pre: pre.to_owned(),
            types: vec![1; texts.len()],
            tokens: texts,
            merges,
            special: SpecialIds::default(),
        }
    }

    pub(crate) fn push(&mut self, token: &str, token_type: i32) {
        self.tokens.push(token.to_owned());
        self.types.push(token_type);
    }
}

/// The tokens 0..n of a tiktoken vocabulary.
pub(crate) fn tiktoken_tokens(bpe: &tiktoken_rs::CoreBPE, n: u32) -> Vec<Vec<u8>> {
    (0..n).map(|id| bpe.decode_bytes(&[id]).unwrap()).collect()
}

/// gpt-oss: o200k with Harmony's control tokens and the padding rows of the embedding.
pub(crate) fn gpt_oss() -> Gguf {
    let mut gguf = Gguf::from_ranks("gpt-4o", &tiktoken_tokens(tiktoken_rs::o200k_harmony_singleton(), 199_998));
    for id in 199_998..=200_018 {
        let name = match id {
            199_998 => "<|startoftext|>".to_owned(),
            199_999 => "<|endoftext|>".to_owned(),
            200_002 => "<|return|>".to_owned(),
            200_003 => "<|constrain|>".to_owned(),
            200_005 => "<|channel|>".to_owned(),
            200_006 => "<|start|>".to_owned(),
            200_007 => "<|end|>".to_owned(),
            200_008 => "<|message|>".to_owned(),
            200_012 => "<|call|>".to_owned(),
            200_018 => "<|endofprompt|>".to_owned(),
            _ => format!("<|reserved_{id}|>"),
        };
        gguf.push(&name, 3);
    }
    for id in 200_019..201_088 {
        gguf.push(&format!("[PAD{id}]"), 5);
    }
    gguf.special = SpecialIds { bos: Some(199_998), eos: Some(200_002), pad: Some(199_999), ..SpecialIds::default() };
    gguf
}

/// SmolLM2, from the vectors: its first tokens, control and single bytes, and the pairs that make each of the others.
pub(crate) fn smollm2() -> Gguf {
    let mut gguf = Gguf {
        model: "gpt2".to_owned(),
        pre: "smollm".to_owned(),
        special: SpecialIds { bos: Some(1), eos: Some(2), pad: Some(2), add_bos: Some(false), ..Default::default() },
        ..Gguf::default()
    };
    for token in String::from_utf8(vector("tokenizer_smollm_tokens.txt")).unwrap().lines() {
        let control = token.chars().count() > 1;
        gguf.push(token, if control { 3 } else { 1 });
    }
    for pair in vector("tokenizer_smollm_merges.bin").chunks_exact(4) {
        let id = |at: usize| usize::from(u16::from_le_bytes([pair[at], pair[at + 1]]));
        let (left, right) = (&gguf.tokens[id(0)], &gguf.tokens[id(2)]);
        gguf.merges.push(format!("{left} {right}"));
        let token = format!("{left}{right}");
        gguf.push(&token, 1);
    }
    gguf
}

/// A file in `tests/vectors/text`.
pub(crate) fn vector(name: &str) -> Vec<u8> {
    let path = format!("{}/../../tests/vectors/text/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Bytes in the byte-level alphabet: printable Latin-1 as it is, the others counted from U+0100.
fn byte_level(bytes: &[u8]) -> String {
    let printable = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let char_of = |byte: u8| match printable(byte) {
        true => char::from(byte),
        false => {
            let n = (0..byte).filter(|&other| !printable(other)).count();
            char::from_u32(0x100 + n as u32).unwrap()
        }
    };
    bytes.iter().map(|&byte| char_of(byte)).collect()
}
