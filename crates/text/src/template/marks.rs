//! Marks around what is not the template's own, by which text is told from markup after a template has run.
//!
//! A string goes into the template as `⟦text⟧`, with code points that are no characters for brackets. They stand
//! within the blanks at its ends, so that trimming works, and move with the text through filters; methods that
//! take a string apart put brackets around the parts. Should a template still cut both brackets off, a control
//! token spelled in the text stays broken by a third mark between its characters. Brackets that do not pair up are an error.

use crate::{Error, Piece, Prompt};
use minijinja::value::from_args;
use minijinja::{Error as JinjaError, Value as Jinja};
use serde_json::Value;
use std::collections::HashMap;

/// Noncharacters: Unicode keeps them for a program's own use.
const OPEN: char = '\u{FDD0}';
const CLOSE: char = '\u{FDD1}';
const BREAK: char = '\u{FDD2}';

/// The texts that must be markup or nothing.
#[derive(Debug)]
pub(super) struct Marks {
    control: Texts,
    /// `control` and those that only the template may write as one token.
    special: Texts,
}

impl Marks {
    pub(super) fn new(control: &[String], user_defined: &[String]) -> Self {
        Self { control: Texts::new(control.iter()), special: Texts::new(control.iter().chain(user_defined)) }
    }

    /// `text` with marks. What is blank needs none, and is left for the template to test.
    pub(super) fn wrap(&self, text: &str) -> String {
        let mut broken = String::with_capacity(text.len());
        // Where the control token ends that is being broken.
        let mut end = 0;
        for (at, c) in text.char_indices() {
            if let Some(control) = self.control.longest_at(&text[at..]) {
                end = end.max(at + control.len());
            }
            let next = at + c.len_utf8();
            broken.push(if is_mark(c) { char::REPLACEMENT_CHARACTER } else { c });
            if next < end {
                broken.push(BREAK);
            }
        }
        bracket(&broken)
    }

    /// Marks the strings and keys in `value` that could be part of a control token; others are for the template
    /// to compare, as in `type == "object"`.
    pub(super) fn wrap_json(&self, value: Value) -> Value {
        let wrap = |text: String| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
            let plain = text.chars().all(is_plain) && self.control.find(&text).is_none();
            if plain { text } else { self.wrap(&text) }
        };
        match value {
            Value::String(text) => wrap(text).into(),
            Value::Array(values) => values.into_iter().map(|value| self.wrap_json(value)).collect(),
            Value::Object(fields) => fields.into_iter().map(|(key, value)| (wrap(key), self.wrap_json(value))).collect(),
            other => other,
        }
    }

    /// The output of a template. Only special tokens that the template wrote itself are markup; all else is
    /// text, joined so that the tokenizer sees it whole.
    pub(super) fn prompt(&self, output: &str) -> Result<Prompt, Error> {
        let mut prompt = Prompt::new();
        let mut text = String::new();
        let mut depth = 0_usize;
        let mut rest = output;
        while let Some(c) = rest.chars().next() {
            let special = if depth == 0 { self.special.longest_at(rest) } else { None };
            let taken = special.map_or(c.len_utf8(), str::len);
            match (special, c) {
                (Some(special), _) => {
                    prompt.push(Piece::Text(std::mem::take(&mut text)));
                    prompt.markup(special);
                }
                (None, OPEN) => depth += 1,
                (None, CLOSE) => depth = depth.checked_sub(1).ok_or(Error::TemplateCut)?,
                (None, BREAK) => {}
                (None, c) => text.push(c),
            }
            rest = &rest[taken..];
        }
        prompt.push(Piece::Text(text));
        match depth {
            0 => Ok(prompt),
            _ => Err(Error::TemplateCut),
        }
    }
}

/// Texts by their first character, the longest first.
#[derive(Debug)]
struct Texts {
    by_start: HashMap<char, Vec<String>>,
}

impl Texts {
    fn new<'a>(texts: impl Iterator<Item = &'a String>) -> Self {
        let mut by_start: HashMap<char, Vec<String>> = HashMap::new();
        for text in texts {
            if let Some(start) = text.chars().next() {
                by_start.entry(start).or_default().push(text.clone());
            }
        }
        for texts in by_start.values_mut() {
            texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        }
        Self { by_start }
    }

    /// The longest of the texts that `rest` begins with.
    fn longest_at(&self, rest: &str) -> Option<&str> {
        let texts = self.by_start.get(&rest.chars().next()?)?;
        let text = texts.iter().find(|text| rest.starts_with(text.as_str()))?;
        Some(text)
    }

    fn find(&self, text: &str) -> Option<&str> {
        text.char_indices().find_map(|(at, _)| self.longest_at(&text[at..]))
    }
}

/// `text` without marks, for people to read.
pub(super) fn unmark(text: &str) -> String {
    text.chars().filter(|c| !is_mark(*c)).collect()
}

pub(super) fn is_mark(c: char) -> bool {
    matches!(c, OPEN | CLOSE | BREAK)
}

/// Brackets around all but the blanks at the ends.
fn bracket(text: &str) -> String {
    let core = text.trim();
    if core.is_empty() {
        return text.into();
    }
    let start = text.len() - text.trim_start().len();
    let end = start + core.len();
    format!("{}{OPEN}{core}{CLOSE}{}", &text[..start], &text[end..])
}

/// A Python method of a string with marks; `None` if it has none, or the method may be left to the usual code.
pub(super) fn method(text: &str, name: &str, args: &[Jinja]) -> Result<Option<Jinja>, JinjaError> {
    if !text.contains([OPEN, CLOSE]) {
        return Ok(None);
    }
    let marked = Marked::parse(text);
    let bare: String = marked.chars.iter().map(|(c, _)| c).collect();
    Ok(Some(match name {
        "startswith" | "endswith" => {
            let (affixes,): (&Jinja,) = from_args(args)?;
            let is_affix = |affix: &str| match name {
                "startswith" => bare.starts_with(affix),
                _ => bare.ends_with(affix),
            };
            match affixes.as_str() {
                Some(affix) => is_affix(affix).into(),
                None => affixes.try_iter()?.any(|affix| affix.as_str().is_some_and(is_affix)).into(),
            }
        }
        "strip" | "lstrip" | "rstrip" => {
            let (chars,): (Option<&str>,) = from_args(args)?;
            let strips = |c: char| chars.map_or(c.is_whitespace(), |chars| chars.contains(c));
            let mut kept = marked.chars.as_slice();
            while name != "rstrip" && kept.first().is_some_and(|(c, _)| strips(*c)) {
                kept = &kept[1..];
            }
            while name != "lstrip" && kept.last().is_some_and(|(c, _)| strips(*c)) {
                kept = &kept[..kept.len() - 1];
            }
            Marked::render(kept).into()
        }
        "split" => {
            let (separator, limit): (Option<&str>, Option<i64>) = from_args(args)?;
            let limit = limit.and_then(|limit| usize::try_from(limit).ok());
            marked.split(separator, limit).into()
        }
        "splitlines" => {
            let mut lines = marked.split(Some("\n"), None);
            if lines.last().is_some_and(String::is_empty) {
                lines.pop();
            }
            lines.into()
        }
        _ => return Ok(None),
    }))
}

/// A string, and for each of its characters whether it is between marks.
#[derive(Debug)]
struct Marked {
    chars: Vec<(char, bool)>,
}

impl Marked {
    fn parse(text: &str) -> Self {
        let mut chars = Vec::with_capacity(text.len());
        let mut depth = 0_usize;
        for c in text.chars() {
            match c {
                OPEN => depth += 1,
                CLOSE => depth = depth.saturating_sub(1),
                c => chars.push((c, depth > 0)),
            }
        }
        Self { chars }
    }

    fn render(chars: &[(char, bool)]) -> String {
        chars
            .chunk_by(|(_, a), (_, b)| a == b)
            .map(|run| {
                let text: String = run.iter().map(|(c, _)| c).collect();
                if run[0].1 { bracket(&text) } else { text }
            })
            .collect()
    }

    /// As Python: at `separator`, or at blanks without empty parts; at most `limit` times.
    fn split(&self, separator: Option<&str>, limit: Option<usize>) -> Vec<String> {
        let mut parts = Vec::new();
        let mut rest = self.chars.as_slice();
        let separator: Option<Vec<char>> = separator.map(|text| text.chars().collect());
        loop {
            if separator.is_none() {
                let blanks = rest.iter().take_while(|(c, _)| c.is_whitespace()).count();
                rest = &rest[blanks..];
                if rest.is_empty() {
                    return parts;
                }
            }
            let cut = match &separator {
                Some(separator) if separator.is_empty() => None,
                Some(separator) => rest
                    .windows(separator.len())
                    .position(|window| window.iter().map(|(c, _)| c).eq(separator))
                    .map(|at| (at, separator.len())),
                None => rest.iter().position(|(c, _)| c.is_whitespace()).map(|at| (at, 1)),
            };
            match cut.filter(|_| limit.is_none_or(|limit| parts.len() < limit)) {
                Some((at, len)) => {
                    parts.push(Self::render(&rest[..at]));
                    rest = &rest[at + len..];
                }
                None => {
                    parts.push(Self::render(rest));
                    return parts;
                }
            }
        }
    }
}
