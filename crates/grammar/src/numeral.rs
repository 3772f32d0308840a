//! Numbers come to an end: a schema bounds their values but not their digits, and a weak model may go on with zeros for ever.

/// More than any f64 needs with its sign, point and exponent.
const MOST: u32 = 40;

/// How long the number is that a JSON text is at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numeral {
    n_bytes: u32,
    in_string: bool,
    is_escaped: bool,
}

impl Numeral {
    /// Goes on with the text.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.n_bytes = if !self.in_string && may_go_on_with(byte) { self.n_bytes + 1 } else { 0 };
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = self.in_string,
                b'"' => self.in_string = !self.in_string,
                _ => {}
            }
        }
    }

    /// Whether the number should end, if it may.
    pub(crate) fn is_long(&self) -> bool {
        self.n_bytes >= MOST
    }
}

/// Whether a number that has begun has this byte within it.
pub(crate) fn may_go_on_with(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_long_after(text: &str) -> bool {
        let mut numeral = Numeral::default();
        text.as_bytes().chunks(3).for_each(|bytes| numeral.push(bytes));
        numeral.is_long()
    }

    #[test]
    fn a_number_is_long_whatever_it_is_made_of_and_until_it_ends() {
        let long = format!("-1.5e+{}", "0".repeat(34));
        assert!(is_long_after(&long));
        assert!(!is_long_after(&long[..39]));
        assert!(is_long_after(&format!(r#"{{"a": {long}"#)));
        assert!(!is_long_after(&format!("[{long}, 1")));
    }

    #[test]
    fn digits_in_a_string_are_no_number() {
        let digits = "3".repeat(100);
        assert!(!is_long_after(&format!(r#""{digits}"#)));
        assert!(!is_long_after(&format!(r#""\"{digits}"#)));
        assert!(is_long_after(&format!(r#""\\",{digits}"#)));
    }
}
