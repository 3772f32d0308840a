//! The control tokens of Harmony. Their ids are looked up by their text: a file's vocabulary says where they are.

use crate::Error;

/// A control token with a meaning in Harmony.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// Begins a message's header.
    Start,
    /// Ends the header, begins the content.
    Message,
    /// Ends a message.
    End,
    /// In a header: the channel follows.
    Channel,
    /// In a header: the format follows that the content is constrained to.
    Constrain,
    /// Ends a message and the turn: the answer is whole.
    Return,
    /// Ends a message and the turn: a tool is called.
    Call,
    /// Ends a document; no part of Harmony, yet a reason to stop.
    EndOfText,
}

impl Special {
    const ALL: [Special; 8] = [
        Special::Start,
        Special::Message,
        Special::End,
        Special::Channel,
        Special::Constrain,
        Special::Return,
        Special::Call,
        Special::EndOfText,
    ];

    /// As the vocabulary spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Special::Start => "<|start|>",
            Special::Message => "<|message|>",
            Special::End => "<|end|>",
            Special::Channel => "<|channel|>",
            Special::Constrain => "<|constrain|>",
            Special::Return => "<|return|>",
            Special::Call => "<|call|>",
            Special::EndOfText => "<|endoftext|>",
        }
    }
}

/// The ids of Harmony's control tokens in one vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Specials {
    /// In the order of [`Special::ALL`].
    ids: [u32; Special::ALL.len()],
}

impl Specials {
    /// Looks every control token up by its text.
    ///
    /// # Errors
    /// [`Error::MissingSpecial`] if the vocabulary has no such token: the model does not speak Harmony.
    pub fn find(id_of: impl Fn(&str) -> Option<u32>) -> Result<Self, Error> {
        let mut ids = [0; Special::ALL.len()];
        for (id, special) in ids.iter_mut().zip(Special::ALL) {
            let token = special.as_str();
            *id = id_of(token).ok_or(Error::MissingSpecial { token })?;
        }
        Ok(Self { ids })
    }

    #[must_use]
    pub fn id(&self, special: Special) -> u32 {
        self.ids[special as usize]
    }

    /// What `id` means in Harmony, if it is one of its control tokens.
    #[must_use]
    pub fn get(&self, id: u32) -> Option<Special> {
        let at = self.ids.iter().position(|special| *special == id)?;
        Some(Special::ALL[at])
    }

    /// The ids after which the model has nothing more to say. `<|end|>` is not among them: it ends one message
    /// of a turn that may have several.
    #[must_use]
    pub fn stops(&self) -> [u32; 3] {
        [Special::Return, Special::Call, Special::EndOfText].map(|special| self.id(special))
    }
}
