//! A file served by range to this process alone, so that HTTP can be measured without a network.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result};

/// Serves the files beside `path` for as long as the process runs; gives the URL of `path`.
pub(super) fn serve(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|name| name.to_str()).with_context(|| format!("{}: not a name for a URL", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot serve on this machine")?;
    let url = format!("http://{}/{name}", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let folder = folder.clone();
            // A client that hangs up is no trouble of ours.
            thread::spawn(move || drop(converse(&stream, &folder)));
        }
    });
    Ok(url)
}

/// Answers requests until the client has no more.
fn converse(stream: &TcpStream, folder: &Path) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(request) = lines.next().transpose()? {
        let mut range = None;
        for line in lines.by_ref() {
            let line = line?.to_ascii_lowercase();
            range = line.strip_prefix("range: bytes=").and_then(span).or(range);
            if line.is_empty() {
                break;
            }
        }
        let mut words = request.split(' ');
        let (is_head, name) = (words.next() == Some("HEAD"), words.next().unwrap_or_default().trim_start_matches('/'));
        answer(stream, is_head, &folder.join(PathBuf::from(name).file_name().unwrap_or_default()), range)?;
    }
    Ok(())
}

/// `first-last`, both inside.
fn span(text: &str) -> Option<Range<u64>> {
    let (first, last) = text.split_once('-')?;
    Some(first.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?)
}

fn answer(mut stream: &TcpStream, is_head: bool, path: &Path, range: Option<Range<u64>>) -> io::Result<()> {
    let Ok(mut file) = File::open(path) else { return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") };
    let total = file.metadata()?.len();
    let (first, end) = range.map_or((0, total), |range| (range.start.min(total), range.end.min(total)));
    if first >= end {
        let head = format!("HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{total}\r\nContent-Length: 0\r\n\r\n");
        return stream.write_all(head.as_bytes());
    }
    let (n, last) = (end - first, end - 1);
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{last}/{total}\r\nContent-Length: {n}\r\nAccept-Ranges: bytes\r\nETag: \"{total}\"\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    if !is_head {
        file.seek(SeekFrom::Start(first))?;
        io::copy(&mut file.take(n), &mut stream)?;
    }
    Ok(())
}
