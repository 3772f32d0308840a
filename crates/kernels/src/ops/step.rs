//! Whose tokens a step computes, and what advances from step to step without the CPU.

use crate::Slice;

/// Sequences that can share a step.
pub const MAX_SEQUENCES: usize = 16;
/// Guesses of a sequence's next tokens that can be in a step: the matrix kernels of a batch work for four rows at a time.
pub const MAX_DRAFTS: usize = 3;

/// Of one sequence, or of a draft; WGSL's `Step`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Step {
    /// Of its first token in this step.
    pub position: u32,
    /// Tokens sampled since the prompt.
    pub n_sampled: u32,
    /// 1 once a stop token was sampled; later steps change nothing.
    pub halt: u32,
    pub seed: u32,
    /// At this position, where the step has one token of the sequence.
    pub token: u32,
    /// Tokens sampled since the prompt: it halts then, too.
    pub most: u32,
    pub pad: [u32; 2],
}

/// WGSL's `Steps`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Steps {
    /// The sequence of each row of a batch; then, at [`Steps::LONE`], that of a step of one sequence.
    pub rows: [u32; 20],
    /// Of each sequence; then nobody's, which has halted; then of the drafts.
    pub each: [Step; MAX_SEQUENCES + 1 + MAX_DRAFTS],
}

impl Steps {
    /// The row of a step of one sequence, however many tokens it has.
    pub const LONE: usize = MAX_SEQUENCES;
    /// The sequence of a row that a batch does not fill.
    pub const NOBODY: u32 = MAX_SEQUENCES as u32;

    /// The row of a sequence's `n`-th draft, from 1, is so much above the sequence.
    pub const DRAFT: u32 = 32;

    /// Nobody in any row; a step of one sequence is of the first.
    pub fn new() -> Self {
        let mut steps = Self { rows: [Self::NOBODY; 20], each: [Step::default(); MAX_SEQUENCES + 1 + MAX_DRAFTS] };
        steps.rows[Self::LONE] = 0;
        steps.each[MAX_SEQUENCES].halt = 1;
        steps
    }

    /// The same with `step` of the first sequence.
    pub fn lone(step: Step) -> Self {
        let mut steps = Self::new();
        steps.each[0] = step;
        steps
    }

    /// `tokens` of the first sequence from `position` on; in a batch one of each sequence, all at `position`.
    pub fn placed(pass: Pass, tokens: &[u32], position: u32) -> Self {
        let step = |token| Step { position, token, most: u32::MAX, ..Step::default() };
        let mut steps = Self::lone(step(tokens.first().copied().unwrap_or_default()));
        if let Pass::Batch { n, most } = pass {
            for (sequence, token) in (0..n.min(most)).zip(tokens) {
                steps.rows[sequence as usize] = sequence;
                steps.each[sequence as usize] = step(*token);
            }
        }
        steps
    }

    pub fn words(&self) -> &[u32] {
        bytemuck::cast_slice(std::slice::from_ref(self))
    }

    /// `rows` of those in a buffer; to write, not to bind.
    pub fn rows_of(whole: Slice) -> Slice {
        Slice { bytes: 4 * 20, ..whole }
    }

    /// A sequence's of those in a buffer; to write, not to bind.
    pub fn step_of(whole: Slice, sequence: u32) -> Slice {
        let bytes = size_of::<Step>() as u64;
        Slice { offset: whole.offset + 4 * 20 + u64::from(sequence) * bytes, bytes, ..whole }
    }

    /// Those of all drafts; to write, not to bind.
    pub fn drafts_of(whole: Slice) -> Slice {
        let first = Self::step_of(whole, Self::NOBODY + 1);
        Slice { bytes: first.bytes * MAX_DRAFTS as u64, ..first }
    }
}

impl Default for Steps {
    fn default() -> Self {
        Self::new()
    }
}

/// Whose tokens a step computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// The next token of one sequence.
    Alone,
    /// So many tokens of one sequence's prompt, two or more.
    Chunk(u32),
    /// The next token of `n` sequences. How a row is computed depends on `most`, never on `n`: so no bit of it depends on who
    /// is beside it.
    Batch { n: u32, most: u32 },
    /// The next token of one sequence and [`MAX_DRAFTS`] guesses of those after it, each a row, as a batch of `most` sequences has them.
    Drafts { most: u32 },
}

impl Pass {
    /// `n` tokens of one sequence.
    pub fn of(n: u32) -> Self {
        if n == 1 { Self::Alone } else { Self::Chunk(n) }
    }

    /// Of all rows.
    pub fn n_tokens(self) -> u32 {
        match self {
            Self::Alone => 1,
            Self::Chunk(n) | Self::Batch { n, .. } => n,
            Self::Drafts { .. } => 1 + MAX_DRAFTS as u32,
        }
    }

    /// In [`Steps::rows`].
    pub(super) fn first_row(self) -> u32 {
        match self {
            Self::Alone | Self::Chunk(_) => Steps::LONE as u32,
            Self::Batch { .. } | Self::Drafts { .. } => 0,
        }
    }

    /// Tokens of each step that it advances.
    pub(super) fn tokens_each(self) -> u32 {
        match self {
            Self::Chunk(n) => n,
            Self::Alone | Self::Batch { .. } | Self::Drafts { .. } => 1,
        }
    }

    /// Rows that a token is drawn for.
    pub fn n_drawn(self) -> u32 {
        match self {
            Self::Alone | Self::Chunk(_) => 1,
            Self::Batch { .. } | Self::Drafts { .. } => self.n_tokens(),
        }
    }
}
