//! Answers whose form is constrained: whatever the model would rather say, and whatever happens on the way.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::ops::ControlFlow;

use api::{Completion, FinishReason, LoadOptions, Model, Request};
use engine::{Allowed, Cancel, Constraint, Engine, Event, Generated, SamplingOptions};
use model::Options;
use serde_json::{Value, json};
use tests::{gpu, lazy_engine_of, made_model, open, vector};

const PROMPT: [u32; 7] = [5, 80, 200, 17, 9, 33, 140];
const N_TOKENS: u32 = 30;
/// Ids below this are drawn freely, up to a pause; the ids from here on are drawn one after the other, by turns.
const FREE: u32 = 180;
const PAUSES: [u32; 3] = [7, 90, 171];

/// Free tokens up to a pause, then three that depend on each other, and so on.
#[derive(Default)]
struct Turns {
    /// Whether what is free is said to last.
    lasts: bool,
    /// Tokens since the last pause; `None` before it.
    bound: Option<u32>,
    told: Vec<u32>,
    mask: Vec<u32>,
}

impl Constraint for Turns {
    fn next(&mut self, token: Option<u32>) -> Result<Allowed<'_>, String> {
        self.told.extend(token);
        self.bound = match (self.bound, token) {
            (None, Some(id)) if PAUSES.contains(&id) => Some(0),
            (None, _) | (Some(2), _) => None,
            (Some(n), _) => Some(n + 1),
        };
        let step = token.unwrap_or(0) % 5 + 3;
        let allowed: Vec<u32> = match self.bound {
            None => (0..FREE).collect(),
            Some(_) => (FREE..300).step_by(step as usize).collect(),
        };
        self.mask = vec![0; 10];
        allowed.iter().for_each(|id| self.mask[*id as usize / 32] |= 1 << (id % 32));
        Ok(Allowed { ids: &self.mask, lasting: self.lasts && self.bound.is_none() })
    }

    fn pauses(&self) -> &[u32] {
        &PAUSES
    }
}

fn nano_moe16(slots: Option<u32>) -> Engine {
    let files = open(&vector("nano-moe16/nano-moe16.gguf"));
    let options = Options { context: 128, slots, ..Options::default() };
    lazy_engine_of(gpu(), &files, model::Model::new(&files.directory, options).unwrap())
}

fn drawn() -> SamplingOptions {
    // So that pauses come.
    let logit_bias = PAUSES.iter().map(|id| (*id, 4.0)).collect();
    SamplingOptions { seed: 5, frequency_penalty: 0.3, repetition_penalty: 1.1, logit_bias, ..SamplingOptions::default() }
}

/// What is said within `turns`; the device is lost after so many tokens.
fn say(engine: &mut Engine, turns: &mut Turns, lost_after: Option<usize>) -> Generated {
    let request = engine::Request { prompt: &PROMPT, max_tokens: N_TOKENS, sampling: drawn(), stops: &[] };
    let gpu = engine.gpu().clone();
    let mut n = 0;
    let mut on_event = |event: Event<'_>| {
        if let Event::Token(_) = event {
            n += 1;
            if lost_after == Some(n) {
                gpu.lose();
            }
        }
        ControlFlow::Continue(())
    };
    pollster::block_on(engine.generate_within(&request, turns, &Cancel::default(), &mut on_event)).unwrap()
}

#[test]
fn only_what_is_allowed_is_drawn_and_the_constraint_is_told_of_each_token_once() {
    let mut turns = Turns::default();
    let said = say(&mut nano_moe16(None), &mut turns, None).ids;
    assert_eq!(said.len(), N_TOKENS as usize);
    // Of the last one nothing follows.
    assert_eq!(turns.told, said[..said.len() - 1]);
    let mut again = Turns::default();
    again.next(None).unwrap();
    for id in said {
        assert!(again.mask[id as usize / 32] >> (id % 32) & 1 == 1, "{id} is not allowed");
        again.next(Some(id)).unwrap();
    }
}

#[test]
fn steps_that_run_ahead_few_slots_and_lost_devices_change_no_token() {
    let expected = say(&mut nano_moe16(None), &mut Turns::default(), None).ids;
    let n_bound = expected.iter().filter(|id| **id >= FREE).count();
    assert!((4..26).contains(&n_bound), "{n_bound} of {expected:?} are bound");
    for slots in [None, Some(8), Some(5)] {
        for lasts in [false, true] {
            let mut engine = nano_moe16(slots);
            let mut turns = Turns { lasts, ..Turns::default() };
            assert_eq!(say(&mut engine, &mut turns, None).ids, expected, "{slots:?} slots, lasting: {lasts}");
            assert!(lasts == (turns.told.len() < expected.len() - 1));
        }
    }
    let pause = expected.iter().position(|id| PAUSES.contains(id)).unwrap() + 1;
    for lost_after in [1, pause, pause + 1, 17] {
        let mut turns = Turns { lasts: true, ..Turns::default() };
        assert_eq!(say(&mut nano_moe16(Some(5)), &mut turns, Some(lost_after)).ids, expected, "lost after {lost_after}");
    }
}

#[test]
fn a_constraint_binds_its_own_answer_only() {
    let mut engine = nano_moe16(None);
    let free = |engine: &mut Engine| {
        let request = engine::Request { prompt: &PROMPT, max_tokens: N_TOKENS, sampling: drawn(), stops: &[] };
        pollster::block_on(engine.generate(&request, &Cancel::default(), &mut |_| ControlFlow::Continue(()))).unwrap().ids
    };
    let before = free(&mut engine);
    assert_ne!(say(&mut engine, &mut Turns::default(), None).ids, before);
    assert_eq!(free(&mut engine), before);
}

#[test]
fn a_constraint_that_cannot_go_on_ends_the_answer_in_words_and_the_next_one_is_whole() {
    struct Ends(Vec<u32>);
    impl Constraint for Ends {
        fn next(&mut self, token: Option<u32>) -> Result<Allowed<'_>, String> {
            if token.is_some() { Err("enough".into()) } else { Ok(Allowed { ids: &self.0, lasting: true }) }
        }
        fn pauses(&self) -> &[u32] {
            &PAUSES
        }
    }
    let mut engine = nano_moe16(None);
    let expected = say(&mut engine, &mut Turns::default(), None).ids;
    let request = engine::Request { prompt: &PROMPT, max_tokens: N_TOKENS, sampling: drawn(), stops: &[] };
    let mut ends = Ends(vec![1 << 7; 1]);
    let (cancel, mut on_event) = (Cancel::default(), |_: Event<'_>| ControlFlow::Continue(()));
    let ended = pollster::block_on(engine.generate_within(&request, &mut ends, &cancel, &mut on_event));
    assert_eq!(ended.unwrap_err().to_string(), "the answer cannot go on as its constraint wants: enough");
    assert_eq!(say(&mut engine, &mut Turns::default(), None).ids, expected);
}

fn model(path: &std::path::Path) -> Model {
    let options = LoadOptions { model: Options { context: 2048, ..Options::default() }, ..LoadOptions::default() };
    pollster::block_on(Model::load(&open(path), gpu(), options, &Cancel::default(), &mut |_| {})).unwrap()
}

fn nano() -> Model {
    model(&vector("nano/nano.gguf"))
}

/// An answer at temperature 1 to a request with these fields.
fn chat(model: &mut Model, fields: &Value) -> Result<Completion, api::Error> {
    let mut request = json!({
        "messages": [{ "role": "user", "content": "Answer in JSON." }], "max_tokens": 1600, "seed": 1
    });
    request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let request = Request::from_json(&request.to_string())?;
    pollster::block_on(model.chat(&request, &Cancel::default(), &mut |_| {}))
}

/// The only answer's.
fn choice(completion: Completion) -> api::Choice {
    completion.choices.into_iter().next().unwrap()
}

fn schemas() -> Vec<Value> {
    let text = std::fs::read_to_string(vector("constrained/schemas.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn json_schema(schema: &Value) -> Value {
    json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "answer", "schema": schema } } })
}

fn assert_valid(schema: &Value, text: &str) {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text:?} of {schema}: {error}"));
    let validator = jsonschema::options().should_validate_formats(true).build(schema).unwrap();
    if let Err(error) = validator.validate(&value) {
        panic!("{text} of {schema}: {error}");
    }
}

fn of(mut fields: Value, more: Value) -> Value {
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fields
}

/// Makes nano think, and not for long: what it thinks is random.
fn briefly(model: &Model, fields: Value) -> Value {
    let (end, analysis) = (model.tokenizer.special("<|end|>").unwrap(), model.tokenizer.encode("analysis")[0]);
    of(fields, json!({ "logit_bias": { end.to_string(): 8.0, analysis.to_string(): 4.5 } }))
}

#[test]
fn answers_of_a_model_that_says_anything_are_of_their_schemas() {
    let mut model = nano();
    for (seed, schema) in schemas().iter().enumerate() {
        let request = of(json_schema(schema), json!({ "prompt": "the", "max_tokens": 400, "seed": seed })).to_string();
        let request = api::CompletionRequest::from_json(&request).unwrap();
        let said = pollster::block_on(model.complete(&request, &Cancel::default(), &mut |_| {}));
        let said = &said.unwrap_or_else(|error| panic!("{schema}: {error}")).choices[0];
        assert_eq!(said.finish_reason, Some(FinishReason::Stop), "{schema}: {}", said.text);
        assert_valid(schema, &said.text);
    }
}

#[test]
fn thoughts_are_free_and_the_answer_after_them_is_of_its_schema() {
    let mut model = nano();
    // What nano says hangs on the last bit of a logit, so that no seed thinks on every adapter: the test asks until one did.
    let answered_after_thoughts = (0..30).any(|seed| {
        let schema = &schemas()[[6, 25, 38][seed % 3]];
        let fields = briefly(&model, of(json_schema(schema), json!({ "seed": seed })));
        let choice = choice(chat(&mut model, &fields).unwrap_or_else(|error| panic!("{schema}: {error}")));
        // It may think until nothing is left.
        let answered = choice.finish_reason == FinishReason::Stop;
        if answered {
            assert_valid(schema, choice.message.content.as_deref().unwrap());
        }
        answered && choice.message.reasoning.is_some()
    });
    assert!(answered_after_thoughts, "of 30 answers none came after thoughts");
    let object = json!({ "response_format": { "type": "json_object" }, "max_tokens": 30 });
    let object = briefly(&model, object);
    let said = choice(chat(&mut model, &object).unwrap()).message.content.unwrap_or_default();
    assert!(said.is_empty() || said.starts_with('{'), "{said}");
}

#[test]
fn a_required_call_is_made_with_arguments_of_its_schema() {
    let mut model = nano();
    let parameters = &schemas()[23];
    let tool = |name: &str| json!({ "type": "function", "function": { "name": name, "parameters": parameters, "strict": true } });
    let tools = json!({ "tools": [tool("look_up"), tool("weather")] });
    for (tool_choice, names) in
        [(json!("required"), &["look_up", "weather"][..]), (json!({ "type": "function", "function": { "name": "weather" } }), &["weather"])]
    {
        let fields = briefly(&model, of(tools.clone(), json!({ "tool_choice": tool_choice })));
        let choice = choice(chat(&mut model, &fields).unwrap());
        assert_eq!(choice.finish_reason, FinishReason::ToolCalls);
        let [call] = &choice.message.tool_calls[..] else { panic!("{:?}", choice.message) };
        assert!(names.contains(&call.function.name.as_str()), "{call:?}");
        assert_valid(parameters, &call.function.arguments);
    }
    let none = briefly(&model, of(tools, json!({ "tool_choice": "none", "max_tokens": 40 })));
    assert!(choice(chat(&mut model, &none).unwrap()).message.tool_calls.is_empty());
}

#[test]
fn an_answer_is_of_its_grammar_and_one_that_is_cut_says_so() {
    let mut model = nano();
    let grammar = json!({ "grammar": "start: \"I say \" WORD (\", \" WORD){2} \".\"\nWORD: \"yes\" | \"no\"" });
    let grammar = briefly(&model, grammar);
    let said = choice(chat(&mut model, &grammar).unwrap()).message.content.unwrap();
    let words: Vec<&str> = said.strip_prefix("I say ").and_then(|rest| rest.strip_suffix('.')).unwrap().split(", ").collect();
    assert!(words.len() == 3 && words.iter().all(|word| matches!(*word, "yes" | "no")), "{said}");

    let cut = of(json_schema(&json!({ "type": "string", "minLength": 300 })), json!({ "max_tokens": 60, "n": 2 }));
    let cut = briefly(&model, cut);
    let cut = chat(&mut model, &cut).unwrap();
    assert!(cut.choices.iter().all(|choice| choice.finish_reason == FinishReason::Length));

    let request = json!({ "prompt": "the", "max_tokens": 30, "grammar": "start: /[ab]{5}/" }).to_string();
    let request = api::CompletionRequest::from_json(&request).unwrap();
    let text = pollster::block_on(model.complete(&request, &Cancel::default(), &mut |_| {})).unwrap();
    let text = &text.choices[0];
    assert!(text.text.len() == 5 && text.text.chars().all(|c| matches!(c, 'a' | 'b')), "{text:?}");
    assert_eq!(text.finish_reason, Some(FinishReason::Stop));
}

#[test]
fn what_cannot_be_met_is_refused_in_words_before_a_token_is_drawn() {
    let mut model = nano();
    let tools = json!([{ "type": "function", "function": { "name": "f", "strict": true, "parameters": { "type": "strange" } } }]);
    let plain_tools = json!([{ "type": "function", "function": { "name": "f" } }]);
    for (fields, words) in [
        (json_schema(&json!({ "type": "integer", "minimum": 5, "maximum": 3 })), "Unsatisfiable schema"),
        (json_schema(&json!({ "type": "strange" })), "strange"),
        (json_schema(&json!({ "$ref": "#/$defs/missing" })), "missing"),
        (json!({ "grammar": "start: \"a\" missing" }), "missing"),
        (json!({ "grammar": "start: <|end|>" }), "special token"),
        (json!({ "grammar": "start: \"unfinished" }), "lexer error"),
        (of(json_schema(&json!({})), json!({ "grammar": "start: \"a\"" })), "exclude each other"),
        (json!({ "tools": tools }), "strange"),
        (json!({ "tools": plain_tools, "tool_choice": "always" }), "`always`"),
        (json!({ "tools": plain_tools, "tool_choice": { "function": { "name": "g" } } }), "`g`"),
        (json!({ "tool_choice": "required" }), "no tools"),
    ] {
        let refused = chat(&mut model, &fields).unwrap_err();
        assert_eq!(refused.code(), "invalid_request", "{refused}");
        assert!(refused.to_string().contains(words), "{refused:?} lacks {words:?}");
        assert!(!refused.to_string().contains('<') || words == "special token", "{refused}");
    }
    assert_eq!(model.engine.gpu().counters().dispatches, 0);
}

#[test]
fn a_real_model_answers_in_json_and_says_that_its_format_has_no_calls() {
    let mut model = model(&made_model("smollm2-moe"));
    let mut questions = vec![(schemas()[6].clone(), "The colour of grass?"), (schemas()[25].clone(), "A short journey?")];
    // All 40 schemas so many times, as `cargo xtask test --long schemas` says.
    let tries = std::env::var("SCHEMA_TRIES").map_or(0, |n| n.parse().unwrap());
    questions.extend((0..tries).flat_map(|_| schemas()).map(|schema| (schema, "Give an example, as JSON.")));
    for (seed, (schema, question)) in questions.iter().enumerate() {
        let question = json!({ "messages": [{ "role": "user", "content": question }], "seed": seed });
        let choice = choice(chat(&mut model, &of(json_schema(schema), question)).unwrap());
        let content = choice.message.content.unwrap();
        println!("{seed}: {content}");
        assert_eq!(choice.finish_reason, FinishReason::Stop, "{content} of {schema}");
        assert_valid(schema, &content);
    }
    let tools = json!({ "tools": [{ "type": "function", "function": { "name": "f" } }], "tool_choice": "required" });
    assert!(chat(&mut model, &tools).unwrap_err().to_string().contains("only Harmony does"));
}
