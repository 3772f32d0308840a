//! A prompt before it is ids. It keeps apart what a format wrote, in which control tokens are meant, and what
//! somebody said, in which text that spells a control token is only text.

use crate::Tokenizer;
use std::fmt;

/// One stretch of a prompt. Pieces are tokenized one by one: no token reaches across a border.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Written by the format: control tokens in it are control tokens.
    Markup(String),
    /// Said by somebody: nothing in it is a control token.
    Text(String),
}

/// What a model is asked to continue. [`fmt::Display`] shows it as the model's own format, for people: only
/// [`Prompt::encode`] keeps markup and text apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    pieces: Vec<Piece>,
}

/// The two ways in which a tokenizer reads text.
pub trait Encode {
    /// Ids of `text`, none of them a control token.
    fn encode(&self, text: &str) -> Vec<u32>;
    /// Ids of `markup`, where the texts of control tokens become their ids.
    fn encode_special(&self, markup: &str) -> Vec<u32>;
}

impl Prompt {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub fn markup(&mut self, markup: impl Into<String>) {
        self.push(Piece::Markup(markup.into()));
    }

    pub fn text(&mut self, text: impl Into<String>) {
        self.push(Piece::Text(text.into()));
    }

    /// Appends a piece; an empty one changes nothing.
    pub fn push(&mut self, piece: Piece) {
        if !piece.as_str().is_empty() {
            self.pieces.push(piece);
        }
    }

    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    #[must_use]
    pub fn encode(&self, tokenizer: &impl Encode) -> Vec<u32> {
        let ids = |piece: &Piece| match piece {
            Piece::Markup(markup) => tokenizer.encode_special(markup),
            Piece::Text(text) => tokenizer.encode(text),
        };
        self.pieces.iter().flat_map(ids).collect()
    }
}

impl Encode for Tokenizer {
    fn encode(&self, text: &str) -> Vec<u32> {
        self.encode(text)
    }

    fn encode_special(&self, markup: &str) -> Vec<u32> {
        self.encode_special(markup)
    }
}

impl Piece {
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Piece::Markup(text) | Piece::Text(text) => text,
        }
    }
}

impl fmt::Display for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| f.write_str(piece.as_str()))
    }
}
