//! `quire chat`: a conversation, line by line.

mod interrupt;
mod lines;
mod printer;

use std::io::{self, IsTerminal, Write};
use std::rc::Rc;

use anyhow::{Context, Result};
use api::{FinishReason, Request};
use clap::ValueEnum;
use serde_json::{Value, json};
use store::Library;

use crate::args::{self, Limits, Sampling};
use crate::idle::Filler;
use crate::{load, output};
use interrupt::Interrupt;
use lines::Lines;
use printer::Printer;

/// Talk to a model
///
/// Each line is said to the model, on a terminal or through a pipe. Reasoning is shown dimmed, on a terminal only.
/// Lines that begin with a slash are commands: /help lists them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: args::Model,
    /// Instructions that stand before the conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// How long gpt-oss is to think
    #[arg(long, value_enum, value_name = "EFFORT", default_value = "medium")]
    reasoning_effort: Effort,
    /// Tokens of an answer at most, reasoning included [default: what the context holds]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,
    /// 0 takes the likeliest token, 1 the model's own distribution
    #[arg(long, value_name = "T", default_value = "1", value_parser = args::temperature)]
    temperature: f32,
    /// Bring only what answers need; else, after the first one, the rest of a model by URL comes while nobody waits for an answer
    #[arg(long)]
    no_fill: bool,
    #[command(flatten)]
    sampling: Sampling,
    #[command(flatten)]
    limits: Limits,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Effort {
    Low,
    Medium,
    High,
}

const HELP: &str = "\
/reset         forget the conversation
/system TEXT   put TEXT before the conversation, in place of what stands there; without TEXT, nothing
/help          this
/quit          leave; so does Ctrl-D
Ctrl-C stops an answer; at the prompt, twice, it leaves";

pub(crate) async fn run(args: Args) -> Result<()> {
    let location = &args.model.location;
    let files = load::open(&args.model).await?;
    let options = load::options(location, &files, &args.limits)?;
    let model = load::load(location, &files, &args.limits, options).await?;
    if model.dialect.is_none() {
        return Err(api::Error::NoDialect).with_context(|| location.clone());
    }
    let interactive = io::stdin().is_terminal();
    if interactive {
        note(&format!("{} on {}; /help for help", model.name(), model.engine.gpu().adapter()));
    }
    let system = args.system.clone();
    let lines = Lines::start().context("cannot read stdin")?;
    let library = files.library.clone();
    let filler = Filler::new(&model, !args.no_fill);
    let mut chat = Chat { model, filler, library, args, interactive, system, turns: Vec::new(), lines, interrupt: Interrupt::install()? };
    while let Some(line) = chat.line().await? {
        match Line::read(&line) {
            Line::Nothing => {}
            Line::Quit => break,
            Line::Help => note(HELP),
            Line::Reset => {
                chat.turns.clear();
                note("the conversation is forgotten");
            }
            Line::System(text) => {
                chat.system = (!text.is_empty()).then(|| text.to_owned());
                note(if text.is_empty() { "no system message" } else { "the system message is set" });
            }
            Line::Unknown(command) => note(&format!("{command} is no command; /help lists them")),
            Line::Say(text) => match chat.answer(text).await {
                // The person may want to say it otherwise; a script has failed.
                Err(error) if interactive && !output::is_closed(&error) => note(&format!("{error:#}")),
                done => done?,
            },
        }
    }
    chat.model.settle().await;
    Ok(())
}

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Nothing,
    Quit,
    Help,
    Reset,
    System(&'a str),
    Unknown(&'a str),
    Say(&'a str),
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Self {
        let line = line.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match word {
            "" => Self::Nothing,
            "/quit" | "/exit" => Self::Quit,
            "/help" => Self::Help,
            "/reset" => Self::Reset,
            "/system" => Self::System(rest.trim_start()),
            // A path may be talked about.
            _ if word.starts_with('/') && !word[1..].contains('/') && word.len() > 1 => Self::Unknown(word),
            _ => Self::Say(line),
        }
    }
}

struct Chat {
    model: api::Model,
    filler: Filler,
    library: Rc<Library>,
    args: Args,
    interactive: bool,
    system: Option<String>,
    /// What user and assistant said, as OpenAI's messages.
    turns: Vec<Value>,
    lines: Lines,
    interrupt: Interrupt,
}

impl Chat {
    /// The next line; `None` at the end. Until it comes the model is filled.
    async fn line(&mut self) -> Result<Option<String>> {
        if self.interactive {
            // A prompt that cannot be shown is no reason to stop.
            let _ = write!(io::stderr(), "> ");
        }
        let line = self.filler.until(self.lines.next(), &mut self.model, &note).await;
        load::note_problem(&self.library);
        let line = line.transpose().context("cannot read stdin")?;
        Ok(line.map(|line| String::from_utf8_lossy(&line).into_owned()))
    }

    async fn answer(&mut self, said: &str) -> Result<()> {
        self.turns.push(json!({"role": "user", "content": said}));
        let answered = self.answer_last().await;
        match &answered {
            Ok(content) if !content.is_empty() => self.turns.push(json!({"role": "assistant", "content": content})),
            // Formats have no way to say that nothing was answered.
            _ => drop(self.turns.pop()),
        }
        answered.map(drop)
    }

    /// The answer to the last turn, as far as it came.
    async fn answer_last(&mut self) -> Result<String> {
        let request = Request::from_json(&self.request().to_string())?;
        let cancel = self.interrupt.answering();
        let mut printer = Printer::new(io::stdout().is_terminal());
        let mut printed = Ok(());
        let mut on_chunk = |chunk: api::Chunk| {
            for choice in chunk.choices {
                if printed.is_ok() {
                    printed = printer.delta(&choice.delta);
                }
            }
            if printed.is_err() {
                cancel.cancel();
            }
        };
        let done = self.filler.beside(self.model.chat(&request, &cancel, &mut on_chunk)).await;
        self.interrupt.answered();
        printed?;
        printer.end()?;
        match done {
            Ok(completion) => {
                if completion.choices.iter().any(|choice| choice.finish_reason == FinishReason::Length) {
                    note("(cut: neither the context nor --max-tokens allow more)");
                }
                if self.interactive {
                    let (timings, usage) = (completion.timings, completion.usage);
                    note(&format!("({} tokens, {:.1} tok/s)", usage.completion_tokens, timings.decode_tps));
                }
            }
            Err(api::Error::Cancelled) => note("(stopped)"),
            Err(error) => return Err(error.into()),
        }
        Ok(printer.into_content())
    }

    fn request(&self) -> Value {
        let system = self.system.iter().map(|text| json!({"role": "system", "content": text}));
        let messages: Vec<Value> = system.chain(self.turns.iter().cloned()).collect();
        let sampling = self.args.sampling.options(self.args.temperature);
        let mut request = json!({
            "messages": messages,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "seed": sampling.seed,
            "reasoning_effort": match self.args.reasoning_effort {
                Effort::Low => "low",
                Effort::Medium => "medium",
                Effort::High => "high",
            },
        });
        if let Some(max_tokens) = self.args.max_tokens {
            request["max_completion_tokens"] = max_tokens.into();
        }
        request
    }
}

/// A line for the person, beside the answers.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_begin_with_a_slash_are_commands() {
        let lines = [
            ("hello /quit", Line::Say("hello /quit")),
            ("  \n", Line::Nothing),
            ("/quit\n", Line::Quit),
            ("/system be brief \n", Line::System("be brief")),
            ("/system", Line::System("")),
            ("/rest", Line::Unknown("/rest")),
            ("/etc/hosts is what?", Line::Say("/etc/hosts is what?")),
            ("/ 2", Line::Say("/ 2")),
        ];
        for (line, expected) in lines {
            assert_eq!(Line::read(line), expected);
        }
    }
}
