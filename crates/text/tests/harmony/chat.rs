//! OpenAI chat requests to Harmony.

use serde_json::{Value, json};
use text::Error;
use text::chat::ChatRequest;
use text::harmony::Conversation;

fn render(request: Value) -> Result<String, Error> {
    let request = ChatRequest::from_json(&request.to_string())?;
    Ok(Conversation::try_from(&request)?.render_for_completion()?.to_string())
}

#[test]
fn an_effort_that_the_model_does_not_know_is_taken_as_the_nearest() {
    let taken = [("none", "low"), ("minimal", "low"), ("low", "low"), ("high", "high"), ("xhigh", "high"), ("max", "high")];
    for (asked, effort) in taken {
        let text = render(json!({"messages": [{"role": "user", "content": "1"}], "reasoning_effort": asked})).unwrap();
        assert!(text.contains(&format!("Reasoning: {effort}\n")), "{asked}: {text}");
    }
}

fn refusal(request: Value) -> String {
    render(request).unwrap_err().to_string()
}

#[test]
fn a_whole_request_renders() {
    let request = json!({
        "model": "gpt-oss-20b", "temperature": 1, "stream": true,
        "date": "2025-06-28", "reasoning_effort": "high", "tool_choice": "auto",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Use "}, {"type": "text", "text": "tools."}]},
            {"role": "user", "content": "Weather in Tokyo?", "name": "ada"},
            {"role": "assistant", "content": "I will look.", "reasoning": "Need a tool.", "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Tokyo\"}"}},
                {"id": "2", "type": "function", "function": {"name": "now", "arguments": {"utc": true}}}]},
            {"role": "tool", "tool_call_id": "2", "content": "12:00"},
            {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "sunny"}]}
        ],
        "tools": [
            {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters":
                {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}},
            {"type": "function", "function": {"name": "now"}}
        ]
    });
    assert_eq!(
        render(request).unwrap(),
        "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.
Knowledge cutoff: 2024-06
Current date: 2025-06-28

Reasoning: high

# Valid channels: analysis, commentary, final. Channel must be included for every message.
Calls to these tools must go to the commentary channel: 'functions'.<|end|><|start|>developer<|message|># Instructions

Be brief.

Use tools.

# Tools

## functions

namespace functions {

// The weather.
type weather = (_: {
city: string,
}) => any;

type now = () => any;

} // namespace functions<|end|><|start|>user:ada<|message|>Weather in Tokyo?<|end|>\
<|start|>assistant<|channel|>analysis<|message|>Need a tool.<|end|>\
<|start|>assistant<|channel|>commentary<|message|>I will look.<|end|>\
<|start|>assistant to=functions.weather<|channel|>commentary <|constrain|>json<|message|>{\"city\": \"Tokyo\"}<|call|>\
<|start|>assistant to=functions.now<|channel|>commentary <|constrain|>json<|message|>{\"utc\":true}<|call|>\
<|start|>functions.now to=assistant<|channel|>commentary<|message|>12:00<|end|>\
<|start|>functions.weather to=assistant<|channel|>commentary<|message|>sunny<|end|>\
<|start|>assistant"
    );
}

#[test]
fn an_answer_is_final_and_its_reasoning_is_forgotten() {
    let request = json!({"identity": "You are Quire.", "tools": null, "messages": [
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "2", "reasoning_content": "hm", "tool_calls": null},
        {"role": "user", "content": "3"}
    ]});
    assert_eq!(
        render(request).unwrap(),
        "<|start|>system<|message|>You are Quire.\nKnowledge cutoff: 2024-06\n\nReasoning: medium\n\n\
         # Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>\
         <|start|>user<|message|>1<|end|><|start|>assistant<|channel|>final<|message|>2<|end|>\
         <|start|>user<|message|>3<|end|><|start|>assistant"
    );
}

#[test]
fn a_json_schema_is_a_response_format() {
    let format = json!({"type": "json_schema", "json_schema": {"name": "list", "schema": {"type": "array"}}});
    let request = json!({"messages": [{"role": "user", "content": "1"}], "response_format": format});
    let text = render(request).unwrap();
    assert!(text.contains("# Response Formats\n\n## list\n\n{\"type\":\"array\"}<|end|>"), "{text}");
}

#[test]
fn messages_may_be_empty_as_answers_are_that_end_in_their_thoughts() {
    let with = |content: Value| json!({"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": content}]});
    for nothing in [json!(""), json!(null), json!([])] {
        let text = render(with(nothing)).unwrap();
        assert!(text.ends_with("<|start|>user<|message|><|end|><|start|>assistant"), "{text}");
    }
}

#[test]
fn what_cannot_be_rendered_is_refused_in_words() {
    let user = json!({"role": "user", "content": "1"});
    let with = |message: Value| json!({"messages": [user, message]});
    for (request, words) in [
        (json!({"messages": []}), "the chat request has no messages"),
        (json!([]), "the chat request is not valid: "),
        (with(json!({"role": "robot", "content": "1"})), "unknown variant `robot`"),
        (with(json!({"role": "user", "content": 5})), "content must be a string or an array of parts"),
        (
            with(json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]})),
            "message 1 has a part of type `image_url`; only `text` is supported",
        ),
        (
            with(json!({"role": "tool", "content": "1", "tool_call_id": "c9"})),
            "message 1 answers the tool call `c9`, which no message before it made",
        ),
        (with(json!({"role": "tool", "content": "1"})), "missing field `tool_call_id`"),
        (
            json!({"messages": [user], "tools": [{"type": "web_search"}]}),
            "tool 0 is of type `web_search`; only `function`, with a `function`, is supported",
        ),
        (json!({"messages": [user], "tools": [{"type": "function", "function": {"name": "a b"}}]}), "`a b` is no function name"),
        (json!({"messages": [user], "reasoning_effort": "huge"}), "unknown variant `huge`"),
        (json!({"messages": [user], "response_format": {"type": "xml"}}), "response format `xml` is not supported"),
        (json!({"messages": [{"role": "user", "content": "1", "name": "a b"}]}), "name must be a single word"),
    ] {
        let got = refusal(request);
        assert!(got.contains(words), "{got}, expected {words}");
    }
}
