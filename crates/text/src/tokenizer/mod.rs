//! Byte-level BPE from a GGUF file's own vocabulary.
//!
//! Text is cut into pieces ([`Pretokenizer`]), each piece into bytes, and the bytes are merged into tokens.
//! [`Tokenizer::encode`] is for text that is not trusted: no text ever becomes a control token there.

mod byte_level;
mod chars;
mod detokenizer;
mod merges;
mod pretokenizer;
mod table;
mod vocab;

pub use detokenizer::Detokenizer;
pub use pretokenizer::Pretokenizer;

use crate::Error;
use merges::{Merges, Parts};
use vocab::{Kind, Vocab};

/// Ids with a special meaning, from the keys `tokenizer.ggml.*`; `None` where the file has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpecialIds {
    /// `bos_token_id`: begins a text.
    pub bos: Option<u32>,
    /// `eos_token_id`: ends a text.
    pub eos: Option<u32>,
    /// `eot_token_id`: ends a turn of a conversation.
    pub eot: Option<u32>,
    /// `padding_token_id`.
    pub pad: Option<u32>,
    /// `add_bos_token`: whether a text is to begin with `bos`.
    pub add_bos: Option<bool>,
}

/// A vocabulary with its rules. About 13 MB for o200k's 201,088 tokens and 446,189 merges.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    vocab: Vocab,
    merges: Merges,
    pretokenizer: Pretokenizer,
    special: SpecialIds,
    /// The token of each single byte, if it has one.
    byte_ids: [Option<u32>; 256],
}

impl Tokenizer {
    /// Takes the values of the GGUF keys `tokenizer.ggml.*` as they are: `model`, `pre`, `tokens`, `token_type` (empty
    /// if absent), `merges`.
    ///
    /// # Errors
    /// [`Error::TokenizerModel`] and [`Error::Pretokenizer`] for what is not supported, and the other errors of
    /// vocabularies for what does not fit together.
    pub fn new<'a>(
        model: &str,
        pre: &str,
        tokens: impl IntoIterator<Item = &'a [u8]>,
        types: &[i32],
        merges: impl IntoIterator<Item = &'a [u8]>,
        special: SpecialIds,
    ) -> Result<Self, Error> {
        if model != "gpt2" {
            return Err(Error::TokenizerModel { model: model.to_owned() });
        }
        let pretokenizer = Pretokenizer::from_name(pre)
            .ok_or_else(|| Error::Pretokenizer { pre: pre.to_owned(), known: Pretokenizer::names().collect::<Vec<_>>().join(", ") })?;
        let vocab = Vocab::new(tokens.into_iter(), types)?;
        for (key, id) in [
            ("tokenizer.ggml.bos_token_id", special.bos),
            ("tokenizer.ggml.eos_token_id", special.eos),
            ("tokenizer.ggml.eot_token_id", special.eot),
            ("tokenizer.ggml.padding_token_id", special.pad),
        ] {
            if let Some(id) = id.filter(|&id| vocab.kind(id).is_none()) {
                return Err(Error::SpecialId { key, id, vocab_len: vocab.len() });
            }
        }
        Ok(Self {
            merges: Merges::new(&vocab, merges.into_iter())?,
            byte_ids: std::array::from_fn(|byte| vocab.text_id(&[byte as u8])),
            vocab,
            pretokenizer,
            special,
        })
    }

    /// The tokens of text that is not trusted. What looks like a control token in it is taken letter by letter.
    ///
    /// Bytes that have no token are left out: some small vocabularies lack those that begin rare characters.
    /// Neither `bos` nor `eos` is added.
    #[must_use]
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        self.encode_into(text, &mut Parts::default(), &mut ids);
        ids
    }

    /// The tokens of text that is trusted, such as a rendered template: control and user-defined tokens are
    /// recognised in it, the longest first where several begin at one place.
    #[must_use]
    pub fn encode_special(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut parts = Parts::default();
        let mut rest = text;
        while let Some((start, end, id)) = self.vocab.find_special(rest.as_bytes()) {
            self.encode_into(&rest[..start], &mut parts, &mut ids);
            ids.push(id);
            rest = &rest[end..];
        }
        self.encode_into(rest, &mut parts, &mut ids);
        ids
    }

    fn encode_into(&self, text: &str, parts: &mut Parts, ids: &mut Vec<u32>) {
        for piece in self.pretokenizer.pieces(text) {
            if let Some(id) = self.whole(piece) {
                ids.push(id);
                continue;
            }
            for byte in piece.bytes() {
                match self.byte_ids[usize::from(byte)] {
                    Some(id) => parts.push(id),
                    // Dropped, but nothing merges across it.
                    None => self.merges.merge(parts, ids),
                }
            }
            self.merges.merge(parts, ids);
        }
    }

    /// The token that is all of `piece`. Vocabularies that rank tokens (o200k, llama 3) look for it before they
    /// merge; in the others a token that no merges lead to is never used.
    fn whole(&self, piece: &str) -> Option<u32> {
        match self.pretokenizer {
            Pretokenizer::Gpt4o | Pretokenizer::LlamaBpe => self.vocab.text_id(piece.as_bytes()),
            Pretokenizer::Gpt2 | Pretokenizer::Qwen2 | Pretokenizer::Smollm => None,
        }
    }

    /// The text of `ids` all together; ids outside of the vocabulary have none. Bytes that are not UTF-8 become
    /// U+FFFD. For ids that come one by one there is the [`Detokenizer`].
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().filter_map(|&id| self.token_bytes(id)).flatten().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The bytes that a token stands for; of a control token its text, such as `<|start|>`. `None` outside of the
    /// vocabulary.
    #[must_use]
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.vocab.bytes(id)
    }

    /// The bytes of a token that text may be made of; `None` for markup, padding and what stands for the unknown.
    #[must_use]
    pub fn text_bytes(&self, id: u32) -> Option<&[u8]> {
        let is_text = !matches!(self.vocab.kind(id)?, Kind::Control | Kind::Unknown | Kind::Unused);
        self.token_bytes(id).filter(|_| is_text)
    }

    /// Whether a token is markup rather than text.
    #[must_use]
    pub fn is_control(&self, id: u32) -> bool {
        self.vocab.kind(id) == Some(Kind::Control)
    }

    /// The control or user-defined token whose text is exactly `text`, such as `<|start|>`.
    #[must_use]
    pub fn special(&self, text: &str) -> Option<u32> {
        self.vocab.special_id(text.as_bytes())
    }

    /// The number of tokens: ids are less than this.
    #[must_use]
    pub fn vocab_len(&self) -> usize {
        self.vocab.len()
    }

    /// The ids of padding rows of the vocabulary. They were never trained: a sampler must not take them.
    pub fn unusable(&self) -> impl Iterator<Item = u32> {
        (0..self.vocab.len() as u32).filter(|&id| self.vocab.kind(id) == Some(Kind::Unused))
    }

    #[must_use]
    pub fn pretokenizer(&self) -> Pretokenizer {
        self.pretokenizer
    }

    #[must_use]
    pub fn special_ids(&self) -> &SpecialIds {
        &self.special
    }

    /// The token that begins a text, if the model is used to one. Where the file does not say, Llama 3 is.
    #[must_use]
    pub fn bos_to_add(&self) -> Option<u32> {
        let wanted = self.special.add_bos.unwrap_or(self.pretokenizer == Pretokenizer::LlamaBpe);
        self.special.bos.filter(|_| wanted)
    }

    #[must_use]
    pub fn bos(&self) -> Option<u32> {
        self.special.bos
    }

    #[must_use]
    pub fn eos(&self) -> Option<u32> {
        self.special.eos
    }

    #[must_use]
    pub fn pad(&self) -> Option<u32> {
        self.special.pad
    }
}
