//! Vocabularies of tiktoken, written as GGUF files have them, against tiktoken.

use std::sync::LazyLock;

use text::Tokenizer;

use crate::corpus::corpus;
use crate::vocabularies::{Gguf, gpt_oss, tiktoken_tokens};

static GPT_OSS: LazyLock<(Gguf, Tokenizer)> = LazyLock::new(|| {
    let gguf = gpt_oss();
    let tokenizer = gguf.tokenizer().unwrap();
    (gguf, tokenizer)
});

fn assert_equal(tokenizer: &Tokenizer, bpe: &tiktoken_rs::CoreBPE) {
    let texts = corpus();
    assert!(texts.len() >= 10_000);
    for text in texts {
        let ids = tokenizer.encode(&text);
        assert_eq!(ids, bpe.encode_ordinary(&text), "{text:?}");
        assert_eq!(tokenizer.decode(&ids), text);
    }
}

#[test]
fn o200k_encodes_the_corpus_as_tiktoken_does() {
    assert_equal(&GPT_OSS.1, tiktoken_rs::o200k_harmony_singleton());
}

#[test]
fn o200k_merges_long_pieces_as_tiktoken_does() {
    // None of these is a token, so all of them are merged; repetition is where equal ranks meet.
    let bpe = tiktoken_rs::o200k_harmony_singleton();
    for unit in ["a", "A", "ab", "=", "- ", " ", "\n", "ha", "é", "語", "0", "\u{301}", "aaab", "🙂"] {
        for n in [129, 200, 331] {
            let text = unit.repeat(n);
            assert_eq!(GPT_OSS.1.encode(&text), bpe.encode_ordinary(&text), "{n} times {unit:?}");
        }
    }
}

#[test]
fn o200k_has_as_many_merges_as_the_published_file() {
    let (gguf, tokenizer) = &*GPT_OSS;
    assert_eq!(gguf.merges.len(), 446_189);
    assert_eq!(tokenizer.vocab_len(), 201_088);
}

#[test]
fn o200k_encodes_known_texts() {
    let cases: [(&str, &[u32]); 11] = [
        ("Hello world", &[13225, 2375]),
        ("I'M he'S don't WE'LL", &[40, 95346, 501, 31233, 4128, 26919, 6, 7454]),
        ("HelloWorld camelCaseXML2JSON", &[13225, 13046, 83330, 6187, 13836, 17, 8259]),
        ("12345678 3.14", &[7633, 19354, 4388, 220, 18, 13, 1265]),
        ("path/to/file//x\n", &[4189, 72231, 51766, 393, 87, 198]),
        ("हिन्दी में नमस्ते", &[1554, 71602, 840, 3342, 100_793, 14681, 628]),
        ("ภาษาไทย สวัสดี", &[194_649, 20619, 6152, 187_986, 21883, 2293]),
        ("assistant", &[173_781]),
        ("commentary", &[12606, 815]),
        ("", &[]),
        ("\0", &[188]),
    ];
    for (text, ids) in cases {
        assert_eq!(GPT_OSS.1.encode(text), ids, "{text:?}");
    }
}

#[test]
fn untrusted_text_never_encodes_to_control_tokens() {
    let (gguf, tokenizer) = &*GPT_OSS;
    for control in &gguf.tokens[199_998..200_019] {
        let id = tokenizer.special(control).unwrap();
        assert!(tokenizer.is_control(id));
        assert_eq!(tokenizer.token_bytes(id), Some(control.as_bytes()));
        for text in [control.clone(), format!(" x{control}{control}\n"), format!("<|{control}|>")] {
            let ids = tokenizer.encode(&text);
            assert!(ids.iter().all(|&id| id < 199_998), "{text:?}: {ids:?}");
            assert_eq!(tokenizer.decode(&ids), text);
        }
    }
}

#[test]
fn trusted_text_encodes_as_tiktoken_does_with_special_tokens() {
    let bpe = tiktoken_rs::o200k_harmony_singleton();
    for text in [
        "<|start|>system<|message|>You are ChatGPT.\n\nReasoning: low<|end|><|start|>assistant",
        "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"a\": 1}<|call|>",
        "  <|return|>  <|return|>\n",
        "<|start|<|start|>|>",
        "<|sta",
        "no markup at all",
        "",
    ] {
        assert_eq!(GPT_OSS.1.encode_special(text), bpe.encode_with_special_tokens(text), "{text:?}");
    }
}

#[test]
fn padding_rows_are_unusable_and_other_tokens_are_not() {
    assert!(GPT_OSS.1.unusable().eq(200_019..201_088));
}

#[test]
fn special_ids_are_those_of_the_file() {
    let tokenizer = &GPT_OSS.1;
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.pad()), (Some(199_998), Some(200_002), Some(199_999)));
    assert_eq!(tokenizer.bos_to_add(), None);
    assert_eq!(tokenizer.special("<|start|>"), Some(200_006));
    assert_eq!(tokenizer.special("start"), None);
    assert_eq!(tokenizer.special("[PAD200019]"), None);
    assert!(!tokenizer.is_control(13225));
    assert!(!tokenizer.is_control(u32::MAX));
    assert_eq!(tokenizer.token_bytes(201_088), None);
}

#[test]
fn llama_3s_rules_over_cl100k_encode_the_corpus_as_tiktoken_does() {
    let tokens = tiktoken_tokens(tiktoken_rs::cl100k_base_singleton(), 100_256);
    let tokenizer = Gguf::from_ranks("llama-bpe", &tokens).tokenizer().unwrap();
    let expression = concat!(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    );
    let ranks = tokens.into_iter().zip(0..).collect();
    assert_equal(&tokenizer, &tiktoken_rs::CoreBPE::new(ranks, Default::default(), expression).unwrap());
}

#[test]
fn gpt_2_encodes_the_corpus_as_tiktoken_does() {
    let bpe = tiktoken_rs::r50k_base_singleton();
    let tokenizer = Gguf::from_ranks("gpt-2", &tiktoken_tokens(bpe, 50_256)).tokenizer().unwrap();
    assert_equal(&tokenizer, bpe);
}
