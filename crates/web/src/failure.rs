//! Errors as JavaScript gets them: an `Error` with a `code`.

use api::ErrorReply;
use js_sys::Reflect;
use wasm_bindgen::JsValue;

pub(crate) enum Failure {
    Api(api::Error),
    Aborted,
    /// So many calls wait.
    Busy {
        waiting: usize,
    },
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

    fn words(&self) -> String {
        match self {
            Self::Api(error) => error.to_string(),
            Self::Aborted => "Aborted.".into(),
            Self::Busy { waiting: 0 } => "The model is answering another request.".into(),
            Self::Busy { waiting } => format!("The model is answering another request, and {waiting} wait."),
            Self::Request(words) | Self::Coded(_, words) => words.clone(),
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

impl From<Failure> for ErrorReply {
    fn from(failure: Failure) -> Self {
        match &failure {
            Failure::Api(error) => Self::from(error),
            Failure::Busy { .. } => Self::busy(failure.words()),
            Failure::Request(why) => Self::invalid(why),
            Failure::Aborted | Failure::Coded(..) => Self::unavailable(failure.words()),
        }
    }
}

impl From<Failure> for JsValue {
    fn from(failure: Failure) -> Self {
        let code = match &failure {
            Failure::Api(error) => error.code(),
            Failure::Aborted => "aborted",
            Failure::Busy { .. } => "busy",
            Failure::Request(_) => "invalid_request",
            Failure::Coded(code, _) => code,
        };
        let error = js_sys::Error::new(&failure.words());
        if matches!(failure, Failure::Aborted) {
            error.set_name("AbortError");
        }
        // Setting a property of a fresh object cannot fail.
        let _ = Reflect::set(&error, &"code".into(), &code.into());
        error.into()
    }
}
