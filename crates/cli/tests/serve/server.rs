//! A server of a test's own, what is asked of it, and what it answers.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub(crate) fn nano() -> String {
    tests::vector("nano/nano.gguf").display().to_string()
}

pub(crate) fn parrot() -> String {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let write = || {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("parrot.gguf");
        std::fs::write(&path, tests::parrot::parrot()).unwrap();
        path
    };
    PATH.get_or_init(write).display().to_string()
}

/// A server of this test's own, on a free port.
pub(crate) struct Server {
    pub(crate) program: Child,
    pub(crate) address: String,
    /// All that it wrote to stderr so far.
    said: Arc<Mutex<String>>,
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_quire"))
            .args(["serve", "--port", "0"])
            .args(args)
            .env_remove("QUIRE_API_KEY")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (said, mut stderr) = (Arc::<Mutex<String>>::default(), BufReader::new(program.stderr.take().unwrap()));
        let mut address = None;
        while address.is_none() {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended: {}", said.lock().unwrap());
            said.lock().unwrap().push_str(&line);
            address = line.split_once("at http://").map(|(_, rest)| rest.trim().trim_end_matches("/v1").to_owned());
        }
        // Nobody else may reach it, unless he was let in.
        assert!(address.as_ref().is_some_and(|address| address.starts_with("127.0.0.1:")) || args.contains(&"--host"), "{address:?}");
        let listener = said.clone();
        thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| listener.lock().unwrap().push_str(&(line + "\n"))));
        Self { program, address: address.unwrap(), said }
    }

    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let response = match body {
            Some(body) => agent.run(request.body(body.to_owned()).unwrap()).unwrap(),
            None => agent.run(request.body(()).unwrap()).unwrap(),
        };
        let status = response.status().as_u16();
        let headers = response.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        Answer { status, headers, body: response.into_body().read_to_string().unwrap() }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", path, &[("content-type", "application/json")], Some(&body.to_string()))
    }

    pub(crate) fn chat(&self, body: &Value) -> Answer {
        self.post("/v1/chat/completions", body)
    }

    /// A request on a connection that the test may drop.
    pub(crate) fn send(&self, path: &str, body: &Value) -> BufReader<TcpStream> {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        let body = body.to_string();
        write!(connection, "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        BufReader::new(connection)
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").body;
        let line = text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Bytes of memory that it has, where the system tells.
    pub(crate) fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.program.id())).ok()?;
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?.parse::<u64>().ok()?;
        Some(kilobytes * 1024)
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Server-sent events, as name and data; `[DONE]` is a string.
    pub(crate) fn events(&self) -> Vec<(String, Value)> {
        assert_eq!(self.headers["content-type"], "text/event-stream", "{}", self.body);
        let event = |text: &str| {
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
            let data = field("data: ");
            (field("event: "), serde_json::from_str(&data).unwrap_or(Value::String(data)))
        };
        self.body.split_terminator("\n\n").map(event).collect()
    }

    /// `{status, type, code}` of an error in OpenAI's form, which has words.
    pub(crate) fn error(&self) -> (u16, String, Option<String>) {
        let error = &self.json()["error"];
        assert!(error["message"].as_str().is_some_and(|words| !words.is_empty()) && error.get("param").is_some(), "{}", self.body);
        (self.status, error["type"].as_str().unwrap().to_owned(), error["code"].as_str().map(str::to_owned))
    }
}

pub(crate) fn hello() -> Value {
    json!({"model": "parrot", "messages": [{"role": "user", "content": "Hello!"}]})
}

pub(crate) fn hello_nano() -> Value {
    json!({"messages": [{"role": "user", "content": "Hello!"}]})
}

pub(crate) fn with(mut body: Value, fields: Value) -> Value {
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

/// Goes on until the context is full.
pub(crate) fn endless(stream: bool) -> Value {
    json!({"prompt": [5, 80, 200], "max_tokens": 4000, "stream": stream, "logit_bias": ends()})
}

/// No token that ends a text.
pub(crate) fn ends() -> Value {
    (275..300).map(|id| (id.to_string(), json!(-100))).collect::<serde_json::Map<_, _>>().into()
}

pub(crate) fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(done) = ready() {
            return done;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The next part of a stream that is no comment; `None` at its end.
pub(crate) fn part(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut lines = stream.by_ref().lines().map_while(Result::ok);
    lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).filter(|data| data != "[DONE]")
}
