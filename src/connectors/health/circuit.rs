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
    /// How long a trial may take.
    patience: Duration,
    /// When a trial may begin; none while it is closed.
    trial_at: Option<Instant>,
    /// Until when the trial that is under way is waited for: it may never tell how it ended.
    on_trial: Option<Instant>,
    since: Instant,
    failures: u32,
    last_failure: Option<(String, Instant)>,
}

impl Circuit {
    pub(super) fn new(settings: Option<Settings>, patience: Duration, now: Instant) -> Self {
        Self {
            settings,
            patience,
            trial_at: None,
            on_trial: None,
            since: now,
            failures: 0,
            last_failure: None,
        }
    }

    /// Whether a change may be planned now: not before the pause is over, and not while a trial is
    /// under way. Who is let in and asks nothing of the target has used nothing up.
    ///
    /// # Errors
    /// How long to stay away.
    pub(super) fn admit(&self, now: Instant) -> Result<(), Duration> {
        let Some(trial_at) = self.trial_at else {
            return Ok(());
        };
        let until = self.on_trial.unwrap_or(trial_at).max(trial_at);
        match until.checked_duration_since(now) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(left) => Err(left),
        }
    }

    /// A call begins; whether it is the trial, as the first one after the pause is. Nothing holds the
    /// calls of those up who are let in already.
    pub(super) fn begins(&mut self, now: Instant) -> bool {
        let is_trial = self.trial_at.is_some() && self.admit(now).is_ok();
        if is_trial {
            self.on_trial = Some(now + self.patience);
        }
        is_trial
    }

    /// The trial ended and told nothing of the target.
    pub(super) fn told_nothing(&mut self) {
        self.on_trial = None;
    }

    /// The target answered, if only to say no.
    pub(super) fn answered(&mut self, now: Instant) {
        self.failures = 0;
        if self.trial_at.take().is_some() {
            self.since = now;
        }
        self.on_trial = None;
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
        if opens || self.on_trial.is_some() {
            let asked = asked.unwrap_or_default().min(MOST_PATIENCE);
            self.trial_at = Some(now + settings.open.max(asked));
            self.on_trial = None;
        }
    }

    pub(super) fn state(&self, now: Instant) -> State {
        match self.trial_at {
            None => State::Closed,
            Some(at) if now >= at => State::HalfOpen,
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
    const PATIENCE: Duration = Duration::from_secs(10);

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    fn opened(start: Instant) -> Circuit {
        let settings = Settings {
            failures: 3,
            open: OPEN,
        };
        let mut circuit = Circuit::new(Some(settings), PATIENCE, start);
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
        let circuit = opened(start);
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
        // A dry run that asks nothing of the target is no trial.
        assert_eq!(circuit.admit(later), Ok(()));
        assert_eq!(circuit.admit(later), Ok(()));
        assert!(circuit.begins(later));
        assert!(!circuit.begins(later), "one at a time");
        assert_eq!(circuit.admit(later), Err(PATIENCE));
        // It may take longer than the pause.
        let long = after(start, 5_000);
        assert_eq!(circuit.admit(long), Err(Duration::from_secs(6)));
        assert_eq!(circuit.state(long), State::HalfOpen);
        circuit.failed(after(start, 1_200), "still down", None);
        assert_eq!(circuit.state(after(start, 1_200)), State::Open);
        assert_eq!(circuit.health(after(start, 1_200)).age.as_millis(), 1_200);
        assert_eq!(circuit.admit(after(start, 2_200)), Ok(()));
        assert!(circuit.begins(after(start, 2_200)));
        circuit.answered(after(start, 2_300));
        assert_eq!(circuit.state(after(start, 2_300)), State::Closed);
        assert_eq!(circuit.admit(after(start, 2_300)), Ok(()));
        assert_eq!(circuit.health(after(start, 2_400)).age.as_millis(), 100);
    }

    #[test]
    fn a_trial_that_never_tells_is_followed_by_another() {
        let start = Instant::now();
        let mut circuit = opened(start);
        assert!(circuit.begins(after(start, 1_000)));
        assert!(circuit.admit(after(start, 10_999)).is_err());
        assert_eq!(circuit.admit(after(start, 11_000)), Ok(()));
        assert!(circuit.begins(after(start, 11_000)));
        circuit.told_nothing();
        assert!(circuit.begins(after(start, 11_000)), "given up early");
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
        assert!(circuit.begins(after(start, 1_000)));
        let asked = Some(Duration::from_secs(60));
        circuit.failed(after(start, 1_000), "busy", asked);
        assert_eq!(
            circuit.admit(after(start, 1_000)),
            Err(Duration::from_secs(60))
        );
        assert_eq!(circuit.admit(after(start, 61_000)), Ok(()));
        assert!(circuit.begins(after(start, 61_000)));
        let asked = Some(Duration::from_secs(1 << 40));
        circuit.failed(after(start, 61_000), "busy", asked);
        assert_eq!(circuit.admit(after(start, 61_000)), Err(MOST_PATIENCE));
    }
}
