//! Many clients at once, some of whom go away in the middle of an answer.

use std::collections::BTreeSet;
use std::env;
use std::io::BufRead;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::{Server, endless, ends, nano, part, until};

const CLIENTS: u64 = 32;
/// Of so many requests of a client one goes away once its answer has begun.
const ONE_GOES: u64 = 5;
/// Bytes that a server may grow by after the first quarter, in which it comes to know its work, once and for each answer. One that
/// was kept would take more.
const MOST_GROWTH: (u64, u64) = (12 << 20, 1 << 10);

/// How long a crowd asks. `cargo xtask test --long crowd` takes two minutes for each server, and tells what it counted.
fn length() -> Duration {
    let seconds = env::var("QUIRE_CROWD_SECONDS").map_or(4.0, |seconds| seconds.parse().unwrap());
    Duration::from_secs_f64(seconds)
}

/// What became of a client's requests.
#[derive(Clone, Copy, Default)]
struct Counts {
    answers: usize,
    drops: usize,
    refusals: usize,
}

#[test]
fn many_clients_at_once_get_each_their_own_answer_whole_though_some_go_away_and_some_must_come_again() {
    for (parallel, queue) in [(4, 64), (1, 8), (8, 64)] {
        let server = Server::start(&[&nano(), "--parallel", &parallel.to_string(), "--queue", &queue.to_string()]);
        let (Counts { answers, refusals, .. }, grown) = crowd(&server);
        assert_eq!(refusals > 0, queue < CLIENTS, "{refusals} were refused");
        if let Some((early, late)) = grown {
            let most = MOST_GROWTH.0 + MOST_GROWTH.1 * answers as u64;
            assert!(late.saturating_sub(early) <= most, "the server grew from {early} to {late} bytes in {answers} answers");
        }
    }
}

/// What became of all requests, and what memory the server had after a quarter of the time and at its end.
fn crowd(server: &Server) -> (Counts, Option<(u64, u64)>) {
    let alone: Vec<String> = (0..CLIENTS).map(|n| text(&server.post("/v1/completions", &ask(n, false)).json())).collect();
    assert_eq!(alone.iter().collect::<BTreeSet<_>>().len(), alone.len(), "two clients would not notice that they get each other's answers");
    let length = length();
    let begin = Instant::now();
    let (counts, grown) = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                scope.spawn({
                    let alone = &alone[n as usize];
                    move || client(server, n, alone, begin + length)
                })
            })
            .collect();
        let memory_at = |when: Duration| {
            thread::sleep((begin + when).saturating_duration_since(Instant::now()));
            server.memory()
        };
        let (early, late) = (memory_at(length / 4), memory_at(length));
        let add = |sum: Counts, of: Counts| Counts {
            answers: sum.answers + of.answers,
            drops: sum.drops + of.drops,
            refusals: sum.refusals + of.refusals,
        };
        let counts = clients.into_iter().map(|client| client.join().unwrap()).fold(Counts::default(), add);
        (counts, early.zip(late))
    });
    let Counts { answers, drops, refusals } = counts;
    println!("{answers} answers, {drops} broken off, {refusals} refused; {grown:?} bytes of memory after a quarter and at the end");
    assert!(answers >= CLIENTS as usize && drops > 0, "{answers} answers, {drops} broken off");
    until("all places to be free", || (server.metric("quire_requests_in_hand") == 0.0).then_some(()));
    until("all answers to end", || (server.metric("quire_answers_broken_off_total") as usize >= drops).then_some(()));
    assert_eq!(server.metric("quire_answers_broken_off_total") as usize, drops);
    assert_eq!(server.metric("quire_answers_total") as usize, answers + alone.len());
    (counts, grown)
}

/// What client `n` asks, and nobody else.
fn ask(n: u64, stream: bool) -> Value {
    json!({"prompt": format!("client {n}"), "seed": n, "max_tokens": 6, "logit_bias": ends(), "stream": stream})
}

fn text(part: &Value) -> String {
    part["choices"][0]["text"].as_str().unwrap_or_default().to_owned()
}

/// Asks until `end`, one request after the other; `alone` is what the answers must be.
fn client(server: &Server, n: u64, alone: &str, end: Instant) -> Counts {
    let mut counts = Counts::default();
    let mut turn = n;
    while Instant::now() < end {
        let is_done = match turn % ONE_GOES {
            0 => leaves(server),
            _ => listens(server, n, turn.is_multiple_of(2), alone),
        };
        match (is_done, turn % ONE_GOES) {
            (false, _) => {
                counts.refusals += 1;
                // Sooner than the server asks for, so that it has more to refuse.
                thread::sleep(Duration::from_millis(200));
                continue;
            }
            (true, 0) => counts.drops += 1,
            (true, _) => counts.answers += 1,
        }
        turn += 1;
    }
    counts
}

/// Hears an answer to its end; false if there was no place for it.
fn listens(server: &Server, n: u64, is_streaming: bool, alone: &str) -> bool {
    let answer = server.post("/v1/completions", &ask(n, is_streaming));
    if answer.status == 429 {
        assert!(answer.headers["retry-after"].parse::<u32>().is_ok_and(|seconds| seconds > 0));
        return false;
    }
    assert_eq!(answer.status, 200, "{}", answer.body);
    let said = match is_streaming {
        true => answer.events().iter().map(|(_, part)| text(part)).collect(),
        false => text(&answer.json()),
    };
    assert_eq!(said, alone, "to client {n}");
    true
}

/// Drops its connection after the first part of an answer that goes on; false if there was no place for it.
fn leaves(server: &Server) -> bool {
    let mut answer = server.send("/v1/completions", &endless(true));
    let mut status = String::new();
    answer.read_line(&mut status).unwrap();
    if status.contains("429") {
        return false;
    }
    assert!(status.contains("200"), "{status}");
    assert!(part(&mut answer).unwrap().contains(r#""finish_reason":null"#));
    true
}
