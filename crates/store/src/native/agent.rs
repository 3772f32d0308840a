//! Blocking HTTP made awaitable: each request runs on a thread of its own, which hands over the head of its answer
//! and then its body piece by piece, never further ahead than a few pieces.

use std::io::{self, Read};
use std::thread;
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use futures_util::{SinkExt, StreamExt};

use crate::Cause;
use crate::http::{Ask, Headers, Retry, origin};
use crate::source::WINDOW_BYTES;

/// Pieces that a thread may be ahead of its reader: enough to keep the connection busy while one is worked on.
const PIECES_AHEAD: usize = 2;

/// Redirects of one request.
const MOST_REDIRECTS: u32 = 8;

/// Sends requests, keeping connections.
#[derive(Debug)]
pub(crate) struct Agent {
    agent: ureq::Agent,
    stall: Duration,
}

impl Agent {
    pub(crate) fn new(retry: &Retry) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // Compressed bytes have other offsets.
            .accept_encoding("identity")
            // Followed here, where a token's origin is known.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections_per_host(16)
            .max_idle_connections(32)
            .timeout_resolve(Some(retry.stall))
            .timeout_connect(Some(retry.stall))
            .timeout_recv_response(Some(retry.stall))
            .timeout_per_read(Some(retry.stall))
            .build();
        Self { agent: config.new_agent(), stall: retry.stall }
    }

    /// Sends one request; `url` may be another than the one that was redirected here.
    pub(crate) async fn send(&self, url: &str, token: Option<&str>, ask: &Ask) -> Result<Answer, Cause> {
        let request = Request {
            agent: self.agent.clone(),
            url: url.to_owned(),
            is_redirected: false,
            linked_etag: None,
            token: token.map(str::to_owned),
            ask: ask.clone(),
            stall: self.stall,
        };
        let (head, answer) = oneshot::channel();
        thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || converse(request, head))
            .map_err(|e| Cause::Connection(e.to_string()))?;
        answer.await.unwrap_or_else(|_| Err(Cause::Connection("its thread ended".to_owned())))
    }
}

/// What a thread needs to know.
struct Request {
    agent: ureq::Agent,
    url: String,
    is_redirected: bool,
    /// What the hub says of the file beside where it is.
    linked_etag: Option<String>,
    token: Option<String>,
    ask: Ask,
    stall: Duration,
}

impl Request {
    /// Follows redirects, and takes the token no further than to the origin that it is for.
    fn call(&mut self) -> Result<ureq::http::Response<ureq::Body>, Cause> {
        for _ in 0..=MOST_REDIRECTS {
            let mut request = match &self.ask {
                Ask::Range(range) => self.agent.get(&self.url).header("Range", format!("bytes={}-{}", range.start, range.end - 1)),
                Ask::Head => self.agent.head(&self.url),
            };
            if let Some(token) = &self.token {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            let response = request.call().map_err(|e| cause(e, self.stall))?;
            let place = response.headers().get("location").and_then(|place| place.to_str().ok());
            let Some(place) = place.filter(|_| response.status().is_redirection()) else {
                return Ok(response);
            };
            let next = resolve(&self.url, place);
            let linked = response.headers().get(Headers::LINKED_ETAG).and_then(|tag| tag.to_str().ok());
            self.linked_etag = linked.map(str::to_owned).or(self.linked_etag.take());
            self.token.take_if(|_| origin(&next) != origin(&self.url));
            self.url = next;
            self.is_redirected = true;
        }
        Err(Cause::Connection(format!("more than {MOST_REDIRECTS} redirects")))
    }
}

/// `place` of a `Location` header, as seen from `base`.
fn resolve(base: &str, place: &str) -> String {
    let scheme = base.find("://").map_or("", |at| &base[..=at]);
    let path = base.split(['?', '#']).next().unwrap_or(base);
    let is_absolute = place.split_once("://").is_some_and(|(scheme, _)| scheme.chars().all(|c| c.is_ascii_alphanumeric()));
    if is_absolute {
        place.to_owned()
    } else if place.starts_with("//") {
        format!("{scheme}{place}")
    } else if place.starts_with('/') {
        format!("{}{place}", origin(base))
    } else if let Some(folder) = path.rfind('/').filter(|&at| at > scheme.len() + 1) {
        format!("{}{place}", &path[..=folder])
    } else {
        format!("{}/{place}", origin(base))
    }
}

/// One request from end to end. Whoever drops the answer ends it at the next piece.
fn converse(mut request: Request, head: oneshot::Sender<Result<Answer, Cause>>) {
    let response = match request.call() {
        Ok(response) => response,
        Err(cause) => return drop(head.send(Err(cause))),
    };
    let stall = request.stall;
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().ok()?.to_owned())
    };
    let headers = Headers::from_fn(header);
    let linked_etag = headers.linked_etag.clone().or(request.linked_etag);
    let (mut pieces, taken) = mpsc::channel(PIECES_AHEAD);
    let answer = Answer {
        status: response.status().as_u16(),
        redirected: request.is_redirected.then_some(request.url),
        headers: Headers { linked_etag, ..headers },
        pieces: taken,
        piece: Vec::new(),
        at: 0,
    };
    if head.send(Ok(answer)).is_err() {
        return;
    }
    let mut body = response.into_body().into_reader();
    loop {
        let mut piece = vec![0; WINDOW_BYTES];
        let got = match body.read(&mut piece) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            // The peer hung up in the middle of a body of known length.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return,
            Ok(0) => return,
            Ok(n) => {
                piece.truncate(n);
                Ok(piece)
            }
            Err(e) => Err(cause(e.into(), stall)),
        };
        let is_last = got.is_err();
        if pollster::block_on(pieces.send(got)).is_err() || is_last {
            return;
        }
    }
}

/// What a failure of the client means; a failure while reading comes wrapped in an `io::Error`.
fn cause(error: ureq::Error, stall: Duration) -> Cause {
    match &error {
        ureq::Error::HostNotFound => Cause::HostNotFound,
        ureq::Error::Timeout(_) => Cause::stalled(stall),
        ureq::Error::Io(e) if matches!(e.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => Cause::stalled(stall),
        // The resolver's own words differ by system; its error has no kind.
        ureq::Error::Io(e) if e.to_string().contains("failed to lookup address") => Cause::HostNotFound,
        _ => Cause::Connection(error.to_string()),
    }
}

/// The answer to one request. Dropping it ends the request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Where redirects led to, if there were any.
    pub(crate) redirected: Option<String>,
    pub(crate) headers: Headers,
    pieces: mpsc::Receiver<Result<Vec<u8>, Cause>>,
    /// What came last, handed on up to `at`.
    piece: Vec<u8>,
    at: usize,
}

impl Answer {
    /// Fills a part of `window` with the next bytes of the body; 0 is its end, early or not.
    pub(crate) async fn next(&mut self, window: &mut [u8]) -> Result<usize, Cause> {
        if self.at == self.piece.len() {
            self.at = 0;
            self.piece = match self.pieces.next().await {
                Some(piece) => piece?,
                None => return Ok(0),
            };
        }
        let n = window.len().min(self.piece.len() - self.at);
        window[..n].copy_from_slice(&self.piece[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_may_be_relative() {
        let base = "https://a.b:1/c/d.gguf?e=/f";
        for (place, expected) in [
            ("http://x/y", "http://x/y"),
            ("//x/y", "https://x/y"),
            ("/x/y", "https://a.b:1/x/y"),
            ("x?y", "https://a.b:1/c/x?y"),
            ("/x?u=https://y", "https://a.b:1/x?u=https://y"),
        ] {
            assert_eq!(resolve(base, place), expected);
        }
        assert_eq!(resolve("https://a.b", "x"), "https://a.b/x");
    }
}
