//! A URL as a source: range requests that survive what networks and servers do.
//!
//! One read is a loop of requests, each for what is still missing. A request that delivered something and broke off
//! is resumed at the byte; one that delivered nothing counts against the policy and is repeated after a pause. The
//! platform only sends one request and hands over its body; everything decided here is decided alike everywhere.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::time::Duration;

use crate::platform::{self, Answer};
use crate::source::{WINDOW_BYTES, check_range, give};
use crate::{Cause, Error, LocalFuture, Sink, Source};

/// When to try again, and when to stop.
#[derive(Debug, Clone)]
pub struct Retry {
    /// Requests in a row that may deliver nothing.
    pub attempts: u32,
    /// Pause after the first failure; it doubles with each further one, and is drawn from its upper half.
    pub pause: Duration,
    /// Longest pause, also where `Retry-After` asks for more.
    pub longest_pause: Duration,
    /// A request is given up when nothing arrives for this long.
    pub stall: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 5, pause: Duration::from_millis(500), longest_pause: Duration::from_secs(60), stall: Duration::from_secs(20) }
    }
}

impl Retry {
    /// How long to wait after `failures` (at least one) in a row.
    fn pause_after(&self, failures: u32, cause: &Cause) -> Duration {
        let doubled = self.pause.saturating_mul(1 << (failures - 1).min(16));
        let jittered = doubled.mul_f64(0.5 + platform::random() / 2.0);
        let asked = match cause {
            Cause::Status { retry_after_s: Some(seconds), .. } => Duration::from_secs(*seconds),
            _ => Duration::ZERO,
        };
        jittered.max(asked).min(self.longest_pause)
    }
}

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
    pub(crate) retry_after: Option<String>,
}

impl Headers {
    /// First byte and total size of a `Content-Range`, each where it is given.
    fn range(&self) -> (Option<u64>, Option<u64>) {
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
    fn whole_size(&self) -> Option<u64> {
        match self.content_encoding.as_deref() {
            None | Some("identity" | "") => self.content_length,
            Some(_) => None,
        }
    }
}

/// A file behind `http://` or `https://`.
#[derive(Debug)]
pub struct Http {
    url: String,
    retry: Retry,
    agent: platform::Agent,
    size: Cell<Option<u64>>,
    etag: RefCell<Option<String>>,
}

impl Http {
    /// Nothing is sent before the first read. In a browser the URL may be relative.
    pub fn new(url: impl Into<String>) -> Self {
        Self::with_retry(url, Retry::default())
    }

    /// As [`Self::new`] with another retry policy.
    pub fn with_retry(url: impl Into<String>, retry: Retry) -> Self {
        Self { url: url.into(), agent: platform::Agent::new(&retry), retry, size: Cell::new(None), etag: RefCell::new(None) }
    }

    /// Sends one request, and takes from its answer what says which file this is.
    async fn request(&self, ask: &Ask) -> Result<Result<Answer, Cause>, Error> {
        let answer = match self.agent.send(&self.url, ask).await {
            Ok(answer) => answer,
            Err(cause) => return Ok(Err(cause)),
        };
        let total = match answer.status {
            200 => answer.headers.whole_size(),
            206 | 416 => answer.headers.range().1,
            _ => None,
        };
        if let Some(total) = total {
            match self.size.replace(Some(total)) {
                Some(before) if before != total => {
                    self.size.set(Some(before));
                    return Err(self.changed("the size", before.to_string(), total.to_string()));
                }
                _ => {}
            }
        }
        if matches!(answer.status, 200 | 206)
            && let Some(tag) = &answer.headers.etag
        {
            let mut known = self.etag.borrow_mut();
            match known.as_ref() {
                Some(before) if before != tag => {
                    return Err(self.changed("the ETag", before.clone(), tag.clone()));
                }
                _ => *known = Some(tag.clone()),
            }
        }
        Ok(match answer.status {
            200 | 206 => Ok(answer),
            status => Err(Cause::Status {
                status,
                retry_after_s: answer.headers.retry_after.as_deref().and_then(|text| text.trim().parse().ok()),
            }),
        })
    }

    fn changed(&self, what: &'static str, expected: String, got: String) -> Error {
        Error::Changed { url: self.url.clone(), what, expected, got }
    }

    /// One request for `range`: gives what arrives of it to `sink`, and moves `range.start` past what was given.
    async fn read_once(&self, range: &mut Range<u64>, sink: &mut Sink<'_>, window: &mut [u8]) -> Result<Result<(), Cause>, Error> {
        let mut answer = match self.request(&Ask::Range(range.clone())).await? {
            Ok(answer) => answer,
            Err(cause) => return Ok(Err(cause)),
        };
        if let Some(size) = self.size.get() {
            check_range(&self.url, range, size)?;
        }
        // A server that ignores ranges sends the file from its start.
        let begins = match answer.status {
            200 => 0,
            _ => answer.headers.range().0.unwrap_or(range.start),
        };
        if begins > range.start {
            return Ok(Err(Cause::WrongRange { expected: range.start, got: begins }));
        }
        let expected = range.end - range.start;
        let first = range.start;
        let mut at = begins;
        while range.start < range.end {
            let n = match answer.next(window).await {
                Ok(n) => n,
                Err(cause) => return Ok(Err(cause)),
            };
            if n == 0 {
                let got = range.start - first;
                return Ok(Err(Cause::Truncated { got, expected }));
            }
            let skip = usize::try_from(range.start - at).unwrap_or(usize::MAX).min(n);
            let left = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            let piece = &window[skip..n.min(skip.saturating_add(left))];
            at += n as u64;
            if !piece.is_empty() {
                range.start += piece.len() as u64;
                give(&self.url, sink, piece)?;
            }
        }
        Ok(Ok(()))
    }

    /// `cause` came after `failures` requests in a row that delivered nothing: waits, or gives up with an error for `range`.
    async fn wait_or_fail(&self, failures: u32, cause: Cause, range: &Range<u64>) -> Result<(), Error> {
        if let (Cause::Status { status: 416, .. }, Some(size)) = (&cause, self.size.get()) {
            check_range(&self.url, range, size)?;
        }
        if !cause.is_transient() || failures >= self.retry.attempts {
            return Err(Error::Network { url: self.url.clone(), start: range.start, end: range.end, attempts: failures.max(1), cause });
        }
        let pause = self.retry.pause_after(failures.max(1), &cause);
        log::warn!("{}: {cause}; trying again in {} ms", self.url, pause.as_millis());
        platform::sleep(pause).await;
        Ok(())
    }

    async fn read_all(&self, mut range: Range<u64>, sink: &mut Sink<'_>) -> Result<(), Error> {
        if let Some(size) = self.size.get() {
            check_range(&self.url, &range, size)?;
        }
        let mut window = vec![0; WINDOW_BYTES];
        let mut failures = 0;
        while range.start < range.end {
            give(&self.url, sink, &[])?;
            let before = range.start;
            let Err(cause) = self.read_once(&mut range, sink, &mut window).await? else {
                break;
            };
            failures = if range.start > before { 1 } else { failures + 1 };
            self.wait_or_fail(failures, cause, &range).await?;
        }
        Ok(())
    }

    /// Asks for the first byte, whose answer names the total; where CORS hides that, asks for the headers alone.
    async fn ask_size(&self) -> Result<u64, Error> {
        let mut failures = 0;
        let mut ask = Ask::Range(0..1);
        loop {
            if let Some(size) = self.size.get() {
                return Ok(size);
            }
            match self.request(&ask).await? {
                _ if self.size.get().is_some() => {}
                Ok(_) if matches!(ask, Ask::Range(_)) => ask = Ask::Head,
                Ok(_) => {
                    return Err(Error::UnknownSize { url: self.url.clone() });
                }
                // An empty file has no first byte; its headers may still say so.
                Err(Cause::Status { status: 416, .. }) if matches!(ask, Ask::Range(_)) => {
                    ask = Ask::Head;
                }
                Err(cause) => {
                    failures += 1;
                    self.wait_or_fail(failures, cause, &(0..1)).await?;
                }
            }
        }
    }
}

impl Source for Http {
    fn location(&self) -> &str {
        &self.url
    }

    fn size(&self) -> LocalFuture<'_, Result<u64, Error>> {
        Box::pin(self.ask_size())
    }

    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(self.read_all(range, sink))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn content_range(text: &str) -> (Option<u64>, Option<u64>) {
        let headers = Headers { content_range: Some(text.to_owned()), ..Headers::default() };
        headers.range()
    }

    #[test]
    fn content_range_is_read_in_all_its_forms() {
        assert_eq!(content_range("bytes 10-19/200"), (Some(10), Some(200)));
        assert_eq!(content_range("bytes 0-0/*"), (Some(0), None));
        assert_eq!(content_range("bytes */77"), (None, Some(77)));
        assert_eq!(content_range("nonsense"), (None, None));
        assert_eq!(content_range("bytes -/-"), (None, None));
    }

    #[test]
    fn pauses_double_are_jittered_and_capped_and_obey_retry_after() {
        let retry = Retry::default();
        let stalled = Cause::Stalled { millis: 1 };
        for failures in 1..20 {
            let pause = retry.pause_after(failures, &stalled);
            let full = retry.pause.saturating_mul(1 << (failures - 1)).min(retry.longest_pause);
            assert!(pause <= full && pause >= full / 2, "{failures}: {pause:?}");
        }
        let asked = |seconds| Cause::Status { status: 429, retry_after_s: Some(seconds) };
        assert_eq!(retry.pause_after(1, &asked(7)), Duration::from_secs(7));
        assert_eq!(retry.pause_after(1, &asked(9000)), retry.longest_pause);
    }
}
