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

    pub(crate) fn sequence(self, row: u32) -> u32 {
        self.words.u((self.first_row + row).min(Steps::LONE as u32))
    }

    fn of_sequence(self, sequence: u32) -> Words<'a> {
        self.words.from((std::mem::offset_of!(Steps, each) + sequence as usize * size_of::<Step>()) as u32 / 4)
    }

    /// Of a row's sequence.
    pub(crate) fn step(self, row: u32) -> Step {
        self.of_sequence(self.sequence(row)).read()
    }

    pub(crate) fn set(self, row: u32, step: Step) {
        let words: [u32; size_of::<Step>() / 4] = bytemuck::cast(step);
        (0..).zip(words).for_each(|(i, word)| self.of_sequence(self.sequence(row)).set_u(i, word));
    }
}
