//! Bytes that arrive token by token, as text: a token may end in the middle of a character.

/// Turns a stream of bytes into text. What is pushed and finished, joined, is exactly what
/// [`String::from_utf8_lossy`] makes of all bytes at once, wherever they were cut.
#[derive(Clone, Debug, Default)]
pub struct Detokenizer {
    /// The start of a character whose end has not come yet: at most 3 bytes.
    pending: Vec<u8>,
}

impl Detokenizer {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The text that `bytes` completes. An unfinished character at the end waits for the next push; bytes that
    /// cannot be part of any become U+FFFD.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let kept = unfinished(&self.pending);
        let whole = self.pending.len() - kept;
        let text = String::from_utf8_lossy(&self.pending[..whole]).into_owned();
        self.pending.drain(..whole);
        text
    }

    /// What is left at the end of the stream: nothing, or U+FFFD for an unfinished character.
    pub fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        text
    }

    /// Whether bytes are held back.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }
}

/// How many bytes at the end are a character that more bytes could complete.
fn unfinished(bytes: &[u8]) -> usize {
    // A character has at most 4 bytes, so an unfinished one is within the last 3 and begins with its only
    // byte that is not a continuation.
    (1..=bytes.len().min(3))
        .find(|n| bytes[bytes.len() - n] & 0xC0 != 0x80)
        .filter(|n| {
            std::str::from_utf8(&bytes[bytes.len() - n..]).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        })
        .unwrap_or(0)
}
