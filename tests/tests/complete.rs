//! Raw completions, as the API gives them, beside what the engine says.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::ops::ControlFlow;

use api::{CompletionRequest, LoadOptions, Model, TextCompletion};
use engine::{Cancel, SamplingOptions};
use model::Options;
use tests::{engine, gpu, open, vector};

fn options() -> Options {
    Options { context: 128, ..Options::default() }
}

fn model() -> Model {
    let files = open(&vector("nano/nano.gguf"));
    let options = LoadOptions { model: options(), ..LoadOptions::default() };
    pollster::block_on(Model::load(&files, gpu(), options, &Cancel::default(), &mut |_| {})).unwrap()
}

fn complete(model: &mut Model, json: &str) -> (TextCompletion, Vec<TextCompletion>) {
    let request = CompletionRequest::from_json(json).unwrap();
    let mut parts = Vec::new();
    let whole = pollster::block_on(model.complete(&request, &Cancel::default(), &mut |part| parts.push(part))).unwrap();
    (whole, parts)
}

#[test]
fn ids_are_continued_as_the_engine_continues_them() {
    let request = engine::Request {
        prompt: &[5, 80, 200],
        max_tokens: 24,
        sampling: SamplingOptions { n_logprobs: 2, ..SamplingOptions::greedy() },
        stops: &[],
    };
    let mut expected = (Vec::new(), Vec::new());
    let mut on_event = |event: engine::Event<'_>| {
        if let engine::Event::Token(token) = event {
            expected.0.push(token.id);
            expected.1.push(token.logprob);
        }
        ControlFlow::Continue(())
    };
    let mut engine = engine(&open(&vector("nano/nano.gguf")), options());
    pollster::block_on(engine.generate(&request, &Cancel::default(), &mut on_event)).unwrap();

    let mut model = model();
    // Ids that end a text would end the completion; the engine alone goes on.
    let end = expected.0.iter().position(|id| api::ends(&model.tokenizer).contains(id)).unwrap_or(expected.0.len());
    assert!(end > 3, "{:?}", expected.0);
    let json = r#"{"prompt": [5, 80, 200], "max_tokens": 24, "temperature": 0, "logprobs": 2, "stream_options": {"include_usage": true}}"#;
    let (whole, parts) = complete(&mut model, json);
    let choice = &whole.choices[0];
    let logprobs = choice.logprobs.as_ref().unwrap();
    assert_eq!(logprobs.ids, expected.0[..end]);
    assert_eq!(logprobs.token_logprobs, expected.1[..end]);
    assert!(logprobs.top_logprobs.iter().all(|top| (1..=2).contains(&top.len())));
    let streamed: String = parts.iter().flat_map(|part| &part.choices).map(|choice| choice.text.as_str()).collect();
    assert_eq!(streamed, choice.text);
    let ids: Vec<u32> = parts.iter().flat_map(|part| &part.choices).flat_map(|c| c.logprobs.iter().flat_map(|l| l.ids.clone())).collect();
    assert_eq!(ids, logprobs.ids);
    assert_eq!(parts.last().unwrap().usage, whole.usage);
}

#[test]
fn logprobs_say_where_each_token_begins_in_characters_from_the_prompts_start() {
    let json = r#"{"prompt": "h\u00e9llo", "max_tokens": 24, "seed": 7, "logprobs": 0}"#;
    let (whole, parts) = complete(&mut model(), json);
    let choice = &whole.choices[0];
    let logprobs = choice.logprobs.as_ref().unwrap();
    let said: Vec<char> = "h\u{e9}llo".chars().chain(choice.text.chars()).collect();
    assert_eq!((logprobs.text_offset[0], logprobs.text_offset.len()), (5, logprobs.tokens.len()));
    // Neither markup, which is not said, nor parts of characters.
    let is_plain = |token: &str| !token.starts_with("<|") && !token.contains(char::REPLACEMENT_CHARACTER);
    let places = logprobs.text_offset.iter().zip(&logprobs.tokens).filter(|(_, token)| is_plain(token));
    let found = places.inspect(|(at, token)| assert!(said[**at..].starts_with(&token.chars().collect::<Vec<_>>()), "{token:?} at {at}"));
    assert!(found.count() > 8, "{:?}", logprobs.tokens);
    let streamed = parts.iter().flat_map(|part| part.choices[0].logprobs.clone().unwrap().text_offset);
    assert_eq!(streamed.collect::<Vec<_>>(), logprobs.text_offset);
}

#[test]
fn several_completions_of_a_text_each_have_their_index_and_seed() {
    let (whole, _) = complete(&mut model(), r#"{"prompt": "hello", "max_tokens": 12, "n": 3, "seed": 7}"#);
    assert_eq!(whole.choices.iter().map(|choice| choice.index).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(whole.choices[0].text != whole.choices[1].text, "{whole:?}");
    assert!(whole.choices.iter().all(|choice| choice.logprobs.is_none() && choice.finish_reason.is_some()));
}

#[test]
fn several_prompts_are_continued_each_by_itself() {
    let mut model = model();
    let alone: Vec<TextCompletion> = ["\"hello\"", "[5, 80, 200]"]
        .map(|prompt| complete(&mut model, &format!(r#"{{"prompt": {prompt}, "max_tokens": 8, "n": 2, "seed": 7}}"#)).0)
        .into();
    let texts = |whole: &TextCompletion| whole.choices.iter().map(|choice| choice.text.clone()).collect::<Vec<_>>();
    let hello = model.tokenizer.encode("hello");
    let (whole, parts) = complete(&mut model, &format!(r#"{{"prompt": [{hello:?}, [5, 80, 200]], "max_tokens": 8, "n": 2, "seed": 7}}"#));
    assert_eq!(texts(&whole), alone.iter().flat_map(texts).collect::<Vec<_>>());
    assert_eq!(whole.choices.iter().map(|choice| choice.index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let of = |index: u32| parts.iter().flat_map(|part| &part.choices).filter(move |choice| choice.index == index);
    assert!((0..4).all(|n| of(n).map(|choice| choice.text.as_str()).collect::<String>() == whole.choices[n as usize].text));
    assert_eq!(whole.usage.unwrap().prompt_tokens, hello.len() + 3);
    assert_eq!(texts(&complete(&mut model, r#"{"prompt": ["hello"], "max_tokens": 8, "n": 2, "seed": 7}"#).0), texts(&alone[0]));
}

#[test]
fn a_top_p_of_0_takes_the_likeliest_token_each_time() {
    let mut model = model();
    let mut text =
        |fields: &str| complete(&mut model, &format!(r#"{{"prompt": "hello", "max_tokens": 12, {fields}}}"#)).0.choices[0].text.clone();
    assert_eq!(text(r#""top_p": 0, "temperature": 2, "seed": 7"#), text(r#""temperature": 0"#));
}

#[test]
fn logprobs_are_of_the_tokens_before_a_stop_string_alone() {
    let mut model = model();
    let json = |stop: &str| format!(r#"{{"prompt": [5, 80, 200], "max_tokens": 24, "temperature": 0, "logprobs": 0, "stop": {stop}}}"#);
    let (whole, _) = complete(&mut model, &json("null"));
    let tokens = whole.choices[0].logprobs.clone().unwrap().tokens;
    // A stop string of several tokens, none of which comes before.
    let at = (3..20).find(|at| tokens[..*at].concat().find(&tokens[*at..at + 3].concat()).is_none()).unwrap();
    let (stopped, parts) = complete(&mut model, &json(&serde_json::json!(tokens[at..at + 3].concat()).to_string()));
    let choice = &stopped.choices[0];
    assert_eq!((choice.text.clone(), choice.logprobs.clone().unwrap().tokens), (tokens[..at].concat(), tokens[..at].to_vec()));
    let streamed: Vec<String> = parts.iter().flat_map(|part| part.choices[0].logprobs.clone().unwrap().tokens).collect();
    assert_eq!(streamed, tokens[..at]);
}

#[test]
fn requests_of_another_shape_are_refused_in_words() {
    for (json, words) in [
        (r#"{"max_tokens": 3}"#, "prompt"),
        (r#"{"prompt": {"a": 1}}"#, "prompt must be a string, an array of token ids, or an array of either"),
        (r#"{"prompt": []}"#, "empty array"),
        (r#"{"prompt": ["a", 7]}"#, "prompt must be a string"),
        (r#"{"prompt": ["a", "b", "c", "d", "e", "f", "g", "h", "i"], "n": 16}"#, "144 texts, at most 128"),
        (r#"{"prompt": "a", "logprobs": 21}"#, "logprobs is 21, must be 0 to 20"),
        (r#"{"prompt": "a", "n": 17}"#, "n must be 1 to 16"),
        (r#"{"prompt": "a", "top_p": -0.1}"#, "top_p is -0.1: expected 0 to 1"),
        (r#"{"prompt": "a", "top_p": 1.1}"#, "top_p is 1.1: expected 0 to 1"),
        ("once upon", "expected"),
    ] {
        let said = CompletionRequest::from_json(json).unwrap_err().to_string();
        assert!(said.contains(words), "{json}: {said}");
    }
}
