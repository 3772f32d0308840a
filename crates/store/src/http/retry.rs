//! When a request is sent again, and when it is given up.

use std::time::Duration;

use crate::{Cause, platform};

/// When to try again, and when to stop.
#[derive(Debug, Clone)]
pub struct Retry {
    /// Requests in a row that may deliver nothing.
    pub attempts: u32,
    /// Pause after the first failure; it doubles with each further one, and is drawn from its upper half.
    pub pause: Duration,
    /// Longest pause, also where `Retry-After` asks for more.
    pub longest_pause: Duration,
    /// A request is given up when nothing arrives for this long.
    pub stall: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 6, pause: Duration::from_millis(500), longest_pause: Duration::from_secs(60), stall: Duration::from_secs(15) }
    }
}

impl Retry {
    /// How long to wait after `failures` (at least one) in a row.
    pub(super) fn pause_after(&self, failures: u32, cause: &Cause) -> Duration {
        let doubled = self.pause.saturating_mul(1 << (failures - 1).min(16));
        let jittered = doubled.mul_f64(0.5 + platform::random() / 2.0);
        let asked = match cause {
            // The next request goes another way: to the place that redirects, or through the whole file.
            Cause::Expired { .. } => return Duration::ZERO,
            Cause::IgnoresRange { .. } if failures == 1 => return Duration::ZERO,
            Cause::Status { retry_after_s: Some(seconds), .. } => Duration::from_secs(*seconds),
            _ => Duration::ZERO,
        };
        jittered.max(asked).min(self.longest_pause)
    }
}

/// Seconds that a `Retry-After` asks for, which is a number of them or a date.
pub(super) fn retry_after_s(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let date = httpdate::parse_http_date(text).ok()?;
    // A date that is over asks for nothing; a part of a second is waited for whole.
    let wait = date.duration_since(platform::now()).unwrap_or_default();
    Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_are_jittered_and_capped_and_obey_retry_after() {
        let retry = Retry::default();
        let stalled = Cause::Stalled { millis: 1 };
        for failures in 1..20 {
            let pause = retry.pause_after(failures, &stalled);
            let full = retry.pause.saturating_mul(1 << (failures - 1)).min(retry.longest_pause);
            assert!(pause <= full && pause >= full / 2, "{failures}: {pause:?}");
        }
        let asked = |seconds| Cause::Status { status: 429, retry_after_s: Some(seconds) };
        assert_eq!(retry.pause_after(1, &asked(7)), Duration::from_secs(7));
        assert_eq!(retry.pause_after(1, &asked(9000)), retry.longest_pause);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after_s(" 7 "), Some(7));
        let soon = platform::now() + Duration::from_secs(30);
        let seconds = retry_after_s(&httpdate::fmt_http_date(soon)).unwrap_or(0);
        assert!((29..=31).contains(&seconds), "{seconds}");
        assert_eq!(retry_after_s("Fri, 31 Dec 1999 23:59:59 GMT"), Some(0));
        assert_eq!(retry_after_s("soon"), None);
    }
}
