//! `tojson` as transformers has it: Python's spacing, nothing escaped that JSON does not ask for.

use super::marks;
use minijinja::value::{Kwargs, Value as Jinja};
use minijinja::{Error, ErrorKind};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{Formatter, PrettyFormatter};
use std::io;

pub(super) fn tojson(value: &Jinja, indent: Option<usize>, options: Kwargs) -> Result<String, Error> {
    let indent = options.get::<Option<usize>>("indent")?.or(indent);
    let ascii = options.get::<Option<bool>>("ensure_ascii")? == Some(true);
    let separators: Option<Vec<String>> = options.get("separators")?;
    options.assert_all_used()?;

    let mut bytes = Vec::new();
    let written = match (indent, separators.as_deref()) {
        (Some(indent), _) => {
            let blanks = vec![b' '; indent.min(16)];
            let formatter = PrettyFormatter::with_indent(&blanks);
            value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
        }
        (None, Some([item, key])) => {
            let formatter = Separated { item, key };
            value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
        }
        (None, _) => {
            let formatter = Separated { item: ", ", key: ": " };
            value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
        }
    };
    written.map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(if ascii { escape(&text) } else { text.into_owned() })
}

/// `\u591a` for what is not ASCII, but for marks.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() || marks::is_mark(c) {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

/// `{"a": 1, "b": [2, 3]}`, with `, ` after items and `: ` after keys.
struct Separated<'a> {
    item: &'a str,
    key: &'a str,
}

impl Separated<'_> {
    fn between(&self, writer: &mut (impl ?Sized + io::Write), first: bool) -> io::Result<()> {
        match first {
            true => Ok(()),
            false => writer.write_all(self.item.as_bytes()),
        }
    }
}

impl Formatter for Separated<'_> {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.between(writer, first)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.between(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.key.as_bytes())
    }
}
