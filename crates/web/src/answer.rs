//! Requests answered: for JavaScript, or as by a server.

use api::{Call, Endpoint, ErrorReply, Frame};
use js_sys::Function;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::abort::Abort;
use crate::desk::Meanwhile;
use crate::failure::Failure;
use crate::{Quire, call, tell};

/// At this path a request is a name, and it is asked whether that is the model's.
const MODELS: &str = "/v1/models";

const JSON: &str = "application/json";

/// What the service worker makes an HTTP response of; `web/src/relay.ts` has the same.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Answer {
    Head {
        #[serde(rename = "type")]
        mime: &'static str,
    },
    Part {
        text: String,
    },
    Failed {
        status: u16,
        body: String,
    },
}

#[wasm_bindgen]
impl Quire {
    /// Answers what OpenAI's servers take at `path`, unless another call is answered; `on_part` gets the JSON of each part of a stream, the whole answer's is returned.
    pub async fn answer(
        &self,
        path: &str,
        request: &str,
        on_part: Function,
        signal: Option<web_sys::AbortSignal>,
    ) -> Result<String, JsValue> {
        let abort = Abort::new(signal);
        let work = async {
            let asked = read(path, request)?;
            let mut say = |frame| match frame {
                Frame::Data { json, .. } if asked.stream => call(&on_part, &json),
                _ => {}
            };
            self.reply(&asked, &abort, Meanwhile::Fail, &mut say).await
        };
        work.await.map_err(JsValue::from)
    }

    /// The same as by HTTP, after those who came before: `on_answer` gets the JSON of each [`Answer`].
    pub async fn respond(&self, path: &str, request: &str, on_answer: Function, signal: Option<web_sys::AbortSignal>) {
        let abort = Abort::new(signal);
        let work = async {
            if path == MODELS {
                self.check_name(request)?;
                tell(&on_answer, &Answer::Head { mime: JSON });
                return Ok(());
            }
            let asked = read(path, request)?;
            if let Some(model) = &asked.model {
                self.check_name(model)?;
            }
            let mime = if asked.stream { "text/event-stream" } else { JSON };
            let mut has_begun = false;
            let mut say = |frame: Frame| {
                // Nothing is refused any more. From now on whoever waits for the whole is missed if he goes.
                if !std::mem::replace(&mut has_begun, true) {
                    tell(&on_answer, &Answer::Head { mime });
                }
                if asked.stream {
                    tell(&on_answer, &Answer::Part { text: frame.to_string() });
                }
            };
            let text = self.reply(&asked, &abort, Meanwhile::Wait, &mut say).await?;
            if !asked.stream {
                tell(&on_answer, &Answer::Part { text });
            }
            Ok::<_, ErrorReply>(())
        };
        if let Err(reply) = work.await {
            tell(&on_answer, &Answer::Failed { status: reply.status, body: reply.json() });
        }
    }
}

impl Quire {
    /// Refuses the name of another model.
    fn check_name(&self, asked: &str) -> Result<(), ErrorReply> {
        if self.names.has(asked) { Ok(()) } else { Err(ErrorReply::no_such_model(asked, self.names.id())) }
    }

    async fn reply(&self, call: &Call, abort: &Abort, meanwhile: Meanwhile, on_frame: &mut dyn FnMut(Frame)) -> Result<String, Failure> {
        self.desk.lend(abort, meanwhile, async |model| Ok(model.reply(call, abort.cancel(), on_frame).await?.json)).await
    }
}

fn read(path: &str, request: &str) -> Result<Call, Failure> {
    let endpoint = Endpoint::from_path(path).ok_or_else(|| Failure::Request(format!("there is nothing at {path}")))?;
    Ok(Call::from_json(endpoint, request)?)
}
