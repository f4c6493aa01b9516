//! When what failed is tried again. Pure.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;

/// How failures are repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Retries before it is given up; none: never.
    pub retries: Option<u32>,
    /// The pause before the first retry; it doubles each time.
    pub base: Duration,
    /// The longest pause.
    pub longest: Duration,
}

/// How failures of events that come in are repeated, by connector.
pub type Policies = Arc<ArcSwap<BTreeMap<String, Policy>>>;

/// The longest pause before an event is tried again.
pub const LONGEST: Duration = Duration::from_secs(900);
/// The pause before the first retry where no setting says it.
pub const BASE: Duration = Duration::from_secs(1);
/// Retries before an event is a dead letter where no setting says it: with these pauses, a day.
pub const RETRIES: u32 = 100;

impl Default for Policy {
    fn default() -> Self {
        Self {
            retries: Some(RETRIES),
            base: BASE,
            longest: LONGEST,
        }
    }
}

impl Policy {
    /// The pause before the next attempt after so many; none: it is given up.
    #[must_use]
    pub fn pause_after(&self, attempts: u32) -> Option<Duration> {
        if self.retries.is_some_and(|retries| attempts > retries) {
            return None;
        }
        let doubled = attempts.saturating_sub(1).min(31);
        let pause = self.base.saturating_mul(1 << doubled);
        Some(pause.min(self.longest.max(self.base)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_for_a_day_is_given_up_where_nobody_says_otherwise() {
        let policy = Policy::default();
        let pauses = (1..).map_while(|attempts| policy.pause_after(attempts));
        let hours = pauses.sum::<Duration>().as_secs_f64() / 3_600.0;
        assert!((20.0..26.0).contains(&hours), "{hours}");
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_the_retries() {
        let seconds = Duration::from_secs;
        let policy = |retries| Policy {
            retries,
            base: seconds(2),
            longest: seconds(10),
        };
        let pauses = |policy: &Policy| [1, 2, 3, 4, 5].map(|n| policy.pause_after(n));
        let all = [2, 4, 8, 10, 10].map(|n| Some(seconds(n)));
        assert_eq!(pauses(&policy(None)), all);
        let [one, two, ..] = all;
        assert_eq!(pauses(&policy(Some(2))), [one, two, None, None, None]);
        assert_eq!(policy(Some(0)).pause_after(1), None);
        assert_eq!(policy(None).pause_after(u32::MAX), Some(seconds(10)));
    }
}
