//! The steps of all sequences as the twins see them.

use super::Words;
use crate::ops::{Step, Steps};

/// WGSL's `Steps`, and where the rows of a step begin in it.
#[derive(Clone, Copy)]
pub(crate) struct StepRows<'a> {
    words: Words<'a>,
    first_row: u32,
}

impl<'a> StepRows<'a> {
    pub(crate) fn of(words: Words<'a>, first_row: u32) -> Self {
        Self { words, first_row }
    }

    fn entry(self, row: u32) -> u32 {
        self.words.u((self.first_row + row).min(Steps::LONE as u32))
    }

    pub(crate) fn sequence(self, row: u32) -> u32 {
        self.entry(row) % Steps::DRAFT
    }

    pub(crate) fn is_draft(self, row: u32) -> bool {
        self.entry(row) >= Steps::DRAFT
    }

    fn of_row(self, row: u32) -> Words<'a> {
        let at = if self.is_draft(row) { Steps::NOBODY + self.entry(row) / Steps::DRAFT } else { self.entry(row) };
        self.words.from((std::mem::offset_of!(Steps, each) + at as usize * size_of::<Step>()) as u32 / 4)
    }

    pub(crate) fn step(self, row: u32) -> Step {
        self.of_row(row).read()
    }

    pub(crate) fn set(self, row: u32, step: Step) {
        let words: [u32; size_of::<Step>() / 4] = bytemuck::cast(step);
        (0..).zip(words).for_each(|(i, word)| self.of_row(row).set_u(i, word));
    }
}
