//! What is done about a diverged change: another try to undo it, or an operator's word that it stays.
use std::sync::Arc;

use serde_json::json;

use crate::{
    audit,
    model::{
        LinkChange, OperationId, OperationRecord, Outcome, Purpose, RowResult, SagaEvent,
        SagaState,
        record::{Resolution, WriteRecord},
    },
    store::{Holder, Settlement, StoredOperation},
};

use super::{
    Engine,
    change::{Context, Intent},
    compensate::Compensation,
    error::Refusal,
    lane::Turn,
    recover::intent_of,
    settle::unlinked,
    working::Work,
};

/// A diverged change that this node holds.
struct Held {
    record: OperationRecord,
    payload: Option<String>,
    holder: Holder,
    _turn: Turn,
    _work: Work,
}

impl Engine {
    /// Retries the missing undo writes of a diverged change; once all are done it is `compensated`.
    ///
    /// # Errors
    /// 404 for an unknown change; 409 where it is not diverged, is busy, or still diverges (the
    /// record tells what differs now).
    pub async fn heal(&self, id: OperationId, caller: &str) -> Result<OperationRecord, Refusal> {
        let held = self.hold(id).await?;
        let result = self.heal_held(&held, caller).await;
        // Another try that was written down has given the object free.
        if matches!(result, Err(Failed::Refused(_))) {
            self.let_go(held.holder.clone()).await?;
        }
        result.map_err(|error| match error {
            Failed::Refused(refusal) => refusal,
            Failed::StillDiverged(record) => {
                let count = record.diverged.len();
                let message = format!("still diverged: {count} targets differ");
                let mut detail = crate::model::Object::new();
                detail.insert("operation".into(), json!(record.id));
                detail.insert("outcome".into(), json!(record.outcome));
                detail.insert("diverged".into(), json!(record.diverged));
                Refusal::new(409, message).with_detail(detail.into())
            }
        })
    }

    /// Ends a divergence as it is.
    ///
    /// # Errors
    /// 404 for an unknown change, 409 where it is not diverged, 400 without a reason.
    pub async fn resolve(
        &self,
        id: OperationId,
        reason: &str,
        caller: &str,
    ) -> Result<OperationRecord, Refusal> {
        if reason.trim().is_empty() {
            return Err(Refusal::new(400, "/reason: expected a text that says why"));
        }
        let held = self.hold(id).await?;
        let mut record = held.record.clone();
        record.resolution = Some(Resolution {
            kind: "resolved".to_owned(),
            at: self.clock().now(),
            by: Some(caller.to_owned()),
            reason: Some(reason.to_owned()),
            operation: None,
        });
        let end =
            audit::about_divergence_end(self.clock(), &record, "resolved", caller, Some(reason));
        let settlement = Settlement {
            records: self.resolved(&record).await?,
            release: Some(held.holder.clone()),
            audit: vec![end],
            ..Settlement::default()
        };
        self.store().settle(settlement).wait().await?;
        Ok(record)
    }

    /// The record of a change that was resolved, behind those of its compensation.
    async fn resolved(&self, record: &OperationRecord) -> Result<Vec<OperationRecord>, Refusal> {
        let children = self.store().children(record.id).await?;
        let mut records: Vec<OperationRecord> = children
            .into_iter()
            .map(|child| child.record)
            .filter(|child| child.purpose == Purpose::Compensation && child.is_open_divergence())
            .map(|child| OperationRecord {
                resolution: record.resolution.clone(),
                ..child
            })
            .collect();
        records.push(record.clone());
        Ok(records)
    }

    /// Takes the object's lane and in-flight row for work on a diverged change.
    async fn hold(&self, id: OperationId) -> Result<Held, Refusal> {
        let object = self.diverged(id).await?.record.object;
        let turn = self
            .lanes()
            .enter(&object)
            .await
            .map_err(|_| Refusal::busy())?;
        let work = self.parts.working.begin(id);
        let holder = Holder {
            object: object.clone(),
            operation: id,
            node: self.store().identity(),
        };
        if !self.store().claim(&object, id).await? {
            return Err(Refusal::busy());
        }
        // Somebody may have ended it while this call waited for its turn.
        match self.diverged(id).await {
            Ok(StoredOperation { record, payload }) => Ok(Held {
                record,
                payload,
                holder,
                _turn: turn,
                _work: work,
            }),
            Err(refusal) => {
                self.let_go(holder).await?;
                Err(refusal)
            }
        }
    }

    async fn let_go(&self, holder: Holder) -> Result<(), Refusal> {
        let settlement = Settlement {
            release: Some(holder),
            ..Settlement::default()
        };
        Ok(self.store().settle(settlement).wait().await?)
    }

    async fn diverged(&self, id: OperationId) -> Result<StoredOperation, Refusal> {
        let stored = self
            .store()
            .operation(id)
            .await?
            .ok_or_else(|| Refusal::new(404, format!("there is no operation {id}")))?;
        if stored.record.purpose == Purpose::Compensation {
            let parent = stored.record.root;
            return Err(Refusal::new(
                409,
                format!("it is a compensation; heal {parent}"),
            ));
        }
        if !stored.record.is_open_divergence() {
            return Err(Refusal::new(
                409,
                "the change is not diverged, or that has ended",
            ));
        }
        Ok(stored)
    }

    async fn heal_held(&self, held: &Held, caller: &str) -> Result<OperationRecord, Failed> {
        let refused = |message: String| Failed::Refused(Refusal::new(409, message));
        let intent = intent_of(held.payload.as_deref()).map_err(refused)?;
        let children = self
            .store()
            .children(held.record.id)
            .await
            .map_err(Refusal::from)?;
        let nested = children
            .into_iter()
            .find(|child| child.record.purpose == Purpose::Compensation)
            .ok_or_else(|| refused("its compensation is not in the journal".to_owned()))?;
        let nested_intent = intent_of(nested.payload.as_deref()).map_err(refused)?;
        let context = Context::new(intent.change.clone(), self.setup()).hiding(&intent.rows);
        let context = Context {
            node: Arc::clone(&held.holder.node),
            ..context
        };
        let nested_context =
            Context::new(nested_intent.change.clone(), self.setup()).hiding(&nested_intent.rows);
        let nested_context = Context {
            node: Arc::clone(&held.holder.node),
            ..nested_context
        };
        let before = nested_intent.undone.clone();
        let compensation = self
            .undo_rows(&context, &nested_context, nested_intent)
            .await
            .map_err(|_| Refusal::new(503, "this node lost its lease; try again"))?;
        let record = self.healed(&held.record, &compensation);
        self.write_heal(held, &record, nested.record, compensation, &before, caller)
            .await?;
        if record.outcome == Some(Outcome::Compensated) {
            Ok(record)
        } else {
            Err(Failed::StillDiverged(Box::new(record)))
        }
    }

    /// The change's record after another try.
    fn healed(&self, record: &OperationRecord, compensation: &Compensation) -> OperationRecord {
        let mut record = record.clone();
        record.diverged = compensation.diverged.clone();
        if record.diverged.is_empty() {
            let state = self.step(SagaState::Ended(Outcome::Diverged), SagaEvent::Heal);
            record.outcome = state.outcome();
            record.healed_at = Some(self.clock().now());
        }
        record
    }

    async fn write_heal(
        &self,
        held: &Held,
        record: &OperationRecord,
        nested: OperationRecord,
        compensation: Compensation,
        undone_before: &[usize],
        caller: &str,
    ) -> Result<(), Refusal> {
        let mut entries = audit::about_undo(self.clock(), &compensation.record);
        if record.outcome == Some(Outcome::Compensated) {
            let end = audit::about_divergence_end(self.clock(), record, "healed", caller, None);
            entries.push(end);
        }
        let mut links = links_back(&compensation.intent, undone_before);
        links.extend(compensation.links.clone());
        let nested = merged(nested, compensation.record);
        let settlement = Settlement {
            payloads: vec![(nested.id, compensation.intent.text())],
            records: vec![nested, record.clone()],
            release: Some(held.holder.clone()),
            links,
            audit: entries,
            ..Settlement::default()
        };
        Ok(self.store().settle(settlement).wait().await?)
    }
}

enum Failed {
    Refused(Refusal),
    StillDiverged(Box<OperationRecord>),
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Links of rows that stood until now and are undone by this try.
fn links_back(intent: &Intent, undone_before: &[usize]) -> Vec<LinkChange> {
    intent
        .undone
        .iter()
        .filter(|index| !undone_before.contains(index))
        .filter_map(|index| Some((intent.rows.get(*index)?, intent.ended.get(*index)?)))
        .filter(|(_, end)| end.result == RowResult::Successful)
        .filter_map(|(row, end)| unlinked(row, end))
        .collect()
}

/// The nested change's record with what the latest try did.
fn merged(mut nested: OperationRecord, latest: OperationRecord) -> OperationRecord {
    let same = |one: &WriteRecord, other: &WriteRecord| {
        one.mapping == other.mapping && one.link_qualifier == other.link_qualifier
    };
    for write in latest.writes {
        match nested.writes.iter_mut().find(|old| same(old, &write)) {
            Some(old) => *old = write,
            None => nested.writes.push(write),
        }
    }
    nested.outcome = latest.outcome;
    nested.ended_at = latest.ended_at;
    nested.diverged = latest.diverged;
    nested
}
