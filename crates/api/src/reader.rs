//! Sampled ids as deltas of a message.

use text::harmony::{Channel, Event, Header, Parser, Role, Stop};
use text::{Detokenizer, Tokenizer};

use crate::Dialect;
use crate::reply::{Delta, FunctionDelta, ToolCallDelta};
use crate::request::entropy;
use crate::stop::StopStrings;

/// Reads one answer.
#[derive(Debug)]
pub(crate) struct Reader {
    form: Form,
    stop: StopStrings,
    n_calls: usize,
    /// Whether the answer ended with a call.
    pub(crate) calls: bool,
    /// Whether a stop string came.
    pub(crate) stopped: bool,
}

#[derive(Debug)]
enum Form {
    Harmony { parser: Box<Parser>, part: Part },
    Plain(Detokenizer),
}

/// What the message being read is to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Reasoning,
    Content,
    Call,
    /// Said in another's name: of no concern.
    Nothing,
}

impl Reader {
    pub(crate) fn new(dialect: &Dialect, stops: Vec<String>) -> Self {
        match dialect {
            Dialect::Harmony(specials) => {
                Self::of(Form::Harmony { parser: Box::new(Parser::for_completion(*specials)), part: Part::Nothing }, stops)
            }
            Dialect::Template(_) => Self::plain(stops),
        }
    }

    /// For text without a format.
    pub(crate) fn plain(stops: Vec<String>) -> Self {
        Self::of(Form::Plain(Detokenizer::new()), stops)
    }

    fn of(form: Form, stops: Vec<String>) -> Self {
        Self { form, stop: StopStrings::new(stops), n_calls: 0, calls: false, stopped: false }
    }

    /// Stops at these strings from here on.
    pub(crate) fn stop_at(&mut self, stops: Vec<String>) {
        self.stop = StopStrings::new(stops);
    }

    /// Takes a token. After a stop string nothing more comes out.
    pub(crate) fn push(&mut self, id: u32, tokenizer: &Tokenizer) -> Vec<Delta> {
        let bytes = tokenizer.token_bytes(id).unwrap_or_default();
        match &mut self.form {
            Form::Plain(detokenizer) => {
                if tokenizer.is_control(id) {
                    return Vec::new();
                }
                let text = detokenizer.push(bytes);
                self.content(&text).into_iter().collect()
            }
            Form::Harmony { parser, .. } => match parser.push(id, bytes) {
                Ok(events) => events.into_iter().filter_map(|event| self.event(event)).collect(),
                // In words of its own: what a model wrote is in no log.
                Err(_) => {
                    log::debug!("a token between two messages is passed over");
                    Vec::new()
                }
            },
        }
    }

    /// Whether token `id`, the last that was pushed, is of the content, now or when what is held back comes out.
    pub(crate) fn is_content(&self, id: u32, tokenizer: &Tokenizer) -> bool {
        let in_content = matches!(self.form, Form::Plain(_) | Form::Harmony { part: Part::Content, .. });
        in_content && !self.stopped && !tokenizer.is_control(id)
    }

    /// Whether token `id`, the last that was pushed, was thought rather than said.
    pub(crate) fn is_reasoning(&self, id: u32, tokenizer: &Tokenizer) -> bool {
        matches!(self.form, Form::Harmony { part: Part::Reasoning, .. }) && !tokenizer.is_control(id)
    }

    /// What is left when no token follows.
    pub(crate) fn finish(&mut self) -> Vec<Delta> {
        let mut deltas: Vec<Delta> = match &mut self.form {
            Form::Plain(detokenizer) => {
                let text = detokenizer.finish();
                self.content(&text).into_iter().collect()
            }
            Form::Harmony { parser, .. } => match parser.finish() {
                Ok(events) => events.into_iter().filter_map(|event| self.event(event)).collect(),
                Err(_) => {
                    log::debug!("the answer broke off within a header");
                    Vec::new()
                }
            },
        };
        if !self.stopped {
            let content = self.stop.finish();
            deltas.extend((!content.is_empty()).then(|| Delta { content: Some(content), ..Delta::default() }));
        }
        deltas
    }

    fn event(&mut self, event: Event) -> Option<Delta> {
        let Form::Harmony { part, .. } = &mut self.form else { return None };
        match event {
            Event::Start(header) => {
                *part = Part::of(&header);
                (*part == Part::Call).then(|| self.begin_call(&header))
            }
            Event::Delta(text) => match part {
                Part::Nothing => None,
                Part::Reasoning => Some(Delta { reasoning: Some(text), ..Delta::default() }),
                Part::Content => self.content(&text),
                Part::Call => {
                    let function = FunctionDelta { name: None, arguments: text };
                    let call = ToolCallDelta { index: self.n_calls - 1, id: None, kind: None, function };
                    Some(Delta { tool_calls: vec![call], ..Delta::default() })
                }
            },
            Event::End(stop) => {
                self.calls |= *part == Part::Call && stop == Stop::Call;
                *part = Part::Nothing;
                None
            }
        }
    }

    fn begin_call(&mut self, header: &Header) -> Delta {
        let recipient = header.recipient.as_deref().unwrap_or_default();
        let name = recipient.strip_prefix("functions.").unwrap_or(recipient).to_owned();
        let call = ToolCallDelta {
            index: self.n_calls,
            id: Some(format!("call_{:08x}{}", entropy(), self.n_calls)),
            kind: Some("function"),
            function: FunctionDelta { name: Some(name), arguments: String::new() },
        };
        self.n_calls += 1;
        Delta { tool_calls: vec![call], ..Delta::default() }
    }

    fn content(&mut self, text: &str) -> Option<Delta> {
        if self.stopped {
            return None;
        }
        let (content, stopped) = self.stop.push(text);
        self.stopped = stopped;
        (!content.is_empty()).then(|| Delta { content: Some(content), ..Delta::default() })
    }
}

impl Part {
    fn of(header: &Header) -> Self {
        let to_tool = header.recipient.as_deref().is_some_and(|r| r != Role::Assistant.as_str());
        match (&header.role, &header.channel) {
            (Role::Assistant, _) if to_tool => Self::Call,
            (Role::Assistant, Some(Channel::Analysis)) => Self::Reasoning,
            (Role::Assistant, _) => Self::Content,
            _ => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests;
