//! Ctrl-C: it stops an answer; at the prompt it leaves, if it is meant.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use engine::Cancel;

/// The exit status of a program that was interrupted.
const INTERRUPTED: i32 = 130;

#[derive(Debug, Default)]
struct State {
    /// Of the answer under way.
    cancel: Option<Cancel>,
    /// Whether Ctrl-C came at this prompt before.
    warned: bool,
}

/// What Ctrl-C means now.
#[derive(Debug)]
pub(super) struct Interrupt(Arc<Mutex<State>>);

impl Interrupt {
    pub(super) fn install() -> Result<Self> {
        let state = Arc::new(Mutex::new(State::default()));
        let pressed = state.clone();
        ctrlc::set_handler(move || match pressed.lock().unwrap_or_else(PoisonError::into_inner).press() {
            Action::Stop => {}
            Action::Warn => {
                let _ = write!(io::stderr(), "\n(Ctrl-C again leaves)\n> ");
            }
            Action::Leave => std::process::exit(INTERRUPTED),
        })
        .context("cannot listen for Ctrl-C")?;
        Ok(Self(state))
    }

    /// An answer begins, which the next Ctrl-C cancels.
    pub(super) fn answering(&self) -> Cancel {
        let cancel = Cancel::default();
        self.set(State { cancel: Some(cancel.clone()), warned: false });
        cancel
    }

    /// The answer has ended.
    pub(super) fn answered(&self) {
        self.set(State::default());
    }

    fn set(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// What one Ctrl-C does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// The answer under way has been told to end.
    Stop,
    Warn,
    Leave,
}

impl State {
    fn press(&mut self) -> Action {
        match &self.cancel {
            // An answer that does not stop must not hold anyone.
            Some(cancel) if cancel.is_cancelled() => Action::Leave,
            Some(cancel) => {
                cancel.cancel();
                Action::Stop
            }
            None if self.warned => Action::Leave,
            None => {
                self.warned = true;
                Action::Warn
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_c_stops_an_answer_first_and_leaves_second() {
        let cancel = Cancel::default();
        let mut state = State { cancel: Some(cancel.clone()), warned: false };
        assert_eq!(state.press(), Action::Stop);
        assert!(cancel.is_cancelled());
        assert_eq!(state.press(), Action::Leave);
    }

    #[test]
    fn ctrl_c_at_the_prompt_leaves_only_the_second_time() {
        let mut state = State::default();
        assert_eq!(state.press(), Action::Warn);
        assert_eq!(state.press(), Action::Leave);
    }
}
