//! A CDN on localhost that is slow, fails and lies as it is told, and counts what it sends.
//!
//! Real HTTP/1.1 over sockets, a thread a connection, so that what a client meets is what networks do: bodies that break
//! off, connections that are reset, nothing for a long time. `cargo run -p tests --bin cdn` serves the same to browsers.
//!
//! Below `/_cdn/` it talks about itself: `counts` is JSON of what was sent since the start or `reset`, `faults?SPEC` changes what goes
//! wrong from now on.

mod answer;
mod counts;
mod faults;
mod request;

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub use counts::Counts;
use faults::{Asked, Fate};
pub use faults::{Fault, Spec};
use request::Request;

/// How often something that cannot be waited for is looked at.
const TICK: Duration = Duration::from_millis(2);

/// What is served.
#[derive(Debug, Clone)]
pub enum Files {
    /// All files below a directory.
    Below(PathBuf),
    /// Bytes by name.
    These(HashMap<String, Arc<[u8]>>),
}

impl Files {
    /// One file.
    pub fn one(name: &str, bytes: Vec<u8>) -> Self {
        Self::These(HashMap::from([(name.to_owned(), bytes.into())]))
    }
}

/// A running server; it stops taking connections when dropped.
#[derive(Debug)]
pub struct Cdn {
    port: u16,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    files: Files,
    spec: Mutex<Spec>,
    counts: Mutex<Counts>,
    /// When the shared line is free again.
    line: Mutex<Instant>,
    /// Requests that each signed address has answered.
    signed: Mutex<HashMap<u64, u32>>,
    is_stopped: AtomicBool,
}

impl Cdn {
    /// Serves on a free port, or on `port` if it is not 0.
    ///
    /// # Errors
    /// If the port cannot be had.
    pub fn start(files: Files, spec: Spec, port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(State {
            files,
            spec: Mutex::new(spec),
            counts: Mutex::default(),
            line: Mutex::new(Instant::now()),
            signed: Mutex::default(),
            is_stopped: false.into(),
        });
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.is_stopped.load(Ordering::Relaxed) {
                    return;
                }
                let state = shared.clone();
                // A client may go away in the middle of an answer.
                thread::spawn(move || drop(answer::converse(&stream, &state)));
            }
        });
        Ok(Self { port, state })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// Other faults from now on.
    pub fn set(&self, spec: Spec) {
        *self.state.spec.lock().unwrap() = spec;
    }

    pub fn counts(&self) -> Counts {
        self.state.counts.lock().unwrap().clone()
    }

    /// Waits until [`Spec::hold`] keeps a byte back; false if that takes longer than `most`.
    pub fn wait_until_held(&self, most: Duration) -> bool {
        let began = Instant::now();
        while !self.state.counts.lock().unwrap().is_held {
            if began.elapsed() > most {
                return false;
            }
            thread::sleep(TICK);
        }
        true
    }

    /// Begins to count anew.
    pub fn reset_counts(&self) {
        self.state.reset();
    }
}

impl Drop for Cdn {
    fn drop(&mut self) {
        self.state.is_stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl State {
    /// Counts a request, and decides what happens to it. Only what asks for bytes fails.
    fn count(&self, request: &Request, name: &str, spec: &Spec, is_signed: bool) -> (u64, Fate) {
        let mut counts = self.counts.lock().unwrap();
        counts.requests += 1;
        counts.paths.push(request.path.clone());
        if let Some(value) = &request.authorization {
            counts.authorizations.push((request.path.clone(), value.clone()));
        }
        let number = counts.requests;
        if request.method != "GET" || spec.redirect.is_some() && !is_signed {
            return (number, Fate { fault: None, luck: 0 });
        }
        let end = request.range.and_then(|(_, end)| end);
        let nth = counts.nth(name, end);
        let mut fate = spec.fate(&Asked { number, name, end, nth });
        // A lie in the very first answer is the truth for all that its hearer knows.
        let is_first = counts.sent.get(name).is_none_or(Vec::is_empty);
        fate.fault = fate.fault.filter(|fault| !(is_first && *fault == Fault::LieTotal));
        if let Some(fault) = fate.fault {
            *counts.faults.entry(fault).or_default() += 1;
        }
        (number, fate)
    }

    /// Begins to count anew; addresses are numbered by requests, so those of before are new ones, too.
    fn reset(&self) {
        *self.counts.lock().unwrap() = Counts::default();
        self.signed.lock().unwrap().clear();
    }

    /// Whether an address has answered `most` requests already, or `expires` now; counts this one.
    fn has_expired(&self, signature: &str, most: u32, expires: bool) -> bool {
        let mut signed = self.signed.lock().unwrap();
        let answered = signed.entry(signature.parse().unwrap_or(0)).or_default();
        let has_expired = expires || *answered >= most;
        *answered = if has_expired { most } else { *answered + 1 };
        has_expired
    }

    /// Counts bytes that are to be sent, and waits until the shared line has carried them.
    fn carry(&self, name: &str, range: &Range<u64>) {
        let bytes = range.end - range.start;
        let rate = loop {
            let (rate, hold) = {
                let spec = self.spec.lock().unwrap();
                (spec.bytes_per_second, spec.hold)
            };
            let mut counts = self.counts.lock().unwrap();
            counts.is_held = hold.is_some_and(|hold| counts.bytes + bytes > hold);
            if !counts.is_held {
                counts.count_sent(name, range.clone());
                break rate;
            }
            drop(counts);
            if self.is_stopped.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(TICK);
        };
        let Some(rate) = rate else {
            return;
        };
        let until = {
            let mut line = self.line.lock().unwrap();
            *line = (*line).max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / rate as f64);
            *line
        };
        thread::sleep(until.saturating_duration_since(Instant::now()));
    }
}
