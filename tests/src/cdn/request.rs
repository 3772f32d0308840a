//! One request as it comes over a socket.

use std::io::BufRead;
use std::ops::Range;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// Without its query.
    pub(super) path: String,
    pub(super) query: String,
    /// First byte, and the one after the last if it is named.
    pub(super) range: Option<(u64, Option<u64>)>,
    pub(super) authorization: Option<String>,
}

impl Request {
    /// `None` at the end of the connection, or after what is no HTTP.
    pub(super) fn read(reader: &mut impl BufRead) -> Option<Self> {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&n| n > 0)?;
        let mut words = line.split_ascii_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut request = Self { method, path: path.to_owned(), query: query.to_owned(), range: None, authorization: None };
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|&n| n > 0)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                return Some(request);
            };
            match name.to_ascii_lowercase().as_str() {
                "range" => request.range = parse_range(value.trim()),
                "authorization" => request.authorization = Some(value.trim().to_owned()),
                _ => {}
            }
        }
    }

    /// The part of a file of `size` bytes; `None` if it begins past its end.
    pub(super) fn part(&self, size: u64) -> Option<Range<u64>> {
        match self.range {
            None => Some(0..size),
            Some((start, end)) => (start < size).then(|| start..end.unwrap_or(size).min(size)),
        }
    }
}

/// `bytes=FIRST-LAST`; other forms are as good as none.
fn parse_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    let end = if last.is_empty() { None } else { Some(last.parse::<u64>().ok()?.checked_add(1)?) };
    let start = first.parse().ok()?;
    end.is_none_or(|end| end > start).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_sent() {
        let text = b"GET /a.gguf?b=c HTTP/1.1\r\nHost: x\r\nRange: bytes=10-19\r\nAuthorization: Bearer t\r\n\r\nGET";
        let request = Request::read(&mut &text[..]).unwrap();
        assert_eq!((request.path.as_str(), request.query.as_str(), request.range), ("/a.gguf", "b=c", Some((10, Some(20)))));
        assert_eq!((request.part(15), request.part(10), request.authorization.as_deref()), (Some(10..15), None, Some("Bearer t")));
        assert_eq!(parse_range("bytes=5-"), Some((5, None)));
        for odd in ["bytes=5-4", "bytes=-4", "lines=1-2", "bytes=0-18446744073709551615"] {
            assert_eq!(parse_range(odd), None, "{odd}");
        }
    }
}
