//! What the model says, token by token, as messages.

use super::header::Draft;
use super::{Content, Header, Message, Role, Special, Specials};
use crate::{Detokenizer, Error};

/// Something that a token made known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message begins: its content follows.
    Start(Header),
    /// More of the content. Never empty, never half a character.
    Delta(String),
    /// The message is whole, or as whole as it gets.
    End(Stop),
}

/// What ended a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// `<|end|>`: another message of the same turn follows.
    End,
    /// `<|return|>`: the answer is whole.
    Return,
    /// `<|call|>`: the recipient is to be called.
    Call,
    /// `<|endoftext|>`: the model gave up on the format.
    EndOfText,
    /// No control token of its own: the stream ended, or the next message began.
    Cut,
}

/// Reads ids of a conversation or of a completion. It forgives what models get wrong; what it cannot make sense
/// of is an error that leaves the parser as it was, so that a caller may go on with the next token.
#[derive(Clone, Debug)]
pub struct Parser {
    specials: Specials,
    state: State,
    /// Of the content of the message being read.
    detokenizer: Detokenizer,
    messages: Vec<Message>,
}

#[derive(Clone, Debug)]
enum State {
    /// Between two messages.
    Outside,
    Header(Draft),
    Content {
        header: Header,
        text: String,
    },
}

impl Parser {
    /// For whole messages, each with its `<|start|>`.
    #[must_use]
    pub fn new(specials: Specials) -> Self {
        Self { specials, state: State::Outside, detokenizer: Detokenizer::new(), messages: Vec::new() }
    }

    /// For what follows a prompt that ends with `<|start|>assistant`.
    #[must_use]
    pub fn for_completion(specials: Specials) -> Self {
        Self { state: State::Header(Draft::new(Some(Role::Assistant))), ..Self::new(specials) }
    }

    /// Takes the next token: its `id`, and the `bytes` that it stands for.
    ///
    /// # Errors
    /// [`Error::UnexpectedToken`] for text between messages.
    pub fn push(&mut self, id: u32, bytes: &[u8]) -> Result<Vec<Event>, Error> {
        let special = self.specials.get(id);
        if special == Some(Special::Start) {
            let events = self.end(Stop::Cut);
            self.state = State::Header(Draft::new(None));
            return Ok(events);
        }
        if let Some(stop) = special.and_then(Stop::of) {
            return Ok(self.end(stop));
        }
        match &mut self.state {
            State::Outside => match special {
                // The model forgot `<|start|>assistant`.
                Some(Special::Channel) => {
                    let mut draft = Draft::new(Some(Role::Assistant));
                    draft.begin_channel();
                    self.state = State::Header(draft);
                }
                _ if bytes.iter().all(u8::is_ascii_whitespace) => {}
                _ => return Err(Error::UnexpectedToken { id }),
            },
            State::Header(draft) => match special {
                Some(Special::Message) => {
                    let header = draft.header();
                    self.state = State::Content { header: header.clone(), text: String::new() };
                    return Ok(vec![Event::Start(header)]);
                }
                Some(Special::Channel) => draft.begin_channel(),
                Some(Special::Constrain) => draft.begin_constrain(),
                _ => draft.push(bytes),
            },
            State::Content { text, .. } => {
                let delta = self.detokenizer.push(bytes);
                if !delta.is_empty() {
                    text.push_str(&delta);
                    return Ok(vec![Event::Delta(delta)]);
                }
            }
        }
        Ok(Vec::new())
    }

    /// Ends the stream. A message whose content had begun is finished with [`Stop::Cut`].
    ///
    /// # Errors
    /// [`Error::UnfinishedHeader`] if a message had begun but its content had not. The messages before it stay.
    pub fn finish(&mut self) -> Result<Vec<Event>, Error> {
        if let State::Header(draft) = &self.state {
            let header = draft.text();
            self.state = State::Outside;
            return Err(Error::UnfinishedHeader { header });
        }
        Ok(self.end(Stop::Cut))
    }

    /// The messages that are whole.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    #[must_use]
    pub fn into_messages(self) -> Vec<Message> {
        self.messages
    }

    /// The message whose content is coming in, and what there is of it.
    #[must_use]
    pub fn current(&self) -> Option<(&Header, &str)> {
        match &self.state {
            State::Content { header, text } => Some((header, text)),
            State::Outside | State::Header(_) => None,
        }
    }

    fn end(&mut self, stop: Stop) -> Vec<Event> {
        match std::mem::replace(&mut self.state, State::Outside) {
            State::Outside => Vec::new(),
            // A slip of the model, which goes on with another message.
            State::Header(_) if matches!(stop, Stop::End | Stop::Cut) => Vec::new(),
            State::Header(draft) => match draft.message_without_mark() {
                Some(message) => {
                    let start = Event::Start(message.header.clone());
                    let delta = message.text().map(|text| Event::Delta(text.into()));
                    self.messages.push(message);
                    let events = [Some(start), delta, Some(Event::End(stop))];
                    events.into_iter().flatten().collect()
                }
                None => Vec::new(),
            },
            State::Content { header, mut text } => {
                let rest = self.detokenizer.finish();
                text.push_str(&rest);
                let content = Content::Text(text);
                self.messages.push(Message { header, content });
                let delta = (!rest.is_empty()).then_some(Event::Delta(rest));
                delta.into_iter().chain([Event::End(stop)]).collect()
            }
        }
    }
}

impl Stop {
    fn of(special: Special) -> Option<Self> {
        match special {
            Special::End => Some(Stop::End),
            Special::Return => Some(Stop::Return),
            Special::Call => Some(Stop::Call),
            Special::EndOfText => Some(Stop::EndOfText),
            Special::Start | Special::Message | Special::Channel | Special::Constrain => None,
        }
    }
}
