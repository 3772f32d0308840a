//! Errors as JavaScript gets them: an `Error` with a `code`.

use js_sys::Reflect;
use wasm_bindgen::JsValue;

pub(crate) enum Failure {
    Api(api::Error),
    Aborted,
    Busy,
    Request(String),
    /// A code of the JavaScript API, and words.
    Coded(&'static str, String),
}

impl Failure {
    /// Whether another version of a file is served than the one that reading began with.
    pub(crate) fn is_change(&self) -> bool {
        match self {
            Self::Api(error) => error.code() == "integrity",
            Self::Coded(code, _) => *code == "integrity",
            _ => false,
        }
    }
}

impl From<api::Error> for Failure {
    fn from(error: api::Error) -> Self {
        match error.code() {
            "aborted" => Self::Aborted,
            _ => Self::Api(error),
        }
    }
}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Self {
        Self::Api(error.into())
    }
}

impl From<Failure> for JsValue {
    fn from(failure: Failure) -> Self {
        let (code, words) = match &failure {
            Failure::Api(error) => (error.code(), error.to_string()),
            Failure::Aborted => ("aborted", "Aborted.".into()),
            Failure::Busy => ("busy", "The model is answering another request.".into()),
            Failure::Request(why) => ("invalid_request", why.clone()),
            Failure::Coded(code, words) => (*code, words.clone()),
        };
        let error = js_sys::Error::new(&words);
        if matches!(failure, Failure::Aborted) {
            error.set_name("AbortError");
        }
        // Setting a property of a fresh object cannot fail.
        let _ = Reflect::set(&error, &"code".into(), &code.into());
        error.into()
    }
}
