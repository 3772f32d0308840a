//! What a model may say in its turn: one or several messages, each with a header out of a few and content that is free or of a form.

use super::{Mask, Matcher};
use crate::Error;

/// A message that the model may begin.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The tokens before its content. No opening's are the first of another's.
    pub header: Vec<u32>,
    pub content: Content,
}

#[derive(Clone, Debug)]
pub enum Content {
    /// Any text, up to `end`.
    Free { end: u32 },
    /// A text of a form, and then one of `ends`.
    Bound { matcher: Matcher, ends: Vec<u32> },
}

/// A turn under way.
#[derive(Clone, Debug)]
pub struct Turn {
    openings: Vec<Opening>,
    /// Tokens after which another message begins.
    pauses: Vec<u32>,
    /// Every token that is text.
    text: Mask,
    state: State,
    /// What may come next.
    mask: Mask,
}

#[derive(Clone, Debug)]
enum State {
    /// After so many tokens of a header.
    Header(Vec<u32>),
    Content(Content),
}

impl Turn {
    /// `said`: what the prompt has already of the first header. After one of `pauses` another message begins; whatever else ends
    /// a message ends the turn. `text`: every token that is text.
    #[must_use]
    pub fn new(openings: Vec<Opening>, said: Vec<u32>, pauses: Vec<u32>, text: Mask) -> Self {
        let mut turn = Self { openings, pauses, text, state: State::Header(said), mask: Mask::default() };
        turn.enter();
        turn
    }

    /// Takes a token, the first time none; [`Turn::mask`] says which may follow.
    ///
    /// # Errors
    /// [`Error::Form`] for one that was not allowed, or if a grammar becomes too complex.
    pub fn next(&mut self, token: Option<u32>) -> Result<(), Error> {
        if let Some(token) = token {
            match &mut self.state {
                _ if self.pauses.contains(&token) => self.state = State::Header(Vec::new()),
                State::Header(said) => said.push(token),
                State::Content(Content::Free { .. }) => {}
                State::Content(Content::Bound { matcher, .. }) => matcher.push(token)?,
            }
            self.enter();
        }
        self.mask = match &mut self.state {
            State::Header(said) => {
                let mut mask = Mask::default();
                let following = self.openings.iter().filter_map(|opening| opening.header.strip_prefix(said.as_slice())?.first());
                following.for_each(|id| mask.allow(*id));
                mask
            }
            State::Content(Content::Free { end }) => {
                let mut mask = self.text.clone();
                mask.allow(*end);
                mask
            }
            State::Content(Content::Bound { matcher, ends }) => {
                let mut mask = matcher.allowed()?;
                if matcher.is_whole()? {
                    ends.iter().for_each(|id| mask.allow(*id));
                }
                mask
            }
        };
        Ok(())
    }

    /// The tokens that may come next.
    #[must_use]
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// Whether what may come next stays the same until a message ends.
    #[must_use]
    pub fn is_free(&self) -> bool {
        matches!(self.state, State::Content(Content::Free { .. }))
    }

    #[must_use]
    pub fn pauses(&self) -> &[u32] {
        &self.pauses
    }

    /// Begins the content where a header is whole.
    fn enter(&mut self) {
        if let State::Header(said) = &self.state
            && let Some(opening) = self.openings.iter().find(|opening| opening.header == *said)
        {
            self.state = State::Content(opening.content.clone());
        }
    }
}
