//! The messages of an assistant's turn, where a request says what it must say.

use serde_json::json;

use super::content::FUNCTIONS;
use super::{Special, Specials};
use crate::chat::{ChatRequest, ToolFunction};
use crate::constrained::{Content, Form, Grammars, Opening, Turn};
use crate::{Error, Tokenizer};

/// A turn that calls the tools that `request` lets it call, with arguments of their schemas, and whose answer is of `form`. Thoughts are free.
///
/// # Errors
/// [`Error::ToolChoice`]; [`Error::Form`] for a form, or the schema of a strict tool, that cannot be read or met.
pub fn turn(
    request: &ChatRequest,
    form: Option<&Form>,
    specials: &Specials,
    tokenizer: &Tokenizer,
    grammars: &Grammars,
) -> Result<Turn, Error> {
    let choice = request.tool_choice()?;
    let opening =
        |header: &str, content| Opening { header: tokenizer.encode_special(&format!("<|start|>assistant{header}<|message|>")), content };
    let end = specials.id(Special::End);
    let thoughts = || Content::Free { end };
    let mut openings = vec![opening("<|channel|>analysis", thoughts())];

    for function in request.functions() {
        let function = function?;
        if !choice.allows(&function.name) {
            continue;
        }
        let matcher = grammars.matcher(&arguments(function, grammars))?;
        let content = || Content::Bound { matcher: matcher.clone(), ends: vec![specials.id(Special::Call)] };
        let name = &function.name;
        // The model was taught both.
        openings.push(opening(&format!("<|channel|>commentary to={FUNCTIONS}.{name} <|constrain|>json"), content()));
        openings.push(opening(&format!(" to={FUNCTIONS}.{name}<|channel|>commentary <|constrain|>json"), content()));
    }
    if openings.len() > 1 && (form.is_none() || choice.must_call()) {
        // What is said before a call; it would be content beside that of the form.
        openings.push(opening("<|channel|>commentary", thoughts()));
    }

    let is_return = specials.id(Special::Return);
    let bound = |form| Ok::<_, Error>(Content::Bound { matcher: grammars.matcher(form)?, ends: vec![is_return] });
    match (choice.must_call(), form) {
        (true, _) => {}
        (false, None) => openings.push(opening("<|channel|>final", Content::Free { end: is_return })),
        (false, Some(form @ Form::Json(_))) => openings.push(opening("<|channel|>final <|constrain|>json", bound(form)?)),
        (false, Some(form @ Form::Lark(_))) => openings.push(opening("<|channel|>final", bound(form)?)),
    }
    let said = tokenizer.encode_special("<|start|>assistant");
    Ok(Turn::new(openings, said, vec![end], grammars.text().clone()))
}

/// What the arguments of a call must be. Where nobody insists on a schema that cannot be followed, any object will do.
fn arguments(function: &ToolFunction, grammars: &Grammars) -> Form {
    let any = Form::Json(json!({ "type": "object" }));
    let Some(parameters) = &function.parameters else { return any };
    let form = Form::Json(parameters.clone());
    if function.is_strict() || grammars.matcher(&form).is_ok() { form } else { any }
}
