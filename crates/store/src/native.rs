//! Files and HTTP where there is an operating system. Reads block the thread they are polled on.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::http::{Ask, Headers};
use crate::source::{WINDOW_BYTES, check_range, give};
use crate::{Cause, Error, Http, LocalFuture, Retry, Sink, Source};

/// Opens a URL (`http://`, `https://`) or else a path.
///
/// # Errors
/// [`Error::Open`] if a file does not exist or may not be read. A URL is not asked before the first read.
pub fn open(location: &str) -> Result<Rc<dyn Source>, Error> {
    if location.starts_with("http://") || location.starts_with("https://") {
        return Ok(Rc::new(Http::new(location)));
    }
    Ok(Rc::new(LocalFile::open(location)?))
}

/// A file on this machine.
#[derive(Debug)]
pub struct LocalFile {
    path: PathBuf,
    name: String,
    size: u64,
}

impl LocalFile {
    /// # Errors
    /// [`Error::Open`] if `path` is no file that can be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let fail = |cause: String| Error::Open { location: name.clone(), cause };
        let meta = File::open(path).and_then(|file| file.metadata()).map_err(|e| fail(e.to_string()))?;
        if !meta.is_file() {
            return Err(fail("not a file".to_owned()));
        }
        Ok(Self { path: path.to_owned(), size: meta.len(), name })
    }
}

impl Source for LocalFile {
    fn location(&self) -> &str {
        &self.name
    }

    fn size(&self) -> LocalFuture<'_, Result<u64, Error>> {
        Box::pin(async { Ok(self.size) })
    }

    fn read<'a>(&'a self, range: Range<u64>, sink: &'a mut Sink<'_>) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            check_range(&self.name, &range, self.size)?;
            let fail = |e: io::Error| Error::Read { location: self.name.clone(), start: range.start, end: range.end, cause: e.to_string() };
            let mut file = File::open(&self.path).map_err(fail)?;
            file.seek(SeekFrom::Start(range.start)).map_err(fail)?;
            let mut left = range.end - range.start;
            let mut window = vec![0; WINDOW_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX))];
            while left > 0 {
                let n = window.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                file.read_exact(&mut window[..n]).map_err(fail)?;
                give(&self.name, sink, &window[..n])?;
                left -= n as u64;
            }
            Ok(())
        })
    }
}

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
            .timeout_connect(Some(retry.stall))
            .timeout_recv_response(Some(retry.stall))
            .timeout_per_read(Some(retry.stall))
            .build();
        Self { agent: config.new_agent(), stall: retry.stall }
    }

    pub(crate) async fn send(&self, url: &str, ask: &Ask) -> Result<Answer, Cause> {
        let request = match ask {
            Ask::Range(range) => self.agent.get(url).header("Range", range_header(range)),
            Ask::Head => self.agent.head(url),
        };
        let response = request.call().map_err(|e| cause(e, self.stall))?;
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            Some(value.to_str().ok()?.to_owned())
        };
        Ok(Answer {
            status: response.status().as_u16(),
            headers: Headers {
                content_length: header("content-length").and_then(|text| text.parse().ok()),
                content_range: header("content-range"),
                content_encoding: header("content-encoding"),
                etag: header("etag"),
                retry_after: header("retry-after"),
            },
            body: response.into_body().into_reader(),
            stall: self.stall,
        })
    }
}

fn range_header(range: &Range<u64>) -> String {
    format!("bytes={}-{}", range.start, range.end - 1)
}

/// What a failure of the client means; a failure while reading comes wrapped in an `io::Error`.
fn cause(error: ureq::Error, stall: Duration) -> Cause {
    let is_timeout = match &error {
        ureq::Error::Timeout(_) => true,
        ureq::Error::Io(e) => matches!(e.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock),
        _ => false,
    };
    if is_timeout {
        return Cause::Stalled { millis: u64::try_from(stall.as_millis()).unwrap_or(u64::MAX) };
    }
    Cause::Connection(error.to_string())
}

/// The answer to one request.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    body: ureq::BodyReader<'static>,
    stall: Duration,
}

impl Answer {
    /// Fills a part of `window` with the next bytes of the body; 0 is its end, early or not.
    pub(crate) async fn next(&mut self, window: &mut [u8]) -> Result<usize, Cause> {
        loop {
            match self.body.read(window) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // The peer hung up in the middle of a body of known length.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                other => return other.map_err(|e| cause(e.into(), self.stall)),
            }
        }
    }
}

pub(crate) async fn sleep(time: Duration) {
    std::thread::sleep(time);
}

/// A number in 0..1, good enough to keep clients apart.
pub(crate) fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1u64 << 53) as f64
}
