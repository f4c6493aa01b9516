//! One event whose turn has come, from taking it up to its end.
use std::time::Duration;

use crate::{
    clock::SharedClock,
    model::{
        OperationId, OperationRecord, Outcome, RowResult,
        integration::{
            Direction, IntegrationEvent, Payload, State,
            rules::{Judgement, Switch, judge},
        },
        metrics::INTEGRATION_EVENTS,
    },
    store::{self, Ending},
    sync::{Answer, Engine, Queued},
};

use super::{
    deliver::Sender,
    retry::{Policies, Policy},
};

/// How often a change is looked for that another node, or recovery, finishes.
const LOOK: Duration = Duration::from_millis(200);
/// How often it is looked for before it counts as never begun.
const LOOKS: u32 = 150;
/// An event at work.
pub(super) struct Turn {
    engine: Engine,
    clock: SharedClock,
    sender: Sender,
    policies: Policies,
    event: IntegrationEvent,
}

impl Turn {
    pub(super) fn new(
        (engine, clock): (Engine, SharedClock),
        (sender, policies): (Sender, Policies),
        event: IntegrationEvent,
    ) -> Self {
        Self {
            engine,
            clock,
            sender,
            policies,
            event,
        }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn clock(&self) -> &SharedClock {
        &self.clock
    }

    pub(super) fn event(&self) -> &IntegrationEvent {
        &self.event
    }

    /// Takes the event up, unless somebody else was quicker, and carries it out.
    pub(super) async fn take(self) {
        // A delivery names the change that it tells of.
        let told = self.event.operation.filter(|_| self.delivers());
        let operation = told.unwrap_or_else(|| self.engine.fresh_operation());
        match self.begun(operation).await {
            Ok(true) => self.carried_out(operation).await,
            Ok(false) => {}
            Err(error) => self.told(&error),
        }
    }

    /// Goes on with an event that a node left behind: its change may have begun, or not.
    pub(super) async fn go_on(self) {
        let Some(operation) = self.event.operation else {
            return self
                .end(self.failed("it was left behind without a change"))
                .await;
        };
        match self.engine.store().operation(operation).await {
            Ok(Some(stored)) if !self.delivers() => {
                let ending = self.outcome_of(operation, None).await;
                let ending = self
                    .with_what_it_left(ending, Some(stored.record.object))
                    .await;
                self.end(ending).await;
            }
            Ok(_) => self.carried_out(operation).await,
            Err(error) => self.told(&error),
        }
    }

    fn delivers(&self) -> bool {
        self.event.direction == Direction::Delivery
    }

    /// From now on the event is carried out as another change.
    pub(super) async fn renamed(&self, operation: OperationId) -> Result<(), store::Error> {
        let store = self.engine.store();
        store.rename_integration(self.event.id, operation).await
    }

    async fn begun(&self, operation: OperationId) -> Result<bool, store::Error> {
        let store = self.engine.store();
        store.begin_integration(self.event.id, operation).await
    }

    async fn carried_out(mut self, operation: OperationId) {
        let found = self.engine.store().integration_event(self.event.id).await;
        let payload = match found {
            Ok(Some((event, payload))) => {
                self.event = event;
                payload
            }
            Ok(None) => return,
            Err(error) => return self.told(&error),
        };
        let forced = payload.as_ref().is_ok_and(|payload| payload.forced);
        match self.overtaken(forced).await {
            // Every event is delivered, whatever came after it.
            Ok(_) if self.delivers() => {}
            Ok(None) => {}
            Ok(Some(ending)) => return self.end(ending).await,
            Err(error) => return self.told(&error),
        }
        let payload = match payload {
            Ok(payload) => payload,
            Err(error) => return self.end(dead_letter(&error)).await,
        };
        let ending = match self.event.direction {
            Direction::Outbound => self.sent(operation, payload).await,
            Direction::Inbound => self.brought(operation, payload).await,
            Direction::Delivery => self.delivered(payload).await,
        };
        self.end(ending).await;
    }

    /// Tells a subscription.
    async fn delivered(&self, payload: Payload) -> Ending {
        let body = payload.after.unwrap_or_default();
        match self.sender.send(&self.event, body, &self.clock).await {
            Ok(()) => Ending::default(),
            Err(why) => self.failed(why),
        }
    }

    /// The end of an event that something newer has overtaken since it arrived.
    async fn overtaken(&self, forced: bool) -> Result<Option<Ending>, store::Error> {
        let mut seen = self.engine.store().seen_of(&self.event).await?;
        if forced {
            seen = seen.without_copy_of(self.event.updated_at);
        }
        let judgement = judge(self.event.updated_at, Switch::On, &seen);
        let is_over = judgement.state.filter(|state| *state != State::Queued);
        Ok(is_over.map(|state| ending_of_judgement(state, &judgement)))
    }

    /// Lets the engine carry out the one mapping.
    async fn sent(&self, operation: OperationId, payload: Payload) -> Ending {
        let event = &self.event;
        let (Some(mapping), Some(id)) = (event.mapping.clone(), event.record_id.clone()) else {
            return self.failed("it names no mapping");
        };
        let setup = self.engine.setup();
        if !setup.mappings.iter().any(|known| known.name == mapping) {
            return self.failed(format!("there is no mapping `{mapping}` any more"));
        }
        let queued = Queued {
            mapping,
            id,
            kind: event.kind,
            before: payload.before,
            after: payload.after,
            caller: payload.caller,
            transaction_id: payload.transaction_id,
            replay: payload.replay,
        };
        let answer = self.engine.change_queued(operation, queued).await;
        self.outcome_of(operation, Some(answer)).await
    }

    /// How the change ended, as its record tells; one that goes on elsewhere is waited for.
    pub(super) async fn outcome_of(
        &self,
        operation: OperationId,
        answer: Option<Answer>,
    ) -> Ending {
        if let Some(Answer {
            outcome: Some(Outcome::Synced),
            ..
        }) = answer
        {
            return Ending::default();
        }
        for _ in 0..LOOKS {
            match self.engine.store().operation(operation).await {
                Ok(Some(stored)) if stored.record.outcome.is_some() => {
                    return self.ending_of(&stored.record);
                }
                Ok(None) if answer.as_ref().is_some_and(|one| one.outcome.is_some()) => break,
                Ok(_) => {}
                Err(error) => self.told(&error),
            }
            tokio::time::sleep(LOOK).await;
        }
        match answer.map(|answer| answer.result) {
            Some(Err(refusal)) => self.failed(refusal.message),
            _ => self.failed("its change did not end in time"),
        }
    }

    fn ending_of(&self, record: &OperationRecord) -> Ending {
        if record.outcome == Some(Outcome::Synced) {
            return Ending::default();
        }
        let failed = record
            .writes
            .iter()
            .find(|write| matches!(write.result, Some(RowResult::Failed | RowResult::Unknown)));
        let cause = failed.and_then(|write| write.cause.as_ref());
        match (cause, &record.error) {
            (Some(cause), _) => self.failed(&cause.message),
            (None, Some(error)) => self.failed(&error.message),
            (None, None) => self.failed("its change did not reach the target"),
        }
    }

    /// The end of an attempt that failed: it is tried again after a pause, or is a dead letter.
    pub(super) fn failed(&self, why: impl Into<String>) -> Ending {
        let pause = self.policy().pause_after(self.event.attempts.max(1));
        let pause = pause.and_then(|pause| chrono::Duration::from_std(pause).ok());
        Ending {
            state: Some(State::Errored),
            error: Some(why.into()),
            next_attempt_at: pause.map(|pause| self.clock.now() + pause),
            ..Ending::default()
        }
    }

    fn policy(&self) -> Policy {
        if let Some(policy) = self
            .sender
            .policy(&self.event.connector)
            .filter(|_| self.delivers())
        {
            return policy;
        }
        if self.event.direction == Direction::Inbound {
            let policies = self.policies.load();
            return policies
                .get(&self.event.connector)
                .cloned()
                .unwrap_or_default();
        }
        let setup = self.engine.setup();
        let mapping = setup
            .mappings
            .iter()
            .find(|mapping| Some(&mapping.name) == self.event.mapping.as_ref());
        let queued = mapping.and_then(|mapping| mapping.queued_sync.as_ref());
        let default = Policy::default();
        Policy {
            retries: queued
                .and_then(|queued| queued.max_retries)
                .or(default.retries),
            base: queued.map_or(default.base, |queued| queued.retry_delay),
            longest: default.longest,
        }
    }

    async fn end(&self, ending: Ending) {
        let state = ending.state.unwrap_or(State::Completed);
        let direction = self.event.direction.as_str();
        if let Some(error) = &ending.error {
            tracing::warn!(
                event = %self.event.id, direction, connector = self.event.connector, error,
                again = ending.next_attempt_at.is_some(), "an integration event failed"
            );
        }
        metrics::counter!(INTEGRATION_EVENTS, "direction" => direction, "state" => state.as_str())
            .increment(1);
        if let Err(error) = self
            .engine
            .store()
            .end_integration(self.event.id, &ending)
            .await
        {
            self.told(&error);
        }
    }

    /// What the store failed at; the event is in hand no more after this turn, and is taken up again.
    fn told(&self, error: &store::Error) {
        tracing::error!(
            error = error as &dyn std::error::Error,
            event = %self.event.id, "an integration event waits for the store"
        );
    }
}

/// The end of an event of which it cannot be read what it brings: another try would not change that.
pub(super) fn dead_letter(cause: &store::Error) -> Ending {
    Ending {
        state: Some(State::Errored),
        error: Some(format!("{cause}: {}", cause.source)),
        ..Ending::default()
    }
}

/// The end of an event that is not to be carried out.
fn ending_of_judgement(state: State, judgement: &Judgement) -> Ending {
    let event = |id: uuid::Uuid| (id.to_string(), "integrationEvent".to_owned());
    let object = judgement.newer_object.as_ref();
    let object = object.map(|name| (name.id.clone(), name.container.to_string()));
    Ending {
        state: Some(state),
        duplicate_of: judgement.duplicate_of,
        ignored_for: judgement.newer_event.map(event).or(object),
        ..Ending::default()
    }
}
