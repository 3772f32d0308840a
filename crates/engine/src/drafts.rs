//! Guesses of what a sequence says next, and whether to make any: text that repeats itself goes on as it did before.

/// Tokens of a match: fewer are found anywhere, more say nothing new.
const LEAST: usize = 3;
const MOST: usize = 6;

/// What followed the latest of the longest matches of the end of `tokens` within them, and so on, `n` tokens; none if nothing matches.
pub(crate) fn look_up(tokens: &[u32], n: usize) -> Vec<u32> {
    let Some((last, before)) = tokens.split_last() else { return Vec::new() };
    let mut found = (LEAST - 1, tokens.len());
    for (at, _) in before.iter().enumerate().rev().filter(|(_, id)| *id == last) {
        let alike = tokens[..=at].iter().rev().zip(tokens.iter().rev()).take(MOST).take_while(|(a, b)| a == b).count();
        if alike > found.0 {
            found = (alike, at + 1);
        }
        if alike == MOST {
            break;
        }
    }
    tokens[found.1..].iter().cycle().take(n).copied().collect()
}

/// When to draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drafting {
    /// As on software adapters, unless somebody says otherwise.
    Never,
    /// As long as a token takes less time with drafts than without; now and then that is tried again.
    WherePays,
    /// For tests and measurements.
    Always,
}

/// Steps with drafts that are judged together.
const TRIAL: u32 = 4;
/// Tokens said without drafts after they were found not to pay; twice as many each time that they are again.
const REST: u32 = 64;
const LONGEST_REST: u32 = 4096;
/// Of a step's seconds, what the latest counts for.
const WEIGHT: f64 = 0.2;

/// What was learned of drafts on this engine.
#[derive(Clone, Debug)]
pub(crate) struct Drafts {
    pub(crate) when: Drafting,
    /// Seconds of a step without drafts, once known.
    plain: Option<f64>,
    /// Of the trial under way: steps, tokens that they said, and seconds.
    trial: (u32, usize, f64),
    /// Tokens to say before drafts are tried again.
    resting: u32,
    next_rest: u32,
}

impl Drafts {
    pub(crate) fn new(when: Drafting) -> Self {
        Self { when, plain: None, trial: (0, 0, 0.0), resting: 0, next_rest: REST }
    }

    /// Whether the next step should have drafts, if there are any.
    pub(crate) fn are_wanted(&self) -> bool {
        match self.when {
            Drafting::Never => false,
            Drafting::WherePays => self.plain.is_some() && self.resting == 0,
            Drafting::Always => true,
        }
    }

    /// A step without drafts took so long.
    pub(crate) fn learn_plain(&mut self, seconds: f64) {
        self.plain = Some(self.plain.map_or(seconds, |plain| plain + WEIGHT * (seconds - plain)));
        self.resting = self.resting.saturating_sub(1);
    }

    /// A step with drafts said `n` tokens in so long.
    pub(crate) fn learn_drafted(&mut self, n: usize, seconds: f64) {
        let (steps, said, took) = self.trial;
        self.trial = (steps + 1, said + n, took + seconds);
        let (TRIAL.., said, took) = self.trial else { return };
        self.trial = (0, 0, 0.0);
        if self.plain.is_none_or(|plain| took < plain * said as f64) {
            self.next_rest = REST;
        } else {
            (self.resting, self.next_rest) = (self.next_rest, (2 * self.next_rest).min(LONGEST_REST));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_what_followed_the_longest_match_and_of_equals_the_latest() {
        let text = [9, 1, 2, 3, 4, 5, 8, 2, 3, 4, 6, 8, 2, 3, 4, 7, 1, 2, 3, 4];
        // Four are alike once, three twice more, later.
        assert_eq!(look_up(&text, 3), [5, 8, 2]);
        assert_eq!(look_up(&text[..15], 3), [6, 8, 2]);
        assert_eq!(look_up(&[4, 1, 2, 3, 5, 1, 2, 3, 6, 1, 2, 3], 1), [6]);
    }

    #[test]
    fn a_draft_goes_on_after_the_end_that_it_repeats() {
        assert_eq!(look_up(&[7; 5], 3), [7; 3]);
        assert_eq!(look_up(&[1, 2, 1, 2, 1, 2], 3), [1, 2, 1]);
    }

    #[test]
    fn two_tokens_alike_are_no_match() {
        assert_eq!(look_up(&[1, 2, 5, 6, 1, 2], 3), [0; 0]);
        assert_eq!(look_up(&[], 3), [0; 0]);
        assert_eq!(look_up(&[1], 3), [0; 0]);
    }

    /// Until drafts are not wanted, or wanted again.
    fn count(drafts: &mut Drafts, learn: impl Fn(&mut Drafts)) -> usize {
        let before = drafts.are_wanted();
        (1..1000)
            .find(|_| {
                learn(drafts);
                drafts.are_wanted() != before
            })
            .unwrap_or(0)
    }

    #[test]
    fn drafts_are_made_as_long_as_they_pay_and_then_ever_less_often() {
        let mut drafts = Drafts::new(Drafting::WherePays);
        assert!(!drafts.are_wanted(), "nobody knows yet what a step takes");
        drafts.learn_plain(0.1);
        assert_eq!(count(&mut drafts, |drafts| drafts.learn_drafted(3, 0.2)), 0);
        let rest = |drafts: &mut Drafts| count(drafts, |drafts| drafts.learn_plain(0.1));
        for expected in [64, 128, 256] {
            assert!(count(&mut drafts, |drafts| drafts.learn_drafted(1, 0.2)) <= 2 * TRIAL as usize);
            assert_eq!(rest(&mut drafts), expected);
        }
        (0..TRIAL).for_each(|_| drafts.learn_drafted(3, 0.2));
        assert_eq!(count(&mut drafts, |drafts| drafts.learn_drafted(1, 0.2)), TRIAL as usize);
        assert_eq!(rest(&mut drafts), 64, "they were worth it in between");
    }

    #[test]
    fn drafts_that_take_too_long_do_not_pay_however_right_they_are() {
        let mut drafts = Drafts::new(Drafting::WherePays);
        drafts.learn_plain(0.1);
        assert_eq!(count(&mut drafts, |drafts| drafts.learn_drafted(4, 0.5)), TRIAL as usize);
    }
}
