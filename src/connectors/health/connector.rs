//! A connector whose target is watched: calls keep to its limits, and their ends tell how it is.
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Health, Settings, State,
    circuit::Circuit,
    gate::{Call, Full, Gate, Place},
};
use crate::{
    connectors::{
        Capabilities, Changes, Connector, Error, IdPage, Page, Particulars, Query, SharedConnector,
        Update, Written, signs,
    },
    model::{CauseKind, Follows, Object, TargetObject, TargetWrite, metrics},
};

/// The same connector, watched and limited under this name. `timeout` is that of one attempt: a call
/// that is given up after it was not answered, and half of it is the longest that a call waits for
/// its turn.
#[must_use]
pub fn guarded(
    name: &str,
    connector: SharedConnector,
    settings: &Settings,
    timeout: Duration,
) -> SharedConnector {
    if *settings == Settings::OFF {
        return connector;
    }
    let watch = Watch(Arc::new(Instant::now));
    Arc::new(Guarded::new(name, connector, settings, timeout, watch))
}

/// What tells the time.
#[derive(Clone)]
struct Watch(Arc<dyn Fn() -> Instant + Send + Sync>);

impl fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Watch")
    }
}

#[derive(Debug)]
struct Guarded {
    name: Arc<str>,
    connector: SharedConnector,
    gate: Gate,
    circuit: Mutex<Circuit>,
    timeout: Duration,
    watch: Watch,
}

/// A call under way. One that is dropped late has not been answered in its time.
struct UnderWay<'a> {
    guarded: &'a Guarded,
    began: Instant,
    place: Option<Place>,
    ended: bool,
}

/// Who said how a call ended. What a connector refuses by itself tells nothing of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    ByTarget,
    ByConnector,
}

impl Guarded {
    fn new(
        name: &str,
        connector: SharedConnector,
        settings: &Settings,
        timeout: Duration,
        watch: Watch,
    ) -> Self {
        let now = watch.0();
        let guarded = Self {
            name: name.into(),
            connector,
            gate: Gate::new(settings, timeout / 2, now),
            circuit: Mutex::new(Circuit::new(settings.circuit, now)),
            timeout,
            watch,
        };
        guarded.show();
        guarded
    }

    fn now(&self) -> Instant {
        self.watch.0()
    }

    async fn begin(&self, call: Call) -> Result<UnderWay<'_>, Error> {
        let came = self.now();
        let entered = self.gate.enter(call, came).await;
        let waited = self.now() - came;
        if !waited.is_zero() {
            ::metrics::histogram!(metrics::TARGET_WAIT_SECONDS, "connector" => self.label())
                .record(waited);
        }
        let place = entered.map_err(|Full| self.full(waited))?;
        self.show_in_flight();
        Ok(UnderWay {
            guarded: self,
            began: came,
            place: Some(place),
            ended: false,
        })
    }

    /// Makes a call when its turn comes, and takes note of how it ends.
    async fn call<T>(
        &self,
        kind: Call,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let under_way = self.begin(kind).await?;
        let (result, answered) = signs::listen(call).await;
        let told = if answered || !self.connector.tells_answers() {
            Told::ByTarget
        } else {
            Told::ByConnector
        };
        under_way.ended(result, told)
    }

    fn full(&self, waited: Duration) -> Error {
        let message = format!(
            "all places at `{}` (`limits.concurrent`) were taken for {} ms",
            self.name,
            waited.as_millis()
        );
        Error::unavailable(503, message)
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of what a call has shown, and tells where the circuit changed.
    fn note(&self, note: impl FnOnce(&mut Circuit, Instant)) {
        let now = self.now();
        let mut circuit = self.circuit();
        let before = circuit.state(now);
        note(&mut circuit, now);
        let after = circuit.state(now);
        let cause = circuit.last_cause().unwrap_or_default().to_owned();
        drop(circuit);
        if before == after {
            return;
        }
        match after {
            State::Open if before == State::Closed => {
                ::metrics::counter!(metrics::TARGET_CIRCUIT_OPENED, "connector" => self.label())
                    .increment(1);
                tracing::warn!(connector = %self.name, cause, "the target is down: changes are held off");
            }
            State::Closed => tracing::info!(connector = %self.name, "the target answers again"),
            State::Open | State::HalfOpen => {}
        }
        self.show();
    }

    fn show(&self) {
        let state = match self.circuit().state(self.now()) {
            State::Closed => 0.0,
            State::HalfOpen => 1.0,
            State::Open => 2.0,
        };
        ::metrics::gauge!(metrics::TARGET_CIRCUIT_STATE, "connector" => self.label()).set(state);
    }

    fn show_in_flight(&self) {
        let count = u32::try_from(self.gate.in_flight()).unwrap_or(u32::MAX);
        ::metrics::gauge!(metrics::TARGET_IN_FLIGHT, "connector" => self.label()).set(count);
    }

    fn label(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    fn held_off(&self, reason: &'static str, message: String, wait: Duration) -> Error {
        ::metrics::counter!(metrics::TARGET_HELD_OFF,
            "connector" => self.label(), "reason" => reason)
        .increment(1);
        Error::unavailable(503, message).after(Some(wait))
    }
}

impl UnderWay<'_> {
    fn ended<T>(mut self, result: Result<T, Error>, told: Told) -> Result<T, Error> {
        self.ended = true;
        match &result {
            Err(error) if error.kind != CauseKind::Refused => {
                let message = without_words(error);
                self.guarded.note(|circuit, now| {
                    circuit.failed(now, &message, error.retry_after);
                });
            }
            _ if told == Told::ByTarget => self.guarded.note(Circuit::answered),
            _ => {}
        }
        result
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        // Others may give a call up for reasons of their own, but not at the very end of its time.
        let waited = self.guarded.now() - self.began;
        if !self.ended && waited >= self.guarded.timeout.mul_f64(0.9) {
            let message = format!("no answer within {} ms", waited.as_millis());
            self.guarded
                .note(|circuit, now| circuit.failed(now, &message, None));
        }
        self.place = None;
        self.guarded.show_in_flight();
    }
}

/// A failure by its kind and code. Other callers and the log get to see it, and what a target says
/// may repeat what one caller sent.
fn without_words(error: &Error) -> String {
    let kind = match error.kind {
        CauseKind::Unknown => "unknown outcome",
        CauseKind::Refused | CauseKind::Unavailable => "unavailable",
    };
    let is_plain = |text: &&str| text.len() <= 40 && !text.contains(char::is_whitespace);
    match (&error.code, error.code.as_str().filter(is_plain)) {
        (Value::Number(code), _) => format!("{kind}, code {code}"),
        (_, Some(code)) => format!("{kind}, code {code}"),
        _ => kind.to_owned(),
    }
}

#[async_trait]
impl Connector for Guarded {
    fn capabilities(&self) -> Capabilities {
        self.connector.capabilities()
    }

    fn classes(&self) -> Vec<String> {
        self.connector.classes()
    }

    fn particulars(&self, class: &str) -> Particulars {
        self.connector.particulars(class)
    }

    async fn refine(&self, class: &str, write: TargetWrite) -> Result<TargetWrite, Error> {
        self.connector.refine(class, write).await
    }

    fn follows(&self, class: &str, write: &TargetWrite) -> Option<Follows> {
        self.connector.follows(class, write)
    }

    fn admit(&self) -> Result<(), Error> {
        let now = self.now();
        if let Err(wait) = self.gate.admit(now) {
            let message = format!("too much is waiting for `{}` (`limits`)", self.name);
            return Err(self.held_off("limit", message, wait));
        }
        let mut circuit = self.circuit();
        let admitted = circuit.admit(now);
        let cause = circuit.last_cause().unwrap_or_default().to_owned();
        drop(circuit);
        self.show();
        admitted.map_err(|wait| {
            let message = format!("`{}` does not answer ({cause})", self.name);
            self.held_off("circuit", message, wait)
        })
    }

    fn health(&self) -> Option<Health> {
        let health = self.circuit().health(self.now());
        Some(Health {
            in_flight: self.gate.in_flight(),
            waiting: self.gate.waiting(),
            ..health
        })
    }

    async fn test(&self) -> Result<(), Error> {
        self.call(Call::Read, self.connector.test()).await
    }

    async fn read(&self, class: &str, id: &str) -> Result<Option<TargetObject>, Error> {
        self.call(Call::Read, self.connector.read(class, id)).await
    }

    async fn read_many(
        &self,
        class: &str,
        ids: &[String],
    ) -> Result<Option<Vec<TargetObject>>, Error> {
        self.call(Call::Read, self.connector.read_many(class, ids))
            .await
    }

    async fn list_ids(&self, class: &str, query: &Query) -> Result<Option<IdPage>, Error> {
        self.call(Call::Read, self.connector.list_ids(class, query))
            .await
    }

    async fn query(&self, class: &str, query: &Query) -> Result<Page, Error> {
        self.call(Call::Read, self.connector.query(class, query))
            .await
    }

    async fn create(
        &self,
        class: &str,
        id: Option<&str>,
        object: &Object,
    ) -> Result<Written, Error> {
        self.call(Call::Write, self.connector.create(class, id, object))
            .await
    }

    async fn create_once(
        &self,
        class: &str,
        id: Option<&str>,
        object: &Object,
        key: &str,
    ) -> Result<Written, Error> {
        let created = self.connector.create_once(class, id, object, key);
        self.call(Call::Write, created).await
    }

    fn repeats_creates(&self, class: &str) -> bool {
        self.connector.repeats_creates(class)
    }

    async fn update(&self, class: &str, update: &Update<'_>) -> Result<Written, Error> {
        self.call(Call::Write, self.connector.update(class, update))
            .await
    }

    async fn delete(&self, class: &str, before: &TargetObject) -> Result<(), Error> {
        self.call(Call::Write, self.connector.delete(class, before))
            .await
    }

    async fn uncreate(
        &self,
        class: &str,
        made: &TargetObject,
        dormant: Option<&Object>,
    ) -> Result<(), Error> {
        let taken_back = self.connector.uncreate(class, made, dormant);
        self.call(Call::Write, taken_back).await
    }

    async fn dormant(
        &self,
        class: &str,
        id: Option<&str>,
        object: &Object,
    ) -> Result<Option<Object>, Error> {
        let dormant = self.connector.dormant(class, id, object);
        self.call(Call::Read, dormant).await
    }

    fn tells_answers(&self) -> bool {
        self.connector.tells_answers()
    }

    async fn changes(&self, class: &str, since: Option<&str>) -> Result<Changes, Error> {
        self.call(Call::Read, self.connector.changes(class, since))
            .await
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
