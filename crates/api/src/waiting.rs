//! Tokens whose text is not out yet: a character or a stop string may have begun in them.

use std::collections::VecDeque;

/// Tokens, or what is known of them, in their order.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    /// Each with the bytes of its text.
    tokens: VecDeque<(usize, T)>,
    /// Bytes of the tokens before these.
    begun: usize,
    /// Bytes of the text that is out.
    said: usize,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { tokens: VecDeque::new(), begun: 0, said: 0 }
    }
}

impl<T> Waiting<T> {
    pub(crate) fn push(&mut self, bytes: usize, token: T) {
        self.tokens.push_back((bytes, token));
    }

    /// The tokens of which something is out with `text`.
    pub(crate) fn say(&mut self, text: &str) -> Vec<T> {
        self.said += text.len();
        let mut out = Vec::new();
        while self.begun < self.said
            && let Some((bytes, token)) = self.tokens.pop_front()
        {
            self.begun += bytes;
            out.push(token);
        }
        out
    }

    /// Those of which nothing came out.
    pub(crate) fn rest(&mut self) -> Vec<T> {
        self.tokens.drain(..).map(|(_, token)| token).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_out_with_the_first_of_its_text() {
        let mut waiting = Waiting::default();
        waiting.push(3, "one");
        waiting.push(2, " E");
        assert_eq!(waiting.say("one "), ["one", " E"]);
        waiting.push(2, "ND");
        waiting.push(1, "!");
        assert_eq!(waiting.say("E"), [""; 0]);
        assert_eq!(waiting.say("ND"), ["ND"]);
        assert_eq!((waiting.rest(), waiting.rest()), (vec!["!"], vec![]));
    }
}
