//! One change while it is under way: its facts as the journal keeps them, and what surrounds it.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    managed::ManagedType,
    model::{
        ChangeKind, Lineage, Object, OperationId, OperationRecord, PlannedRow, Purpose,
        ResourceName, RowResult, SagaState, TargetObject,
        change::IdempotencyKey,
        event::NewEvent,
        object::REV,
        record::{HookRun, RecordedError, WriteRecord},
        secret::{Redactor, masked},
    },
    store::{Holder, ObjectWrite},
};

use super::{error::Refusal, follow::Asked, queue, setup::Setup};

/// The facts of a change. They go into the journal as they are, so that another process can carry on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The change's id.
    pub id: OperationId,
    /// Where it comes from.
    pub lineage: Lineage,
    /// The object that changes.
    pub object: ResourceName,
    /// What happens to it.
    pub kind: ChangeKind,
    /// Whether the caller keeps the record itself (`/sync?_action=notify…`).
    pub notified: bool,
    /// Who asks.
    pub caller: String,
    /// What ties audit entries together.
    pub transaction_id: String,
    /// The caller's idempotency key.
    pub idempotency: Option<IdempotencyKey>,
    /// The `request` variable of hooks.
    pub request: Value,
    /// The object before, with `_id` and `_rev`; none for a create.
    pub old: Option<Object>,
    /// The object after, with `_id` and `_rev`; none for a delete.
    pub new: Option<Object>,
    /// When it was admitted.
    pub started_at: DateTime<Utc>,
    /// 1, and one more each time a recovery took it up.
    pub attempt: u32,
}

/// What the journal keeps of a change, under a version of its format.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Intent {
    /// The format's version: [`Intent::FORMAT`] when it was written.
    pub format: u32,
    /// The facts.
    pub change: Change,
    /// The rows, in mapping order. Those of a compensation are its parent's.
    pub rows: Vec<PlannedRow>,
    /// How each row of the parent ended; set for a compensation only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<RowEnd>,
    /// Which rows of the parent are undone, 0-based; set for a compensation only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undone: Vec<usize>,
    /// Hooks that ran before the intent was written.
    pub hook_runs: Vec<HookRun>,
    /// Changes that hooks asked for so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub follow_ups: Vec<Asked>,
    /// What the `onSync` hook threw that asked for the change to be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thrown: Option<Thrown>,
    /// Rows of the parent, 0-based, whose object may have been created again under an id that is
    /// not known; set for a compensation only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubtful: Vec<usize>,
}

/// What a hook threw, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Thrown {
    /// The HTTP status that it means.
    pub code: u16,
    /// What it says to people.
    pub message: String,
    /// What it says to programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Value>,
}

/// How a row ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RowEnd {
    /// How.
    pub result: RowResult,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<crate::model::Cause>,
    /// What the target holds after the write, where it told; the id is the one it assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Written>,
    /// Whether the target may hold something else than its pre-image.
    pub touched: bool,
    /// How often the target was asked.
    pub attempts: u32,
    /// Milliseconds from the first attempt to the result.
    pub duration_ms: u64,
}

/// What a target said after our write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written {
    /// The object's id.
    pub id: String,
    /// Its attributes, where the target told them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Object>,
}

/// A change and the configuration that it was admitted under.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub change: Change,
    pub setup: Arc<Setup>,
    /// The object's type, where it is one of ours.
    pub managed: Option<Arc<ManagedType>>,
    /// The life of this node that holds the change: it writes only while that lease lasts. Empty,
    /// which is nobody, until the change is journaled or taken over.
    pub node: Arc<str>,
    /// Takes the confidential values of old and new object out of texts.
    pub redactor: Redactor,
    /// The row of the mapping that the change comes from: its link is set when the change stands.
    pub origin: Option<Box<PlannedRow>>,
}

impl Intent {
    /// The version that this program writes. It reads this one and all before it.
    pub(super) const FORMAT: u32 = 1;
}

impl From<&Refusal> for Thrown {
    fn from(refusal: &Refusal) -> Self {
        Self {
            code: refusal.code,
            message: refusal.message.clone(),
            detail: refusal.detail.clone(),
        }
    }
}

impl From<Thrown> for Refusal {
    fn from(thrown: Thrown) -> Self {
        Self {
            detail: thrown.detail,
            ..Self::new(thrown.code, thrown.message)
        }
    }
}

impl RowEnd {
    pub(super) fn of(result: RowResult) -> Self {
        Self {
            result,
            cause: None,
            written: None,
            touched: false,
            attempts: 0,
            duration_ms: 0,
        }
    }
}

impl From<crate::connectors::Written> for Written {
    fn from(written: crate::connectors::Written) -> Self {
        Self {
            id: written.id,
            attributes: written.attributes,
        }
    }
}

impl From<&TargetObject> for Written {
    fn from(found: &TargetObject) -> Self {
        Self {
            id: found.id.clone(),
            attributes: Some(found.attributes.clone()),
        }
    }
}

impl Context {
    /// Who must hold the object's in-flight row when this change gives it free.
    pub(super) fn holder(&self) -> Holder {
        Holder {
            object: self.change.object.clone(),
            operation: self.change.id,
            node: Arc::clone(&self.node),
        }
    }

    pub(super) fn new(change: Change, setup: Arc<Setup>) -> Self {
        let managed = queue::type_of(&setup, &change.lineage, &change.object.container);
        let redactor = managed.as_ref().map_or_else(Redactor::default, |managed| {
            redactor(managed, [change.old.as_ref(), change.new.as_ref()])
        });
        Self {
            node: Arc::default(),
            change,
            setup,
            managed,
            redactor,
            origin: None,
        }
    }

    /// Whether the change puts a target right without changing the object.
    pub(super) fn is_reconciliation(&self) -> bool {
        self.change.lineage.purpose == Purpose::Reconciliation
    }

    /// The same, whose redactor also knows what is confidential in the rows: a transform may have
    /// made something else of it.
    pub(super) fn hiding(mut self, rows: &[PlannedRow]) -> Self {
        if rows.iter().any(|row| !row.confidential.is_empty()) {
            let values = rows.iter().flat_map(PlannedRow::confidential_values);
            self.redactor = self.redactor.and(values);
        }
        self
    }

    /// What the change feed tells where the change stands. A change that was taken back left the
    /// object as it was, and a record that its caller keeps is not Recant's to tell about.
    pub(super) fn event(&self, created_at: DateTime<Utc>) -> Option<NewEvent> {
        let change = &self.change;
        (!change.notified).then(|| NewEvent {
            object: change.object.clone(),
            kind: change.kind,
            operation: change.id,
            created_at,
            before: change.old.clone(),
            after: change.new.clone(),
        })
    }

    /// A copy of a managed object with its confidential attributes masked.
    pub(super) fn masked(&self, object: &Object) -> Object {
        masked(object, self.confidential())
    }

    /// The object as callers may see it.
    pub(super) fn visible(&self, object: &Object) -> Object {
        self.managed
            .as_ref()
            .map_or_else(|| object.clone(), |managed| managed.visible(object))
    }

    fn confidential(&self) -> impl Iterator<Item = &str> {
        self.managed
            .iter()
            .flat_map(|managed| managed.confidential.iter().map(String::as_str))
    }

    /// The record of this change in a state, with what is known of its rows.
    pub(super) fn record(
        &self,
        state: SagaState,
        rows: &[PlannedRow],
        ends: &[RowEnd],
        hook_runs: &[HookRun],
    ) -> OperationRecord {
        let change = &self.change;
        OperationRecord {
            id: change.id,
            transaction_id: change.transaction_id.clone(),
            root: change.lineage.root,
            parent: change.lineage.parent,
            depth: change.lineage.depth,
            purpose: change.lineage.purpose,
            caller: change.caller.clone(),
            object: change.object.clone(),
            kind: change.kind,
            outcome: state.outcome(),
            phase: state.phase().to_owned(),
            attempt: change.attempt,
            started_at: change.started_at,
            ended_at: None,
            revision_before: revision(change.old.as_ref()),
            revision: revision(change.new.as_ref()),
            writes: rows
                .iter()
                .enumerate()
                .map(|(index, row)| write_record(row, ends.get(index)))
                .collect(),
            hook_runs: hook_runs.to_vec(),
            nested: Vec::new(),
            follow_ups: Vec::new(),
            diverged: Vec::new(),
            error: None,
            healed_at: None,
            resolution: None,
            waits_because: None,
        }
    }
}

/// What a change does to the repository.
pub(super) fn object_write(change: &Change) -> ObjectWrite {
    if change.notified {
        return ObjectWrite::Untouched;
    }
    let expected = revision(change.old.as_ref());
    match (&change.new, expected) {
        (Some(object), expected) => ObjectWrite::Put {
            object: object.clone(),
            expected,
        },
        (None, Some(expected)) => ObjectWrite::Remove { expected },
        (None, None) => ObjectWrite::Untouched,
    }
}

/// The `_rev` of an object.
pub(super) fn revision(object: Option<&Object>) -> Option<String> {
    object?.get(REV)?.as_str().map(str::to_owned)
}

/// The error of a record, from what the caller is answered.
pub(super) fn recorded(code: u16, message: &str) -> RecordedError {
    RecordedError {
        code,
        message: message.to_owned(),
    }
}

/// What is confidential in these objects, as a redactor.
pub(super) fn redactor<'a>(
    managed: &ManagedType,
    objects: impl IntoIterator<Item = Option<&'a Object>>,
) -> Redactor {
    if managed.confidential.is_empty() {
        return Redactor::default();
    }
    let values = objects.into_iter().flatten().flat_map(|object| {
        managed
            .confidential
            .iter()
            .filter_map(|name| object.get(name))
    });
    Redactor::new(values)
}

fn write_record(row: &PlannedRow, end: Option<&RowEnd>) -> WriteRecord {
    let write = match &row.step {
        crate::model::Step::Write { write } => Some(write),
        _ => None,
    };
    let hide = |object: Object| {
        if row.confidential.is_empty() {
            object
        } else {
            masked(&object, row.confidential.iter().map(String::as_str))
        }
    };
    WriteRecord {
        mapping: row.mapping.clone(),
        link_qualifier: row.link_qualifier.clone(),
        target: row.target.to_string(),
        target_id: end
            .and_then(|end| end.written.as_ref().map(|written| written.id.clone()))
            .or_else(|| row.target_id.clone()),
        situation: row.situation,
        action: row.action,
        operation: write.map(|write| write.operation().to_owned()),
        before: write.and_then(|write| write.before()).map(hide),
        after: write.and_then(|write| write.after()).map(hide),
        result: end.map(|end| end.result),
        cause: end.and_then(|end| end.cause.clone()),
        attempts: end.map_or(0, |end| end.attempts),
        duration_ms: end.map_or(0, |end| end.duration_ms),
    }
}
