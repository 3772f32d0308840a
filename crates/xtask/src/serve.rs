//! A small static server for this machine alone: the page at `/`, models at `/models/`, ranges and all.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};

use crate::bundle;
use crate::models::{self, Location};
use crate::shell::say;

/// Builds the page and serves it until it is interrupted.
///
/// # Errors
/// If the page cannot be built, the model not found, or the port not had.
pub(crate) fn run(model: &str, port: u16) -> Result<()> {
    let page = bundle::build()?;
    let location = models::locate(model)?;
    let server = Server::start(Site::new(page, &location)?, port)?;
    say(&format!("serving {location} at {}", server.url()));
    server.join();
    Ok(())
}

/// What is served where.
pub(crate) struct Site {
    page: PathBuf,
    models: PathBuf,
    /// A model that lies elsewhere, by the name it is served under.
    extra: Option<(String, PathBuf)>,
    /// `/config.json`
    config: String,
}

impl Site {
    /// Serves `page` and the models of the catalogue that are here, of which it begins with `model`.
    ///
    /// # Errors
    /// If the catalogue is broken.
    pub(crate) fn new(page: PathBuf, model: &Location) -> Result<Self> {
        let held = models::held()?;
        let models = models::folder();
        let (url, extra) = match model {
            Location::Url(url) => (url.clone(), None),
            Location::File(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let extra = (path.parent() != Some(&models)).then(|| (name.clone(), path.clone()));
                (format!("models/{}", encode(&name)), extra)
            }
        };
        let offered = held.into_iter().map(|(title, about, file)| {
            let url = format!("models/{}", encode(&file));
            serde_json::json!({ "title": title, "about": about, "url": url })
        });
        let config = serde_json::json!({ "model": url, "models": offered.collect::<Vec<_>>() }).to_string();
        Ok(Self { page, models, extra, config })
    }

    /// The file behind a path of a URL, unless there is none that may be served.
    fn file(&self, path: &str) -> Option<PathBuf> {
        let path = decode(path)?;
        let (base, name) = match path.strip_prefix("/models/") {
            Some(name) => (&self.models, name),
            None => (&self.page, path.strip_prefix('/')?),
        };
        if path.starts_with("/models/")
            && let Some((extra, file)) = &self.extra
        {
            if name == extra {
                return Some(file.clone());
            }
            // The other shards of a set lie beside its first.
            if let (Some(set), Some(folder)) = (gguf::shard_names(extra), file.parent())
                && set.iter().any(|shard| shard == name)
            {
                return Some(folder.join(name));
            }
        }
        let name = if name.is_empty() { "index.html" } else { name };
        let is_below = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        let file = base.join(name);
        (is_below && file.is_file()).then_some(file)
    }
}

/// A server that runs until the process ends.
pub(crate) struct Server {
    port: u16,
    thread: thread::JoinHandle<()>,
}

impl Server {
    /// Listens on the loopback interface; port 0 takes any that is free.
    ///
    /// # Errors
    /// If the port is taken.
    pub(crate) fn start(site: Site, port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("cannot listen on port {port}; another may be given with --port"))?;
        let port = listener.local_addr()?.port();
        let site = Arc::new(site);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let site = site.clone();
                // A client that goes away in the middle of an answer is no one's fault.
                thread::spawn(move || drop(converse(&stream, &site)));
            }
        });
        Ok(Self { port, thread })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://localhost:{}/", self.port)
    }

    fn join(self) {
        // The thread ends only by a panic, which it reports itself.
        let _ = self.thread.join();
    }
}

/// Longest line of a request's head that is read, and most lines, before the client is dropped.
const MAX_LINE_BYTES: u64 = 16 * 1024;
const MAX_LINES: usize = 100;

/// Answers requests on one connection until it closes.
fn converse(stream: &TcpStream, site: &Site) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream);
    while let Some(request) = read_request(&mut input)? {
        answer(stream, site, &request)?;
    }
    Ok(())
}

struct Request {
    method: String,
    path: String,
    /// What follows `Range: `
    range: Option<String>,
}

fn read_request(input: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut request = None;
    for _ in 0..MAX_LINES {
        let mut line = String::new();
        if input.by_ref().take(MAX_LINE_BYTES).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        let Some(Request { range, .. }) = &mut request else {
            let mut words = line.split(' ');
            let (Some(method), Some(url)) = (words.next(), words.next()) else {
                return Ok(None);
            };
            let path = url.split(['?', '#']).next().unwrap_or_default();
            request = Some(Request { method: method.to_owned(), path: path.to_owned(), range: None });
            continue;
        };
        if line.is_empty() {
            return Ok(request);
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("range")
        {
            *range = Some(value.trim().to_owned());
        }
    }
    Ok(None)
}

fn answer(mut out: &TcpStream, site: &Site, request: &Request) -> io::Result<()> {
    let wants_body = match request.method.as_str() {
        "GET" => true,
        "HEAD" => false,
        _ => return head(out, "405 Method Not Allowed", &[("Allow", "GET, HEAD"), ("Content-Length", "0")]),
    };
    if request.path == "/config.json" {
        let length = site.config.len().to_string();
        let fields = [("Content-Type", "application/json"), ("Cache-Control", "no-store"), ("Content-Length", &length)];
        head(out, "200 OK", &fields)?;
        return if wants_body { out.write_all(site.config.as_bytes()) } else { Ok(()) };
    }
    let opened = site.file(&request.path).and_then(|path| Some((File::open(&path).ok()?, path)));
    let Some((mut file, path)) = opened else {
        return head(out, "404 Not Found", &[("Content-Length", "0")]);
    };
    let meta = file.metadata()?;
    let size = meta.len();
    let changed = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let etag = format!("\"{size:x}-{:x}\"", changed.as_nanos());
    let mut fields = vec![
        ("Content-Type", mime(&path)),
        ("Accept-Ranges", "bytes"),
        ("ETag", &etag),
        ("Cache-Control", if path.extension().is_some_and(|e| e == "gguf") { "no-cache" } else { "no-store" }),
        ("X-Content-Type-Options", "nosniff"),
    ];
    let span = request.range.as_deref().and_then(parse_range);
    let (start, end) = match span.map(|span| span.within(size)) {
        None => (0, size),
        Some(Some(range)) => range,
        Some(None) => {
            let total = format!("bytes */{size}");
            return head(out, "416 Range Not Satisfiable", &[("Content-Range", &total), ("Content-Length", "0")]);
        }
    };
    let length = (end - start).to_string();
    fields.push(("Content-Length", &length));
    let part = format!("bytes {start}-{}/{size}", end.saturating_sub(1));
    if span.is_some() {
        fields.push(("Content-Range", &part));
    }
    head(out, if span.is_some() { "206 Partial Content" } else { "200 OK" }, &fields)?;
    if wants_body {
        file.seek(SeekFrom::Start(start))?;
        let sent = io::copy(&mut file.take(end - start), &mut out)?;
        if sent < end - start {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

fn head(mut out: &TcpStream, status: &str, fields: &[(&str, &str)]) -> io::Result<()> {
    let mut text = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in fields {
        text += &format!("{name}: {value}\r\n");
    }
    out.write_all((text + "\r\n").as_bytes())
}

/// One range of a `Range` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span {
    /// From this byte to that one, or to the end.
    From(u64, Option<u64>),
    /// The last bytes.
    Last(u64),
}

/// `None` for what is no single range of bytes; the whole file answers that.
fn parse_range(text: &str) -> Option<Span> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    match (first.trim(), last.trim()) {
        ("", n) => Some(Span::Last(n.parse().ok()?)),
        (first, "") => Some(Span::From(first.parse().ok()?, None)),
        (first, last) => {
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            (first <= last).then_some(Span::From(first, Some(last)))
        }
    }
}

impl Span {
    /// Start and end in a file of `size` bytes, unless it lies outside.
    fn within(self, size: u64) -> Option<(u64, u64)> {
        let (start, end) = match self {
            Self::From(first, last) => (first, last.map_or(size, |last| last.saturating_add(1).min(size))),
            Self::Last(n) => (size.saturating_sub(n), size),
        };
        (start < end).then_some((start, end))
    }
}

fn mime(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("webmanifest") => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

/// Percent-encodes a file name for a URL.
fn encode(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Undoes percent-encoding; `None` for what is none.
fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |b: u8| char::from(b).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn ranges_are_read_and_cut_to_the_file() {
        let within = |text| parse_range(text).map(|span| span.within(100));
        assert_eq!(within("bytes=0-9"), Some(Some((0, 10))));
        assert_eq!(within("bytes=90-200"), Some(Some((90, 100))));
        assert_eq!(within("bytes=7-"), Some(Some((7, 100))));
        assert_eq!(within("bytes=-5"), Some(Some((95, 100))));
        assert_eq!(within("bytes=100-101"), Some(None));
        assert_eq!(within("bytes=9-3"), None);
        assert_eq!(within("bytes=0-1,5-6"), None);
        assert_eq!(within("lines=0-1"), None);
    }

    #[test]
    fn names_survive_a_url() {
        for name in ["model.gguf", "my model #1 %.gguf", "größe.gguf"] {
            assert_eq!(decode(&encode(name)).unwrap(), name);
        }
        assert_eq!(decode("%zz"), None);
        assert_eq!(decode("%f"), None);
    }

    /// Sends `request` and gives the whole answer.
    fn ask(server: &Server, request: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn the_server_gives_files_ranges_and_nothing_outside() {
        let folder = std::env::temp_dir().join(format!("quire-serve-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("page")).unwrap();
        std::fs::write(folder.join("page/index.html"), "0123456789").unwrap();
        std::fs::write(folder.join("secret"), "secret").unwrap();
        std::fs::write(folder.join("my model.gguf"), "GGUF").unwrap();
        let site = Site::new(folder.join("page"), &Location::File(folder.join("my model.gguf"))).unwrap();
        let server = Server::start(site, 0).unwrap();

        let both = ask(&server, "GET / HTTP/1.1\r\n\r\nGET /?model=x HTTP/1.1\r\nrange: bytes=2-4\r\n\r\n");
        assert!(both.contains("200 OK") && both.contains("0123456789"), "{both}");
        assert!(both.contains("Content-Range: bytes 2-4/10") && both.ends_with("\r\n\r\n234"), "{both}");
        assert!(ask(&server, "HEAD / HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"));
        for outside in ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "//etc/passwd", "/models/../secret", "/nothing"] {
            let answer = ask(&server, &format!("GET {outside} HTTP/1.1\r\n\r\n"));
            assert!(answer.starts_with("HTTP/1.1 404"), "{outside}: {answer}");
        }
        assert!(ask(&server, "GET / HTTP/1.1\r\nRange: bytes=10-\r\n\r\n").contains("Content-Range: bytes */10"));
        assert!(ask(&server, "GET /config.json HTTP/1.1\r\n\r\n").contains("models/my%20model.gguf"));
        assert!(ask(&server, "GET /models/my%20model.gguf HTTP/1.1\r\n\r\n").ends_with("GGUF"));
        assert!(ask(&server, "POST / HTTP/1.1\r\n\r\n").contains("405"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
