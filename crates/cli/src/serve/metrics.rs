//! What Prometheus reads at `/metrics`.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::{Reply, Stats};

#[derive(Debug, Default)]
pub(super) struct Metrics(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// By path and status.
    requests: BTreeMap<(&'static str, u16), u64>,
    answers: u64,
    broken_off: u64,
    /// That answers took, those that were broken off too; of several at a time each counts.
    busy: Duration,
    prompt_tokens: u64,
    cached_tokens: u64,
    completion_tokens: u64,
    prefill_seconds: f64,
    model: Option<Stats>,
}

impl Metrics {
    pub(super) fn request(&self, path: &'static str, status: u16) {
        *self.lock().requests.entry((path, status)).or_default() += 1;
    }

    /// An answer has ended; `reply` is what it came to, if it came to its end.
    pub(super) fn answer(&self, reply: Option<&Reply>, took: Duration, model: Stats) {
        let mut counts = self.lock();
        counts.busy += took;
        counts.model = Some(model);
        let Some(Reply { usage, timings, .. }) = reply else {
            counts.broken_off += 1;
            return;
        };
        counts.answers += 1;
        counts.prompt_tokens += usage.prompt_tokens as u64;
        counts.cached_tokens += usage.prompt_tokens_details.cached_tokens as u64;
        counts.completion_tokens += usage.completion_tokens as u64;
        counts.prefill_seconds += timings.prefill_seconds;
    }

    /// How long an answer takes on average.
    pub(super) fn mean(&self) -> Duration {
        let counts = self.lock();
        let n = u32::try_from(counts.answers + counts.broken_off).unwrap_or(u32::MAX);
        counts.busy.checked_div(n).unwrap_or_default()
    }

    /// In Prometheus' text format. `in_hand` requests, of which so many are `waiting`.
    pub(super) fn text(&self, (in_hand, waiting): (usize, usize)) -> String {
        let counts = self.lock();
        let mut text = String::new();
        let name = head(&mut text, "requests_total", "counter", "Requests by path and status.");
        for ((path, status), n) in &counts.requests {
            let _ = writeln!(text, "{name}{{path=\"{path}\",status=\"{status}\"}} {n}");
        }
        let mut one = |name: &str, kind: &str, help: &str, value: &dyn Display| {
            let name = head(&mut text, name, kind, help);
            let _ = writeln!(text, "{name} {value}");
        };
        one("requests_in_hand", "gauge", "Requests that have a place: they come in, wait or are being answered.", &in_hand);
        one("requests_waiting", "gauge", "Requests that wait.", &waiting);
        one("answers_total", "counter", "Answers that came to their end.", &counts.answers);
        one("answers_broken_off_total", "counter", "Answers that failed, or whose client went away.", &counts.broken_off);
        one("busy_seconds_total", "counter", "Time that answers took; of several at a time each counts.", &counts.busy.as_secs_f64());
        one("prefill_seconds_total", "counter", "Of answers, the time until their first token.", &counts.prefill_seconds);
        one("prompt_tokens_total", "counter", "Tokens of prompts.", &counts.prompt_tokens);
        one("cached_tokens_total", "counter", "Tokens of prompts that were kept from the request before.", &counts.cached_tokens);
        one("completion_tokens_total", "counter", "Tokens of answers.", &counts.completion_tokens);
        if let Some(model) = &counts.model {
            one("expert_hits_total", "counter", "Experts that were on the GPU when a token asked for them.", &model.hits);
            one("expert_misses_total", "counter", "Experts that were not.", &model.misses);
            one("stall_seconds_total", "counter", "Time that answers waited for experts.", &model.stall_seconds);
            one("fetched_bytes_total", "counter", "Bytes of the model that were fetched.", &model.bytes_fetched);
            one("gpu_bytes_total", "counter", "Bytes of weights that went to the GPU.", &model.bytes_gpu);
        }
        text
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says what follows, and gives its full name.
fn head(text: &mut String, name: &str, kind: &str, help: &str) -> String {
    let _ = writeln!(text, "# HELP quire_{name} {help}\n# TYPE quire_{name} {kind}");
    format!("quire_{name}")
}
