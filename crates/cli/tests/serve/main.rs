//! `quire serve` over HTTP: nano says noise by seed, the parrot says what its script has.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should say so and stop")]

mod crowd;
mod metrics;
mod places;
mod readme;
mod server;

use std::io::{BufRead, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::{Answer, Server, endless, ends, hello, hello_nano, nano, parrot, part, until, with};
use tests::parrot;

#[test]
fn a_chat_is_answered_whole_and_in_parts() {
    let server = Server::start(&[&parrot()]);
    let whole = server.chat(&hello());
    assert_eq!((whole.status, whole.headers["content-type"].as_str()), (200, "application/json"));
    let whole = whole.json();
    let choice = &whole["choices"][0];
    assert_eq!([&whole["object"], &whole["model"], &choice["finish_reason"]], ["chat.completion", "parrot", "stop"]);
    assert_eq!(choice["message"], json!({"role": "assistant", "content": parrot::SAID, "refusal": null, "reasoning": parrot::THOUGHT}));
    // Of "<|channel|>analysis<|message|>They greet me.<|end|>…", three tokens are thoughts.
    assert_eq!(whole["usage"]["completion_tokens_details"]["reasoning_tokens"], 3);

    let stream = with(hello(), json!({"stream": true, "stream_options": {"include_usage": true}, "logprobs": true, "top_logprobs": 2}));
    let events = server.chat(&stream).events();
    assert_eq!(events.last().unwrap().1, "[DONE]");
    let chunks: Vec<&Value> = events[..events.len() - 1].iter().map(|(_, data)| data).collect();
    let text = |field: &str| chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"][field].as_str()).collect::<String>();
    assert_eq!([text("reasoning"), text("content")], [parrot::THOUGHT, parrot::SAID]);
    let logprobs: Vec<&Value> = chunks.iter().filter_map(|chunk| chunk["choices"][0].get("logprobs")).collect();
    assert!(logprobs.iter().all(|logprobs| logprobs.get("refusal") == Some(&Value::Null)), "{logprobs:?}");
    let tokens: Vec<&Value> = logprobs.iter().flat_map(|logprobs| logprobs["content"].as_array().unwrap()).collect();
    assert_eq!(tokens.iter().map(|token| token["token"].as_str().unwrap()).collect::<String>(), parrot::SAID);
    assert!(tokens.iter().all(|token| token["logprob"].as_f64().unwrap() > -1e-3 && token["top_logprobs"].as_array().unwrap().len() == 2));
    let usage = chunks.last().unwrap();
    assert_eq!((usage["choices"].as_array().unwrap().len(), &usage["usage"]["total_tokens"]), (0, &whole["usage"]["total_tokens"]));
}

#[test]
fn tools_are_called_and_their_results_are_taken() {
    let server = Server::start(&[&parrot()]);
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let tools = json!({"tools": [{"type": "function", "function": {"name": parrot::CALLED.0, "parameters": parameters}}]});
    let called = server.chat(&with(hello(), tools.clone())).json();
    let choice = &called["choices"][0];
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(call["function"], json!({"name": parrot::CALLED.0, "arguments": parrot::CALLED.1}));
    let mut turns = hello();
    let messages = turns["messages"].as_array_mut().unwrap();
    messages.push(choice["message"].clone());
    messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "sunny"}));
    let said = server.chat(&with(turns, tools)).json();
    assert_eq!(said["choices"][0]["message"]["content"], parrot::SAID, "{said}");
}

#[test]
fn a_response_is_answered_whole_and_in_events() {
    let server = Server::start(&[&parrot()]);
    let request = json!({"model": "parrot", "instructions": "Be kind.", "input": "Hello!", "temperature": 0.5});
    let whole = server.post("/v1/responses", &request).json();
    assert_eq!([&whole["object"], &whole["status"], &whole["instructions"]], ["response", "completed", "Be kind."]);
    let kinds: Vec<&Value> = whole["output"].as_array().unwrap().iter().map(|item| &item["type"]).collect();
    assert_eq!(kinds, ["reasoning", "message"]);
    assert_eq!(whole["output"][1]["content"][0]["text"], parrot::SAID);
    assert_eq!(whole["usage"]["output_tokens_details"]["reasoning_tokens"], 3);

    let events = server.post("/v1/responses", &with(request.clone(), json!({"stream": true}))).events();
    assert!(events.iter().all(|(name, data)| data["type"] == *name));
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names[0], *names.last().unwrap()), ("response.created", "response.completed"));
    let deltas = events.iter().filter(|(name, _)| name == "response.output_text.delta");
    assert_eq!(deltas.map(|(_, data)| data["delta"].as_str().unwrap()).collect::<String>(), parrot::SAID);
    assert_eq!(events.last().unwrap().1["response"]["output"][1]["content"], whole["output"][1]["content"]);

    let tool = json!({"tools": [{"type": "function", "name": parrot::CALLED.0, "parameters": {"type": "object"}}]});
    let called = server.post("/v1/responses", &with(request.clone(), tool.clone())).json();
    let call = &called["output"][0];
    assert_eq!([&call["type"], &call["name"], &call["arguments"]], ["function_call", parrot::CALLED.0, parrot::CALLED.1]);
    let input = json!([
        {"role": "user", "content": "Hello!"}, call, {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"},
    ]);
    let said = server.post("/v1/responses", &with(with(request, tool), json!({"input": input}))).json();
    assert_eq!(said["output"][0]["content"][0]["text"], parrot::SAID, "{said}");
}

#[test]
fn what_is_wrong_is_said_in_openais_form() {
    let server = Server::start(&[&nano(), "--context", "64", "--alias", "gpt-4o"]);
    let invalid = |code: Option<&str>| (400, "invalid_request_error".to_owned(), code.map(str::to_owned));
    let post = |path: &str, body: &str| server.request("POST", path, &[("content-type", "application/json")], Some(body)).error();
    assert_eq!(post("/v1/chat/completions", "{"), invalid(None));
    assert_eq!(post("/v1/chat/completions", r#"{"messages": []}"#), invalid(None));
    assert_eq!(post("/v1/completions", r#"{"prompt": "x", "n": 99}"#), invalid(None));
    assert_eq!(post("/v1/responses", r#"{"input": "x", "previous_response_id": "y"}"#), invalid(None));
    let long = json!({"prompt": "x".repeat(100)}).to_string();
    assert_eq!(post("/v1/completions", &long), invalid(Some("context_length_exceeded")));
    assert_eq!(post("/v1/completions", &with(json!({"stream": true}), serde_json::from_str(&long).unwrap()).to_string()).0, 400);
    let mut huge = TcpStream::connect(&server.address).unwrap();
    write!(huge, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", 17 << 20).unwrap();
    let mut refused = String::new();
    huge.read_to_string(&mut refused).unwrap();
    assert!(refused.starts_with("HTTP/1.1 400") && refused.contains(r#""code":"request_too_large""#), "{refused}");
    let not_found = |code: &str| (404, "invalid_request_error".to_owned(), Some(code.to_owned()));
    assert_eq!(post("/v1/completions", r#"{"model": "gpt-5", "prompt": "x"}"#), not_found("model_not_found"));
    assert_eq!(
        ["gpt-5", "%zz", "%FF"].map(|id| server.get(&format!("/v1/models/{id}")).error()),
        [(); 3].map(|()| not_found("model_not_found"))
    );
    assert_eq!([server.get("/page").error(), server.get("/v1/files").error()], [not_found("unknown_url"), not_found("unknown_url")]);
    assert_eq!(server.get("/v1/completions").error().0, 405);
    // By any of its names, which answers do not repeat.
    for name in ["gpt-4o", "nano", "nano.gguf", "openai/nano"] {
        let answer = server.post("/v1/completions", &json!({"model": name, "prompt": "x", "max_tokens": 1})).json();
        assert_eq!(answer["model"], "gpt-4o", "{answer}");
        assert_eq!(server.get(&format!("/v1/models/{name}")).json()["id"], "gpt-4o", "{name}");
    }
    assert_eq!(server.get("/v1/models").json()["data"][0]["id"], "gpt-4o");
    assert_eq!(server.get("/v1/models/nano").json()["context_length"], 64);
    assert_eq!(server.get("/health").json(), json!({"status": "ok"}));
}

#[test]
fn only_who_may_ask_is_answered() {
    let server = Server::start(&[&nano(), "--api-key", "s3cret", "--cors", "https://a.example"]);
    let models = |headers: &[(&str, &str)]| server.request("GET", "/v1/models", headers, None);
    let key = ("authorization", "Bearer s3cret");
    assert_eq!(models(&[]).error(), (401, "invalid_request_error".to_owned(), Some("invalid_api_key".to_owned())));
    assert_eq!([models(&[key]).status, server.get("/health").status], [200, 200]);
    assert_eq!([models(&[key, ("host", "evil.example")]).status, models(&[key, ("origin", "https://b.example")]).status], [403, 403]);
    let page = models(&[key, ("origin", "https://a.example")]);
    assert_eq!((page.status, page.headers["access-control-allow-origin"].as_str()), (200, "https://a.example"));
    let ask = [
        ("origin", "https://a.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,x-stainless-os"),
    ];
    let leave = server.request("OPTIONS", "/v1/chat/completions", &ask, None);
    assert_eq!((leave.status, leave.headers["access-control-allow-headers"].as_str()), (200, "authorization,x-stainless-os"));
    // Even those pages need the key, and can read that they do.
    assert_eq!(models(&ask[..1]).headers["access-control-allow-origin"], "https://a.example");
}

#[test]
fn the_page_is_at_the_root_or_why_it_is_not() {
    let server = Server::start(&[&nano(), "--api-key", "s3cret"]);
    let root = server.get("/");
    let policy = &root.headers["content-security-policy"];
    assert!(policy.contains("connect-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    // `cargo xtask package` may have made the page before this program was built, or after.
    match (root.status, root.headers["content-type"].as_str()) {
        (200, "text/html; charset=utf-8") => {
            assert!(root.body.contains("main.js"));
            assert_eq!([server.get("/main.js").status, server.get("/worker.js").status], [200, 401]);
        }
        (404, "text/plain; charset=utf-8") => assert!(root.body.contains("built without it"), "{}", root.body),
        other => panic!("{other:?}"),
    }
    assert_eq!(server.get("/config.json").json(), json!({"server": true}));
    assert_eq!([server.get("/v1/models").status, server.get("/page/index.html").status], [401, 401]);
    assert_eq!(server.request("POST", "/", &[], Some("x")).status, 404);
}

#[test]
fn who_has_the_key_sees_how_the_model_stands_while_it_answers_too() {
    let server = Server::start(&[&nano(), "--api-key", "s3cret"]);
    assert_eq!(server.get("/stats").status, 401);
    let key = [("authorization", "Bearer s3cret")];
    let stats = || server.request("GET", "/stats", &key, None).json();
    let before = stats();
    let (layers, heat) = (before["places"].as_array().unwrap(), before["heat"].as_array().unwrap());
    assert!(!layers.is_empty() && layers.len() == heat.len(), "{before}");
    assert!(layers.iter().all(|experts| experts.as_array().unwrap().iter().all(|place| ["gpu", "disk"].map(Value::from).contains(place))));
    assert_eq!(
        [&before["tokens"], &before["requests"], &before["keeps"]],
        [&json!(0), &json!({"in_hand": 0, "waiting": 0}), &json!(false)]
    );
    assert_eq!(before["fill"]["type"], "fill");

    let body = endless(true).to_string();
    let mut answer = TcpStream::connect(&server.address).unwrap();
    write!(
        answer,
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer s3cret\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let during = until("some tokens", || Some(stats()).filter(|stats| stats["tokens"].as_u64() > Some(5)));
    assert_eq!(during["requests"], json!({"in_hand": 1, "waiting": 0}));
    drop(answer);
    until("its end", || (stats()["requests"]["in_hand"] == 0).then_some(()));
}

#[test]
fn who_goes_away_frees_a_place_at_once_and_who_finds_none_may_come_again() {
    let server = Server::start(&[&nano(), "--queue", "2"]);
    let mut first = server.send("/v1/completions", &endless(true));
    let mut status = String::new();
    first.read_line(&mut status).unwrap();
    assert!(status.contains("200"), "{status}");
    let second = server.send("/v1/completions", &endless(false));
    until("two in hand", || (server.metric("quire_requests_in_hand") == 2.0).then_some(()));
    let refused = server.post("/v1/completions", &json!({"prompt": "x"}));
    assert_eq!(refused.error(), (429, "rate_limit_error".to_owned(), Some("rate_limit_exceeded".to_owned())));
    assert!(refused.headers["retry-after"].parse::<u32>().is_ok_and(|seconds| (1..=60).contains(&seconds)));
    // Who waits, then who listens to an answer of thousands of tokens.
    let begin = Instant::now();
    drop(second);
    until("the place of who waited", || (server.metric("quire_requests_in_hand") == 1.0).then_some(()));
    drop(first);
    until("the place of who listened", || (server.metric("quire_requests_in_hand") == 0.0).then_some(()));
    assert!(begin.elapsed() < Duration::from_secs(4), "the places were free after {:?}", begin.elapsed());
    let begin = Instant::now();
    assert_eq!(server.post("/v1/completions", &json!({"prompt": "x", "max_tokens": 2})).status, 200);
    assert!(begin.elapsed() < Duration::from_secs(20), "the model goes on for nobody");
    assert_eq!(server.metric("quire_answers_broken_off_total"), 1.0);
}

#[test]
fn a_stream_that_waits_is_not_silent() {
    let server = Server::start(&[&nano()]);
    let _first = server.send("/v1/completions", &endless(false));
    let second = server.send("/v1/completions", &json!({"prompt": "x", "stream": true}));
    assert!(second.lines().map_while(Result::ok).any(|line| line == ":"), "a comment should come");
}

#[test]
fn what_cannot_be_answered_is_refused_while_others_wait_in_streams_too() {
    let server = Server::start(&[&nano(), "--context", "4096"]);
    let mut first = server.send("/v1/completions", &with(endless(true), json!({"max_tokens": 4000})));
    first.read_line(&mut String::new()).unwrap();
    let stream = |body: Value| with(body, json!({"stream": true}));
    let impossible =
        json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "integer", "minimum": 5, "maximum": 3}}});
    let long = json!([{"role": "user", "content": "x".repeat(9000)}]);
    let code = |answer: Answer| (answer.status, answer.error().2);
    let begin = Instant::now();
    assert_eq!(code(server.chat(&stream(json!({"messages": long})))), (400, Some("context_length_exceeded".into())));
    assert_eq!(code(server.post("/v1/responses", &stream(json!({"input": long})))), (400, Some("context_length_exceeded".into())));
    assert_eq!(code(server.chat(&stream(with(hello_nano(), json!({"response_format": impossible}))))), (400, None));
    assert_eq!(code(server.post("/v1/completions", &stream(json!({"prompt": "x", "response_format": impossible})))), (400, None));
    assert_eq!(code(server.post("/v1/completions", &json!({"prompt": ["x", ""]}))), (400, None));
    assert!(begin.elapsed() < Duration::from_secs(4), "they waited");
    assert_eq!(server.metric("quire_requests_in_hand"), 1.0);
}

#[test]
fn two_streams_advance_at_the_same_time_and_a_third_waits() {
    let server = Server::start(&[&nano(), "--parallel", "2"]);
    let mut streams = [(); 2].map(|()| server.send("/v1/completions", &endless(true)));
    for _ in 0..10 {
        // Neither has ended, so the other's parts come between.
        let parts = streams.each_mut().map(|stream| part(stream).unwrap());
        assert!(parts.iter().all(|part| part.contains(r#""finish_reason":null"#)), "{parts:?}");
    }
    let mut third = server.send("/v1/completions", &json!({"prompt": "x", "max_tokens": 2, "stream": true, "logit_bias": ends()}));
    until("the third waits", || (server.metric("quire_requests_waiting") == 1.0).then_some(()));
    assert!(part(&mut streams[0]).is_some() && part(&mut streams[1]).is_some());
    // Its turn comes when one of them goes.
    let [first, mut second] = streams;
    drop(first);
    assert!(part(&mut third).is_some());
    assert!(part(&mut second).is_some());
    while part(&mut third).is_some() {}
    until("the third's place", || (server.metric("quire_requests_in_hand") == 1.0).then_some(()));
}

#[test]
fn nothing_that_was_said_is_logged() {
    let server = Server::start(&[&parrot(), "-vv"]);
    let body = json!({"messages": [{"role": "user", "content": "xyzzy"}], "user": "xyzzy"});
    assert_eq!(server.chat(&body).status, 200);
    assert_eq!(server.request("POST", "/v1/chat/completions", &[], Some(r#"{"messages": "xyzzy"}"#)).status, 400);
    // It breaks off in the header of its thoughts.
    assert_eq!(server.chat(&with(body, json!({"max_completion_tokens": 2}))).status, 200);
    until("all are logged", || (server.said().matches("/v1/chat/completions").count() == 3).then_some(()));
    let said = server.said();
    assert!(said.contains("the answer broke off"), "{said}");
    for word in ["xyzzy", "analysis", parrot::THOUGHT, parrot::SAID] {
        assert!(!said.contains(word), "{word}: {said}");
    }
}

#[test]
fn each_answer_has_an_id_of_its_own_which_the_log_knows() {
    let server = Server::start(&[&nano(), "-v", "--cors", "https://a.example"]);
    let found =
        [server.get("/v1/models"), server.get("/v1/models"), server.get("/v1/files")].map(|answer| answer.headers["x-request-id"].clone());
    assert!(found[0] != found[1] && found.iter().all(|id| id.len() == 36 && id.split('-').count() == 5), "{found:?}");
    until("they are logged", || found.iter().all(|id| server.said().contains(id)).then_some(()));
    let page = server.request("GET", "/v1/models", &[("origin", "https://a.example")], None);
    assert!(page.headers["access-control-expose-headers"].contains("x-request-id"));
}

#[cfg(unix)]
#[test]
fn an_interrupted_server_ends_the_answer_under_way_and_then_itself() {
    let mut server = Server::start(&[&nano()]);
    let body = json!({"prompt": "x", "max_tokens": 40, "stream": true, "logit_bias": ends()});
    let mut answer = server.send("/v1/completions", &body);
    answer.read_line(&mut String::new()).unwrap();
    let killed = Command::new("kill").args(["-INT", &server.program.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("data: [DONE]"), "{rest}");
    assert_eq!(server.program.wait().unwrap().code(), Some(0));
}
