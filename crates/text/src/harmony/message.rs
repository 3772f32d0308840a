//! What is said in a conversation, by whom, to whom.

use super::{DeveloperContent, SystemContent};
use serde::{Serialize, Serializer};
use std::fmt;

/// Who speaks. When instructions contradict each other, an earlier role outranks a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
}

/// What an assistant's message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Reasoning, and calls of built-in tools.
    Analysis,
    /// Calls of functions, and preambles that the user may see.
    Commentary,
    /// The answer.
    Final,
    Other(String),
}

/// In what form the content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType {
    pub name: String,
    /// Whether `<|constrain|>` announced it.
    pub constrained: bool,
}

/// All of a message but its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Header {
    pub role: Role,
    /// For a tool its full name (`functions.weather`), which stands in the role's place; for others optional.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whom the message is for; a tool's name makes an assistant's message a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<ContentType>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    #[serde(flatten)]
    pub header: Header,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Content {
    Text(String),
    /// Only in a system message.
    System(SystemContent),
    /// Only in a developer message.
    Developer(DeveloperContent),
}

/// Messages in the order in which they were said.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Conversation {
    pub messages: Vec<Message>,
}

impl Message {
    #[must_use]
    pub fn system(content: SystemContent) -> Self {
        Self::new(Role::System, Content::System(content))
    }

    #[must_use]
    pub fn developer(content: DeveloperContent) -> Self {
        Self::new(Role::Developer, Content::Developer(content))
    }

    pub fn user(text: impl Into<String>) -> Self {
        Self::new(Role::User, Content::Text(text.into()))
    }

    pub fn assistant(channel: Channel, text: impl Into<String>) -> Self {
        let mut message = Self::new(Role::Assistant, Content::Text(text.into()));
        message.header.channel = Some(channel);
        message
    }

    /// A call of the tool `recipient` (`functions.weather`) with JSON arguments.
    pub fn call(recipient: impl Into<String>, arguments: impl Into<String>) -> Self {
        let mut message = Self::assistant(Channel::Commentary, arguments);
        message.header.recipient = Some(recipient.into());
        message.header.content_type = Some(ContentType { name: "json".into(), constrained: true });
        message
    }

    /// What the tool `name` (`functions.weather`) answered.
    pub fn tool(name: impl Into<String>, output: impl Into<String>) -> Self {
        let mut message = Self::new(Role::Tool, Content::Text(output.into()));
        message.header.name = Some(name.into());
        message.header.recipient = Some(Role::Assistant.as_str().into());
        message.header.channel = Some(Channel::Commentary);
        message
    }

    #[must_use]
    pub fn new(role: Role, content: Content) -> Self {
        Self { header: Header::new(role), content }
    }

    /// The content, where it is text: always so in what a model says.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            Content::System(_) | Content::Developer(_) => None,
        }
    }
}

impl Header {
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self { role, name: None, recipient: None, channel: None, content_type: None }
    }
}

impl Role {
    const ALL: [Role; 5] = [Role::System, Role::Developer, Role::User, Role::Assistant, Role::Tool];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::Developer => "developer",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

impl Channel {
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Channel::Analysis => "analysis",
            Channel::Commentary => "commentary",
            Channel::Final => "final",
            Channel::Other(name) => name,
        }
    }
}

impl From<&str> for Channel {
    fn from(name: &str) -> Self {
        match name {
            "analysis" => Channel::Analysis,
            "commentary" => Channel::Commentary,
            "final" => Channel::Final,
            other => Channel::Other(other.into()),
        }
    }
}

impl Serialize for Channel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.constrained { "<|constrain|>" } else { "" };
        write!(f, "{mark}{}", self.name)
    }
}

impl Serialize for ContentType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
