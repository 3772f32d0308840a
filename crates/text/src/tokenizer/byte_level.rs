//! The byte-level alphabet: vocabularies are text files, so each of the 256 bytes is written as one printable
//! character. Bytes 33-126, 161-172 and 174-255 stand for themselves (as Latin-1), the other 68 are, in ascending
//! order, U+0100 and up.

/// Appends the bytes that byte-level `text` stands for to `out`. Returns false, having appended nothing, if
/// `text` is not UTF-8 or holds a character outside of the alphabet.
pub(super) fn decode(text: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    for c in text.chars() {
        let Some(byte) = byte_of(c) else {
            out.truncate(start);
            return false;
        };
        out.push(byte);
    }
    true
}

/// Writes bytes in the alphabet.
pub(super) fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char_of(byte)).collect()
}

fn byte_of(c: char) -> Option<u8> {
    let code = u32::from(c);
    match code {
        33..=126 | 161..=172 | 174..=255 => u8::try_from(code).ok(),
        _ => match code.checked_sub(0x100)? {
            n @ 0..33 => u8::try_from(n).ok(),
            n @ 33..67 => u8::try_from(n - 33 + 127).ok(),
            67 => Some(173),
            _ => None,
        },
    }
}

fn char_of(byte: u8) -> char {
    let shifted = |n: u8| char::from_u32(0x100 + u32::from(n)).unwrap_or(char::REPLACEMENT_CHARACTER);
    match byte {
        0..=32 => shifted(byte),
        127..=160 => shifted(byte - 127 + 33),
        173 => shifted(67),
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_printable_character_of_its_own() {
        for byte in 0..=255u8 {
            let text = encode(&[byte]);
            assert!(text.chars().all(|c| !c.is_whitespace() && !c.is_control()));
            let mut back = Vec::new();
            assert!(decode(text.as_bytes(), &mut back));
            assert_eq!(back, [byte]);
        }
        assert_eq!(encode(b" \n\xad"), "ĠĊŃ");
        assert_eq!((0..=255u8).filter(|&b| u32::from(char_of(b)) > 255).count(), 68);
    }

    #[test]
    fn characters_outside_of_the_alphabet_are_no_bytes() {
        for text in [" ", "a b", "\u{144}", "\u{7f}", "\u{ad}", "語"] {
            let mut out = b"kept".to_vec();
            assert!(!decode(text.as_bytes(), &mut out), "{text:?}");
            assert_eq!(out, b"kept");
        }
        assert!(!decode(b"\xff", &mut Vec::new()));
    }
}
