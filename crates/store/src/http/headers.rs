//! What the headers of an answer say about the file behind it.

use std::ops::Range;

use crate::Sum;

/// What a request is for.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    /// `GET` with a `Range` header for these bytes.
    Range(Range<u64>),
    /// `HEAD`: headers only.
    Head,
}

/// The headers that matter here, where they could be read: CORS hides some from a browser.
#[derive(Debug, Default)]
pub(crate) struct Headers {
    pub(crate) content_length: Option<u64>,
    pub(crate) content_range: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
    pub(crate) retry_after: Option<String>,
    /// Of a model hub that redirects: the ETag of what it redirects to.
    pub(crate) linked_etag: Option<String>,
}

impl Headers {
    /// What Hugging Face's hub says of a large file beside where it is: an ETag that is its SHA-256. Browsers follow redirects by
    /// themselves and do not show it.
    pub(crate) const LINKED_ETAG: &str = "x-linked-etag";

    /// Headers as `header` finds them by name.
    pub(crate) fn from_fn(header: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            content_length: header("content-length").and_then(|text| text.trim().parse().ok()),
            content_range: header("content-range"),
            content_encoding: header("content-encoding"),
            etag: header("etag"),
            last_modified: header("last-modified"),
            retry_after: header("retry-after"),
            linked_etag: header(Self::LINKED_ETAG),
        }
    }

    /// First byte and total size of a `Content-Range`, each where it is given.
    pub(super) fn range(&self) -> (Option<u64>, Option<u64>) {
        let Some(text) = &self.content_range else {
            return (None, None);
        };
        let spec = text.trim().strip_prefix("bytes").unwrap_or(text).trim();
        let Some((span, total)) = spec.split_once('/') else {
            return (None, None);
        };
        let start = span.split_once('-').and_then(|(start, _)| start.trim().parse().ok());
        (start, total.trim().parse().ok())
    }

    /// Size of the whole file, where this is the answer to a request without a range.
    pub(super) fn whole_size(&self) -> Option<u64> {
        match self.content_encoding.as_deref() {
            None | Some("identity" | "") => self.content_length,
            Some(_) => None,
        }
    }

    /// Of the whole file. A plain ETag may be anything.
    pub(super) fn sum(&self) -> Option<Sum> {
        self.linked_etag.as_deref().and_then(|tag| Sum::parse(tag.trim_matches('"')))
    }

    /// What tells one version of the file from another: the ETag, or the date, which CORS never hides.
    pub(super) fn tag(&self) -> Option<&str> {
        let etag = self.etag.as_deref().map(|tag| tag.strip_prefix("W/").unwrap_or(tag));
        etag.or(self.last_modified.as_deref())
    }
}

/// Whether two tags are of two versions. An ETag, which is quoted, says nothing of a date: some answers have only one of them.
pub(crate) fn tags_differ(a: Option<&str>, b: Option<&str>) -> bool {
    let is_etag = |tag: &str| tag.starts_with('"');
    matches!((a, b), (Some(a), Some(b)) if is_etag(a) == is_etag(b) && a != b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_with_their_like() {
        let (one, other, date) = (Some("\"1\""), Some("\"2\""), Some("Tue, 24 Nov 2026 12:00:00 GMT"));
        assert!(tags_differ(one, other) && tags_differ(date, Some("Wed, 25 Nov 2026 12:00:00 GMT")));
        assert!(!tags_differ(one, one) && !tags_differ(one, date) && !tags_differ(one, None));
    }

    #[test]
    fn content_range_is_read_in_all_its_forms() {
        let content_range = |text: &str| Headers { content_range: Some(text.to_owned()), ..Headers::default() }.range();
        assert_eq!(content_range("bytes 10-19/200"), (Some(10), Some(200)));
        assert_eq!(content_range("bytes 0-0/*"), (Some(0), None));
        assert_eq!(content_range("bytes */77"), (None, Some(77)));
        assert_eq!(content_range("nonsense"), (None, None));
        assert_eq!(content_range("bytes -/-"), (None, None));
    }
}
