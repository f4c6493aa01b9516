//! How far each destination is behind, and why.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use serde::Serialize;

/// What a destination is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It has everything.
    Current,
    /// It is being told.
    Behind,
    /// It takes nothing; it is tried again and again.
    Failing,
    /// Another node delivers to it.
    Elsewhere,
}

/// Where a destination stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its name in the configuration.
    pub name: String,
    /// `file`, `syslog` or `otlp`.
    pub kind: &'static str,
    /// What it is at.
    pub state: State,
    /// The position of the last entry that it took.
    pub position: i64,
    /// How many entries it lacks.
    pub behind: i64,
    /// Since when it lacks any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_since: Option<DateTime<Utc>>,
    /// Why the last try failed, until one succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// Where all destinations stand.
#[derive(Debug, Clone, Default)]
pub struct Statuses(Arc<Mutex<BTreeMap<String, Status>>>);

impl Statuses {
    /// Every destination, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Status> {
        self.lock().values().cloned().collect()
    }

    /// Forgets a destination that is not configured any more.
    pub fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    pub(super) fn begin(&self, name: &str, kind: &'static str) {
        let status = Status {
            name: name.to_owned(),
            kind,
            state: State::Behind,
            position: 0,
            behind: 0,
            behind_since: None,
            last_error: None,
        };
        self.lock().insert(name.to_owned(), status);
    }

    /// Notes where a destination is, the end of the trail being at `head`.
    pub(super) fn at(&self, name: &str, position: i64, head: i64, now: DateTime<Utc>) {
        if let Some(status) = self.lock().get_mut(name) {
            status.position = position;
            status.behind = head.saturating_sub(position).max(0);
            if status.behind == 0 {
                status.behind_since = None;
            } else {
                status.behind_since.get_or_insert(now);
            }
            if status.state != State::Failing {
                status.state = if status.behind == 0 {
                    State::Current
                } else {
                    State::Behind
                };
            }
            metrics::gauge!("recant_audit_delivery_behind", "destination" => name.to_owned())
                .set(status.behind as f64);
        }
    }

    /// Notes a failure; true where it is the first after a success.
    pub(super) fn failed(&self, name: &str, error: &str) -> bool {
        metrics::counter!("recant_audit_delivery_failures_total", "destination" => name.to_owned())
            .increment(1);
        let mut statuses = self.lock();
        let Some(status) = statuses.get_mut(name) else {
            return false;
        };
        let is_first = status.state != State::Failing;
        status.state = State::Failing;
        status.last_error = Some(error.to_owned());
        is_first
    }

    /// Notes a success; true where it is the first after a failure.
    pub(super) fn succeeded(&self, name: &str) -> bool {
        let mut statuses = self.lock();
        let Some(status) = statuses.get_mut(name) else {
            return false;
        };
        let was_failing = status.state == State::Failing;
        status.state = State::Behind;
        status.last_error = None;
        was_failing
    }

    pub(super) fn elsewhere(&self, name: &str) {
        if let Some(status) = self.lock().get_mut(name) {
            status.state = State::Elsewhere;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Status>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
