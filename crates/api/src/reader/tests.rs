//! Answers in Harmony's form, token by token, in nano's vocabulary: single bytes, and gpt-oss's control tokens.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::Error;
use crate::reply::Message;
use gguf::{Directory, Parsed};

fn nano() -> (Tokenizer, Dialect) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/nano/nano.gguf");
    let file = std::fs::read(file).unwrap();
    let Parsed::Header(header) = gguf::parse(&file, file.len() as u64).unwrap() else { panic!("this is all there is") };
    let directory = Directory::new(vec![(header, file.len() as u64)]).unwrap();
    let tokenizer = crate::tokenizer(&directory).unwrap();
    let dialect = Dialect::new(&directory, &tokenizer).unwrap();
    (tokenizer, dialect)
}

/// What a caller gets of `answer`, which may spell control tokens.
struct Heard {
    message: Message,
    deltas: Vec<Delta>,
    /// Text of the tokens that counted as content.
    content_tokens: String,
    calls: bool,
    stopped: bool,
}

fn hear(answer: &str, stops: &[&str]) -> Heard {
    let (tokenizer, dialect) = nano();
    let mut reader = Reader::new(&dialect, stops.iter().map(|s| (*s).to_owned()).collect());
    let (mut deltas, mut content) = (Vec::new(), Vec::new());
    for id in tokenizer.encode_special(answer) {
        deltas.extend(reader.push(id, &tokenizer));
        if reader.is_content(id, &tokenizer) {
            content.extend_from_slice(tokenizer.token_bytes(id).unwrap());
        }
        if reader.stopped {
            break;
        }
    }
    deltas.extend(reader.finish());
    let mut message = Message::default();
    deltas.iter().for_each(|delta| message.add(delta));
    Heard { message, deltas, content_tokens: String::from_utf8(content).unwrap(), calls: reader.calls, stopped: reader.stopped }
}

#[test]
fn reasoning_comes_apart_from_content() {
    let heard = hear(
        "<|channel|>analysis<|message|>They ask for 2 + 2.<|end|><|start|>assistant<|channel|>final<|message|>It is 4 🙂.<|return|>",
        &[],
    );
    assert_eq!(heard.message.reasoning.as_deref(), Some("They ask for 2 + 2."));
    assert_eq!(heard.message.content.as_deref(), Some("It is 4 🙂."));
    assert!(heard.message.tool_calls.is_empty() && !heard.calls);
    assert!(heard.deltas.len() > 10, "it came in {} pieces", heard.deltas.len());
}

#[test]
fn a_message_that_was_begun_is_gone_on_with() {
    let (tokenizer, dialect) = nano();
    let go_on = |last: &str, answer: &str| {
        let json = format!(r#"{{"messages": [{{"role": "user", "content": "2 + 2?"}}, {last}], "continue_final_message": true}}"#);
        let request = text::chat::ChatRequest::from_json(&json).unwrap();
        let (prompt, opening) = (dialect.render(&request)?.to_string(), dialect.opening(&request)?);
        assert!(prompt.ends_with(&opening.to_string()), "{prompt}");
        let mut reader = Reader::new(&dialect, Vec::new());
        for id in opening.encode(&tokenizer) {
            reader.push(id, &tokenizer);
        }
        let mut message = Message::default();
        for id in tokenizer.encode_special(answer) {
            reader.push(id, &tokenizer).iter().for_each(|delta| message.add(delta));
        }
        Ok::<_, Error>((opening.to_string(), message))
    };
    let (opening, message) = go_on(r#"{"role": "assistant", "content": "It", "reasoning": "Hm."}"#, " is 4.<|return|>").unwrap();
    assert_eq!(opening, "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>It");
    assert_eq!((message.content.as_deref(), message.reasoning), (Some(" is 4."), None));
    let thinking = r#"{"role": "assistant", "content": "", "reasoning": "Hm"}"#;
    let (_, message) = go_on(thinking, "m.<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>").unwrap();
    assert_eq!((message.content.as_deref(), message.reasoning.as_deref()), (Some("4"), Some("m.")));
    for nothing in [
        r#"{"role": "assistant", "content": "<|end|>", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}"#,
        r#"{"role": "user", "content": "?"}"#,
    ] {
        assert!(go_on(nothing, "").unwrap_err().to_string().contains("continue_final_message"));
    }
}

#[test]
fn only_tokens_of_the_content_count_as_content() {
    let heard = hear("<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>né🙂<|return|>", &[]);
    assert_eq!(heard.content_tokens, "né🙂");
}

#[test]
fn two_calls_come_with_names_ids_and_arguments() {
    let heard = hear(
        "<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{\"city\": \"Köln\"}<|end|>\
         <|start|>assistant<|channel|>commentary to=functions.time <|constrain|>json<|message|>{}<|call|>",
        &[],
    );
    let calls = &heard.message.tool_calls;
    assert!(heard.calls && heard.message.content.is_none());
    let said: Vec<_> = calls.iter().map(|call| (call.function.name.as_str(), call.function.arguments.as_str())).collect();
    assert_eq!(said, [("weather", "{\"city\": \"Köln\"}"), ("time", "{}")]);
    let ids: Vec<&str> = calls.iter().map(|call| call.id.as_str()).collect();
    assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
    let index_of = |delta: &Delta| delta.tool_calls.first().map(|call| call.index);
    assert!(heard.deltas.iter().filter_map(index_of).is_sorted());
}

#[test]
fn a_stop_string_ends_content_and_is_no_concern_of_reasoning() {
    let answer = "<|channel|>analysis<|message|>STOP is a word.<|end|><|start|>assistant<|channel|>final<|message|>one STOP two<|return|>";
    let heard = hear(answer, &["STOP"]);
    assert!(heard.stopped);
    assert_eq!(heard.message.reasoning.as_deref(), Some("STOP is a word."));
    assert_eq!(heard.message.content.as_deref(), Some("one "));
}

#[test]
fn what_is_cut_off_or_broken_is_kept_as_far_as_it_came() {
    assert_eq!(hear("<|channel|>final<|message|>The answer is", &[]).message.content.as_deref(), Some("The answer is"));
    let heard = hear("<|channel|>analysis<|message|>Hm.<|end|>stray<|start|>assistant<|channel|>final<|message|>Yes.<|return|>", &[]);
    assert_eq!(heard.message.content.as_deref(), Some("Yes."));
    assert_eq!(hear("nothing but a header", &[]).message.content, None);
}
