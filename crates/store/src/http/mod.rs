//! A URL as a source: range requests that survive what networks and servers do.
//!
//! One read is a loop of requests, each for what is still missing. A request that delivered something and broke off
//! is resumed at the byte; one that delivered nothing counts against the policy and is repeated after a pause. The
//! platform only sends one request and hands over its body; everything decided here is decided alike everywhere.
//!
//! - **Redirects** are followed once: where the last one led is remembered and asked directly, until it fails there.
//! - **Identity** is the size and the ETag (or date) of the first answer. An answer that says otherwise is not believed;
//!   said twice in a row, it is [`Error::Changed`]. A lie in the very first answer cannot be told from the truth.
//! - **A server that ignores `Range`** sends the file from its start. Its stream is kept, and reads that go on from
//!   where it stands take from it, one after another.

mod headers;
mod retry;
mod single;

use std::cell::{Cell, RefCell};
use std::ops::Range;

use crate::platform::{self, Answer};
use crate::source::{WINDOW_BYTES, check_range, give, take_turns};
use crate::{Cause, Error, Identity, LocalFuture, Sink, Source, Sum, Traffic};

pub(crate) use headers::{Ask, Headers, tags_differ};
pub use retry::Retry;
use single::{Loan, Single, Stream};

/// Bytes that are passed over without ado on the way to those asked for.
const SKIP_BYTES: u64 = 1 << 20;
/// Bytes of a file that comes only whole which may be downloaded again, to go back in it.
const AGAIN_BYTES: u64 = 64 << 20;
/// The most that a file may have: more than any model by far, and little enough to be cut into steps.
const MOST_BYTES: u64 = 1 << 44;
/// As errors call it.
pub(crate) const TAG: &str = "the tag";
/// Fresh redirects in a row to places that refuse.
const MOST_MISDIRECTED: u32 = 3;

/// A file behind `http://` or `https://`.
#[derive(Debug)]
pub struct Http {
    url: String,
    retry: Retry,
    token: Option<Token>,
    agent: platform::Agent,
    known: RefCell<Known>,
    /// Where redirects led to.
    resolved: RefCell<Option<String>>,
    traffic: Cell<Traffic>,
    ranges: Cell<Ranges>,
    /// Of a server that ignores ranges.
    single: Single,
    /// Where that stream stands.
    stands_at: Cell<u64>,
}

/// A bearer token, which is shown to nobody.
struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// What earlier answers said about the file.
#[derive(Debug, Default)]
struct Known {
    size: Option<u64>,
    tag: Option<String>,
    sum: Option<Sum>,
}

/// Whether the server answers `Range` with a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ranges {
    Unknown,
    Served,
    Ignored,
}

impl Http {
    /// Nothing is sent before the first read. In a browser the URL may be relative.
    pub fn new(url: impl Into<String>) -> Self {
        Self::with_retry(url, Retry::default())
    }

    /// As [`Self::new`] with another retry policy.
    pub fn with_retry(url: impl Into<String>, retry: Retry) -> Self {
        Self {
            url: url.into(),
            token: None,
            agent: platform::Agent::new(&retry),
            retry,
            known: RefCell::default(),
            resolved: RefCell::default(),
            traffic: Cell::default(),
            ranges: Cell::new(Ranges::Unknown),
            single: Single::default(),
            stands_at: Cell::new(0),
        }
    }

    /// Sends `token` as a bearer token, to the URL's own scheme, host and port alone.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Token(token.into()));
        self
    }

    fn known_size(&self) -> Option<u64> {
        self.known.borrow().size
    }

    fn count(&self, add: impl FnOnce(&mut Traffic)) {
        let mut traffic = self.traffic.get();
        add(&mut traffic);
        self.traffic.set(traffic);
    }

    /// Sends one request, and takes from its answer what says which file this is.
    async fn request(&self, ask: &Ask) -> Result<Answer, Cause> {
        let resolved = self.resolved.borrow().clone();
        let url = resolved.as_deref().unwrap_or(&self.url);
        let token = self.token.as_ref().filter(|_| origin(url) == origin(&self.url)).map(|token| token.0.as_str());
        self.count(|traffic| traffic.requests += 1);
        let answer = self.agent.send(url, token, ask).await;
        let is_refused = match &answer {
            // A browser shows no more of a refusal that lacks CORS headers.
            Err(_) => true,
            Ok(answer) => matches!(answer.status, 401 | 403 | 404 | 410),
        };
        if is_refused && resolved.is_some() {
            let mut now = self.resolved.borrow_mut();
            // Another request may have found the new place meanwhile.
            if *now == resolved {
                *now = None;
            }
            return Err(answer.map_or_else(|cause| cause, |answer| Cause::Expired { status: answer.status }));
        }
        let answer = answer?;
        match answer.status {
            200 | 206 => {
                let total = if answer.status == 206 { answer.headers.range().1 } else { answer.headers.whole_size() };
                self.identify(total, answer.headers.tag(), answer.headers.sum())?;
                if let Some(place) = &answer.redirected {
                    *self.resolved.borrow_mut() = Some(place.clone());
                }
                Ok(answer)
            }
            status if is_refused && answer.redirected.is_some() => Err(Cause::Misdirected { status }),
            status => {
                if let (416, Some(total)) = (status, answer.headers.range().1) {
                    self.identify(Some(total), None, None)?;
                }
                if status == 429 {
                    self.count(|traffic| traffic.throttled += 1);
                }
                Err(Cause::Status { status, retry_after_s: answer.headers.retry_after.as_deref().and_then(retry::retry_after_s) })
            }
        }
    }

    /// Holds what an answer says of the file against what is known, or learns it.
    fn identify(&self, size: Option<u64>, tag: Option<&str>, sum: Option<Sum>) -> Result<(), Cause> {
        if let Some(size) = size.filter(|size| *size > MOST_BYTES) {
            return Err(Cause::TooLarge { size, most: MOST_BYTES });
        }
        let mut known = self.known.borrow_mut();
        if let (Some(expected), Some(got)) = (known.size, size)
            && expected != got
        {
            return Err(Cause::OtherFile { what: "the size", expected: expected.to_string(), got: got.to_string() });
        }
        match (known.sum, sum) {
            (Some(expected), Some(got)) if expected != got => {
                return Err(Cause::OtherFile { what: "its SHA-256", expected: expected.to_string(), got: got.to_string() });
            }
            // The same file, whatever its tag is now.
            (Some(_), Some(_)) => known.tag = None,
            _ => known.sum = known.sum.or(sum),
        }
        if let (Some(expected), Some(got)) = (known.tag.as_deref(), tag)
            && tags_differ(Some(expected), Some(got))
        {
            return Err(Cause::OtherFile { what: TAG, expected: expected.to_owned(), got: got.to_owned() });
        }
        known.size = known.size.or(size);
        if known.tag.is_none() {
            known.tag = tag.map(str::to_owned);
        }
        Ok(())
    }

    /// One request for `range`: gives what arrives of it to `sink`, and moves `range.start` past what was given.
    async fn read_once(&self, range: &mut Range<u64>, sink: &mut Sink<'_>, window: &mut [u8]) -> Result<Result<(), Cause>, Error> {
        let is_ignored = || self.ranges.get() == Ranges::Ignored;
        if is_ignored()
            && let Some(loan) = self.single.lend(is_ignored).await
        {
            return self.read_on(loan, range, sink, window).await;
        }
        let answer = match self.request(&Ask::Range(range.clone())).await {
            Ok(answer) => answer,
            Err(cause) => return Ok(Err(cause)),
        };
        if let Some(size) = self.known_size() {
            check_range(&self.url, range, size)?;
        }
        if answer.status == 206 {
            return self.take_part(answer, range, sink, window).await;
        }
        let mut stream = Stream { at: 0, answer };
        // A server that served ranges before will do so again.
        if self.ranges.get() == Ranges::Unknown {
            log::warn!("{} ignores Range: it is read from its start to its end", self.url);
            self.ranges.set(Ranges::Ignored);
        }
        if range.start > SKIP_BYTES {
            return Ok(Err(Cause::IgnoresRange { expected: range.start }));
        }
        let done = self.take(&mut stream, range, sink, window).await;
        if self.ranges.get() == Ranges::Ignored && matches!(done, Ok(Ok(()))) {
            self.stands_at.set(stream.at);
            self.single.leave(stream);
        }
        done
    }

    /// The same from a server that ignores ranges: from the stream that stands before `range`, or from the start anew.
    async fn read_on(
        &self,
        mut loan: Loan<'_>,
        range: &mut Range<u64>,
        sink: &mut Sink<'_>,
        window: &mut [u8],
    ) -> Result<Result<(), Cause>, Error> {
        let stands = loan.stream.take();
        let mut stream = match stands {
            Some(stream) if stream.at <= range.start => stream,
            _ => {
                let again = self.stands_at.replace(0);
                if stands.is_some() && again > AGAIN_BYTES {
                    return Err(Error::NoRanges { url: self.url.clone(), start: range.start, again });
                }
                let answer = match self.request(&Ask::Range(range.clone())).await {
                    Ok(answer) => answer,
                    Err(cause) => return Ok(Err(cause)),
                };
                if answer.status == 206 {
                    // It has learnt it, or this is another server of the same name.
                    drop(loan);
                    return self.take_part(answer, range, sink, window).await;
                }
                Stream { answer, at: 0 }
            }
        };
        if let Some(size) = self.known_size() {
            check_range(&self.url, range, size)?;
        }
        let done = self.take(&mut stream, range, sink, window).await;
        if matches!(done, Ok(Ok(()))) {
            self.stands_at.set(stream.at);
            loan.stream = Some(stream);
        }
        done
    }

    /// Gives `range` out of a partial answer, which should begin with it.
    async fn take_part(
        &self,
        answer: Answer,
        range: &mut Range<u64>,
        sink: &mut Sink<'_>,
        window: &mut [u8],
    ) -> Result<Result<(), Cause>, Error> {
        self.ranges.set(Ranges::Served);
        self.single.wake();
        if let Some(got) = answer.headers.range().0
            && got != range.start
        {
            return Ok(Err(Cause::WrongRange { expected: range.start, got }));
        }
        self.take(&mut Stream { at: range.start, answer }, range, sink, window).await
    }

    /// Gives `range` out of `stream`, which stands at it or before it.
    async fn take(
        &self,
        stream: &mut Stream,
        range: &mut Range<u64>,
        sink: &mut Sink<'_>,
        window: &mut [u8],
    ) -> Result<Result<(), Cause>, Error> {
        let (first, expected) = (range.start, range.end - range.start);
        while range.start < range.end {
            // Never past the end: the stream goes on from there.
            let most = usize::try_from(range.end - stream.at).unwrap_or(usize::MAX).min(window.len());
            let n = match stream.answer.next(&mut window[..most]).await {
                Ok(n) => n,
                Err(cause) => return Ok(Err(cause)),
            };
            if n == 0 {
                return Ok(Err(Cause::Truncated { got: range.start - first, expected }));
            }
            self.count(|traffic| traffic.bytes += n as u64);
            let skip = usize::try_from(range.start - stream.at).unwrap_or(usize::MAX).min(n);
            stream.at += n as u64;
            if skip == n {
                // Nothing for the reader yet, who may have had enough all the same.
                give(&self.url, sink, &[])?;
                continue;
            }
            range.start += (n - skip) as u64;
            give(&self.url, sink, &window[skip..n])?;
            take_turns().await;
        }
        Ok(Ok(()))
    }

    /// `cause` came after `failures` requests in a row that delivered nothing: waits, or gives up with an error for `range`.
    async fn wait_or_fail(&self, failures: u32, cause: Cause, range: &Range<u64>) -> Result<(), Error> {
        if let (Cause::Status { status: 416, .. }, Some(size)) = (&cause, self.known_size()) {
            check_range(&self.url, range, size)?;
        }
        // Who is refused at every place that he is sent to is refused.
        let is_refusal = matches!(cause, Cause::Misdirected { .. }) && failures >= MOST_MISDIRECTED;
        if is_refusal || !cause.is_transient() || failures >= self.retry.attempts {
            return Err(Error::Network { url: self.url.clone(), start: range.start, end: range.end, attempts: failures.max(1), cause });
        }
        let pause = self.retry.pause_after(failures.max(1), &cause);
        log::warn!("{}: {cause}; trying again in {} ms", self.url, pause.as_millis());
        self.count(|traffic| traffic.retries += 1);
        if !pause.is_zero() {
            platform::sleep(pause).await;
        }
        Ok(())
    }

    /// The error that `cause` means, if the one `before` it said the same of the file.
    fn changed(&self, before: Option<&Cause>, cause: &Cause) -> Option<Error> {
        match cause {
            Cause::OtherFile { what, expected, got } if before == Some(cause) => {
                Some(Error::Changed { url: self.url.clone(), what, expected: expected.clone(), got: got.clone() })
            }
            _ => None,
        }
    }

    async fn read_all(&self, mut range: Range<u64>, sink: &mut Sink<'_>) -> Result<(), Error> {
        if let Some(size) = self.known_size() {
            check_range(&self.url, &range, size)?;
        }
        let mut window = vec![0; WINDOW_BYTES];
        let (mut failures, mut last) = (0, None);
        while range.start < range.end {
            give(&self.url, sink, &[])?;
            let before = range.start;
            let Err(cause) = self.read_once(&mut range, sink, &mut window).await? else {
                break;
            };
            if let Some(error) = self.changed(last.as_ref(), &cause) {
                return Err(error);
            }
            failures = if range.start > before { 1 } else { failures + cause.weight() };
            if matches!(cause, Cause::IgnoresRange { .. }) && failures > 1 {
                self.ranges.set(Ranges::Ignored);
            }
            last = Some(cause.clone());
            self.wait_or_fail(failures, cause, &range).await?;
        }
        Ok(())
    }

    /// Asks for the first byte, whose answer names the total, or for the headers alone; if that says nothing, for the other.
    async fn ask_size(&self, mut ask: Ask) -> Result<u64, Error> {
        let (mut failures, mut last) = (0, None);
        let mut other = Some(if matches!(ask, Ask::Head) { Ask::Range(0..1) } else { Ask::Head });
        loop {
            if let Some(size) = self.known_size() {
                return Ok(size);
            }
            let answer = self.request(&ask).await;
            let says_nothing = match (&ask, &answer) {
                // CORS hides the total.
                (_, Ok(_)) => true,
                // Some servers do not know `HEAD`, or have signed the address for `GET` alone.
                (Ask::Head, Err(Cause::Status { status: 403 | 405 | 501, .. })) => true,
                // An empty file has no first byte.
                (Ask::Range(_), Err(Cause::Status { status: 416, .. })) => true,
                _ => false,
            };
            match answer {
                _ if self.known_size().is_some() => {}
                Err(cause) if !says_nothing => {
                    if let Some(error) = self.changed(last.as_ref(), &cause) {
                        return Err(error);
                    }
                    failures += cause.weight();
                    last = Some(cause.clone());
                    self.wait_or_fail(failures, cause, &(0..1)).await?;
                }
                _ => ask = other.take().ok_or_else(|| Error::UnknownSize { url: self.url.clone() })?,
            }
        }
    }
}

/// Scheme, host and port of a URL; all of a relative one.
pub(crate) fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(url.len(), |at| at + 3);
    url[host..].find(['/', '?', '#']).map_or(url, |at| &url[..host + at])
}

impl Source for Http {
    fn location(&self) -> &str {
        &self.url
    }

    fn size(&self) -> LocalFuture<'_, Result<u64, Error>> {
        Box::pin(self.ask_size(Ask::Range(0..1)))
    }

    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(self.read_all(range, sink))
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn traffic(&self) -> Traffic {
        self.traffic.get()
    }

    fn tag(&self) -> Option<String> {
        self.known.borrow().tag.clone()
    }

    fn expect(&self, version: &Identity) {
        *self.known.borrow_mut() = Known { size: Some(version.size), tag: version.tag.clone(), sum: None };
    }

    fn sum(&self) -> Option<Sum> {
        self.known.borrow().sum
    }

    fn identify(&self) -> LocalFuture<'_, Result<(Identity, Option<Sum>), Error>> {
        Box::pin(async {
            let mut fresh = Self::with_retry(&self.url, self.retry.clone());
            fresh.token = self.token.as_ref().map(|token| Token(token.0.clone()));
            let size = fresh.ask_size(Ask::Head).await?;
            Ok((Identity { location: self.url.clone(), size, tag: fresh.tag() }, fresh.sum()))
        })
    }

    fn comes_from(&self) -> Option<u64> {
        (self.ranges.get() == Ranges::Ignored).then(|| self.stands_at.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_its_origin_alone_and_is_never_shown() {
        assert_eq!(origin("https://a.b:1/c?d"), "https://a.b:1");
        assert_ne!(origin("https://a.b/"), origin("http://a.b/"));
        assert_ne!(origin("https://a.b/"), origin("https://a.b.c/"));
        assert_eq!(origin("https://a.b?x"), "https://a.b");
        let http = Http::new("https://a.b/c").with_token("secret");
        assert!(!format!("{http:?}").contains("secret"));
    }
}
