//! One connection, from its first request to its last.

use std::fs;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::path::{Component, Path};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::faults::{Fate, Fault, Spec};
use super::request::Request;
use super::{Files, State};

/// Bytes that go out at once.
const PIECE: usize = 32 << 10;

/// Answers requests until the client or a fault closes the connection.
pub(super) fn converse(stream: &TcpStream, state: &State) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader) {
        let goes_on = match request.path.strip_prefix("/_cdn/") {
            Some(topic) => talk(stream, state, topic, &request.query)?,
            None => answer(stream, state, &request)?,
        };
        if !goes_on {
            break;
        }
    }
    Ok(())
}

/// The head of an answer.
struct Head(String);

impl Head {
    fn new(status: u16) -> Self {
        // The words behind the number may be none.
        Self(format!("HTTP/1.1 {status} \r\n"))
    }

    fn field(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.0 += &format!("{name}: {value}\r\n");
        self
    }

    /// For scripts of any origin.
    fn cors(self, hides_headers: bool) -> Self {
        let head = self
            .field("Access-Control-Allow-Origin", "*")
            .field("Access-Control-Allow-Headers", "Range, Authorization")
            .field("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
            .field("Cross-Origin-Resource-Policy", "cross-origin");
        if hides_headers {
            return head;
        }
        head.field("Access-Control-Expose-Headers", "Content-Range, ETag, Retry-After, Accept-Ranges, Content-Encoding")
    }

    fn send(self, mut stream: &TcpStream, body: &[u8]) -> io::Result<bool> {
        write!(stream, "{}\r\n", self.0)?;
        stream.write_all(body)?;
        Ok(true)
    }
}

/// About the server itself.
fn talk(stream: &TcpStream, state: &State, topic: &str, query: &str) -> io::Result<bool> {
    let (status, body) = match topic {
        "counts" => (200, state.counts.lock().unwrap().json().to_string()),
        "reset" => {
            state.reset();
            (200, "{}".to_owned())
        }
        "faults" => match query.parse::<Spec>() {
            Ok(spec) => {
                *state.spec.lock().unwrap() = spec;
                (200, "{}".to_owned())
            }
            Err(words) => (400, words),
        },
        _ => (404, "counts, reset and faults are known".to_owned()),
    };
    Head::new(status)
        .cors(false)
        .field("Content-Type", "application/json")
        .field("Content-Length", body.len())
        .send(stream, body.as_bytes())
}

/// A file's bytes, and where they come from.
enum Bytes {
    Held(Arc<[u8]>),
    OnDisk(fs::File, u64),
}

impl Bytes {
    fn open(files: &Files, name: &str) -> Option<Self> {
        match files {
            Files::These(files) => files.get(name).cloned().map(Self::Held),
            Files::Below(root) => {
                let is_below = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
                let file = fs::File::open(root.join(name)).ok().filter(|_| is_below)?;
                let meta = file.metadata().ok().filter(fs::Metadata::is_file)?;
                Some(Self::OnDisk(file, meta.len()))
            }
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::OnDisk(_, size) => *size,
        }
    }

    /// The SHA-256 of all of it.
    fn sum(&mut self) -> io::Result<store::Sum> {
        let mut bytes = vec![0; self.size() as usize];
        self.read(0, &mut bytes)?;
        Ok(store::Sum(Sha256::digest(&bytes).into()))
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Held(bytes) => {
                let at = at as usize;
                into.copy_from_slice(&bytes[at..at + into.len()]);
                Ok(())
            }
            Self::OnDisk(file, _) => {
                file.seek(SeekFrom::Start(at))?;
                file.read_exact(into)
            }
        }
    }
}

/// About a file. False if the connection is to be closed.
fn answer(stream: &TcpStream, state: &State, request: &Request) -> io::Result<bool> {
    let spec = state.spec.lock().unwrap().clone();
    // The number of the request that was redirected is the signature.
    let signed = request.path.strip_prefix("/_signed/").and_then(|rest| rest.split_once('/'));
    let name = signed.map_or_else(|| request.path.trim_start_matches('/'), |(_, name)| name);
    let (number, fate) = state.count(request, name, &spec, signed.is_some());
    thread::sleep(spec.latency);
    let head = |status: u16| Head::new(status).cors(spec.hides_headers);
    let refuse = |status: u16| head(status).field("Content-Length", 0).send(stream, &[]);
    if request.method == "OPTIONS" {
        return refuse(204);
    }
    let Some(mut bytes) = Bytes::open(&state.files, name) else {
        return refuse(404);
    };
    let mut head_of_redirect = || match spec.is_hub {
        true => bytes.sum().map(|sum| head(302).field("X-Linked-ETag", format!("\"{sum}\""))),
        false => Ok(head(302)),
    };
    if let Some(place) = &spec.moved {
        return head_of_redirect()?.field("Location", format!("{place}{name}")).field("Content-Length", 0).send(stream, &[]);
    }
    match (spec.redirect, signed) {
        (Some(_), None) => {
            let place = format!("/_signed/{number}/{name}");
            return head_of_redirect()?.field("Location", place).field("Content-Length", 0).send(stream, &[]);
        }
        (Some(most), Some((signature, _))) if state.has_expired(signature, most, fate.fault == Some(Fault::Expire)) => return refuse(403),
        _ => {}
    }
    match fate.fault {
        Some(Fault::Refuse) => return Ok(false),
        Some(Fault::TooMany) => {
            let soon = SystemTime::now() + Duration::from_secs(1);
            let after = if fate.luck.is_multiple_of(2) { "1".to_owned() } else { httpdate::fmt_http_date(soon) };
            return head(429).field("Retry-After", after).field("Content-Length", 0).send(stream, &[]);
        }
        Some(Fault::Broken) => return refuse([500, 502, 503, 504][(fate.luck % 4) as usize]),
        Some(Fault::Expire) => return refuse(404),
        _ => {}
    }
    let has_changed = spec.change.is_some_and(|at| number > at);
    File { stream, state, spec: &spec, name, bytes, has_changed }.send(request, fate)
}

/// A file that is to be sent.
struct File<'a> {
    stream: &'a TcpStream,
    state: &'a State,
    spec: &'a Spec,
    name: &'a str,
    bytes: Bytes,
    has_changed: bool,
}

impl File<'_> {
    fn send(mut self, request: &Request, Fate { fault, luck }: Fate) -> io::Result<bool> {
        let size = self.bytes.size();
        let tag = self.spec.tag.as_deref().unwrap_or(if self.has_changed { "two" } else { "one" });
        let head = |status: u16| {
            Head::new(status).cors(self.spec.hides_headers).field("Accept-Ranges", "bytes").field("ETag", format!("\"{tag}\""))
        };
        let part = request.part(size).filter(|_| fault != Some(Fault::Unsatisfiable));
        let Some(mut part) = part else {
            return head(416).field("Content-Range", format!("bytes */{size}")).field("Content-Length", 0).send(self.stream, &[]);
        };
        let mut status = if request.range.is_some() { 206 } else { 200 };
        let mut said_total = size;
        match fault {
            // The bytes are of the start that is named.
            Some(Fault::LieStart) if request.range.is_some() => {
                let length = part.end - part.start;
                let start = if part.start > 0 { part.start - part.start.min(1000) } else { length.min(7).min(size - part.end) };
                part = start..start + length;
            }
            Some(Fault::LieTotal) => said_total += 12_345,
            Some(Fault::IgnoreRange) => {
                status = 200;
                part = 0..size;
            }
            _ => {}
        }
        let length = part.end - part.start;
        let mut head = head(status).field("Content-Length", length).field("Content-Type", "application/octet-stream");
        if status == 206 {
            head = head.field("Content-Range", format!("bytes {}-{}/{said_total}", part.start, part.end - 1));
        }
        head.send(self.stream, &[])?;
        if request.method == "HEAD" {
            return Ok(true);
        }
        let stops = matches!(fault, Some(Fault::Truncate | Fault::Stall | Fault::Reset));
        if stops {
            part.end = part.start + length * (luck >> 16 & 0xff) / 256;
        }
        self.send_body(part)?;
        match fault {
            Some(Fault::Stall) => thread::sleep(self.spec.stall),
            Some(Fault::Reset) => reset(self.stream),
            _ => {}
        }
        Ok(!stops)
    }

    /// Sends a part as fast as the line allows.
    fn send_body(&mut self, part: Range<u64>) -> io::Result<()> {
        let mut window = vec![0; PIECE];
        let mut stream = self.stream;
        for at in part.clone().step_by(PIECE) {
            let piece = at..part.end.min(at + PIECE as u64);
            let window = &mut window[..(piece.end - piece.start) as usize];
            self.bytes.read(at, window)?;
            if self.has_changed {
                window.iter_mut().for_each(|byte| *byte ^= 1);
            }
            self.state.carry(self.name, &piece);
            stream.write_all(window)?;
        }
        Ok(())
    }
}

/// Closes the connection so that the client sees an error rather than an end.
fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
