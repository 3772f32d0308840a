//! Characters as regular expressions see them: sets of general categories, and a cursor that matches them.

use unicode_general_category::{GeneralCategory, get_general_category};

/// A set of characters, as a union of the few classes that pre-tokenizers tell apart. Every character is in exactly
/// one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Set(u8);

impl Set {
    /// `\p{Lu}\p{Lt}`
    const UPPER: Self = Self(1);
    /// `\p{Ll}`
    const LOWER: Self = Self(1 << 1);
    /// `\p{Lm}\p{Lo}`
    const UNCASED: Self = Self(1 << 2);
    /// `\p{M}`
    const MARK: Self = Self(1 << 3);
    /// `\p{N}`
    pub(super) const NUMBER: Self = Self(1 << 4);
    /// `\r\n`
    pub(super) const NEWLINE: Self = Self(1 << 5);
    /// `\s` but for `\r\n`
    const BLANK: Self = Self(1 << 6);
    /// Whatever is in none of the above
    const OTHER: Self = Self(1 << 7);

    /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`
    pub(super) const CAPITAL: Self = Self(Self::UPPER.0 | Self::UNCASED.0 | Self::MARK.0);
    /// `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`
    pub(super) const SMALL: Self = Self(Self::LOWER.0 | Self::UNCASED.0 | Self::MARK.0);
    /// `\p{L}`
    pub(super) const LETTER: Self = Self(Self::UPPER.0 | Self::LOWER.0 | Self::UNCASED.0);
    /// `\s`
    pub(super) const SPACE: Self = Self(Self::NEWLINE.0 | Self::BLANK.0);
    /// `[^\s\p{L}\p{N}]`
    pub(super) const SYMBOL: Self = Self(Self::MARK.0 | Self::OTHER.0);
    /// `[^\r\n\p{L}\p{N}]`
    pub(super) const NOT_LETTER_NUMBER_NEWLINE: Self = Self(Self::SYMBOL.0 | Self::BLANK.0);

    fn contains(self, c: char) -> bool {
        self.0 & class(c).0 != 0
    }
}

/// The class of `c`.
fn class(c: char) -> Set {
    use GeneralCategory as Category;
    match c {
        'a'..='z' => return Set::LOWER,
        'A'..='Z' => return Set::UPPER,
        '0'..='9' => return Set::NUMBER,
        '\r' | '\n' => return Set::NEWLINE,
        ' ' | '\t' | '\u{b}' | '\u{c}' => return Set::BLANK,
        _ if c.is_ascii() => return Set::OTHER,
        _ if c.is_whitespace() => return Set::BLANK,
        _ => {}
    }
    match get_general_category(c) {
        Category::UppercaseLetter | Category::TitlecaseLetter => Set::UPPER,
        Category::LowercaseLetter => Set::LOWER,
        Category::ModifierLetter | Category::OtherLetter => Set::UNCASED,
        Category::NonspacingMark | Category::SpacingMark | Category::EnclosingMark => Set::MARK,
        Category::DecimalNumber | Category::LetterNumber | Category::OtherNumber => Set::NUMBER,
        _ => Set::OTHER,
    }
}

/// A place in a text, between two characters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, offset: 0 }
    }

    /// Bytes from the start of the text.
    pub(super) fn offset(self) -> usize {
        self.offset
    }

    pub(super) fn at_end(self) -> bool {
        self.offset == self.text.len()
    }

    /// Past the next character, if it is in `set`.
    pub(super) fn one(self, set: Set) -> Option<Self> {
        self.next_char().filter(|&c| set.contains(c)).map(|c| self.past(c))
    }

    /// Past `c`, if it comes next.
    pub(super) fn literal(self, c: char) -> Option<Self> {
        (self.next_char() == Some(c)).then(|| self.past(c))
    }

    /// Past all the next characters that are in `set`, maybe none.
    pub(super) fn run(self, set: Set) -> Self {
        let mut end = self;
        while let Some(next) = end.one(set) {
            end = next;
        }
        end
    }

    /// Past the last character in `set` from here to `end`.
    pub(super) fn last_in(self, end: Self, set: Set) -> Option<Self> {
        let run = &self.text[self.offset..end.offset];
        let (at, c) = run.char_indices().rev().find(|&(_, c)| set.contains(c))?;
        Some(Self { offset: self.offset + at, ..self }.past(c))
    }

    /// Before the last character.
    pub(super) fn back(self) -> Self {
        let len = self.text[..self.offset].chars().next_back().map_or(0, char::len_utf8);
        Self { offset: self.offset - len, ..self }
    }

    fn next_char(self) -> Option<char> {
        self.text[self.offset..].chars().next()
    }

    fn past(self, c: char) -> Self {
        Self { offset: self.offset + c.len_utf8(), ..self }
    }
}
