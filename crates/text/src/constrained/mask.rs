/// A set of token ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    /// Bit `id % 32` of word `id / 32`; what is beyond the end is not in the set.
    words: Vec<u32>,
}

impl Mask {
    /// What is also among the bits of `words`.
    pub(super) fn and(&self, words: &[u32]) -> Self {
        Self { words: self.words.iter().zip(words).map(|(a, b)| a & b).collect() }
    }

    pub fn allow(&mut self, id: u32) {
        let word = id as usize / 32;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (id % 32);
    }

    #[must_use]
    pub fn allows(&self, id: u32) -> bool {
        self.words.get(id as usize / 32).is_some_and(|word| word >> (id % 32) & 1 == 1)
    }

    #[must_use]
    pub fn words(&self) -> &[u32] {
        &self.words
    }
}
