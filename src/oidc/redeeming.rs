//! How often a provider is asked to redeem a code that somebody brought.
//!
//! Anybody can make up a cookie and a code that fit together, and only the provider tells that the code
//! is none. Right ones are never kept out for long: where too much fails, one in ten seconds still
//! passes.
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

/// Codes that are redeemed at once.
const AT_ONCE: usize = 16;
/// Codes that may fail within a minute before the others have to wait.
const FAILING: u32 = 60;
const MINUTE: TimeDelta = TimeDelta::minutes(1);
/// How often one passes for all who have to wait.
const PASSING: TimeDelta = TimeDelta::seconds(10);

/// Where somebody comes from who brings a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whence {
    /// Anywhere.
    Anywhere,
    /// From where too much has failed lately.
    Failing,
}

/// Who is having a code redeemed, and how many failed lately.
#[derive(Debug, Default)]
pub(super) struct Redeeming {
    at_work: AtomicUsize,
    lately: Mutex<Lately>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Lately {
    since: DateTime<Utc>,
    failed: u32,
    passed: DateTime<Utc>,
}

/// A place among those who are served; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a AtomicUsize);

impl Redeeming {
    /// A turn for somebody. Gives how long to wait where there is none.
    pub(super) fn turn(&self, whence: Whence, now: DateTime<Utc>) -> Result<Turn<'_>, Duration> {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        lately.forget(now);
        if whence == Whence::Failing || lately.failed >= FAILING {
            let wait = lately.passed + PASSING - now;
            // A clock that was set back keeps nobody out.
            if wait > TimeDelta::zero() && wait <= PASSING {
                return Err(wait.to_std().unwrap_or(Duration::from_secs(1)));
            }
            lately.passed = now;
        }
        drop(lately);
        if self.at_work.fetch_add(1, Ordering::Relaxed) >= AT_ONCE {
            self.at_work.fetch_sub(1, Ordering::Relaxed);
            return Err(Duration::from_secs(1));
        }
        Ok(Turn(&self.at_work))
    }

    /// Counts a code that was none.
    pub(super) fn failed(&self, now: DateTime<Utc>) {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        lately.forget(now);
        lately.failed = lately.failed.saturating_add(1);
    }
}

impl Lately {
    fn forget(&mut self, now: DateTime<Utc>) {
        if now - self.since > MINUTE || now < self.since {
            (self.since, self.failed) = (now, 0);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn few_pass_where_much_fails_and_all_pass_again_later() {
        let redeeming = Redeeming::default();
        for _ in 0..FAILING {
            assert!(redeeming.turn(Whence::Anywhere, at(0)).is_ok());
            redeeming.failed(at(0));
        }
        assert!(
            redeeming.turn(Whence::Anywhere, at(1)).is_ok(),
            "one passes"
        );
        assert_eq!(
            redeeming.turn(Whence::Anywhere, at(2)).unwrap_err(),
            Duration::from_secs(9)
        );
        assert!(redeeming.turn(Whence::Failing, at(3)).is_err());
        assert!(redeeming.turn(Whence::Anywhere, at(11)).is_ok(), "one more");
        assert!(redeeming.turn(Whence::Anywhere, at(62)).is_ok());
        assert!(
            redeeming.turn(Whence::Anywhere, at(62)).is_ok(),
            "forgotten"
        );
        assert!(
            redeeming.turn(Whence::Anywhere, at(-500)).is_ok(),
            "the clock was set back"
        );
    }

    #[test]
    fn so_many_at_once_and_places_come_free() {
        let redeeming = Redeeming::default();
        let turns: Vec<_> = (0..AT_ONCE)
            .map(|_| redeeming.turn(Whence::Anywhere, at(0)))
            .collect();
        assert!(turns.iter().all(Result::is_ok));
        assert!(redeeming.turn(Whence::Anywhere, at(0)).is_err());
        drop(turns);
        assert!(redeeming.turn(Whence::Anywhere, at(0)).is_ok());
    }
}
