//! What an OpenAI chat request says about sampling and form; its messages are `text`'s.

use std::collections::BTreeMap;

use engine::SamplingOptions;
use serde::Deserialize;
use text::chat::ChatRequest;
use web_time::{SystemTime, UNIX_EPOCH};

use crate::Error;
use crate::constrained::form;

/// A request, read and checked.
#[derive(Clone, Debug)]
pub struct Request {
    pub chat: ChatRequest,
    pub parameters: Parameters,
}

/// Everything but the messages. What is absent is off, or as the model was trained: temperature 1.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Parameters {
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    pub top_k: Option<u32>,
    pub min_p: Option<f32>,
    pub repetition_penalty: Option<f32>,
    pub frequency_penalty: Option<f32>,
    pub presence_penalty: Option<f32>,
    /// Token id, as JSON has it, to what is added to its score.
    pub logit_bias: Option<BTreeMap<String, f32>>,
    pub seed: Option<i64>,
    pub stop: Option<Stop>,
    /// In llguidance's variant of Lark; of the answer, not of thoughts and calls.
    pub grammar: Option<String>,
    pub max_tokens: Option<u32>,
    pub max_completion_tokens: Option<u32>,
    pub logprobs: Option<bool>,
    pub top_logprobs: Option<u32>,
    /// How many answers.
    pub n: Option<u32>,
    pub stream_options: Option<StreamOptions>,
}

/// Texts that end an answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "stop must be a string or an array of strings")]
pub enum Stop {
    One(String),
    Several(Vec<String>),
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct StreamOptions {
    pub include_usage: Option<bool>,
}

/// Answers that one request may ask for.
const MOST_ANSWERS: u32 = 16;

impl Request {
    /// Reads an OpenAI chat request. Fields of other concerns are passed over.
    ///
    /// # Errors
    /// Not JSON, not of this shape, a number out of range, by name, or messages and tools that do not fit together.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let mut chat = ChatRequest::from_json(json)?;
        let invalid = |why: String| Error::Request { why };
        let parameters: Parameters = serde_json::from_str(json).map_err(|e| invalid(e.to_string()))?;
        parameters.check()?;
        chat.check()?;
        chat.tool_choice()?;
        chat.begun()?;
        form(chat.response_format.as_ref(), &parameters)?;
        if chat.date.is_none() {
            chat.date = Some(today());
        }
        Ok(Self { chat, parameters })
    }
}

impl Parameters {
    /// Refuses numbers out of range, by name.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |name: &str, expected: &str| Err(Error::Request { why: format!("{name} must be {expected}") });
        if !(1..=MOST_ANSWERS).contains(&self.n()) {
            return refuse("n", "1 to 16");
        }
        if self.max_tokens() == 0 {
            return refuse("max_completion_tokens", "1 or more");
        }
        if self.stops().iter().any(String::is_empty) {
            return refuse("stop", "without empty strings");
        }
        Ok(self.sampling(0)?.check()?)
    }

    pub fn max_tokens(&self) -> u32 {
        self.max_completion_tokens.or(self.max_tokens).unwrap_or(u32::MAX)
    }

    pub fn n(&self) -> u32 {
        self.n.unwrap_or(1)
    }

    pub fn stops(&self) -> Vec<String> {
        match &self.stop {
            None => Vec::new(),
            Some(Stop::One(stop)) => vec![stop.clone()],
            Some(Stop::Several(stops)) => stops.clone(),
        }
    }

    pub fn wants_logprobs(&self) -> bool {
        self.logprobs.unwrap_or(false)
    }

    /// For answer `index` of `n`: each has a seed of its own.
    ///
    /// # Errors
    /// A key of `logit_bias` that is no token id.
    pub fn sampling(&self, index: u32) -> Result<SamplingOptions, Error> {
        let default = SamplingOptions::default();
        let bias = self.logit_bias.iter().flatten().map(|(id, bias)| match id.parse() {
            Ok(id) => Ok((id, *bias)),
            Err(_) => Err(Error::Request { why: format!("logit_bias: {id:?} is not a token id") }),
        });
        let seed = self.seed.map_or_else(entropy, |seed| seed as u32 ^ (seed >> 32) as u32);
        Ok(SamplingOptions {
            temperature: self.temperature.unwrap_or(default.temperature),
            top_p: self.top_p.unwrap_or(default.top_p),
            top_k: self.top_k.unwrap_or(default.top_k),
            min_p: self.min_p.unwrap_or(default.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(default.repetition_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(default.frequency_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(default.presence_penalty),
            logit_bias: bias.collect::<Result<_, Error>>()?,
            seed: seed.wrapping_add(index),
            n_logprobs: if self.wants_logprobs() { self.top_logprobs.unwrap_or(0) } else { 0 },
        })
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Differs from call to call; sampling needs no better.
pub(crate) fn entropy() -> u32 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    (nanos as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29) as u32
}

/// `2025-06-28`, in UTC, by the count of days in the proleptic Gregorian calendar whose years begin in March.
fn today() -> String {
    let days = (now() / 86_400) as i64 + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
