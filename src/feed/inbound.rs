//! An external record whose turn has come: what it means, whether the object is newer, the change,
//! and our copy of the record.
use chrono::TimeDelta;

use crate::{
    model::{
        Container, OperationId, Outcome, ResourceName,
        integration::{Payload, State},
    },
    store::{self, Copied, Ending},
    sync::{Answer, Incoming, Meaning, Refusal, gave_way},
};

use super::turn::{Turn, dead_letter};

/// How often a record is looked at anew where its object changed meanwhile.
const TRIES: u32 = 5;
/// How often two systems may change an object in turn, with nobody else between, before that counts as
/// a loop.
const ROUNDS: usize = 10;
/// Within what time.
const CIRCLES: TimeDelta = TimeDelta::hours(1);
/// HTTP's word for a precondition that does not hold.
const PRECONDITION_FAILED: u16 = 412;

impl Turn {
    /// Brings a record in: through the engine, so that it reaches all targets or none.
    pub(super) async fn brought(&self, operation: OperationId, payload: Payload) -> Ending {
        let incoming = self.incoming(payload);
        let mut operation = operation;
        for _ in 0..TRIES {
            let meaning = match self.engine().meaning(&incoming).await {
                Ok(meaning) => meaning,
                Err(refusal) => return self.failed(refusal.message),
            };
            match self.newer(&meaning).await {
                Ok(None) => {}
                Ok(Some(ending)) => return ending,
                Err(error) => return self.failed(error.to_string()),
            }
            let Some(request) = meaning.request.clone() else {
                match self.waited_for(&meaning).await {
                    Ok(false) => {}
                    // The object may be another one by now.
                    Ok(true) => continue,
                    Err(refusal) => return self.failed(refusal.message),
                }
                let left = Ending {
                    link: meaning.row.link,
                    ..Ending::default()
                };
                return self.with_copy(left, &incoming, meaning.object, None);
            };
            match self.goes_in_circles(&meaning).await {
                Ok(None) => {}
                Ok(Some(ending)) => return ending,
                Err(error) => return self.failed(error.to_string()),
            }
            let answer = self
                .engine()
                .change_from(
                    operation,
                    (&incoming.source, self.event().updated_at),
                    request,
                    meaning.row.clone(),
                )
                .await;
            if gave_way(&answer)
                && let Some(object) = &meaning.object
            {
                return ignored_for(object);
            }
            if !has_changed_since(&answer) {
                return self
                    .ended_change(operation, answer, &incoming, meaning)
                    .await;
            }
            // The object is another one by now: under this id nothing was done.
            operation = self.engine().fresh_operation();
            if let Err(error) = self.renamed(operation).await {
                return self.failed(error.to_string());
            }
        }
        self.failed("its object changes all the time")
    }

    fn incoming(&self, payload: Payload) -> Incoming {
        let event = self.event();
        let class = event.cached_type.as_deref().unwrap_or_default();
        Incoming {
            source: Container::system(&event.connector, class),
            id: event.external_id.clone(),
            record: payload.after,
            caller: payload.caller,
            transaction_id: payload.transaction_id,
        }
    }

    /// The end of an event whose object was modified after it (rules 3 and 6): the one that it means,
    /// or the one that our copy of the record stands for, which may be gone.
    async fn newer(&self, meaning: &Meaning) -> Result<Option<Ending>, store::Error> {
        let store = self.engine().store();
        let copied = store.object_of_copy(&self.event().lane()).await?;
        let copied = copied.filter(|object| meaning.object.as_ref() != Some(object));
        for object in meaning.object.iter().chain(&copied) {
            let modified = store.modified_at(object).await?;
            if modified.is_some_and(|modified| modified > self.event().updated_at) {
                return Ok(Some(ignored_for(object)));
            }
        }
        Ok(None)
    }

    /// The end of an event that two systems would answer for ever, each of which makes something else
    /// of what the other one has made: nobody but a person can say who is right.
    async fn goes_in_circles(&self, meaning: &Meaning) -> Result<Option<Ending>, store::Error> {
        let Some(object) = &meaning.object else {
            return Ok(None);
        };
        let since = self.clock().now() - CIRCLES;
        let store = self.engine().store();
        let bringers = store.bringers(object, since, ROUNDS as u64).await?;
        let mut last = self.event().connector.as_str();
        let alternates = bringers.iter().all(|connector| {
            let is_other = connector != last;
            last = connector;
            is_other
        });
        if bringers.len() < ROUNDS || !alternates {
            return Ok(None);
        }
        let other = bringers.first().map(String::as_str).unwrap_or_default();
        let error = format!(
            "loop: {other} and {} have changed {object} in turn {ROUNDS} times, each after the other: \
             what one of them makes of it is not what the other one holds",
            self.event().connector
        );
        Ok(Some(Ending {
            state: Some(State::Errored),
            error: Some(error),
            record: Some(object.clone()),
            ..Ending::default()
        }))
    }

    /// Whether a change of the object was in flight: what it leaves is seen only now. An object that
    /// holds all of the record already may be about to be taken back.
    async fn waited_for(&self, meaning: &Meaning) -> Result<bool, Refusal> {
        match &meaning.object {
            Some(object) => self.engine().until_settled(object).await,
            None => Ok(false),
        }
    }

    async fn ended_change(
        &self,
        operation: OperationId,
        answer: Answer,
        incoming: &Incoming,
        meaning: Meaning,
    ) -> Ending {
        let partial = answer.outcome == Some(Outcome::Partial);
        let ending = if partial {
            Ending::default()
        } else {
            self.outcome_of(operation, Some(answer)).await
        };
        if ending.state.is_some() {
            return Ending {
                record: meaning.object,
                ..ending
            };
        }
        let stored = self.engine().store().operation(operation).await;
        let object = match stored {
            Ok(Some(stored)) => Some(stored.record.object),
            _ => meaning.object,
        };
        self.with_copy(ending, incoming, object, Some(operation))
    }

    /// The end of an event that another node began: what it brought is our copy by now.
    pub(super) async fn with_what_it_left(
        &self,
        ending: Ending,
        object: Option<ResourceName>,
    ) -> Ending {
        let is_inbound = self.event().cached_type.is_some();
        if ending.state.is_some() || !is_inbound {
            return ending;
        }
        let payload = match self
            .engine()
            .store()
            .integration_event(self.event().id)
            .await
        {
            Ok(Some((_, Ok(payload)))) => payload,
            Ok(Some((_, Err(error)))) => return dead_letter(&error),
            Ok(None) => return ending,
            Err(error) => return self.failed(error.to_string()),
        };
        let incoming = self.incoming(payload);
        self.with_copy(ending, &incoming, object, self.event().operation)
    }

    fn with_copy(
        &self,
        ending: Ending,
        incoming: &Incoming,
        object: Option<ResourceName>,
        operation: Option<OperationId>,
    ) -> Ending {
        Ending {
            record: object,
            copy: Some(Copied {
                operation,
                lane: self.event().lane(),
                updated_at: self.event().updated_at,
                body: incoming.record.clone(),
            }),
            ..ending
        }
    }
}

/// The end of an event of which the object is newer.
fn ignored_for(object: &ResourceName) -> Ending {
    Ending {
        state: Some(State::Ignored),
        ignored_for: Some((object.id.clone(), object.container.to_string())),
        record: Some(object.clone()),
        ..Ending::default()
    }
}

/// Whether the change was refused because its object is not what was read.
fn has_changed_since(answer: &Answer) -> bool {
    let refused = answer.result.as_ref().err();
    answer.outcome == Some(Outcome::Rejected)
        && refused.is_some_and(|refusal| refusal.code == PRECONDITION_FAILED)
}
