//! The hand-written splitters against a regular-expression engine with the expressions that they stand for.

use fancy_regex::Regex;
use text::Pretokenizer;

use crate::corpus::corpus;

/// One expression after the other, each on the pieces of those before and on what they leave between their matches.
const EXPRESSIONS: [(&str, &[&str]); 5] = [
    (
        "gpt-4o",
        &[concat!(
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
            r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        )],
    ),
    (
        "llama-bpe",
        &[concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|",
            r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        )],
    ),
    (
        "qwen2",
        &[concat!(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|", r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",)],
    ),
    ("gpt-2", &[GPT2]),
    ("smollm", &[r"\p{N}", GPT2]),
];

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// The matches of `regex` in `text` and what is between them, in order.
fn split<'a>(regex: &Regex, text: &'a str) -> Vec<&'a str> {
    let mut pieces = Vec::new();
    let mut end = 0;
    for found in regex.find_iter(text) {
        let found = found.unwrap();
        pieces.extend([&text[end..found.start()], found.as_str()]);
        end = found.end();
    }
    pieces.push(&text[end..]);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn check(name: &str, expressions: &[&str], texts: impl Iterator<Item = String>) {
    let pretokenizer = Pretokenizer::from_name(name).unwrap();
    let expressions: Vec<Regex> = expressions.iter().map(|e| Regex::new(e).unwrap()).collect();
    for text in texts {
        let expected = expressions
            .iter()
            .fold(vec![text.as_str()], |pieces, expression| pieces.iter().flat_map(|piece| split(expression, piece)).collect());
        let got: Vec<&str> = pretokenizer.pieces(&text).collect();
        assert_eq!(got, expected, "{name} on {text:?}");
    }
}

#[test]
fn splitters_cut_the_corpus_as_their_expressions_do() {
    assert_eq!(Pretokenizer::names().count(), EXPRESSIONS.len());
    let texts = corpus();
    assert!(texts.len() >= 10_000);
    for (name, expressions) in EXPRESSIONS {
        check(name, expressions, texts.iter().cloned());
    }
}

#[test]
fn every_character_is_in_the_class_that_the_expressions_put_it_into() {
    // All splitters share the classes and gpt-4o tells all of them apart, in these surroundings.
    let (name, expressions) = EXPRESSIONS[0];
    let all: Vec<char> = ('\0'..='\u{2FFFF}').chain('\u{E0000}'..='\u{E01FF}').collect();
    let surround = |c: &char| format!("a{c}B{c}Ba {c}1{c} {c}\n!!{c}a");
    check(name, expressions, all.chunks(16).map(|chars| chars.iter().map(surround).collect()));
}

#[test]
fn unknown_names_have_no_splitter() {
    for name in ["", "default", "gpt2", "GPT-4o", "llama-spm"] {
        assert_eq!(Pretokenizer::from_name(name), None);
    }
}
