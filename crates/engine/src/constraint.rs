//! An answer whose form is constrained: before a token is drawn the host says which ones may be.

use crate::Error;

/// Follows an answer and says which tokens may come next.
pub trait Constraint {
    /// What may be drawn after `token`, the latest; `None` before the first.
    ///
    /// # Errors
    /// Why nothing may follow, in words.
    fn next(&mut self, token: Option<u32>) -> Result<Allowed<'_>, String>;

    /// Tokens that end what was [lasting](Allowed::lasting). Together with a request's stops at most 16.
    fn pauses(&self) -> &[u32];
}

impl<C: Constraint + ?Sized> Constraint for &mut C {
    fn next(&mut self, token: Option<u32>) -> Result<Allowed<'_>, String> {
        (**self).next(token)
    }

    fn pauses(&self) -> &[u32] {
        (**self).pauses()
    }
}

/// Tokens that may be drawn.
#[derive(Clone, Copy, Debug)]
pub struct Allowed<'a> {
    /// Bit `id % 32` of word `id / 32`, `[n_vocab / 32]`; what is beyond the end is not allowed.
    pub ids: &'a [u32],
    /// Until one of the pauses is drawn, rather than for one token. Steps run ahead then, and of the tokens between nobody is told.
    pub lasting: bool,
}

/// A constraint, and what it allowed last.
pub(crate) struct Bound<'a> {
    constraint: Box<dyn Constraint + 'a>,
    /// `[n_vocab / 32]`
    ids: Vec<u32>,
    lasting: bool,
}

impl<'a> Bound<'a> {
    pub(crate) fn new(constraint: Box<dyn Constraint + 'a>, n_vocab: u32) -> Result<Self, Error> {
        let mut bound = Self { constraint, ids: vec![0; n_vocab.div_ceil(32) as usize], lasting: false };
        bound.ask(None)?;
        Ok(bound)
    }

    /// Whether other tokens are allowed after `token` than before it.
    pub(crate) fn ends_at(&self, token: u32) -> bool {
        !self.lasting || self.constraint.pauses().contains(&token)
    }

    pub(crate) fn ask(&mut self, token: Option<u32>) -> Result<(), Error> {
        let Allowed { ids, lasting } = self.constraint.next(token).map_err(|why| Error::Constraint { why })?;
        let n = ids.len().min(self.ids.len());
        self.ids.fill(0);
        self.ids[..n].copy_from_slice(&ids[..n]);
        self.lasting = lasting;
        Ok(())
    }

    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    pub(crate) fn pauses(&self) -> &[u32] {
        self.constraint.pauses()
    }

    /// Whether steps may be submitted before the result of the last one is known.
    pub(crate) fn is_lasting(&self) -> bool {
        self.lasting
    }
}
