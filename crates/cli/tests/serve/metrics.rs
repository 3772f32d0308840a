//! What `/metrics` says: Prometheus' text format, and numbers that are so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::server::{Server, hello, parrot, with};

#[test]
fn metrics_are_prometheus_text_that_agrees_with_the_answers_that_were_given() {
    let server = Server::start(&[&parrot()]);
    let metrics = || {
        let answer = server.get("/metrics");
        assert!(answer.headers["content-type"].starts_with("text/plain; version=0.0.4"), "{:?}", answer.headers);
        parse(&answer.body)
    };
    assert_eq!(metrics()["quire_answers_total"], 0.0);

    let streamed = server.chat(&with(hello(), json!({"stream": true, "stream_options": {"include_usage": true}}))).events();
    let answers = [
        server.chat(&hello()).json(),
        streamed[streamed.len() - 2].1.clone(),
        server.post("/v1/completions", &json!({"prompt": "Hello", "max_tokens": 3, "n": 2})).json(),
        server.post("/v1/responses", &json!({"input": "Hello!"})).json(),
    ];
    assert_eq!(server.post("/v1/responses", &json!({"input": 5})).status, 400);
    let of = |path: &str| answers.iter().filter_map(|answer| answer["usage"].pointer(path)?.as_f64()).sum::<f64>();
    let said = metrics();
    let tokens = ["prompt", "cached", "completion"].map(|kind| said[&format!("quire_{kind}_tokens_total")]);
    let cached = of("/prompt_tokens_details/cached_tokens") + of("/input_tokens_details/cached_tokens");
    assert_eq!(tokens, [of("/prompt_tokens") + of("/input_tokens"), cached, of("/completion_tokens") + of("/output_tokens")]);
    assert!(tokens.iter().all(|n| *n > 0.0), "{tokens:?}");
    assert_eq!(said["quire_answers_total"], 4.0);
    let requests = |path: &str, status: u16| said[&format!("quire_requests_total{{path=\"{path}\",status=\"{status}\"}}")];
    assert_eq!([requests("/v1/chat/completions", 200), requests("/v1/responses", 200), requests("/v1/responses", 400)], [2.0, 1.0, 1.0]);
    let usage = answers.iter().map(|answer| &answer["usage"]).collect::<Vec<&Value>>();
    assert!(usage.iter().all(|usage| usage["total_tokens"].is_u64()), "{usage:?}");
}

/// Samples by their names and labels: of each metric comes what it is, of which kind, and then its samples.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let is_name =
        |name: &str| name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(|c| c == '_' || c.is_ascii_lowercase());
    let mut samples = BTreeMap::new();
    let mut explained = BTreeSet::new();
    let (mut helped, mut typed) = ("", "");
    assert!(text.ends_with('\n'), "{text}");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(is_name(name) && !words.is_empty() && !words.contains('\\') && explained.insert(name), "{line}");
            helped = name;
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(name == helped && kind == if name.ends_with("_total") { "counter" } else { "gauge" }, "{line}");
            typed = name;
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = sample.split_once('{').map_or((sample, None), |(name, labels)| (name, labels.strip_suffix('}')));
            assert!(name == typed && labels.is_some() == sample.contains('{'), "{line}");
            for label in labels.into_iter().flat_map(|labels| labels.split(',')) {
                let (key, quoted) = label.split_once('=').unwrap();
                let word = quoted.strip_prefix('"').and_then(|word| word.strip_suffix('"'));
                assert!(is_name(key) && word.is_some_and(|word| !word.is_empty() && !word.contains(['"', '\\'])), "{line}");
            }
            let value: f64 = value.parse().unwrap();
            assert!(value.is_finite() && value >= 0.0 && samples.insert(sample.to_owned(), value).is_none(), "{line}");
        }
    }
    samples
}
