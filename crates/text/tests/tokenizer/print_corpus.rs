//! Writes the corpus to stdout, each text as its length in bytes (u32, little-endian) and its bytes, for the script
//! that keeps other programs' answers (`tests/vectors/text/tokenizer_smollm.py`).

use std::io::Write;

mod corpus;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for text in corpus::corpus() {
        out.write_all(&(text.len() as u32).to_le_bytes())?;
        out.write_all(text.as_bytes())?;
    }
    Ok(())
}
