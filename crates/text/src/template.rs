//! Chat templates of other models: the Jinja program in a GGUF's `tokenizer.chat_template`, run on a chat request
//! as Hugging Face's transformers runs it. The program comes with the file and is not trusted: its time, memory
//! and recursion are limited. Nor is what the messages say: it is marked, and stays text.

mod date;
mod json;
mod marks;

use crate::chat::{Calls, ChatMessage, ChatRequest, ToolCall};
use crate::{Error, Prompt};
use marks::Marks;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Rest, Serde, ValueKind};
use minijinja::{Environment, ErrorKind, State, Value as Jinja};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Steps that a template may take, and 64-byte blocks that it may make: some hundred times what a long
/// conversation needs, and at most 128 MB.
const FUEL: u64 = 2_000_000;
/// Macros and blocks within each other. WebAssembly's stack is small.
const RECURSION_LIMIT: usize = 100;

/// What a template needs to know of the vocabulary.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    pub bos_token: String,
    pub eos_token: String,
    /// Texts of the control tokens: `<|im_end|>`.
    pub control: Vec<String>,
    /// Texts of other tokens that are whole wherever the template writes them: `<think>`.
    pub user_defined: Vec<String>,
}

/// A model's chat template, compiled.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
    marks: Arc<Marks>,
}

const NAME: &str = "chat_template";

impl Template {
    /// # Errors
    /// [`Error::TemplateSyntax`] for a program that is not Jinja.
    pub fn new(source: &str, vocabulary: Vocabulary) -> Result<Self, Error> {
        let marks = Arc::new(Marks::new(&vocabulary.control, &vocabulary.user_defined));
        let mut environment = Environment::new();
        environment.set_syntax(syntax()?);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(RECURSION_LIMIT);
        environment.set_unknown_method_callback(method);
        environment.add_filter("tojson", json::tojson);
        environment.add_filter("split", split_filter);
        environment.add_function("raise_exception", raise_exception);
        environment.add_template_owned(NAME, without_generation(source)).map_err(|error| syntax_error(&error))?;
        Ok(Self { environment, bos_token: vocabulary.bos_token, eos_token: vocabulary.eos_token, marks })
    }

    /// What the model is to continue with its answer to `request`.
    ///
    /// # Errors
    /// As [`ChatRequest::check`]; [`Error::TemplateRefused`] if the template does not take such messages (many
    /// want user and assistant in turn); [`Error::TemplateRun`] if it fails or takes too long;
    /// [`Error::TemplateCut`] if it cuts what a message says so that nobody can tell what is whose.
    pub fn render(&self, request: &ChatRequest) -> Result<Prompt, Error> {
        request.check()?;
        let mut environment = self.environment.clone();
        let date = request.date.clone();
        environment.add_function("strftime_now", move |format: &str| date::strftime(date.as_deref(), format));
        let template = environment.get_template(NAME).map_err(run_error)?;
        let context = Jinja::from(Serde(self.context(request)?));
        let output = template.render(context).map_err(run_error)?;
        self.marks.prompt(&output)
    }

    /// The variables of the template, by the names that transformers gives them.
    fn context(&self, request: &ChatRequest) -> Result<Value, Error> {
        let mut calls = Calls::default();
        let mut messages = Vec::new();
        for (index, message) in request.messages.iter().enumerate() {
            messages.push(self.message(index, message, &mut calls)?);
        }
        let mut context = Map::new();
        context.insert("messages".into(), messages.into());
        context.insert("add_generation_prompt".into(), true.into());
        context.insert("bos_token".into(), self.bos_token.clone().into());
        context.insert("eos_token".into(), self.eos_token.clone().into());
        if !request.tools.is_empty() {
            let tools = request.functions().map(|function| {
                let function = function?;
                let mut tool = Map::new();
                tool.insert("name".into(), function.name.clone().into());
                let description = function.description.clone().unwrap_or_default();
                tool.insert("description".into(), self.marks.wrap(&description).into());
                let parameters = function.parameters.clone().unwrap_or_else(|| json!({}));
                tool.insert("parameters".into(), self.marks.wrap_json(parameters));
                Ok(json!({"type": "function", "function": tool}))
            });
            let tools = tools.collect::<Result<Vec<Value>, Error>>()?;
            context.insert("tools".into(), tools.into());
        }
        if let Some(effort) = request.reasoning_effort {
            context.insert("reasoning_effort".into(), effort.as_str().into());
        }
        if let Some(identity) = &request.identity {
            context.insert("model_identity".into(), self.marks.wrap(identity).into());
        }
        Ok(context.into())
    }

    fn message<'a>(&self, index: usize, message: &'a ChatMessage, calls: &mut Calls<'a>) -> Result<Value, Error> {
        let text = self.marks.wrap(&message.content().join(index)?);
        Ok(match message {
            // Few templates know developers.
            ChatMessage::System { .. } | ChatMessage::Developer { .. } => {
                json!({"role": "system", "content": text})
            }
            ChatMessage::User { name: None, .. } => json!({"role": "user", "content": text}),
            ChatMessage::User { name: Some(name), .. } => json!({"role": "user", "name": self.marks.wrap(name), "content": text}),
            ChatMessage::Assistant { reasoning, tool_calls, .. } => {
                let mut message = Map::new();
                message.insert("role".into(), "assistant".into());
                message.insert("content".into(), text.into());
                if let Some(thoughts) = reasoning.as_deref().filter(|text| !text.is_empty()) {
                    // By either of the names that templates know it by.
                    let thoughts = self.marks.wrap(thoughts);
                    message.insert("reasoning_content".into(), thoughts.clone().into());
                    message.insert("thinking".into(), thoughts.into());
                }
                if !tool_calls.is_empty() {
                    let tool_calls: Vec<Value> = tool_calls.iter().map(|call| self.tool_call(call)).collect();
                    message.insert("tool_calls".into(), tool_calls.into());
                }
                calls.add(tool_calls);
                message.into()
            }
            ChatMessage::Tool { tool_call_id, .. } => json!({
                "role": "tool",
                "name": calls.function_of(index, tool_call_id)?,
                "tool_call_id": self.marks.wrap(tool_call_id),
                "content": text,
            }),
        })
    }

    fn tool_call(&self, call: &ToolCall) -> Value {
        let json = call.function.arguments_text();
        // Templates write arguments with `tojson`, so they get the object where there is one.
        let arguments = match serde_json::from_str(&json) {
            Ok(arguments) => self.marks.wrap_json(arguments),
            Err(_) => self.marks.wrap(&json).into(),
        };
        let function = json!({"name": call.function.name, "arguments": arguments});
        json!({"id": self.marks.wrap(&call.id), "type": "function", "function": function})
    }
}

/// Lines that hold nothing but blocks leave nothing behind.
fn syntax() -> Result<SyntaxConfig, Error> {
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(|error| syntax_error(&error))
}

/// transformers marks what an assistant says by `{% generation %}`, for training. It changes nothing else, so it
/// becomes a block that changes nothing, with the blanks around it treated alike.
fn without_generation(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(end) = rest[start..].find("%}").map(|len| start + len + 2) else {
            break;
        };
        let tag = &rest[start + 2..end - 2];
        let neutral = match tag.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+') {
            "generation" => Some(tag.replace("generation", "if true")),
            "endgeneration" => Some(tag.replace("endgeneration", "endif")),
            _ => None,
        };
        text.push_str(&rest[..start + 2]);
        match neutral {
            Some(neutral) => {
                text.push_str(&neutral);
                rest = &rest[end - 2..];
            }
            None => rest = &rest[start + 2..],
        }
    }
    text + rest
}

/// Python's methods; those that take a string apart carry its marks along.
fn method(state: &mut State<'_, '_>, value: &Jinja, name: &str, args: &[Jinja]) -> Result<Jinja, minijinja::Error> {
    if value.kind() == ValueKind::String
        && let Some(text) = value.as_str()
        && let Some(result) = marks::method(text, name, args)?
    {
        return Ok(result);
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
}

fn split_filter(state: &mut State<'_, '_>, value: &Jinja, args: Rest<Jinja>) -> Result<Jinja, minijinja::Error> {
    method(state, value, "split", &args)
}

/// What [`raise_exception`] says begins with this, to be told from failures.
const REFUSAL: &str = "refused: ";

fn raise_exception(message: &str) -> Result<Jinja, minijinja::Error> {
    let message = format!("{REFUSAL}{}", marks::unmark(message));
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

fn syntax_error(error: &minijinja::Error) -> Error {
    Error::TemplateSyntax { reason: describe(error) }
}

fn run_error(error: minijinja::Error) -> Error {
    match error.detail().and_then(|text| text.strip_prefix(REFUSAL)) {
        Some(message) => Error::TemplateRefused { message: message.into() },
        None => Error::TemplateRun { reason: describe(&error) },
    }
}

fn describe(error: &minijinja::Error) -> String {
    let detail = marks::unmark(error.detail().unwrap_or_default());
    let line = error.line().map(|line| format!(" in line {line}"));
    let kind = error.kind().to_string();
    let separator = if detail.is_empty() { "" } else { ": " };
    format!("{kind}{}{separator}{detail}", line.unwrap_or_default())
}
