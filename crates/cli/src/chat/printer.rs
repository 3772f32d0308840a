//! An answer on stdout as it comes.

use anyhow::Result;
use api::Delta;

use crate::output;

const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// What was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Nothing,
    Reasoning,
    Content,
}

/// Writes the parts of one answer, and keeps its content.
#[derive(Debug)]
pub(super) struct Printer {
    /// Shows reasoning, dimmed, and keeps control characters from the terminal.
    terminal: bool,
    last: Last,
    content: String,
}

impl Printer {
    pub(super) fn new(terminal: bool) -> Self {
        Self { terminal, last: Last::Nothing, content: String::new() }
    }

    pub(super) fn delta(&mut self, delta: &Delta) -> Result<()> {
        output::bytes(self.take(delta).as_bytes())
    }

    /// Ends the answer's last line.
    pub(super) fn end(&self) -> Result<()> {
        let end = match self.last {
            Last::Reasoning => format!("{PLAIN}\n"),
            Last::Nothing | Last::Content => "\n".to_owned(),
        };
        output::bytes(end.as_bytes())
    }

    pub(super) fn into_content(self) -> String {
        self.content
    }

    /// What to write for `delta`.
    fn take(&mut self, delta: &Delta) -> String {
        let mut out = String::new();
        if let Some(text) = delta.reasoning.as_deref().filter(|_| self.terminal) {
            if self.last != Last::Reasoning {
                out.push_str(if self.last == Last::Content { "\n\n" } else { "" });
                out.push_str(DIM);
            }
            self.last = Last::Reasoning;
            out.extend(text.chars().filter(|c| is_shown(*c)));
        }
        if let Some(text) = &delta.content {
            if self.last == Last::Reasoning {
                out.push_str(PLAIN);
                out.push_str("\n\n");
            }
            self.last = Last::Content;
            self.content.push_str(text);
            out.extend(text.chars().filter(|c| !self.terminal || is_shown(*c)));
        }
        out
    }
}

/// A model must not steer the terminal.
fn is_shown(c: char) -> bool {
    !c.is_control() || matches!(c, '\n' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(terminal: bool) -> (String, String) {
        let reasoning = |text: &str| Delta { reasoning: Some(text.into()), ..Delta::default() };
        let content = |text: &str| Delta { content: Some(text.into()), ..Delta::default() };
        let deltas = [Delta::default(), reasoning("I "), reasoning("think"), content("so\x1b[2J"), content(".\n")];
        let mut printer = Printer::new(terminal);
        let shown = deltas.iter().map(|delta| printer.take(delta)).collect();
        (shown, printer.into_content())
    }

    #[test]
    fn a_terminal_gets_reasoning_dimmed_and_no_escapes_of_the_models() {
        assert_eq!(all(true), ("\x1b[2mI think\x1b[0m\n\nso[2J.\n".into(), "so\x1b[2J.\n".into()));
    }

    #[test]
    fn a_pipe_gets_the_answer_as_it_is() {
        assert_eq!(all(false), ("so\x1b[2J.\n".into(), "so\x1b[2J.\n".into()));
    }
}
