//! Completions to messages.

use crate::vectors::{O200k, conversation, hash32, ids, lines, texts};
use std::collections::BTreeSet;
use text::Error;
use text::harmony::{Channel, Event, Header, Message, Parser, Role, Special, Specials, Stop};

/// Where we mean to read something else than the reference, and why.
const DIFFERENCES: [(&str, &str); 5] = [
    (
        "content type taken for a recipient",
        "in `final <|constrain|>json` and `analysis code` nobody is called; the reference takes any single word",
    ),
    ("stray channel", "the 20b model at times writes a channel before the real one; the reference keeps the first"),
    ("odd channel", "`commentary?` means commentary; the reference takes the word as it is, or refuses it"),
    ("header refused", "a space too many is no reason to lose an answer; the reference refuses the header"),
    ("broken characters one at a time", "several U+FFFD that one token brings are shown at once; the reference shows one a token"),
];

#[test]
fn completions_cut_at_every_token_read_as_the_reference_reads_them() {
    let o200k = O200k::new();
    let specials = o200k.specials();
    let cases = lines("completions.jsonl");
    assert!(cases.len() >= 200);
    let mut seen = BTreeSet::new();
    let mut same = 0;
    for (at, case) in cases.iter().enumerate() {
        let mut parser = Parser::for_completion(specials);
        let mut streamed = Vec::new();
        let mut states = case["states"].as_str().unwrap();
        for id in ids(&case["ids"]) {
            let events = parser.push(id, &o200k.bytes(id)).unwrap();
            follow(events, &mut streamed);
            let state = state(&parser);
            let (expected, rest) = states.split_at(8);
            assert_eq!(hash32(state.bytes()), expected, "case {at}, at {state}");
            states = rest;
        }
        assert_eq!(states, "");
        follow(parser.finish().unwrap(), &mut streamed);

        let expected: Vec<Vec<String>> = case["messages"].as_array().unwrap().iter().map(texts).collect();
        let got: Vec<Vec<String>> = parser.messages().iter().map(fields).collect();
        assert_eq!(got, expected, "case {at}");
        assert_eq!(streamed, parser.messages(), "case {at}: events and messages");

        let differences = texts(&case["differences"]);
        same += usize::from(differences.is_empty());
        seen.extend(differences);
    }
    let known: BTreeSet<String> = DIFFERENCES.map(|(name, _)| name.into()).into();
    assert_eq!(seen, known);
    assert!(same >= 100, "{same} read the same");
}

/// Puts messages together from events alone, as one who streams does.
fn follow(events: Vec<Event>, messages: &mut Vec<Message>) {
    for event in events {
        match event {
            Event::Start(header) => {
                let content = text::harmony::Content::Text(String::new());
                messages.push(Message { header, content });
            }
            Event::Delta(delta) => {
                let message = messages.last_mut().unwrap();
                let so_far = message.text().unwrap().to_string();
                message.content = text::harmony::Content::Text(so_far + &delta);
            }
            Event::End(_) => {}
        }
    }
}

fn state(parser: &Parser) -> String {
    let current = parser.current().map(|(header, text)| {
        let mut fields = header_fields(header);
        fields.push(text.into());
        fields.join("|")
    });
    format!("{}|{}", parser.messages().len(), current.unwrap_or("-".into()))
}

fn fields(message: &Message) -> Vec<String> {
    let mut fields = header_fields(&message.header);
    fields.push(message.text().unwrap().into());
    fields
}

fn header_fields(header: &Header) -> Vec<String> {
    let channel = header.channel.as_ref().map(|channel| channel.as_str().to_string());
    let content_type = header.content_type.as_ref().map(ToString::to_string);
    vec![
        header.role.as_str().into(),
        channel.unwrap_or_default(),
        header.recipient.clone().unwrap_or_default(),
        content_type.unwrap_or_default(),
    ]
}

/// A vocabulary of Harmony's control tokens, by which a completion can be written as text: every other
/// character is a token of its own.
fn specials() -> Specials {
    Specials::find(|text| TOKENS.iter().position(|token| *token == text).map(|at| at as u32 + 0x11_0000)).unwrap()
}

const TOKENS: [&str; 8] =
    ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>", "<|endoftext|>"];

fn push_text(parser: &mut Parser, mut text: &str) -> Result<Vec<Event>, Error> {
    let mut events = Vec::new();
    while let Some(c) = text.chars().next() {
        let token = TOKENS.iter().position(|token| text.starts_with(token));
        let (id, len) = match token {
            Some(at) => (at as u32 + 0x11_0000, TOKENS[at].len()),
            None => (u32::from(c), c.len_utf8()),
        };
        events.extend(parser.push(id, &text.as_bytes()[..len])?);
        text = &text[len..];
    }
    Ok(events)
}

/// `role|channel|recipient|content type|content` of each message of a completion, and what ended it.
fn read(completion: &str) -> Vec<String> {
    let mut parser = Parser::for_completion(specials());
    let mut events = push_text(&mut parser, completion).unwrap();
    events.extend(parser.finish().unwrap_or_default());
    let stops = events.iter().filter_map(|event| match event {
        Event::End(stop) => Some(stop),
        _ => None,
    });
    let messages = parser.messages().iter().zip(stops);
    messages.map(|(message, stop)| format!("{} {stop:?}", fields(message).join("|"))).collect()
}

#[test]
fn a_header_that_the_model_misspelled_reads_as_it_was_meant() {
    for (completion, expected) in [
        (
            "<|channel|>commentary to=functions.f code<|constrain|>json<|message|>{}<|call|>",
            "assistant|commentary|functions.f|<|constrain|>json|{} Call",
        ),
        ("<|channel|>commentary to= functions.f json<|message|>{}<|call|>", "assistant|commentary|functions.f|json|{} Call"),
        (
            "<|channel|>commentary <|constrain|>json to=functions.f<|message|>{}<|call|>",
            "assistant|commentary|functions.f|<|constrain|>json|{} Call",
        ),
        ("<|channel|>analysis to=python code<|message|>1<|call|>", "assistant|analysis|python|code|1 Call"),
        ("<|channel|>to=functions.f<|message|>1<|call|>", "assistant||functions.f||1 Call"),
        (
            " to=functions.f<|channel|>commentary to=assistant<|channel|>commentary json<|message|>1<|call|>",
            "assistant|commentary|functions.f|json|1 Call",
        ),
        ("<|channel|><|message|>1<|return|>", "assistant||||1 Return"),
        ("<|channel|>??<|message|>1<|return|>", "assistant||||1 Return"),
        ("<|message|>1<|return|>", "assistant||||1 Return"),
        ("<|channel|>analysis<|start|>assistant<|channel|>final<|message|>1<|return|>", "assistant|final|||1 Return"),
        ("<|channel|>??<|end|><|start|>assistant<|channel|>final<|message|>1<|return|>", "assistant|final|||1 Return"),
        ("<|start|>assistant<|channel|>final<|message|>1<|endoftext|>", "assistant|final|||1 EndOfText"),
    ] {
        assert_eq!(read(completion), [expected], "{completion}");
    }
}

#[test]
fn content_without_its_mark_is_content() {
    for (completion, expected) in [
        ("The answer is 4.<|return|>", "assistant||||The answer is 4. Return"),
        ("assistant The answer<|return|>", "assistant||||The answer Return"),
        ("<|channel|>final The answer is 4.\nYes.<|return|>", "assistant|final|||The answer is 4.\nYes. Return"),
        ("<|channel|>commentary to=functions.f{\"a\": 1}<|call|>", "assistant|commentary|functions.f||{\"a\": 1} Call"),
        (
            "<|channel|>commentary to=functions.f <|constrain|>json{\"a\": 1}<|call|>",
            "assistant|commentary|functions.f|<|constrain|>json|{\"a\": 1} Call",
        ),
    ] {
        assert_eq!(read(completion), [expected], "{completion}");
    }
    // What ends with `<|end|>` is followed by a better try.
    assert!(read("<|channel|>commentary 2?<|end|>").is_empty());
    assert!(read("<|return|>").is_empty());
    assert!(read("assistant<|channel|>final<|return|>").is_empty());
}

#[test]
fn a_message_without_its_end_is_cut_where_the_next_begins() {
    assert_eq!(
        read("<|channel|>analysis<|message|>hm<|start|>assistant<|channel|>final<|message|>1<|return|>"),
        ["assistant|analysis|||hm Cut", "assistant|final|||1 Return"]
    );
    assert_eq!(
        read("<|channel|>analysis<|message|>hm<|end|>\n<|channel|>final<|message|>1"),
        ["assistant|analysis|||hm End", "assistant|final|||1 Cut"]
    );
}

#[test]
fn a_stream_that_ends_within_a_header_says_so_and_keeps_what_was_whole() {
    let mut parser = Parser::for_completion(specials());
    push_text(&mut parser, "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>fi").unwrap();
    let header = "assistant fi".into();
    assert_eq!(parser.finish(), Err(Error::UnfinishedHeader { header }));
    assert_eq!(parser.into_messages(), [Message::assistant(Channel::Analysis, "hm")]);
}

#[test]
fn text_between_messages_is_an_error_after_which_parsing_goes_on() {
    let mut parser = Parser::new(specials());
    assert_eq!(push_text(&mut parser, "x"), Err(Error::UnexpectedToken { id: u32::from('x') }));
    push_text(&mut parser, "<|start|>user:ada<|message|>1<|end|>").unwrap();
    let message = &parser.messages()[0];
    assert_eq!((message.header.role, message.header.name.as_deref()), (Role::User, Some("ada")));
}

#[test]
fn content_that_spells_a_control_token_stays_content() {
    let mut parser = Parser::for_completion(specials());
    push_text(&mut parser, "<|channel|>final<|message|>").unwrap();
    for c in "<|end|>".chars() {
        parser.push(u32::from(c), c.to_string().as_bytes()).unwrap();
    }
    assert_eq!(parser.current().unwrap().1, "<|end|>");
}

#[test]
fn a_character_in_pieces_is_shown_when_it_is_whole() {
    let mut parser = Parser::for_completion(specials());
    push_text(&mut parser, "<|channel|>final<|message|>").unwrap();
    let bytes = "é".as_bytes();
    assert_eq!(parser.push(1, &bytes[..1]), Ok(vec![]));
    assert_eq!(parser.push(1, &bytes[1..]), Ok(vec![Event::Delta("é".into())]));
    assert_eq!(parser.push(1, &bytes[..1]), Ok(vec![]));
    let cut = vec![Event::Delta("\u{FFFD}".into()), Event::End(Stop::Cut)];
    assert_eq!(parser.finish(), Ok(cut));
}

#[test]
fn the_model_stops_on_return_call_and_end_of_text_but_not_on_end() {
    let o200k = O200k::new();
    assert_eq!(o200k.specials().stops(), [200_002, 200_012, 199_999]);
    assert_eq!(o200k.specials().get(200_007), Some(Special::End));
}

#[test]
fn a_vocabulary_without_harmony_is_refused() {
    let error = Specials::find(|text| (text != "<|call|>").then_some(7)).unwrap_err();
    assert_eq!(error.to_string(), "the vocabulary has no `<|call|>`, which Harmony needs");
}

#[test]
fn a_rendered_conversation_reads_back() {
    let o200k = O200k::new();
    for case in lines("conversations.jsonl") {
        let conversation = conversation(&case["messages"]);
        let rendered = conversation.render().unwrap();
        let mut parser = Parser::new(o200k.specials());
        for id in rendered.encode(&o200k) {
            parser.push(id, &o200k.bytes(id)).unwrap();
        }
        let again = text::harmony::Conversation { messages: parser.into_messages() };
        assert_eq!(again.render().unwrap().to_string(), rendered.to_string());
    }
}
