//! What a model writes between `<|start|>` and `<|message|>`, read leniently: at temperature 1 the 20b model
//! misspells every twenty-fifth header or so, and what it meant is nearly always plain.

use super::{Channel, Content, ContentType, Header, Message, Role};

/// A header as it comes in: the stretches between its control tokens.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    /// The role, where the prompt already said it.
    preset: Option<Role>,
    sections: Vec<Section>,
}

#[derive(Clone, Debug)]
struct Section {
    kind: Kind,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// From the start: the role, perhaps a recipient.
    Role,
    /// After `<|channel|>`: the channel, perhaps a recipient and a content type.
    Channel,
    /// After `<|constrain|>`: the content type.
    Constrain,
}

impl Draft {
    /// `preset`: the role that the prompt has already given the message.
    pub(super) fn new(preset: Option<Role>) -> Self {
        Self { preset, sections: Vec::new() }
    }

    pub(super) fn begin_channel(&mut self) {
        self.begin(Kind::Channel);
    }

    pub(super) fn begin_constrain(&mut self) {
        self.begin(Kind::Constrain);
    }

    fn begin(&mut self, kind: Kind) {
        let bytes = Vec::new();
        self.sections.push(Section { kind, bytes });
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.sections.is_empty() {
            self.begin(Kind::Role);
        }
        if let Some(section) = self.sections.last_mut() {
            section.bytes.extend_from_slice(bytes);
        }
    }

    /// The header, once `<|message|>` has ended it.
    pub(super) fn header(&self) -> Header {
        let sections: Vec<(Kind, String)> = self.texts().collect();
        read(self.preset, &sections)
    }

    /// The message whose turn ended before its `<|message|>` came: what follows the words that belong to a header is
    /// its content. `None` if nothing follows: there was no message.
    pub(super) fn message_without_mark(&self) -> Option<Message> {
        let mut sections: Vec<(Kind, String)> = self.texts().collect();
        let (kind, last) = sections.last_mut()?;
        let content = last.split_off(header_part(*kind, self.preset, last));
        let content = content.trim();
        (!content.is_empty()).then(|| Message { header: read(self.preset, &sections), content: Content::Text(content.into()) })
    }

    /// The header as the model wrote it, without its control tokens.
    pub(super) fn text(&self) -> String {
        let texts: Vec<String> = self.texts().map(|(_, text)| text).collect();
        texts.join(" ")
    }

    fn texts(&self) -> impl Iterator<Item = (Kind, String)> {
        self.sections.iter().map(|section| (section.kind, String::from_utf8_lossy(&section.bytes).into()))
    }
}

fn read(preset: Option<Role>, sections: &[(Kind, String)]) -> Header {
    let mut header = Header::new(preset.unwrap_or(Role::Assistant));
    let last_channel = sections.iter().rposition(|(kind, _)| *kind == Kind::Channel);
    for (at, (kind, text)) in sections.iter().enumerate() {
        let mut words = text.split_whitespace().peekable();
        match kind {
            Kind::Role => read_role(preset, &mut words, &mut header),
            Kind::Channel => {
                if let Some(first) = words.next_if(|word| !word.starts_with("to=")) {
                    header.channel = channel(first);
                }
            }
            Kind::Constrain => {
                if let Some(name) = words.next_if(|word| !word.starts_with("to=")) {
                    header.content_type = Some(ContentType { name: name.into(), constrained: true });
                }
            }
        }
        // The 20b model at times writes a whole `<|channel|>commentary to=assistant` before the real channel.
        let stray = *kind == Kind::Channel && Some(at) != last_channel;
        while let Some(word) = words.next() {
            read_word(word, &mut words, stray, &mut header);
        }
    }
    header
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn read_role(preset: Option<Role>, words: &mut Words<'_>, header: &mut Header) {
    if let Some(role) = preset {
        words.next_if_eq(&role.as_str());
        return;
    }
    let Some(who) = words.next_if(|word| !word.starts_with("to=")) else {
        return;
    };
    let (role, name) = match who.split_once(':') {
        Some((role, name)) => (role, Some(name)),
        None => (who, None),
    };
    match Role::from_name(role) {
        Some(role) => {
            header.role = role;
            header.name = name.map(String::from);
        }
        // A tool's message has its name in the role's place.
        None => {
            header.role = Role::Tool;
            header.name = Some(who.into());
        }
    }
}

/// `to=functions.f`, also without `to=` or with a space after it; or a content type.
fn read_word(word: &str, words: &mut Words<'_>, stray: bool, header: &mut Header) {
    if let Some(recipient) = word.strip_prefix("to=") {
        let recipient = match recipient {
            "" => words.next().unwrap_or_default(),
            recipient => recipient,
        };
        let is_stray = stray && recipient == Role::Assistant.as_str();
        if !recipient.is_empty() && !is_stray {
            header.recipient = Some(recipient.into());
        }
    } else if header.recipient.is_none() && (word.contains('.') || word == "python") {
        header.recipient = Some(word.into());
    } else if header.content_type.is_none() && word.chars().all(is_name) {
        header.content_type = Some(ContentType { name: word.into(), constrained: false });
    }
}

/// The name in what stands in a channel's place: `commentary` in `––commentary?commentary?`, none in `??`.
fn channel(word: &str) -> Option<Channel> {
    let word = word.trim_start_matches(|c| !is_name(c));
    let name = &word[..word.find(|c| !is_name(c)).unwrap_or(word.len())];
    (!name.is_empty()).then(|| name.into())
}

/// The bytes of `text`, the last section of an unfinished header, that belong to the header.
fn header_part(kind: Kind, preset: Option<Role>, text: &str) -> usize {
    let mut at = 0;
    match (kind, preset) {
        (Kind::Role, Some(role)) => {
            if first_word(text).1 == role.as_str() {
                at = first_word(text).0;
            }
        }
        (Kind::Role, None) => at = first_word(text).0,
        (Kind::Channel | Kind::Constrain, _) => {
            let start = text.len() - text.trim_start().len();
            let name = &text[start..];
            if !name.starts_with("to=") {
                at = start + name.find(|c| !is_name(c)).unwrap_or(name.len());
            }
        }
    }
    let (end, word) = first_word(&text[at..]);
    match word.strip_prefix("to=") {
        Some(recipient) => {
            let is_recipient = |c: char| is_name(c) || c == '.' || c == ':';
            let rest = recipient.find(|c| !is_recipient(c)).map_or(0, |cut| recipient.len() - cut);
            at + end - rest
        }
        None => at,
    }
}

/// The first word, and where it ends.
fn first_word(text: &str) -> (usize, &str) {
    let start = text.len() - text.trim_start().len();
    let word = &text[start..];
    let word = &word[..word.find(char::is_whitespace).unwrap_or(word.len())];
    (start + word.len(), word)
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}
