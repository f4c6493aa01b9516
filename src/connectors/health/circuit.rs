//! The circuit: from calls that a target answered or did not answer to whether it is left alone.
use std::time::Duration;

use tokio::time::Instant;

use super::{Health, State, settings::Circuit as Settings};

/// The longest time for which a target that asks for patience is left alone.
const MOST_PATIENCE: Duration = Duration::from_secs(300);

/// What is known of one target. Time is an input.
#[derive(Debug)]
pub(super) struct Circuit {
    /// None: it never opens.
    settings: Option<Settings>,
    /// When the next trial may begin; none while it is closed.
    trial_at: Option<Instant>,
    /// Whether a trial is under way; it may never tell how it ended, so it counts only until
    /// `trial_at`.
    on_trial: bool,
    since: Instant,
    failures: u32,
    last_failure: Option<(String, Instant)>,
}

impl Circuit {
    pub(super) fn new(settings: Option<Settings>, now: Instant) -> Self {
        Self {
            settings,
            trial_at: None,
            on_trial: false,
            since: now,
            failures: 0,
            last_failure: None,
        }
    }

    /// Whether a change may be planned now; the first one after the pause is the trial.
    ///
    /// # Errors
    /// How long to stay away.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        let (Some(trial_at), Some(settings)) = (self.trial_at, self.settings) else {
            return Ok(());
        };
        if now < trial_at {
            return Err(trial_at - now);
        }
        self.on_trial = true;
        self.trial_at = Some(now + settings.open);
        Ok(())
    }

    /// The target answered, if only to say no.
    pub(super) fn answered(&mut self, now: Instant) {
        self.failures = 0;
        if self.trial_at.take().is_some() {
            self.since = now;
        }
        self.on_trial = false;
    }

    /// The target did not answer. `message` goes to whoever is held off, so it holds none of the
    /// target's own words. `asked` is how long it asked to be left alone.
    pub(super) fn failed(&mut self, now: Instant, message: &str, asked: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        self.last_failure = Some((message.to_owned(), now));
        let Some(settings) = self.settings else {
            return;
        };
        let opens = self.trial_at.is_none() && self.failures >= settings.failures;
        if opens {
            self.since = now;
        }
        // What was under way when it opened says nothing new: only a trial begins the pause anew.
        if opens || self.on_trial {
            let asked = asked.unwrap_or_default().min(MOST_PATIENCE);
            self.trial_at = Some(now + settings.open.max(asked));
            self.on_trial = false;
        }
    }

    pub(super) fn state(&self, now: Instant) -> State {
        match self.trial_at {
            None => State::Closed,
            Some(at) if self.on_trial || now >= at => State::HalfOpen,
            Some(_) => State::Open,
        }
    }

    /// What the latest unanswered call came to.
    pub(super) fn last_cause(&self) -> Option<&str> {
        self.last_failure
            .as_ref()
            .map(|(message, _)| message.as_str())
    }

    pub(super) fn health(&self, now: Instant) -> Health {
        Health {
            circuit: self.state(now),
            age: now - self.since,
            failures: self.failures,
            last_failure: self
                .last_failure
                .clone()
                .map(|(message, at)| (message, now - at)),
            in_flight: 0,
            waiting: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Duration = Duration::from_secs(1);

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    fn opened(start: Instant) -> Circuit {
        let settings = Settings {
            failures: 3,
            open: OPEN,
        };
        let mut circuit = Circuit::new(Some(settings), start);
        for _ in 0..3 {
            assert_eq!(circuit.state(start), State::Closed);
            assert_eq!(circuit.admit(start), Ok(()));
            circuit.failed(start, "down", None);
        }
        circuit
    }

    #[test]
    fn it_opens_after_so_many_failures_in_a_row() {
        let start = Instant::now();
        let mut circuit = opened(start);
        assert_eq!(circuit.state(start), State::Open);
        let left = Duration::from_millis(600);
        assert_eq!(circuit.admit(after(start, 400)), Err(left));
        assert_eq!(circuit.last_cause(), Some("down"));
    }

    #[test]
    fn an_answer_between_failures_keeps_it_closed() {
        let start = Instant::now();
        let mut circuit = opened(start);
        circuit.answered(start);
        for _ in 0..5 {
            circuit.failed(start, "down", None);
            circuit.failed(start, "down", None);
            circuit.answered(start);
        }
        assert_eq!(circuit.state(start), State::Closed);
    }

    #[test]
    fn one_change_at_a_time_is_the_trial() {
        let start = Instant::now();
        let mut circuit = opened(start);
        let later = after(start, 1_000);
        assert_eq!(circuit.state(later), State::HalfOpen);
        assert_eq!(circuit.admit(later), Ok(()));
        assert_eq!(circuit.admit(later), Err(OPEN));
        assert_eq!(circuit.state(later), State::HalfOpen);
        circuit.failed(after(start, 1_200), "still down", None);
        assert_eq!(circuit.state(after(start, 1_200)), State::Open);
        assert_eq!(circuit.health(after(start, 1_200)).age.as_millis(), 1_200);
        assert_eq!(circuit.admit(after(start, 2_200)), Ok(()));
        circuit.answered(after(start, 2_300));
        assert_eq!(circuit.state(after(start, 2_300)), State::Closed);
        assert_eq!(circuit.admit(after(start, 2_300)), Ok(()));
        assert_eq!(circuit.health(after(start, 2_400)).age.as_millis(), 100);
    }

    #[test]
    fn a_trial_that_never_tells_is_followed_by_another() {
        let start = Instant::now();
        let mut circuit = opened(start);
        assert_eq!(circuit.admit(after(start, 1_000)), Ok(()));
        assert!(circuit.admit(after(start, 1_999)).is_err());
        assert_eq!(circuit.admit(after(start, 2_000)), Ok(()));
    }

    #[test]
    fn what_is_under_way_does_not_put_the_trial_off() {
        let start = Instant::now();
        let mut circuit = opened(start);
        circuit.failed(after(start, 900), "undo not possible", None);
        assert_eq!(circuit.admit(after(start, 1_000)), Ok(()));
    }

    #[test]
    fn a_target_that_asks_for_patience_gets_it_within_reason() {
        let start = Instant::now();
        let mut circuit = opened(start);
        assert_eq!(circuit.admit(after(start, 1_000)), Ok(()));
        let asked = Some(Duration::from_secs(60));
        circuit.failed(after(start, 1_000), "busy", asked);
        assert_eq!(
            circuit.admit(after(start, 1_000)),
            Err(Duration::from_secs(60))
        );
        assert_eq!(circuit.admit(after(start, 61_000)), Ok(()));
        let asked = Some(Duration::from_secs(1 << 40));
        circuit.failed(after(start, 61_000), "busy", asked);
        assert_eq!(circuit.admit(after(start, 61_000)), Err(MOST_PATIENCE));
    }
}
