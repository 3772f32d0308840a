//! A small HTTP server on 127.0.0.1 that misbehaves by schedule.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How one request is answered.
#[derive(Debug, Clone, Default)]
pub struct Turn {
    pub status: Option<u16>,
    pub retry_after: Option<&'static str>,
    /// `Location`, with status 302.
    pub redirect: Option<String>,
    /// Wait before answering.
    pub delay: Duration,
    /// Close the connection after this many bytes of the body.
    pub cut_after: Option<usize>,
    /// Then wait before closing.
    pub stall: Duration,
    /// Answer 200 with the whole file.
    pub ignores_range: bool,
    /// Leave `Content-Range` out, as CORS does.
    pub hides_range: bool,
    /// Leave `Content-Length` out: the body ends with the connection.
    pub hides_length: bool,
    /// Answer with at most this many bytes, honestly declared.
    pub at_most: Option<usize>,
    /// Begin the partial answer this many bytes later than asked.
    pub shift: usize,
    pub etag: Option<&'static str>,
    /// Say that the file has so many bytes.
    pub total: Option<u64>,
}

/// One request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    pub path: String,
    /// First and last byte of the `Range` header.
    pub range: Option<(usize, usize)>,
    /// As sent in `Authorization`.
    pub authorization: Option<String>,
}

#[derive(Debug)]
pub struct Server {
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Serves `bytes` at every path; the first answers follow `turns`, the rest are faultless.
    pub fn start(bytes: Vec<u8>, turns: Vec<Turn>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/model.gguf", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let turns = Arc::new(Mutex::new(VecDeque::from(turns)));
        let bytes = Arc::new(bytes);
        let log = seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (bytes, turns, log) = (bytes.clone(), turns.clone(), log.clone());
                thread::spawn(move || {
                    let stream = stream.unwrap();
                    let Some(request) = read_request(&stream) else {
                        return;
                    };
                    log.lock().unwrap().push(request.clone());
                    let turn = turns.lock().unwrap().pop_front().unwrap_or_default();
                    thread::sleep(turn.delay);
                    // The client may hang up at any time; that is its right.
                    let _ = answer(stream, &request, &turn, &bytes);
                });
            }
        });
        Self { url, seen }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn read_request(stream: &TcpStream) -> Option<Seen> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let (mut range, mut authorization) = (None, None);
    for line in lines {
        let line = line.ok()?;
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("authorization")
        {
            authorization = Some(value.to_owned());
        }
        let line = line.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(span) = line.strip_prefix("range: bytes=") {
            let (first, last) = span.split_once('-')?;
            range = Some((first.parse().ok()?, last.parse().ok()?));
        }
    }
    Some(Seen { method, path, range, authorization })
}

fn answer(mut out: TcpStream, request: &Seen, turn: &Turn, bytes: &[u8]) -> std::io::Result<()> {
    let mut head = String::new();
    let mut field = |name: &str, value: &str| head += &format!("{name}: {value}\r\n");
    field("Connection", "close");
    if let Some(etag) = turn.etag {
        field("ETag", etag);
    }
    if let Some(seconds) = turn.retry_after {
        field("Retry-After", seconds);
    }
    if let Some(to) = &turn.redirect {
        field("Location", to);
    }
    let total = turn.total.unwrap_or(bytes.len() as u64);
    let (status, body) = match (turn.status, request.range) {
        (Some(status), _) => (status, &b"no"[..]),
        (None, Some((first, _))) if first >= bytes.len() && !turn.ignores_range => {
            field("Content-Range", &format!("bytes */{total}"));
            (416, &[][..])
        }
        (None, Some((first, last))) if !turn.ignores_range => {
            let first = first + turn.shift;
            let mut end = (last + 1).min(bytes.len());
            if let Some(n) = turn.at_most {
                end = end.min(first + n);
            }
            if !turn.hides_range {
                let span = format!("bytes {first}-{}/{total}", end - 1);
                field("Content-Range", &span);
            }
            (206, &bytes[first..end])
        }
        _ => (200, bytes),
    };
    if !turn.hides_length {
        let length = if request.method == "HEAD" { total } else { body.len() as u64 };
        field("Content-Length", &length.to_string());
    }
    write!(out, "HTTP/1.1 {status} Word\r\n{head}\r\n")?;
    if request.method != "HEAD" {
        out.write_all(&body[..turn.cut_after.unwrap_or(body.len()).min(body.len())])?;
    }
    out.flush()?;
    thread::sleep(turn.stall);
    Ok(())
}
