//! Strings at which an answer ends.

/// Ends a text before the first of some strings, and holds back what may become one.
#[derive(Debug)]
pub(crate) struct StopStrings {
    stops: Vec<String>,
    held: String,
}

impl StopStrings {
    pub(crate) fn new(stops: Vec<String>) -> Self {
        Self { stops, held: String::new() }
    }

    /// Text that may go out, and whether a stop string came behind it.
    pub(crate) fn push(&mut self, text: &str) -> (String, bool) {
        self.held.push_str(text);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let may_begin = |at: &usize| self.stops.iter().any(|stop| stop.starts_with(&self.held[*at..]));
        let keep = self.held.char_indices().map(|(at, _)| at).find(may_begin).unwrap_or(self.held.len());
        let rest = self.held.split_off(keep);
        (std::mem::replace(&mut self.held, rest), false)
    }

    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut stop = StopStrings::new(stops.iter().map(|s| (*s).to_owned()).collect());
        let mut out = String::new();
        for piece in pieces {
            let (text, stopped) = stop.push(piece);
            out.push_str(&text);
            if stopped {
                return (out, true);
            }
        }
        out.push_str(&stop.finish());
        (out, false)
    }

    #[test]
    fn a_stop_string_across_tokens_ends_the_text_before_it() {
        assert_eq!(run(&["END"], &["one E", "N", "D two"]), ("one ".into(), true));
    }

    #[test]
    fn what_only_looked_like_a_stop_string_comes_out() {
        assert_eq!(run(&["END"], &["one E", "N", "d two"]), ("one ENd two".into(), false));
        assert_eq!(run(&["ENDE"], &["one EN", "D"]), ("one END".into(), false));
    }

    #[test]
    fn the_earliest_of_several_stop_strings_counts() {
        assert_eq!(run(&["lo", "é"], &["caf", "é hello"]), ("caf".into(), true));
    }
}
