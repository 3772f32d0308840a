//! Harmony, the format in which gpt-oss models are spoken to and speak.
//!
//! `<|start|>{role}[:name][ to={recipient}][<|channel|>{channel}][ {content type}]<|message|>{content}<|end|>`
//!
//! A [`Conversation`] renders to a [`Prompt`](crate::Prompt); a [`Parser`] turns the ids that the model answers
//! with into [`Event`]s and [`Message`]s. Source: OpenAI's "Harmony response format"; where it is silent, the
//! behaviour of its reference implementation, `openai-harmony` 0.0.8.

mod builtin;
mod content;
mod from_chat;
mod header;
mod message;
mod parser;
mod render;
mod special;
mod turn;
mod typescript;

pub use content::{DeveloperContent, Function, Namespace, ReasoningEffort, ResponseFormat, SystemContent};
pub use message::{Channel, Content, ContentType, Conversation, Header, Message, Role};
pub use parser::{Event, Parser, Stop};
pub use special::{Special, Specials};
pub use turn::turn;
