//! Failed sign-ins: whoever fails too often is told to stay away, for ever longer.
//!
//! Tokens have 256 random bits and keys of providers are no weaker: nobody guesses one, and right
//! credentials are never kept out, so that nobody can lock out others. What is bounded is what
//! failures cost.
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

use super::access::PREFIX;

/// Failures that are answered without a pause.
const FREE: u32 = 10;
/// The longest pause.
const LONGEST: TimeDelta = TimeDelta::minutes(15);
/// After how long without a failure all is forgotten.
const FORGOTTEN: TimeDelta = TimeDelta::minutes(30);
/// How many addresses and tokens are remembered at most.
const REMEMBERED: usize = 20_000;
/// How much of a token stands for it: enough to tell tokens apart, too little to guess the rest.
const BEGINNING: usize = 12;

/// Who failed lately.
#[derive(Debug, Default)]
pub(super) struct Lockout(Mutex<HashMap<Key, Entry>>);

/// What failures are counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    /// An address; of IPv6 the network that one subscriber has.
    Address(u128),
    /// The beginning of a token of the store.
    Token(String),
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    failures: u32,
    last: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Lockout {
    /// Counts a failure; gives how long to stay away where that was said before already.
    pub(super) fn failed(
        &self,
        peer: Option<IpAddr>,
        credential: &str,
        now: DateTime<Utc>,
    ) -> Option<Duration> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut longest = None;
        for key in keys(peer, credential) {
            if !entries.contains_key(&key) {
                make_room(&mut entries, now);
            }
            let entry = entries.entry(key).or_insert_with(|| Entry::new(now));
            longest = longest.max(entry.failed(now));
        }
        longest
    }

    /// Whether an address is to stay away, so that nothing costly is done for what it presents.
    pub(super) fn is_away(&self, peer: Option<IpAddr>, now: DateTime<Utc>) -> bool {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = peer.and_then(|peer| entries.get(&Key::of(peer)));
        entry.is_some_and(|entry| now < entry.until)
    }
}

impl Entry {
    fn new(now: DateTime<Utc>) -> Self {
        Self {
            failures: 0,
            last: now,
            until: now,
        }
    }

    fn failed(&mut self, now: DateTime<Utc>) -> Option<Duration> {
        if now < self.until {
            return (self.until - now).to_std().ok();
        }
        if now - self.last > FORGOTTEN {
            *self = Self::new(now);
        }
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        if let Some(over) = self.failures.checked_sub(FREE) {
            let pause = TimeDelta::seconds(1_i64 << over.min(20));
            self.until = now + pause.min(LONGEST);
        }
        None
    }
}

impl Key {
    fn of(peer: IpAddr) -> Self {
        Self::Address(match peer.to_canonical() {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits() >> 64 << 64,
        })
    }
}

/// What a failure counts for. Tokens of providers begin alike: only their addresses count.
fn keys(peer: Option<IpAddr>, credential: &str) -> impl Iterator<Item = Key> {
    let address = peer.map(Key::of);
    let token = credential.starts_with(PREFIX).then(|| {
        let beginning = credential.chars().take(BEGINNING);
        Key::Token(beginning.collect())
    });
    address.into_iter().chain(token)
}

/// Drops what is forgotten and, where that does not help, the half that failed longest ago.
fn make_room(entries: &mut HashMap<Key, Entry>, now: DateTime<Utc>) {
    if entries.len() < REMEMBERED {
        return;
    }
    entries.retain(|_, entry| now - entry.last <= FORGOTTEN);
    if entries.len() < REMEMBERED {
        return;
    }
    let mut times: Vec<_> = entries.values().map(|entry| entry.last).collect();
    times.sort_unstable();
    if let Some(middle) = times.get(times.len() / 2).copied() {
        entries.retain(|_, entry| entry.last > middle);
    }
    if entries.len() >= REMEMBERED {
        entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn pauses_grow_and_end_and_are_forgotten() {
        let lockout = Lockout::default();
        let peer = address("192.0.2.1");
        for _ in 0..FREE {
            assert_eq!(lockout.failed(peer, "x", at(0)), None);
        }
        let pause = |time| {
            lockout
                .failed(peer, "x", at(time))
                .map(|pause| pause.as_secs())
        };
        assert_eq!(pause(0), Some(1));
        assert_eq!(pause(1), None, "over, and counted");
        assert_eq!(pause(1), Some(2));
        assert_eq!(pause(2), Some(1), "asking in between makes it no longer");
        assert_eq!(pause(3), None);
        assert_eq!(pause(3), Some(4));
        let mut time = 7;
        for _ in 0..100 {
            assert_eq!(pause(time), None);
            time += pause(time).unwrap().cast_signed();
        }
        assert_eq!(pause(time), None);
        assert_eq!(
            pause(time),
            Some(900),
            "never longer than a quarter of an hour"
        );
        assert_eq!(pause(time + 4_000), None);
        assert_eq!(pause(time + 4_000), None, "forgotten");
        assert_eq!(lockout.failed(address("192.0.2.2"), "x", at(0)), None);
    }

    #[test]
    fn the_beginning_of_a_token_counts_from_everywhere_and_a_network_as_one() {
        let lockout = Lockout::default();
        for last in 0..=FREE {
            let peer = address(&format!("198.51.100.{last}"));
            lockout.failed(peer, &format!("recant_abcde{last}"), at(0));
        }
        let other = address("203.0.113.1");
        assert!(lockout.failed(other, "recant_abcdeXYZ", at(0)).is_some());
        assert_eq!(lockout.failed(other, "recant_vwxyz", at(0)), None);
        for last in 0..=FREE {
            lockout.failed(address(&format!("2001:db8::{last}")), "x", at(0));
        }
        assert!(lockout.is_away(address("2001:db8::ffff"), at(0)));
        assert!(!lockout.is_away(address("2001:db8:0:1::1"), at(0)));
    }

    #[test]
    fn memory_is_bounded_whoever_fails() {
        let lockout = Lockout::default();
        for number in 0..(REMEMBERED as u32 * 3) {
            let peer = IpAddr::from(number.to_be_bytes());
            lockout.failed(
                Some(peer),
                &format!("recant_{number:05}"),
                at(i64::from(number / 1000)),
            );
        }
        assert!(lockout.0.lock().unwrap().len() <= REMEMBERED);
    }
}
