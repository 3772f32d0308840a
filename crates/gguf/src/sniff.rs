//! Words for what a file is when it is no GGUF: often an error page or a pointer saved in a model's place.

use crate::Error;

const MAGIC: &[u8] = b"GGUF";

/// Signs of other files, at their first byte.
const SIGNS: &[(&[u8], &str)] = &[
    (b"version https://git-lfs", "a Git LFS pointer, not the file it points to"),
    (b"PK\x03\x04", "a ZIP archive (perhaps a PyTorch checkpoint)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"lmgg", "a GGML file from before GGUF"),
    (b"tjgg", "a GGML file from before GGUF"),
    (b"fmgg", "a GGML file from before GGUF"),
];

/// Longest piece of a file that is shown, in characters.
const SHOWN_CHARS: usize = 40;

/// # Errors
/// [`Error::NotGguf`] where `prefix`, as far as it goes, does not begin as a GGUF file of `file_bytes` bytes.
pub(crate) fn check_magic(prefix: &[u8], file_bytes: u64) -> Result<(), Error> {
    let shared = prefix.len().min(MAGIC.len());
    if prefix[..shared] == MAGIC[..shared] && file_bytes >= MAGIC.len() as u64 {
        return Ok(());
    }
    Err(Error::NotGguf { found: describe(prefix, file_bytes) })
}

fn describe(prefix: &[u8], file_bytes: u64) -> String {
    if file_bytes == 0 {
        return "empty".to_owned();
    }
    if let Some((_, words)) = SIGNS.iter().find(|(sign, _)| prefix.starts_with(sign)) {
        return (*words).to_owned();
    }
    if prefix.get(8) == Some(&b'{') && prefix[4..8] == [0; 4] {
        return "a safetensors file".to_owned();
    }
    let Some(text) = as_text(prefix) else {
        let bytes: Vec<String> = prefix.iter().take(8).map(|b| format!("{b:02x}")).collect();
        return format!("a binary file that begins with the bytes {}", bytes.join(" "));
    };
    let kind = match text.to_ascii_lowercase() {
        lower if lower.starts_with("<!doctype html") || lower.starts_with("<html") => "an HTML page",
        lower if lower.starts_with("<?xml") || lower.starts_with('<') => "an XML or HTML document",
        lower if lower.starts_with(['{', '[']) => "a JSON text",
        _ => "a text",
    };
    format!("{kind} that begins with {text:?}")
}

/// The first characters of `prefix`, in one line, where they are text.
fn as_text(prefix: &[u8]) -> Option<String> {
    let head = &prefix[..prefix.len().min(4 * SHOWN_CHARS + 3)];
    let valid = head.utf8_chunks().next()?;
    // A character may be cut by the end of the prefix, but nothing else may be amiss.
    if valid.valid().len() + 4 <= head.len() {
        return None;
    }
    let text = valid.valid().trim_start_matches('\u{feff}').trim();
    if text.is_empty() || text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    Some(words.join(" ").chars().take(SHOWN_CHARS).collect())
}
