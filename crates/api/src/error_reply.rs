//! Errors as OpenAI's servers put them: a status, and `{"error": {message, type, param, code}}`.

use std::time::Duration;

use serde::Serialize;

use crate::Error;

/// What a client gets instead of an answer. The official clients make the error's class of `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorReply {
    /// Of HTTP.
    #[serde(skip)]
    pub status: u16,
    pub message: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub param: Option<&'static str>,
    pub code: Option<&'static str>,
}

const INVALID: &str = "invalid_request_error";
const SERVER: &str = "server_error";

impl ErrorReply {
    fn new(status: u16, kind: &'static str, code: Option<&'static str>, message: String) -> Self {
        Self { status, message, kind, param: None, code }
    }

    /// A request that is wrong, in words.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, INVALID, None, message.into())
    }

    pub fn wrong_key() -> Self {
        Self::new(401, INVALID, Some("invalid_api_key"), "the API key is missing or wrong".into())
    }

    /// Somebody who may not ask, whatever the key.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(403, INVALID, None, message.into())
    }

    pub fn no_such_path(method: &str, path: &str) -> Self {
        Self::new(404, INVALID, Some("unknown_url"), format!("there is nothing at {method} {path}"))
    }

    /// `served`: what may be asked for.
    pub fn no_such_model(asked: &str, served: &str) -> Self {
        let reply = Self::new(404, INVALID, Some("model_not_found"), format!("there is no model {asked:?} here; there is {served:?}"));
        Self { param: Some("model"), ..reply }
    }

    pub fn wrong_method(method: &str, path: &str) -> Self {
        Self::new(405, INVALID, Some("method_not_supported"), format!("{path} does not take {method}"))
    }

    /// A request of which nothing came for so long.
    pub fn timed_out(waited: Duration) -> Self {
        Self::new(408, INVALID, Some("request_timeout"), format!("nothing came of the request for {} s", waited.as_secs()))
    }

    /// `limit`: in bytes.
    pub fn too_large(limit: usize) -> Self {
        Self::new(400, INVALID, Some("request_too_large"), format!("the request has more than {limit} bytes"))
    }

    /// While no more requests are taken, because of those that are in hand.
    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(429, "rate_limit_error", Some("rate_limit_exceeded"), message.into())
    }

    /// While nothing can be answered, for a reason that passes.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, SERVER, Some("unavailable"), message.into())
    }

    /// `{"error": {…}}`
    pub fn json(&self) -> String {
        serde_json::json!({ "error": self }).to_string()
    }
}

impl From<&Error> for ErrorReply {
    fn from(error: &Error) -> Self {
        let message = error.to_string();
        match error.code() {
            // What is not supported of a model that was loaded is to chat with it.
            "invalid_request" | "unsupported" => Self::invalid(message),
            "context_length" => Self::new(400, INVALID, Some("context_length_exceeded"), message),
            // Whoever has gone does not read it; others see that it was not their doing.
            "aborted" => Self::unavailable("the answer was cut short"),
            code @ ("out_of_memory" | "device_lost") => Self::new(503, SERVER, Some(code), message),
            code => Self::new(500, SERVER, Some(code), message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_did_wrong_is_400_and_what_the_server_did_is_500() {
        let cases = [
            (Error::Request { why: "n must be 1 to 16".into() }, 400, None),
            (engine::Error::ContextLength { got: 9, context: 8 }.into(), 400, Some("context_length_exceeded")),
            (text::Error::NoMessages.into(), 400, None),
            (Error::NoDialect, 400, None),
            (engine::Error::Gpu { why: "it burns".into() }.into(), 500, Some("internal")),
            (engine::Error::DeviceLost { why: "unplugged".into() }.into(), 503, Some("device_lost")),
        ];
        for (error, status, code) in cases {
            let reply = ErrorReply::from(&error);
            assert_eq!((reply.status, reply.code), (status, code), "{error}");
            assert_eq!(reply.message, error.to_string());
        }
    }

    #[test]
    fn the_body_is_openais() {
        let reply = ErrorReply::no_such_model("gpt-5", "nano");
        let body = r#"{"error":{"message":"there is no model \"gpt-5\" here; there is \"nano\"","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#;
        assert_eq!(reply.json(), body);
    }
}
