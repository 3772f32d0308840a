//! What holds of every text, and of vocabularies that are broken.

use std::time::{Duration, Instant};

use text::{Detokenizer, Error, SpecialIds};

use crate::corpus::{Random, corpus};
use crate::vocabularies::{Gguf, smollm2};

/// All single bytes, a few merges, and every type of token.
fn small() -> Gguf {
    let mut tokens: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
    tokens.extend([&b"aa"[..], b"aaaa", b"th", b"the", b" the"].map(<[u8]>::to_vec));
    let mut gguf = Gguf::from_ranks("gpt-2", &tokens);
    gguf.push("<unk>", 2);
    gguf.push("<|a|>", 3);
    gguf.push("<|a|><|b|>", 3);
    gguf.push("<think>", 4);
    gguf.push("  ", 4);
    gguf.push("[PAD0]", 5);
    gguf.push("é語", 3);
    gguf.push("not byte-level", 1);
    gguf.push("", 3);
    gguf
}

const UNK: u32 = 261;
const A: u32 = 262;
const AB: u32 = 263;
const THINK: u32 = 264;
const TWO_SPACES: u32 = 265;
const PAD: u32 = 266;
const NOT_ASCII: u32 = 267;
const LITERAL: u32 = 268;

#[test]
fn decoding_undoes_encoding() {
    let tokenizer = small().tokenizer().unwrap();
    for text in corpus() {
        assert_eq!(tokenizer.decode(&tokenizer.encode(&text)), text);
        assert_eq!(tokenizer.decode(&tokenizer.encode_special(&text)), text);
    }
}

#[test]
fn special_tokens_are_recognised_only_in_trusted_text_and_the_longest_first() {
    let tokenizer = small().tokenizer().unwrap();
    let text = "x<|a|><|b|><|a|><think>  é語";
    assert_eq!(tokenizer.encode_special(text), [u32::from(b'x'), AB, A, THINK, TWO_SPACES, NOT_ASCII]);
    assert!(tokenizer.encode(text).iter().all(|&id| id < UNK));
    assert_eq!(tokenizer.decode(&[A, THINK, TWO_SPACES, NOT_ASCII, LITERAL]), "<|a|><think>  é語not byte-level");
    assert!(tokenizer.is_control(A) && !tokenizer.is_control(THINK) && !tokenizer.is_control(UNK));
    assert_eq!(tokenizer.special("<think>"), Some(THINK));
    assert!(tokenizer.unusable().eq([PAD]));
}

#[test]
fn merges_take_the_best_pair_and_the_leftmost_of_equals() {
    let tokenizer = small().tokenizer().unwrap();
    let bytes = |text: &str| {
        let ids = tokenizer.encode(text);
        ids.iter().map(|&id| tokenizer.decode(&[id])).collect::<Vec<_>>()
    };
    assert_eq!(bytes("aaaaaaa"), ["aaaa", "aa", "a"]);
    assert_eq!(bytes(" thethth"), [" the", "th", "th"]);
    assert_eq!(bytes("the"), ["the"]);
}

#[test]
fn bytes_without_a_token_are_left_out() {
    // SmolLM2 has no token for F1, which begins the characters of planes 4 to 7.
    let tokenizer = smollm2().tokenizer().unwrap();
    let ids = tokenizer.encode("a\u{40000}b");
    assert!(ids.iter().all(|&id| !tokenizer.is_control(id)));
    assert_eq!(tokenizer.decode(&ids), "a\u{FFFD}\u{FFFD}\u{FFFD}b");
}

#[test]
fn a_piece_of_a_megabyte_takes_no_longer_than_many_small_ones() {
    let tokenizer = smollm2().tokenizer().unwrap();
    for unit in ["a", "ab", " ", "\n", "7", "\u{301}", "語A", "  a\n"] {
        let text = unit.repeat(1_000_000 / unit.len());
        let start = Instant::now();
        assert_eq!(tokenizer.decode(&tokenizer.encode(&text)), text);
        // Quadratic time would be minutes to hours.
        assert!(start.elapsed() < Duration::from_secs(10), "{unit:?} took {:?}", start.elapsed());
    }
}

#[test]
fn a_detokenizer_gives_the_same_text_wherever_the_bytes_are_cut() {
    let mut random = Random(7);
    // Bytes that begin, go on and end characters, right and wrong ones.
    let bytes = [b'a', 0x80, 0x9F, 0xA0, 0xBF, 0xC0, 0xC3, 0xE0, 0xE2, 0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5, 0xFF];
    for round in 0..20_000 {
        let stream: Vec<u8> = if round % 2 == 0 {
            (0..random.below(12)).map(|_| random.pick(&bytes)).collect()
        } else {
            "aé語🙂\u{FFFD}".bytes().skip(random.below(4)).take(random.below(16)).collect()
        };
        let mut detokenizer = Detokenizer::new();
        let mut text = String::new();
        let mut rest = stream.as_slice();
        while !rest.is_empty() {
            let (part, after) = rest.split_at(random.below(rest.len() + 1));
            text += &detokenizer.push(part);
            rest = after;
        }
        text += &detokenizer.finish();
        assert_eq!(text, String::from_utf8_lossy(&stream), "{stream:x?}");
        assert!(!detokenizer.is_pending());
    }
}

#[test]
fn a_detokenizer_holds_back_only_what_may_still_become_a_character() {
    let mut detokenizer = Detokenizer::new();
    assert_eq!(detokenizer.push(&[b'a', 0xF0, 0x9F]), "a");
    assert!(detokenizer.is_pending());
    assert_eq!(detokenizer.push(&[0x99]), "");
    assert_eq!(detokenizer.push(&[0x82, 0xE0]), "🙂");
    assert_eq!(detokenizer.push(&[0x80]), "\u{FFFD}\u{FFFD}");
    assert_eq!(detokenizer.push(&[0xC3]), "");
    assert_eq!(detokenizer.push(b"b"), "\u{FFFD}b");
    assert_eq!(detokenizer.finish(), "");
}

#[test]
fn bytes_arriving_one_by_one_come_out_as_they_would_together() {
    let tokenizer = small().tokenizer().unwrap();
    for text in corpus().into_iter().take(1000) {
        let mut detokenizer = Detokenizer::new();
        let mut out = String::new();
        for id in tokenizer.encode(&text) {
            out += &detokenizer.push(tokenizer.token_bytes(id).unwrap());
        }
        assert_eq!(out + &detokenizer.finish(), text);
    }
}

#[test]
fn unsupported_tokenizers_are_refused_by_name() {
    let refusal = |model: &str, pre: &str| {
        let gguf = Gguf { model: model.to_owned(), pre: pre.to_owned(), ..small() };
        gguf.tokenizer().unwrap_err().to_string()
    };
    assert_eq!(refusal("llama", "default"), "tokenizer model `llama` is not supported, only `gpt2` (byte-level BPE) is");
    assert_eq!(refusal("gpt2", "tekken"), "pre-tokenizer `tekken` is not supported, only gpt-4o, llama-bpe, qwen2, gpt-2, smollm are");
}

#[test]
fn vocabularies_that_do_not_fit_together_are_refused() {
    let refusal = |change: fn(&mut Gguf)| {
        let mut gguf = small();
        change(&mut gguf);
        gguf.tokenizer().unwrap_err()
    };
    assert_eq!(refusal(|gguf| gguf.types.truncate(3)), Error::TokenTypes { expected: 270, got: 3 });
    assert_eq!(
        refusal(|gguf| gguf.special.eos = Some(270)),
        Error::SpecialId { key: "tokenizer.ggml.eos_token_id", id: 270, vocab_len: 270 }
    );
    for merge in ["", " ", "a", "a ", " a", "a b c", "a \u{7f}"] {
        let mut gguf = small();
        gguf.merges.insert(0, merge.to_owned());
        let error = gguf.tokenizer().unwrap_err();
        assert_eq!(error, Error::MergeForm { index: 0, merge: merge.to_owned() });
    }
    assert_eq!(
        refusal(|gguf| gguf.merges = vec!["a a".to_owned(), "x Ġ".to_owned()]),
        Error::MergeToken { index: 1, merge: "x Ġ".to_owned(), token: "xĠ".to_owned() }
    );
    assert_eq!(
        refusal(|gguf| gguf.merges = vec!["< |a|>".to_owned()]),
        Error::MergeToken { index: 0, merge: "< |a|>".to_owned(), token: "|a|>".to_owned() }
    );
}

#[test]
fn a_vocabulary_without_types_is_all_text() {
    let mut gguf = small();
    gguf.types.clear();
    let tokenizer = gguf.tokenizer().unwrap();
    assert!(!tokenizer.is_control(A));
    assert_eq!(tokenizer.special("<|a|>"), None);
    assert_eq!(tokenizer.decode(&tokenizer.encode_special("<|a|> the")), "<|a|> the");
}

#[test]
fn an_empty_vocabulary_encodes_to_nothing() {
    let gguf = Gguf { model: "gpt2".to_owned(), pre: "gpt-2".to_owned(), ..Gguf::default() };
    let tokenizer = gguf.tokenizer().unwrap();
    assert!(tokenizer.encode("text").is_empty());
    assert!(tokenizer.encode_special("text").is_empty());
    assert_eq!(tokenizer.decode(&[0]), "");
    assert_eq!(tokenizer.vocab_len(), 0);
}

#[test]
fn of_tokens_with_the_same_text_the_first_counts() {
    let mut gguf = small();
    gguf.push("Ġthe", 1);
    gguf.push("<|a|>", 3);
    let tokenizer = gguf.tokenizer().unwrap();
    assert_eq!(tokenizer.encode(" the"), [260]);
    assert_eq!(tokenizer.special("<|a|>"), Some(A));
}

#[test]
fn llama_3_begins_with_bos_unless_the_file_says_otherwise() {
    let mut gguf = Gguf { special: SpecialIds { bos: Some(A), ..SpecialIds::default() }, ..small() };
    for (pre, add_bos, expected) in
        [("gpt-2", None, None), ("gpt-2", Some(true), Some(A)), ("llama-bpe", None, Some(A)), ("llama-bpe", Some(false), None)]
    {
        gguf.pre = pre.to_owned();
        gguf.special.add_bos = add_bos;
        assert_eq!(gguf.tokenizer().unwrap().bos_to_add(), expected, "{pre} {add_bos:?}");
    }
}

#[test]
fn only_vocabularies_that_rank_tokens_look_for_whole_pieces() {
    // `xyz` is a token that no merges lead to.
    let mut gguf = small();
    gguf.push("xyz", 1);
    for (pre, whole) in [("gpt-4o", true), ("llama-bpe", true), ("qwen2", false), ("gpt-2", false), ("smollm", false)] {
        gguf.pre = pre.to_owned();
        let ids = gguf.tokenizer().unwrap().encode("xyz");
        assert_eq!(ids == [270], whole, "{pre}: {ids:?}");
    }
}
