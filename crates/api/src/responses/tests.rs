#![allow(clippy::unwrap_used, reason = "tests")]

use text::harmony::ReasoningEffort;

use super::*;
use crate::reply::{
    Chunk, ChunkChoice, CompletionDetails, Delta, FinishReason, FunctionDelta, Logprobs, LoneLogprob, PromptDetails, TokenLogprob,
    ToolCallDelta, Usage,
};

fn as_chat(body: Value) -> Value {
    let Value::Object(body) = body else { return Value::Null };
    input::as_chat(body).unwrap().into()
}

#[test]
fn a_text_with_instructions_is_a_system_and_a_user_message() {
    let chat = as_chat(json!({
        "model": "nano", "instructions": "Be brief.", "input": "Hello", "max_output_tokens": 9, "temperature": 0, "seed": 4, "n": 3,
        "reasoning": {"effort": "low"}, "include": ["message.output_text.logprobs"], "top_logprobs": 2,
    }));
    let expected = json!({
        "model": "nano", "temperature": 0, "seed": 4, "top_logprobs": 2,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        "reasoning_effort": "low", "max_completion_tokens": 9, "logprobs": true,
    });
    assert_eq!(chat, expected);
}

#[test]
fn what_an_assistant_thinks_says_and_calls_in_a_row_is_one_message() {
    let chat = as_chat(json!({"input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "I must look."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Looking.", "annotations": []}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "weather", "arguments": "{\"city\":\"Rome\"}"},
        {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "sun"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "rain"}]},
        {"role": "assistant", "content": "Sun."},
        {"role": "assistant", "content": "And rain."},
    ]}));
    let text = |text: &str| json!([{"type": "text", "text": text}]);
    let call = |id: &str, arguments: &str| json!({"id": id, "function": {"name": "weather", "arguments": arguments}});
    let expected = json!([
        {"role": "user", "content": text("Weather?")},
        {"reasoning": "I must look.", "content": text("Looking."),
            "tool_calls": [call("c1", "{\"city\":\"Rome\"}"), call("c2", "{}")], "role": "assistant"},
        {"role": "tool", "tool_call_id": "c1", "content": "sun"},
        {"role": "tool", "tool_call_id": "c2", "content": text("rain")},
        {"content": "Sun.", "role": "assistant"},
        {"content": "And rain.", "role": "assistant"},
    ]);
    assert_eq!(chat["messages"], expected);
    // And a chat takes it.
    assert!(Request::from_json(&chat.to_string()).unwrap().chat.check().is_ok());
}

#[test]
fn tools_and_formats_are_nested_as_a_chat_has_them() {
    let schema = json!({"type": "object"});
    let chat = as_chat(json!({
        "input": "x",
        "tools": [{"type": "function", "name": "f", "parameters": schema, "strict": true}, {"type": "web_search"}],
        "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": {"type": "json_schema", "name": "s", "schema": schema}},
    }));
    assert_eq!(chat["tools"][0], json!({"type": "function", "function": {"name": "f", "parameters": schema, "strict": true}}));
    assert_eq!(chat["tools"][1], json!({"type": "web_search"}));
    assert_eq!(chat["tool_choice"], json!({"type": "function", "function": {"name": "f"}}));
    assert_eq!(chat["response_format"], json!({"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}));
    assert_eq!(as_chat(json!({"input": "x", "tool_choice": "none", "text": {"format": {"type": "text"}}}))["tool_choice"], "none");
}

#[test]
fn an_effort_that_the_model_does_not_know_is_taken_as_the_nearest() {
    let taken = [("none", ReasoningEffort::Low), ("minimal", ReasoningEffort::Low), ("xhigh", ReasoningEffort::High)];
    for (asked, effort) in taken {
        let chat = as_chat(json!({"input": "x", "reasoning": {"effort": asked}}));
        assert_eq!(Request::from_json(&chat.to_string()).unwrap().chat.reasoning_effort, Some(effort), "{asked}");
    }
}

#[test]
fn what_cannot_be_answered_is_refused_in_words() {
    let cases = [
        (json!({}), "input must be a string or an array"),
        (json!({"input": "x", "previous_response_id": "resp_1"}), "nothing is stored here"),
        (json!({"input": "x", "background": true}), "background is not supported"),
        (json!({"input": [{"type": "item_reference", "id": "msg_1"}]}), "input item 0 is of type `item_reference`"),
        (json!({"input": [{"content": "x"}]}), "input item 0 is of type `message`"),
        (json!({"input": [{"role": "user", "content": "x"}, 7]}), "input item 1"),
        (json!({"input": "x", "max_output_tokens": 0}), "max_completion_tokens must be 1 or more"),
    ];
    for (body, words) in cases {
        let said = ResponseRequest::from_json(&body.to_string()).unwrap_err().to_string();
        assert!(said.contains(words), "{body}: {said}");
    }
}

fn chunk(delta: Delta, logprobs: Option<Logprobs>, finish_reason: Option<FinishReason>) -> Chunk {
    let choices = vec![ChunkChoice { index: 0, delta, logprobs, finish_reason }];
    Chunk { id: "c".into(), object: "chat.completion.chunk", created: 0, model: "m".into(), choices, usage: None, timings: None }
}

fn call(id: Option<&str>, name: Option<&str>, arguments: &str) -> Delta {
    let function = FunctionDelta { name: name.map(str::to_owned), arguments: arguments.to_owned() };
    Delta { tool_calls: vec![ToolCallDelta { index: 0, id: id.map(str::to_owned), kind: None, function }], ..Delta::default() }
}

/// The events of these chunks, and the response at their end.
fn happen(chunks: Vec<Chunk>) -> (Vec<Value>, Value) {
    let mut events = Vec::new();
    let mut on_event = |event: Event| events.push(event.0);
    let mut items = Items::new(Map::from_iter([("id".to_owned(), "resp_1".into())]));
    chunks.into_iter().for_each(|chunk| items.take(chunk, &mut on_event));
    let usage = Usage {
        prompt_tokens: 5,
        completion_tokens: 7,
        total_tokens: 12,
        prompt_tokens_details: PromptDetails { cached_tokens: 2 },
        completion_tokens_details: CompletionDetails { reasoning_tokens: 3 },
    };
    let response = items.end(&usage, &mut on_event);
    (events, response)
}

#[test]
fn thoughts_words_and_calls_are_items_that_begin_grow_and_end() {
    let reasoning = |text: &str| Delta { reasoning: Some(text.into()), ..Delta::default() };
    let content = |text: &str| Delta { content: Some(text.into()), ..Delta::default() };
    let token = LoneLogprob { token: "Loo".into(), logprob: -0.5, bytes: b"Loo".to_vec() };
    let logprobs = Logprobs { content: vec![TokenLogprob { token, top_logprobs: Vec::new() }], refusal: None };
    let (events, response) = happen(vec![
        chunk(Delta { role: Some("assistant"), ..Delta::default() }, None, None),
        chunk(reasoning("I "), None, None),
        chunk(reasoning("must."), None, None),
        chunk(content("Loo"), Some(logprobs), None),
        chunk(content("king."), None, None),
        chunk(call(Some("c1"), Some("weather"), ""), None, None),
        chunk(call(None, None, "{\"city\":"), None, None),
        chunk(call(None, None, "\"Rome\"}"), None, None),
        chunk(call(Some("c2"), Some("weather"), "{}"), None, None),
        chunk(Delta::default(), None, Some(FinishReason::ToolCalls)),
    ]);
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap().strip_prefix("response.").unwrap()).collect();
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(kinds, expected);
    assert!(events.iter().zip(0u64..).all(|(event, n)| event["sequence_number"] == n));
    let output = response["output"].as_array().unwrap();
    // What was added grows into what is done.
    for (index, item) in output.iter().enumerate() {
        let of = |kind: &str| events.iter().find(|event| event["type"] == kind && event["output_index"] == index).unwrap();
        assert_eq!(&of("response.output_item.done")["item"], item);
        assert_eq!(of("response.output_item.added")["item"]["id"], item["id"]);
        assert_eq!(of("response.output_item.added")["item"]["status"], "in_progress");
    }
    assert_eq!(output[0]["content"], json!([{"type": "reasoning_text", "text": "I must."}]));
    let logprobs = json!([{"token": "Loo", "logprob": -0.5, "bytes": [76, 111, 111], "top_logprobs": []}]);
    assert_eq!(output[1]["content"], json!([{"type": "output_text", "text": "Looking.", "annotations": [], "logprobs": logprobs}]));
    assert_eq!([&output[2]["call_id"], &output[2]["arguments"]], ["c1", "{\"city\":\"Rome\"}"]);
    assert_eq!([&output[3]["call_id"], &output[3]["arguments"]], ["c2", "{}"]);
    assert_eq!((&response["status"], &response["usage"]["output_tokens_details"]), (&json!("completed"), &json!({"reasoning_tokens": 3})));
    assert_eq!(events.last().unwrap()["response"], response);
}

#[test]
fn an_answer_that_is_cut_is_incomplete() {
    let content = Delta { content: Some("Once".into()), ..Delta::default() };
    let (events, response) = happen(vec![chunk(content, None, None), chunk(Delta::default(), None, Some(FinishReason::Length))]);
    assert_eq!(events.last().unwrap()["type"], "response.incomplete");
    assert_eq!(response["incomplete_details"], json!({"reason": "max_output_tokens"}));
    assert_eq!(response["output"][0]["status"], "incomplete");
}
