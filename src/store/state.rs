//! What a round finds and what it will leave behind: judged and changed in memory, then written.
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    JournalError,
    entity::{
        audit_entry, event, hook_run, idempotency, integration_event, intent, lane, managed_object,
        operation,
    },
    error::Refusal,
    rows::{EntryRows, LinkRow, SettlementRows, WriteRow, audit_row, operation_row},
    unique::{Held, UniqueKey},
};
use crate::model::{
    OperationId, OperationRecord, Purpose,
    audit::{NewEntry, Topic},
    record::Resolution,
};
use chrono::{DateTime, Utc};

/// A managed object's table key: type and id.
pub(super) type ObjectKey = (String, String);

/// A link's type and qualifier, and the id on one side.
pub(super) type LinkKey = (String, String, String);

/// What is known in the course of a round, and what is to be written at its end.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Who writes.
    pub node: String,
    /// When, in microseconds.
    pub now: i64,
    /// The lanes of the objects concerned.
    pub lanes: BTreeMap<String, LaneState>,
    /// The stored revisions of the objects that are written.
    pub revisions: HashMap<ObjectKey, String>,
    /// Idempotency keys that exist.
    pub keys: BTreeMap<(String, String), KnownKey>,
    /// Changes that have ended although a settlement would give their lane free.
    pub ended: BTreeSet<String>,
    /// Open divergences of objects of which a change ended `synced`.
    pub open: Vec<OperationRecord>,

    /// Objects to put or (none) to remove.
    pub objects: BTreeMap<ObjectKey, Option<managed_object::Model>>,
    /// Who has the unique values that the round is about.
    pub held: BTreeMap<UniqueKey, Held>,
    /// Who had them before it.
    pub held_before: BTreeMap<UniqueKey, Held>,
    /// Changes to insert or update, by id.
    pub operations: BTreeMap<String, operation::Model>,
    /// Intents to insert or replace, by change.
    pub intents: BTreeMap<String, intent::Model>,
    /// Links by type, qualifier and first id: the second id, or none to remove it.
    pub links: BTreeMap<LinkKey, Option<String>>,
    /// Set links by type, qualifier and second id: the first id.
    pub linked: HashMap<LinkKey, String>,
    /// Pairs that a reconciliation found to disagree: mapping, link qualifier and source id.
    pub disagreeing: BTreeSet<(String, String, String)>,
    /// Keys to insert.
    pub new_keys: Vec<idempotency::Model>,
    /// Answers under keys that exist already.
    pub answers: BTreeMap<(String, String), idempotency::Model>,
    /// Answers under keys that no change was journaled with.
    pub new_answers: BTreeMap<(String, String), idempotency::Model>,
    /// Entries to append.
    pub audit: Vec<audit_entry::Model>,
    pub hook_runs: Vec<hook_run::Model>,
    /// Events, each with the number of entries up to the one whose place is its id.
    pub events: Vec<(usize, event::Model)>,
    /// Integration events that go out, in order.
    pub outbound: Vec<integration_event::Model>,
}

/// Whose an idempotency key is.
#[derive(Debug, Clone)]
pub(super) struct KnownKey {
    pub operation: String,
    /// Whether there is a row already.
    pub stored: bool,
}

/// A lane as it will be.
#[derive(Debug, Clone)]
pub(super) struct LaneState {
    pub row: lane::Model,
    /// Whether there is a row already.
    pub stored: bool,
    /// Whether it is to be written.
    pub changed: bool,
}

/// Lanes of this name belong to no object and are removed when they are free.
const PASSING: &str = "managed/$";

impl LaneState {
    /// Whether nothing needs to be remembered of it.
    pub(super) fn has_passed(&self) -> bool {
        self.row.operation.is_none() && self.row.object.starts_with(PASSING)
    }
}

impl State {
    /// Takes a settlement in, unless another node finished the change.
    pub(super) fn settle(&mut self, settlement: &SettlementRows) -> Result<(), Refusal> {
        self.check_release(settlement)?;
        if let Some(write) = &settlement.write {
            if self.fits(write) {
                self.put(write);
            } else {
                tracing::error!(
                    object = write.id,
                    "the object is not what the settlement of its change expects; it stays as it is"
                );
            }
        }
        for row in &settlement.operations {
            self.record(row.clone());
        }
        self.intend(&settlement.intents);
        for link in &settlement.links {
            self.link(link);
        }
        self.audit.extend(settlement.audit.iter().cloned());
        self.hook_runs.extend(settlement.hook_runs.iter().cloned());
        self.tell(settlement);
        self.outbound.extend(settlement.outbound.iter().cloned());
        if let Some(answer) = &settlement.answer {
            self.answer(answer);
        }
        if let Some(holder) = &settlement.release {
            self.release(&holder.object);
        }
        if let Some(object) = &settlement.freed {
            self.let_go(object);
        }
        if let Some((object, operation)) = &settlement.claim {
            self.claim(object, &operation.to_string(), 1);
        }
        Ok(())
    }

    /// Takes a journal entry in, unless it conflicts with what is there.
    pub(super) fn journal(&mut self, entry: &EntryRows) -> Result<(), JournalError> {
        if self.is_journaled(entry) {
            return Ok(());
        }
        self.check_lane(entry)?;
        if entry.write.as_ref().is_some_and(|write| !self.fits(write)) {
            return Err(JournalError::Stale);
        }
        if let Some(write) = &entry.write {
            self.check_claims(&write.managed_type, &write.id, &entry.claims)?;
        }
        if let Some(key) = &entry.key {
            let place = (key.caller.clone(), key.key.clone());
            if self.keys.contains_key(&place) {
                return Err(JournalError::KeyInUse);
            }
            self.know(place, key);
            self.new_keys.push(key.clone());
        }
        if let Some(write) = &entry.write {
            self.put(write);
        }
        if entry.claim {
            self.claim(&entry.operation.object, &entry.operation.id, entry.attempt);
        }
        for row in &entry.updates {
            self.record(row.clone());
        }
        self.record(entry.operation.clone());
        self.intend(&entry.intents);
        self.disagreeing.extend(entry.disagreeing.iter().cloned());
        Ok(())
    }

    /// Closes what this settlement's change, which ended `synced`, supersedes; `fresh` gives each
    /// audit entry's id.
    pub(super) fn supersede(
        &mut self,
        settlement: &SettlementRows,
        at: DateTime<Utc>,
        fresh: impl Fn() -> uuid::Uuid,
    ) {
        let Some((object, by)) = &settlement.supersedes else {
            return;
        };
        for mut record in self.open_divergences(object, *by) {
            record.resolution = Some(superseded(*by, at));
            // A change and its compensation diverge as one: the change tells of its end.
            if record.purpose != Purpose::Compensation {
                let caller = settlement.operations.last().and_then(caller_of);
                let entry = supersession(&record, *by, caller, at, fresh());
                self.audit.push(audit_row(entry));
            }
            self.record(operation_row(&record));
        }
        if let Some(lane) = self.lanes.get_mut(object)
            && lane.row.open_divergence == 1
        {
            lane.row.open_divergence = 0;
            lane.changed = true;
        }
    }

    /// Those that were stored before this round and those that came with it, but not `by` itself.
    fn open_divergences(&mut self, object: &str, by: OperationId) -> Vec<OperationRecord> {
        let (stored, others) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(|record| record.object.to_string() == object);
        self.open = others;
        let stored: Vec<OperationRecord> = stored;
        let in_round = self
            .operations
            .values()
            .filter(|row| row.open_divergence == 1 && row.object == object)
            .filter_map(|row| super::decode::record(&row.record).ok());
        let mut found: Vec<OperationRecord> = stored
            .into_iter()
            .filter(|record| !self.operations.contains_key(&record.id.to_string()))
            .chain(in_round)
            .filter(|record| record.id != by)
            .collect();
        found.sort_by_key(|record| record.id);
        found
    }

    /// Whether there is anything to write.
    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty()
            && self.operations.is_empty()
            && self.intents.is_empty()
            && self.links.is_empty()
            && self.new_keys.is_empty()
            && self.answers.is_empty()
            && self.new_answers.is_empty()
            && self.audit.is_empty()
            && self.hook_runs.is_empty()
            && self.outbound.is_empty()
            && self.held == self.held_before
            && !self.lanes.values().any(|lane| lane.changed)
    }

    fn check_release(&self, settlement: &SettlementRows) -> Result<(), Refusal> {
        let Some(held) = &settlement.release else {
            return Ok(());
        };
        let lane = self.lanes.get(&held.object).map(|lane| &lane.row);
        let ended = |row: &operation::Model| self.ended.contains(&row.id);
        match lane.and_then(|lane| lane.node.as_deref()) {
            Some(node) => {
                let is_its = node == self.node
                    && node == &*held.node
                    && lane.is_some_and(|lane| lane.operation.as_ref() == Some(&held.operation));
                is_its.then_some(()).ok_or(Refusal::TakenOver)
            }
            None if settlement.operations.iter().any(ended) => Err(Refusal::TakenOver),
            None => Ok(()),
        }
    }

    /// Whether an earlier round stored the entry after all, although its commit failed.
    fn is_journaled(&self, entry: &EntryRows) -> bool {
        let lane = self.lanes.get(&entry.operation.object);
        entry.claim
            && lane.is_some_and(|lane| {
                lane.row.operation.as_ref() == Some(&entry.operation.id)
                    && lane.row.node.as_ref() == Some(&self.node)
            })
    }

    fn check_lane(&self, entry: &EntryRows) -> Result<(), JournalError> {
        let lane = self
            .lanes
            .get(&entry.operation.object)
            .map(|lane| &lane.row);
        let in_flight = lane.and_then(|lane| lane.operation.as_deref());
        if entry.claim
            && let Some(operation) = in_flight
        {
            if operation == entry.operation.id {
                return Err(JournalError::Unknown);
            }
            let nobody = OperationId(uuid::Uuid::nil());
            return Err(JournalError::InFlight(operation.parse().unwrap_or(nobody)));
        }
        let holder = lane.and_then(|lane| lane.node.as_deref());
        if !entry.claim {
            let is_its = holder == Some(self.node.as_str())
                && holder == Some(entry.node.as_str())
                && (in_flight == entry.operation.parent.as_deref()
                    || in_flight == Some(entry.operation.root.as_str()));
            if !is_its {
                return Err(JournalError::LeaseLost);
            }
        }
        match &entry.latest {
            Some(latest) if lane.map(|lane| &lane.latest) != latest.as_ref() => {
                Err(JournalError::Stale)
            }
            _ => Ok(()),
        }
    }

    fn fits(&self, write: &WriteRow) -> bool {
        let key = (write.managed_type.clone(), write.id.clone());
        self.revisions.get(&key) == write.expected.as_ref()
    }

    /// Without an entry of its own an event has no place.
    fn tell(&mut self, settlement: &SettlementRows) {
        match &settlement.event {
            Some(event) if settlement.audit.is_empty() => {
                tracing::error!(
                    event.operation,
                    "an event without an audit entry is not told"
                );
            }
            Some(event) => self.events.push((self.audit.len(), event.clone())),
            None => {}
        }
    }

    /// Keeps the answer under its key, unless the key is another change's.
    fn answer(&mut self, answer: &idempotency::Model) {
        let key = (answer.caller.clone(), answer.key.clone());
        match self.keys.get(&key) {
            Some(known) if known.operation != answer.operation => {
                tracing::warn!(
                    operation = answer.operation,
                    "the idempotency key is another change's: its answer stays"
                );
            }
            Some(known) if known.stored => {
                self.answers.insert(key, answer.clone());
            }
            _ => {
                self.know(key.clone(), answer);
                self.new_answers.insert(key, answer.clone());
            }
        }
    }

    fn know(&mut self, place: (String, String), key: &idempotency::Model) {
        let known = KnownKey {
            operation: key.operation.clone(),
            stored: false,
        };
        self.keys.insert(place, known);
    }

    fn put(&mut self, write: &WriteRow) {
        let key = (write.managed_type.clone(), write.id.clone());
        match &write.row {
            Some(row) => self.revisions.insert(key.clone(), row.rev.clone()),
            None => self.revisions.remove(&key),
        };
        if let Some(holds) = &write.holds {
            self.hold(&key, holds);
        }
        self.objects.insert(key, write.row.clone());
    }

    fn intend(&mut self, intents: &[intent::Model]) {
        let rows = intents.iter().cloned();
        self.intents
            .extend(rows.map(|row| (row.operation.clone(), row)));
    }

    fn record(&mut self, row: operation::Model) {
        if row.open_divergence == 1 {
            self.note_divergence(&row);
        }
        self.operations.insert(row.id.clone(), row);
    }

    fn note_divergence(&mut self, row: &operation::Model) {
        let lane = self.lane(&row.object, &row.id);
        if lane.row.open_divergence == 0 {
            lane.row.open_divergence = 1;
            lane.changed = true;
        }
    }

    fn lane(&mut self, object: &str, latest: &str) -> &mut LaneState {
        self.lanes
            .entry(object.to_owned())
            .or_insert_with(|| LaneState {
                row: lane::Model {
                    object: object.to_owned(),
                    latest: latest.to_owned(),
                    operation: None,
                    node: None,
                    attempt: 0,
                    claimed_at: 0,
                    open_divergence: 0,
                },
                stored: false,
                changed: false,
            })
    }

    fn claim(&mut self, object: &str, operation: &str, attempt: u32) {
        let (node, now) = (self.node.clone(), self.now);
        let lane = self.lane(object, operation);
        operation.clone_into(&mut lane.row.latest);
        lane.row.operation = Some(operation.to_owned());
        lane.row.node = Some(node);
        lane.row.attempt = i64::from(attempt);
        lane.row.claimed_at = now;
        lane.changed = true;
    }

    fn release(&mut self, object: &str) {
        if let Some(lane) = self.lanes.get_mut(object)
            && lane.row.operation.is_some()
        {
            lane.row.operation = None;
            lane.row.node = None;
            lane.changed = true;
        }
    }

    /// A target that was linked to another source is given to this one.
    fn link(&mut self, change: &LinkRow) {
        let row = change.row();
        let key = |id: &String| (row.link_type.clone(), row.qualifier.clone(), id.clone());
        if let LinkRow::Remove(_) = change {
            self.links.insert(key(&row.first_id), None);
            return;
        }
        let target = key(&row.second_id);
        if let Some(other) = self.linked.insert(target, row.first_id.clone())
            && other != row.first_id
            && self.links.get(&key(&other)) == Some(&Some(row.second_id.clone()))
        {
            self.links.insert(key(&other), None);
        }
        self.links
            .insert(key(&row.first_id), Some(row.second_id.clone()));
    }
}

fn caller_of(row: &operation::Model) -> Option<String> {
    let record = super::decode::record(&row.record).ok()?;
    Some(record.caller)
}

fn superseded(by: OperationId, at: DateTime<Utc>) -> Resolution {
    Resolution {
        kind: "superseded".into(),
        at,
        by: None,
        reason: None,
        operation: Some(by),
    }
}

/// The end of a divergence is an entry of its own (SPEC 5).
fn supersession(
    record: &OperationRecord,
    by: OperationId,
    caller: Option<String>,
    at: DateTime<Utc>,
    id: uuid::Uuid,
) -> NewEntry {
    let mut body = serde_json::json!({
        "eventName": "divergenceEnd",
        "userId": caller,
        "objectId": record.object.to_string(),
        "action": "superseded",
        "status": "SUCCESS",
        "outcome": record.outcome,
        "parent": record.parent,
        "root": record.root,
        "message": format!("superseded by {by}"),
    });
    if let Some(members) = body.as_object_mut() {
        members.retain(|_, member| !member.is_null());
    }
    NewEntry {
        id,
        topic: Topic::Compensation,
        timestamp: at,
        transaction_id: record.transaction_id.clone(),
        operation: Some(record.id.0),
        body: body.to_string(),
    }
}
