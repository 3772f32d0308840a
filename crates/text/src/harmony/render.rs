//! Conversations as prompts.

use super::{Channel, Content, Conversation, Header, Message, Role, Special};
use crate::chat::Begun;
use crate::{Error, Prompt};

impl Conversation {
    /// The conversation as history: every message whole, the reasoning of finished turns left out.
    ///
    /// # Errors
    /// [`Error::HeaderField`] for a name, recipient, channel or content type that is missing where one must be,
    /// or is not a single word; [`Error::MisplacedContent`] for system or developer content under another role.
    pub fn render(&self) -> Result<Prompt, Error> {
        let has_functions =
            self.messages.iter().any(|message| matches!(&message.content, Content::Developer(content) if !content.functions.is_empty()));
        let mut prompt = Prompt::new();
        for message in self.remembered() {
            render_message(message, has_functions, &mut prompt)?;
        }
        Ok(prompt)
    }

    /// The conversation, and the start of the message that the assistant is to say next.
    ///
    /// # Errors
    /// As [`Conversation::render`].
    pub fn render_for_completion(&self) -> Result<Prompt, Error> {
        let mut prompt = self.render()?;
        prompt.markup(Special::Start.as_str());
        prompt.text(Role::Assistant.as_str());
        Ok(prompt)
    }

    /// What has been said after the end of [`Conversation::render_for_completion`] of a message that was only begun.
    #[must_use]
    pub fn opening(begun: &Begun) -> Prompt {
        let mut prompt = Prompt::new();
        let Begun { reasoning, content } = begun;
        if !reasoning.is_empty() {
            open(&Channel::Analysis, reasoning, &mut prompt);
        }
        if !reasoning.is_empty() && !content.is_empty() {
            prompt.markup(Special::End.as_str());
            prompt.markup(Special::Start.as_str());
            prompt.text(Role::Assistant.as_str());
        }
        if !content.is_empty() {
            open(&Channel::Final, content, &mut prompt);
        }
        prompt
    }

    /// All messages but the reasoning of finished turns. A turn begins with a user's message and is finished by
    /// an assistant's final one. Until then, as between the calls of a tool, the model needs its thoughts.
    fn remembered(&self) -> impl Iterator<Item = &Message> {
        let is_user = |message: &Message| message.header.role == Role::User;
        let turns = self.messages.chunk_by(move |_, next| !is_user(next));
        turns.flat_map(|turn| {
            let finished = turn.iter().rposition(is_final).unwrap_or(0);
            let remembered = move |(at, message): &(usize, &Message)| *at >= finished || message.header.channel != Some(Channel::Analysis);
            let turn = turn.iter().enumerate().filter(remembered);
            turn.map(|(_, message)| message)
        })
    }
}

fn open(channel: &Channel, text: &str, prompt: &mut Prompt) {
    prompt.markup(Special::Channel.as_str());
    prompt.text(channel.as_str());
    prompt.markup(Special::Message.as_str());
    prompt.text(text);
}

fn is_final(message: &Message) -> bool {
    message.header.role == Role::Assistant && message.header.channel == Some(Channel::Final)
}

fn render_message(message: &Message, has_functions: bool, prompt: &mut Prompt) -> Result<(), Error> {
    let header = &message.header;
    prompt.markup(Special::Start.as_str());
    render_header(header, prompt)?;
    prompt.markup(Special::Message.as_str());
    prompt.text(match &message.content {
        Content::Text(text) => text.clone(),
        Content::System(content) if header.role == Role::System => content.to_text(has_functions),
        Content::Developer(content) if header.role == Role::Developer => content.to_text(),
        Content::System(_) => return Err(misplaced("system", header.role)),
        Content::Developer(_) => return Err(misplaced("developer", header.role)),
    });
    let is_call = header.role == Role::Assistant && addressee(header).is_some();
    let end = if is_call { Special::Call } else { Special::End };
    prompt.markup(end.as_str());
    Ok(())
}

fn render_header(header: &Header, prompt: &mut Prompt) -> Result<(), Error> {
    let name = header.name.as_deref();
    match header.role {
        // A tool is called by its name alone.
        Role::Tool => prompt.text(word("tool name", name.unwrap_or_default())?),
        role => {
            prompt.text(role.as_str());
            if let Some(name) = name {
                prompt.text(format!(":{}", word("name", name)?));
            }
        }
    }
    if let Some(recipient) = addressee(header) {
        prompt.text(format!(" to={}", word("recipient", recipient)?));
    }
    if let Some(channel) = &header.channel {
        prompt.markup(Special::Channel.as_str());
        prompt.text(word("channel", channel.as_str())?);
    }
    if let Some(content_type) = &header.content_type {
        let name = word("content type", &content_type.name)?;
        if content_type.constrained {
            prompt.text(" ");
            prompt.markup(Special::Constrain.as_str());
            prompt.text(name);
        } else {
            prompt.text(format!(" {name}"));
        }
    }
    Ok(())
}

/// Whom a message is for; one for all is for nobody in particular.
fn addressee(header: &Header) -> Option<&str> {
    header.recipient.as_deref().filter(|name| *name != "all")
}

/// Header fields are told apart by spaces: each must be one word.
fn word<'a>(field: &'static str, got: &'a str) -> Result<&'a str, Error> {
    let is_word = !got.is_empty() && !got.contains(|c: char| c.is_whitespace() || c.is_control());
    is_word.then_some(got).ok_or_else(|| Error::HeaderField { field, got: got.into() })
}

fn misplaced(content: &'static str, role: Role) -> Error {
    Error::MisplacedContent { content, role: role.as_str() }
}
