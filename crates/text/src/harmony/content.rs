//! The two messages that set a conversation up, as data and as the text that the model reads.

use super::typescript;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How long the model may think. It knows three efforts; what OpenAI's clients ask for beyond them is taken as the nearest one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReasoningEffort {
    #[serde(alias = "none", alias = "minimal")]
    Low,
    #[default]
    Medium,
    #[serde(alias = "xhigh", alias = "max")]
    High,
}

/// What the model is told about itself and its circumstances. What is `None` or empty is left out of the text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SystemContent {
    pub identity: Option<String>,
    pub knowledge_cutoff: Option<String>,
    /// Today, `2025-06-28`.
    pub date: Option<String>,
    pub reasoning_effort: Option<ReasoningEffort>,
    /// Built-in tools: [`Namespace::browser`] and [`Namespace::python`].
    pub tools: Vec<Namespace>,
    pub valid_channels: Vec<String>,
}

/// What the developer of an application asks of the model: the "system prompt" of other formats.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DeveloperContent {
    pub instructions: Option<String>,
    /// Tools of the application, called as `functions.{name}`.
    pub functions: Vec<Function>,
    pub response_formats: Vec<ResponseFormat>,
}

/// Tools that are called as `{namespace}.{function}`; one without functions is called by its own name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Namespace {
    pub name: String,
    pub description: Option<String>,
    pub functions: Vec<Function>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Function {
    pub name: String,
    /// May be empty.
    pub description: String,
    /// JSON schema of the arguments; `None` for a function without any.
    pub parameters: Option<Value>,
}

/// A form in which the final answer may be asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResponseFormat {
    pub name: String,
    pub description: Option<String>,
    /// JSON schema of the answer.
    pub schema: Value,
}

/// The namespace of the application's own tools.
pub(super) const FUNCTIONS: &str = "functions";

impl Default for SystemContent {
    /// What the models were trained with, without a date.
    fn default() -> Self {
        Self {
            identity: Some("You are ChatGPT, a large language model trained by OpenAI.".into()),
            knowledge_cutoff: Some("2024-06".into()),
            date: None,
            reasoning_effort: Some(ReasoningEffort::default()),
            tools: Vec::new(),
            valid_channels: ["analysis", "commentary", "final"].map(String::from).into(),
        }
    }
}

impl ReasoningEffort {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ReasoningEffort::Low => "low",
            ReasoningEffort::Medium => "medium",
            ReasoningEffort::High => "high",
        }
    }
}

impl SystemContent {
    /// `has_functions`: whether the conversation's developer offers functions; the model is then told on which
    /// channel to call them.
    pub(super) fn to_text(&self, has_functions: bool) -> String {
        let cutoff = self.knowledge_cutoff.as_ref();
        let circumstances = [
            self.identity.clone(),
            cutoff.map(|cutoff| format!("Knowledge cutoff: {cutoff}")),
            self.date.as_ref().map(|date| format!("Current date: {date}")),
        ];
        let circumstances: Vec<String> = circumstances.into_iter().flatten().collect();
        let channels = || {
            let names = self.valid_channels.join(", ");
            let channels = format!("# Valid channels: {names}. Channel must be included for every message.");
            match has_functions {
                true => format!("{channels}\nCalls to these tools must go to the commentary channel: '{FUNCTIONS}'."),
                false => channels,
            }
        };
        let mut tools: Vec<&Namespace> = self.tools.iter().collect();
        tools.sort_by(|a, b| a.name.cmp(&b.name));

        let sections = [
            (!circumstances.is_empty()).then(|| circumstances.join("\n")),
            self.reasoning_effort.map(|effort| format!("Reasoning: {}", effort.as_str())),
            (!tools.is_empty()).then(|| tools_section(&tools)),
            (!self.valid_channels.is_empty()).then(channels),
        ];
        join_sections(sections.into_iter().flatten())
    }
}

impl DeveloperContent {
    pub(super) fn to_text(&self) -> String {
        let functions = || tools_section(&[&Namespace { name: FUNCTIONS.into(), description: None, functions: self.functions.clone() }]);
        let instructions = self.instructions.as_ref();
        let sections = [
            instructions.map(|instructions| format!("# Instructions\n\n{instructions}")),
            (!self.functions.is_empty()).then(functions),
            (!self.response_formats.is_empty()).then(|| "# Response Formats".into()),
        ];
        let formats = self.response_formats.iter().map(ResponseFormat::to_text);
        join_sections(sections.into_iter().flatten().chain(formats))
    }
}

impl ResponseFormat {
    fn to_text(&self) -> String {
        let description = self.description.as_deref().unwrap_or_default();
        let comment = comment_lines(description);
        format!("## {}\n\n{comment}{}", self.name, self.schema)
    }
}

impl Namespace {
    fn to_text(&self) -> String {
        let name = &self.name;
        let description = self.description.as_deref().unwrap_or_default();
        if self.functions.is_empty() {
            return format!("## {name}\n\n{description}");
        }
        let comment = comment_lines(description);
        let functions: String = self.functions.iter().map(Function::to_text).collect();
        format!("## {name}\n\n{comment}namespace {name} {{\n\n{functions}}} // namespace {name}")
    }
}

impl Function {
    fn to_text(&self) -> String {
        let comment = comment_lines(&self.description);
        let argument = match &self.parameters {
            Some(schema) => format!("_: {}", typescript::type_of(schema, "")),
            None => String::new(),
        };
        format!("{comment}type {} = ({argument}) => any;\n\n", self.name)
    }
}

fn tools_section(namespaces: &[&Namespace]) -> String {
    let namespaces = namespaces.iter().map(|namespace| namespace.to_text());
    join_sections(std::iter::once("# Tools".into()).chain(namespaces))
}

fn comment_lines(text: &str) -> String {
    text.lines().map(|line| format!("// {line}\n")).collect()
}

fn join_sections(sections: impl Iterator<Item = String>) -> String {
    sections.collect::<Vec<_>>().join("\n\n")
}
