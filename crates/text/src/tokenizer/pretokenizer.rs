//! Pre-tokenizers: cut text into the pieces that byte-pair merging never crosses.
//!
//! Each is given as a regular expression in its model's tokenizer. A regular expression takes the first of its
//! alternatives that matches where the last piece ended; so does [`Pretokenizer::piece`], with one function an
//! alternative, each giving the end of its match. The expressions cover every character, so pieces have no
//! gaps. Every function looks at a run of characters at most a few times: the time is linear in the text.

use super::chars::{Cursor, Set};

/// A pre-tokenizer, by its name in `tokenizer.ggml.pre`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pretokenizer {
    /// `gpt-4o`: o200k, the vocabulary of gpt-oss.
    /// ```text
    /// [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
    /// [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
    /// \p{N}{1,3}
    ///  ?[^\s\p{L}\p{N}]+[\r\n/]*
    /// \s*[\r\n]+
    /// \s+(?!\S)
    /// \s+
    /// ```
    Gpt4o,
    /// `llama-bpe`: Llama 3.
    /// ```text
    /// (?i:'s|'t|'re|'ve|'m|'ll|'d)
    /// [^\r\n\p{L}\p{N}]?\p{L}+
    /// \p{N}{1,3}
    ///  ?[^\s\p{L}\p{N}]+[\r\n]*
    /// \s*[\r\n]+
    /// \s+(?!\S)
    /// \s+
    /// ```
    LlamaBpe,
    /// `qwen2`: as `llama-bpe`, but with digits one by one: `\p{N}`.
    Qwen2,
    /// `gpt-2`.
    /// ```text
    /// 's|'t|'re|'ve|'m|'ll|'d
    ///  ?\p{L}+
    ///  ?\p{N}+
    ///  ?[^\s\p{L}\p{N}]+
    /// \s+(?!\S)
    /// \s+
    /// ```
    Gpt2,
    /// `smollm`: digits (`\p{N}`) are cut out one by one first, then what lies between them is cut as by `gpt-2`,
    /// for which a digit is then like the end of the text.
    Smollm,
}

impl Pretokenizer {
    const ALL: [(&'static str, Self); 5] =
        [("gpt-4o", Self::Gpt4o), ("llama-bpe", Self::LlamaBpe), ("qwen2", Self::Qwen2), ("gpt-2", Self::Gpt2), ("smollm", Self::Smollm)];

    /// The one called `name` in `tokenizer.ggml.pre`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|&(_, pre)| pre)
    }

    /// All known names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|&(name, _)| name)
    }

    /// The pieces of `text`, none of them empty, which joined are `text`.
    pub fn pieces(self, text: &str) -> impl Iterator<Item = &str> {
        let mut rest = text;
        std::iter::from_fn(move || {
            let piece;
            (piece, rest) = rest.split_at(self.piece(rest));
            (!piece.is_empty()).then_some(piece)
        })
    }

    /// Length in bytes of the first piece of `text`.
    fn piece(self, text: &str) -> usize {
        let at = Cursor::new(text);
        let end = match self {
            Self::Gpt4o => {
                cased_word(at).or_else(|| numbers(at, 3)).or_else(|| symbols(at, "\r\n/")).or_else(|| lines(at)).or_else(|| spaces(at))
            }
            Self::LlamaBpe => contraction(at, Case::Any)
                .or_else(|| prefixed_letters(at))
                .or_else(|| numbers(at, 3))
                .or_else(|| symbols(at, "\r\n"))
                .or_else(|| lines(at))
                .or_else(|| spaces(at)),
            Self::Qwen2 => contraction(at, Case::Any)
                .or_else(|| prefixed_letters(at))
                .or_else(|| numbers(at, 1))
                .or_else(|| symbols(at, "\r\n"))
                .or_else(|| lines(at))
                .or_else(|| spaces(at)),
            Self::Gpt2 => contraction(at, Case::Lower)
                .or_else(|| spaced(at, Set::LETTER))
                .or_else(|| spaced(at, Set::NUMBER))
                .or_else(|| spaced(at, Set::SYMBOL))
                .or_else(|| spaces(at)),
            Self::Smollm => numbers(at, 1)
                .or_else(|| contraction(at, Case::Lower))
                .or_else(|| spaced(at, Set::LETTER))
                .or_else(|| spaced(at, Set::SYMBOL))
                .or_else(|| spaces_before_digits(at))
                .or_else(|| spaces(at)),
        };
        end.map_or(text.len(), |end| end.offset())
    }
}

/// The first two alternatives of `gpt-4o`: a word that may begin with capitals, with one character other than a
/// letter, number or newline before it and a contraction after it. Those that end in small letters come first.
fn cased_word(at: Cursor<'_>) -> Option<Cursor<'_>> {
    let prefixed = at.one(Set::NOT_LETTER_NUMBER_NEWLINE);
    let word = |in_case: fn(Cursor<'_>) -> Option<Cursor<'_>>| prefixed.and_then(in_case).or_else(|| in_case(at));
    let word = word(small_word).or_else(|| word(capital_word))?;
    Some(contraction(word, Case::Any).unwrap_or(word))
}

/// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`
fn small_word(at: Cursor<'_>) -> Option<Cursor<'_>> {
    let capitals = at.run(Set::CAPITAL);
    if let Some(small) = capitals.one(Set::SMALL) {
        return Some(small.run(Set::SMALL));
    }
    // The first run gives back what it took, up to the last character that both sets have.
    at.last_in(capitals, Set::SMALL)
}

/// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*`
fn capital_word(at: Cursor<'_>) -> Option<Cursor<'_>> {
    Some(at.one(Set::CAPITAL)?.run(Set::CAPITAL).run(Set::SMALL))
}

/// `[^\r\n\p{L}\p{N}]?\p{L}+`
fn prefixed_letters(at: Cursor<'_>) -> Option<Cursor<'_>> {
    let start = at.one(Set::NOT_LETTER_NUMBER_NEWLINE).unwrap_or(at);
    Some(start.one(Set::LETTER)?.run(Set::LETTER))
}

/// ` ?[set]+`, for a set without the space.
fn spaced(at: Cursor<'_>, set: Set) -> Option<Cursor<'_>> {
    let start = at.literal(' ').unwrap_or(at);
    Some(start.one(set)?.run(set))
}

/// `\p{N}{1,most}`
fn numbers(at: Cursor<'_>, most: usize) -> Option<Cursor<'_>> {
    let first = at.one(Set::NUMBER)?;
    let more = (1..most).try_fold(first, |end, _| end.one(Set::NUMBER).ok_or(end));
    Some(more.unwrap_or_else(|end| end))
}

/// ` ?[^\s\p{L}\p{N}]+[tail]*`
fn symbols<'a>(at: Cursor<'a>, tail: &str) -> Option<Cursor<'a>> {
    let mut end = spaced(at, Set::SYMBOL)?;
    while let Some(next) = tail.chars().find_map(|c| end.literal(c)) {
        end = next;
    }
    Some(end)
}

/// `\s*[\r\n]+`: white space up to the last newline in it.
fn lines(at: Cursor<'_>) -> Option<Cursor<'_>> {
    at.last_in(at.run(Set::SPACE), Set::NEWLINE)
}

/// `\s+(?!\S)|\s+`: white space; all but the last of it if text follows, so that the last goes with the text.
fn spaces(at: Cursor<'_>) -> Option<Cursor<'_>> {
    let first = at.one(Set::SPACE)?;
    let end = first.run(Set::SPACE);
    if end.at_end() || end.offset() == first.offset() { Some(end) } else { Some(end.back()) }
}

/// White space that a digit ends as the end of the text does.
fn spaces_before_digits(at: Cursor<'_>) -> Option<Cursor<'_>> {
    let end = at.one(Set::SPACE)?.run(Set::SPACE);
    end.one(Set::NUMBER).map(|_| end)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Lower,
    Any,
}

/// `'s|'t|'re|'ve|'m|'ll|'d`, with `Case::Any` as `(?i:…)`: the long s, `ſ`, folds to `s` too.
fn contraction(at: Cursor<'_>, case: Case) -> Option<Cursor<'_>> {
    let after = at.literal('\'')?;
    ["s", "t", "re", "ve", "m", "ll", "d"].iter().find_map(|letters| {
        letters.chars().try_fold(after, |end, letter| match case {
            Case::Lower => end.literal(letter),
            Case::Any => end
                .literal(letter)
                .or_else(|| end.literal(letter.to_ascii_uppercase()))
                .or_else(|| end.literal('ſ').filter(|_| letter == 's')),
        })
    })
}
