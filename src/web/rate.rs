//! How many pages each visitor may still ask for.
use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

use governor::{Quota, RateLimiter, clock::DefaultClock, state::keyed::DashMapStateStore};

use super::trouble::{Result, Trouble};

/// After how many requests visitors are forgotten who have not come for a while.
const SWEEP: u32 = 10_000;

/// How many pages each visitor may still ask for.
pub(super) struct Rate {
    limiter: RateLimiter<String, DashMapStateStore<String>, DefaultClock>,
    visits: AtomicU32,
}

impl Rate {
    /// So many in a second, and so many at once.
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self {
            limiter: RateLimiter::dashmap(Quota::per_second(per_second)),
            visits: AtomicU32::new(0),
        }
    }

    /// Takes one request from what is left to a visitor; who has not signed in counts by the
    /// network address.
    ///
    /// # Errors
    /// 429.
    pub(super) fn check(&self, caller: Option<&str>, peer: Option<IpAddr>) -> Result<()> {
        let key = match (caller, peer) {
            (Some(caller), _) => caller.to_owned(),
            (None, Some(peer)) => format!("at {peer}"),
            (None, None) => "at unknown".to_owned(),
        };
        if self.visits.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.limiter.retain_recent();
        }
        let message = "These are more requests than one visitor may make. Wait a second.";
        self.limiter
            .check_key(&key)
            .map_err(|_| Trouble::new(429, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_visitor_has_a_measure_of_its_own() {
        let rate = Rate::new(NonZeroU32::new(2).unwrap());
        let ann = || rate.check(Some("ann"), None);
        assert!(ann().is_ok() && ann().is_ok());
        assert_eq!(ann().unwrap_err().code, 429);
        let peer = Some(IpAddr::from([127, 0, 0, 1]));
        assert!(rate.check(None, peer).is_ok());
        assert!(rate.check(Some("ben"), peer).is_ok());
    }
}
