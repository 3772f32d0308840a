//! The SHA-256 of whole files.

use std::fmt;

/// The SHA-256 of a whole file; as text, 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sum(pub [u8; 32]);

impl Sum {
    /// `None` if it is not 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let byte = |[high, low]: &[u8; 2]| Some((digit(high)? * 16 + digit(low)?) as u8);
        let bytes: Vec<u8> = pairs.iter().map(byte).collect::<Option<_>>()?;
        if rest.is_empty() { bytes.try_into().ok().map(Self) } else { None }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What is known of a file's sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownSum {
    /// What a manifest or the server says.
    pub sum: Sum,
    /// Whether all of what is kept was held against it.
    pub is_checked: bool,
}

impl KnownSum {
    /// What it is called among the notes of a shelf.
    pub(crate) const NOTE: &'static str = "sha256";

    pub(crate) fn to_note(self) -> Vec<u8> {
        format!("{} {}\n", self.sum, if self.is_checked { "checked" } else { "said" }).into_bytes()
    }

    /// `None` if it is no such note.
    pub(crate) fn from_note(note: &[u8]) -> Option<Self> {
        let (sum, state) = std::str::from_utf8(note).ok()?.trim_end().split_once(' ')?;
        let is_checked = match state {
            "checked" => true,
            "said" => false,
            _ => return None,
        };
        Some(Self { sum: Sum::parse(sum)?, is_checked })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_64_digits_and_nothing_else() {
        let text = "0123456789abcdef".repeat(4);
        assert_eq!(Sum::parse(&text).map(|sum| sum.to_string()), Some(text.clone()));
        assert_eq!(Sum::parse(&text.to_uppercase()), Sum::parse(&text));
        for bad in ["", "ab", &text[1..], &text.replace('0', "g"), &format!("{text}ab"), &text.replacen("01", "é", 1)] {
            assert_eq!(Sum::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_note_comes_back_as_it_was_and_others_are_none() {
        for is_checked in [false, true] {
            let known = KnownSum { sum: Sum([0xA5; 32]), is_checked };
            assert_eq!(KnownSum::from_note(&known.to_note()), Some(known));
        }
        for bad in [&b""[..], b"abc said", &[0xFF; 70], "ab".repeat(32).as_bytes(), format!("{} no", "ab".repeat(32)).as_bytes()] {
            assert_eq!(KnownSum::from_note(bad), None);
        }
    }
}
