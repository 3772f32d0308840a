//! Which tokens a form allows, over a vocabulary of single bytes, a few longer tokens, and Harmony's.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use serde_json::{Value, json};
use text::chat::ChatRequest;
use text::constrained::{Form, Grammars, Mask, Turn};
use text::harmony::{self, Specials};
use text::{Error, SpecialIds, Tokenizer};

const WORDS: [&str; 6] = ["tr", "true", "fa", "{\"", "\":", "}x"];
const SPECIALS: [&str; 8] =
    ["<|start|>", "<|message|>", "<|end|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>", "<|endoftext|>"];

/// Ids: 256 bytes, `WORDS`, `SPECIALS`, one row of padding.
fn tokenizer() -> Arc<Tokenizer> {
    let printable = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut others = '\u{100}'..;
    let mut tokens: Vec<String> =
        (0..=255).map(|byte| if printable(byte) { char::from(byte) } else { others.next().unwrap() }.to_string()).collect();
    tokens.extend(WORDS.map(String::from));
    let mut types = vec![1; tokens.len()];
    tokens.extend(SPECIALS.map(String::from));
    types.resize(tokens.len(), 3);
    tokens.push("[PAD]".into());
    types.push(5);
    let tokens = tokens.iter().map(String::as_bytes);
    Arc::new(Tokenizer::new("gpt2", "gpt-4o", tokens, &types, [], SpecialIds::default()).unwrap())
}

fn grammars() -> Grammars {
    pollster::block_on(Grammars::new(tokenizer())).unwrap()
}

fn special(name: &str) -> u32 {
    tokenizer().special(name).unwrap()
}

fn allowed(mask: &Mask) -> Vec<String> {
    (0..tokenizer().vocab_len() as u32 + 40).filter(|id| mask.allows(*id)).map(|id| tokenizer().decode(&[id])).collect()
}

#[test]
fn after_a_hundred_digits_there_are_more_only_where_they_may_not_end() {
    let grammars = grammars();
    let after = |schema: Value, text: &str| {
        let mut matcher = grammars.matcher(&Form::Json(schema)).unwrap();
        tokenizer().encode(text).iter().for_each(|id| matcher.push(*id).unwrap());
        (allowed(&matcher.allowed().unwrap()), matcher.is_whole().unwrap())
    };
    let digits = "5".repeat(100);
    let number = json!({ "type": "number", "minimum": 0, "maximum": 1 });
    assert_eq!(after(number.clone(), &format!("0.{}", &digits[..97])).0.len(), 10);
    assert_eq!(after(number, &format!("0.{digits}")), (vec![], true));
    let list = json!({ "type": "array", "items": { "type": "number" }, "x-guidance": { "whitespace_flexible": false } });
    assert_eq!(after(list.clone(), &format!("[{digits}")), (vec![",".into(), "]".into()], false));
    assert_eq!(after(list.clone(), &format!("[{digits}.")).0.len(), 10);
    assert!(after(list, &format!("[{digits},")).0.len() > 10);
    let time = json!({ "type": "string", "format": "time" });
    let (ends, _) = after(time, &format!("\"20:34:24.{digits}"));
    assert!(ends.contains(&"Z".into()) && !ends.contains(&"5".into()), "{ends:?}");
    assert!(after(json!({ "type": "string" }), &format!("\"{digits}")).0.contains(&"5".into()));
}

#[test]
fn a_schema_allows_the_tokens_that_begin_what_it_describes() {
    let grammars = grammars();
    let mut matcher = grammars.matcher(&Form::Json(json!({ "enum": [true, false, "a"] }))).unwrap();
    assert_eq!(allowed(&matcher.allowed().unwrap()), ["\"", "f", "t", "tr", "true", "fa"]);
    assert!(!matcher.is_whole().unwrap());
    matcher.push(256).unwrap();
    assert_eq!(allowed(&matcher.allowed().unwrap()), ["u"]);
    for byte in "ue".bytes() {
        matcher.push(tokenizer().encode(&char::from(byte).to_string())[0]).unwrap();
    }
    assert!(matcher.is_whole().unwrap());
    assert_eq!(matcher.allowed().unwrap(), Mask::default());
    assert!(matches!(matcher.push(256), Err(Error::Form { .. })));
}

#[test]
fn text_is_every_token_but_markup_and_padding_and_no_form_lets_these_in() {
    let grammars = grammars();
    let is_text = |mask: &Mask| (0..300).filter(|id| mask.allows(*id)).all(|id| id < 262);
    assert!(is_text(grammars.text()) && allowed(grammars.text()).len() == 262);
    let any = grammars.matcher(&Form::Lark("start: /(.|\\n)*/".into())).unwrap().allowed().unwrap();
    assert!(is_text(&any) && any.allows(65) && any.allows(261));
    let by_id = format!("start: <[{}]> | \"a\"", special("<|end|>"));
    assert_eq!(allowed(&grammars.matcher(&Form::Lark(by_id)).unwrap().allowed().unwrap()), ["a"]);
    let refused = grammars.matcher(&Form::Lark("start: <|end|>".into())).unwrap_err().to_string();
    assert!(refused.contains("special token"), "{refused}");
}

#[test]
fn forms_that_cannot_be_read_or_met_are_refused_in_words() {
    let grammars = grammars();
    for (form, words) in [
        (Form::Json(json!({ "type": "integer", "minimum": 2, "maximum": 1 })), "Unsatisfiable"),
        (Form::Json(json!({ "type": "nonsense" })), "nonsense"),
        (Form::Lark("start: \"unfinished".into()), "lexer error"),
        (Form::Lark("start: other".into()), "other"),
    ] {
        let refused = grammars.matcher(&form).unwrap_err().to_string();
        assert!(refused.contains(words) && !refused.contains("panic"), "{form:?}: {refused}");
    }
}

#[test]
fn white_space_between_the_parts_of_json_comes_to_an_end() {
    let grammars = grammars();
    let mut matcher = grammars.matcher(&Form::Json(json!({ "type": "array", "items": { "const": 1 }, "minItems": 1 }))).unwrap();
    matcher.push(tokenizer().encode("[")[0]).unwrap();
    matcher.push(tokenizer().encode("\n")[0]).unwrap();
    let space = tokenizer().encode(" ")[0];
    let n = std::iter::from_fn(|| matcher.push(space).ok()).take(100).count();
    assert_eq!(n, 32);
}

/// What is said if each token is chosen from those allowed, by their text.
fn say(turn: &mut Turn, mut choose: impl FnMut(&str, &[String]) -> String) -> String {
    let mut said = String::new();
    turn.next(None).unwrap();
    for _ in 0..400 {
        let next = choose(&said, &allowed(turn.mask()));
        said.push_str(&next);
        let id = (0..tokenizer().vocab_len() as u32).find(|id| turn.mask().allows(*id) && tokenizer().decode(&[*id]) == next);
        let id = id.unwrap_or_else(|| panic!("{next:?} may not follow {said:?}"));
        if [special("<|return|>"), special("<|call|>")].contains(&id) {
            return said;
        }
        turn.next(Some(id)).unwrap();
    }
    panic!("no end of {said:?}")
}

fn turn(request: Value, form: Option<Form>) -> Result<Turn, Error> {
    let request = ChatRequest::from_json(&request.to_string())?;
    let specials = Specials::find(|token| tokenizer().special(token))?;
    harmony::turn(&request, form.as_ref(), &specials, &tokenizer(), &grammars())
}

/// Whether `wanted` may be said, token by token, and nothing but it be chosen.
fn follow(turn: &mut Turn, wanted: &str) -> String {
    say(turn, |said, allowed| {
        let rest = &wanted[said.len()..];
        let longest = allowed.iter().filter(|token| rest.starts_with(token.as_str())).max_by_key(|token| token.len());
        longest.unwrap_or_else(|| panic!("{rest:?} may not follow {said:?}, but {allowed:?}")).clone()
    })
}

#[test]
fn thoughts_are_free_and_what_comes_after_them_is_the_answer() {
    let form = Some(Form::Json(json!({ "enum": ["a", "b"] })));
    let mut turn = turn(json!({ "messages": [] }), form).unwrap();
    let wanted = "<|channel|>analysis<|message|>Hm, \"{<|end|><|start|>assistant<|channel|>analysis<|message|><|end|>\
                  <|start|>assistant<|channel|>final <|constrain|>json<|message|>\"a\"<|return|>";
    assert_eq!(follow(&mut turn.clone(), wanted), wanted);
    // Whoever says as little as can be says the answer.
    let first = say(&mut turn, |_, allowed| allowed.iter().find(|token| *token == "f").or(allowed.first()).unwrap().clone());
    assert_eq!(first, "<|channel|>final <|constrain|>json<|message|>\"a\"<|return|>");
}

#[test]
fn a_call_that_is_required_is_made_in_either_of_the_ways_that_the_model_knows() {
    let parameters =
        json!({ "type": "object", "properties": { "x": { "type": "boolean" } }, "required": ["x"], "additionalProperties": false });
    let tools = json!([
        { "type": "function", "function": { "name": "f", "parameters": parameters } },
        { "type": "function", "function": { "name": "g", "parameters": { "type": "nonsense" } } }
    ]);
    let request = |choice: Value| json!({ "messages": [], "tools": tools, "tool_choice": choice });
    let call = "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"x\": true}<|call|>";
    let other = " to=functions.f<|channel|>commentary <|constrain|>json<|message|>{\"x\":true}<|call|>";
    let required = turn(request(json!("required")), None).unwrap();
    for wanted in [
        call,
        other,
        "<|channel|>commentary<|message|>Let me see.<|end|><|start|>assistant to=functions.g<|channel|>commentary <|constrain|>json<|message|>{}<|call|>",
    ] {
        assert_eq!(follow(&mut required.clone(), wanted), wanted);
    }
    for choice in [json!("required"), json!({ "type": "function", "function": { "name": "f" } })] {
        let mut turn = turn(request(choice), None).unwrap();
        turn.next(None).unwrap();
        turn.next(Some(special("<|channel|>"))).unwrap();
        assert_eq!(allowed(turn.mask()), ["a", "c"], "no answer without a call");
    }
    let mut none = turn(request(json!("none")), None).unwrap();
    none.next(None).unwrap();
    none.next(Some(special("<|channel|>"))).unwrap();
    assert_eq!(allowed(none.mask()), ["a", "f"], "no call");
    let strict = json!([{ "type": "function", "function": { "name": "g", "strict": true, "parameters": { "type": "nonsense" } } }]);
    assert!(matches!(turn(json!({ "messages": [], "tools": strict }), None), Err(Error::Form { .. })));
}
