//! What can go wrong between a location and its bytes.

use std::time::Duration;

use thiserror::Error;

/// Why bytes did not come.
#[derive(Debug, Error)]
pub enum Error {
    /// The place does not exist or may not be read.
    #[error("cannot open {location}: {cause}")]
    Open { location: String, cause: String },

    /// The medium failed while reading.
    #[error("cannot read bytes {start}..{end} of {location}: {cause}")]
    Read { location: String, start: u64, end: u64, cause: String },

    /// The medium failed while writing.
    #[error("cannot write to {location}: {cause}")]
    Write { location: String, cause: String },

    /// There is no room to keep more; what is kept stays.
    #[error("{location} is full: {needed} bytes are needed{}", free.map_or(String::new(), |free| format!(", {free} are free")))]
    Full { location: String, needed: u64, free: Option<u64> },

    /// Another program, or a newer one, wrote this.
    #[error("{location} has format {got}, this program knows {known}")]
    Format { location: String, known: u32, got: String },

    /// Not all of a file is kept.
    #[error("of {location}, {kept} of {size} bytes are kept")]
    Incomplete { location: String, kept: u64, size: u64 },

    /// Somebody brings it in now, and parts of that may not be used.
    #[error("{location} is being imported by another program or tab")]
    Busy { location: String },

    /// The range is not inside the source.
    #[error("bytes {start}..{end} are outside {location}, which has {size} bytes")]
    OutOfRange { location: String, start: u64, end: u64, size: u64 },

    /// Retried as often as the policy allows, or not worth retrying.
    #[error("bytes {start}..{end} of {url} did not arrive (tries: {attempts}): {cause}")]
    Network { url: String, start: u64, end: u64, attempts: u32, cause: Cause },

    /// The server says nowhere how long the file is.
    #[error(
        "{url} does not say its size: neither Content-Range nor Content-Length can be read from its answers; to pages of other origins \
         a server shows the former with Access-Control-Expose-Headers: Content-Range"
    )]
    UnknownSize { url: String },

    /// Another file is served now than when reading began; bytes of both must not be mixed.
    #[error("{url} changed while it was read: {what} was {expected}, is {got}")]
    Changed { url: String, what: &'static str, expected: String, got: String },

    /// It is not the file that a manifest, or the server itself, has announced.
    #[error("{location} is not the file that it should be: {what} is {got}, {expected} was expected")]
    Unlike { location: String, what: &'static str, expected: String, got: String },

    /// What should say which files there are does not.
    #[error("the manifest cannot be used: {cause}")]
    Manifest { cause: String },

    /// A server that ignores `Range` would have to send everything once more.
    #[error("{url} ignores Range: to go back to byte {start}, {again} bytes would have to be downloaded again")]
    NoRanges { url: String, start: u64, again: u64 },

    /// The reader broke off.
    #[error("reading {location} was cancelled")]
    Cancelled { location: String },
}

/// How one HTTP request failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Cause {
    /// No route, no name, TLS, a reset, or (in a browser) a CORS refusal, which looks the same.
    #[error("the connection failed: {0}")]
    Connection(String),

    /// The server's word is not a yes.
    #[error("the server answered {status}")]
    Status {
        status: u16,
        /// `Retry-After`, where it could be read.
        retry_after_s: Option<u64>,
    },

    /// Nothing arrived for this long.
    #[error("nothing arrived for {millis} ms")]
    Stalled { millis: u64 },

    /// The body broke off.
    #[error("the body broke off after {got} of {expected} bytes")]
    Truncated { got: u64, expected: u64 },

    /// A partial answer that begins elsewhere.
    #[error("asked for byte {expected}, the answer begins at byte {got}")]
    WrongRange { expected: u64, got: u64 },

    /// Nobody knows the host's name, or nobody can be asked.
    #[error("the host was not found")]
    HostNotFound,

    /// The machine says that it has no network.
    #[error("there is no network")]
    Offline,

    /// The place that an earlier redirect led to answers no more; the next request is redirected anew.
    #[error("the address that it redirected to has expired: {status}")]
    Expired { status: u16 },

    /// The place that a redirect led to just now refuses.
    #[error("the address that it redirects to answered {status}")]
    Misdirected { status: u16 },

    /// The whole file instead of the range.
    #[error("the server sent the file from its start, byte {expected} was asked for")]
    IgnoresRange { expected: u64 },

    /// What follows from such a size, ranges and sums, would be as absurd.
    #[error("the server says that the file has {size} bytes; a file may have {most} at most")]
    TooLarge { size: u64, most: u64 },

    /// The answer is of another file than those before it; said once it may be a mistake.
    #[error("another file is served: {what} was {expected}, is {got}")]
    OtherFile { what: &'static str, expected: String, got: String },
}

impl Cause {
    /// Whether asking again may help.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            // Of a range that is inside the file, 416 is a mistake.
            Self::Status { status, .. } => matches!(status, 408 | 416 | 425 | 429) || (500..600).contains(status) && *status != 501,
            Self::TooLarge { .. } => false,
            _ => true,
        }
    }

    /// How much it counts towards giving up. Requests share the address that one of them was redirected to: that it has
    /// expired says nothing of the next.
    pub(crate) fn weight(&self) -> u32 {
        u32::from(!matches!(self, Self::Expired { .. }))
    }

    pub(crate) fn stalled(after: Duration) -> Self {
        Self::Stalled { millis: u64::try_from(after.as_millis()).unwrap_or(u64::MAX) }
    }
}
