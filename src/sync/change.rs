//! One change while it is under way: its facts as the journal keeps them, and what surrounds it.
use std::{borrow::Cow, sync::Arc};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    managed::ManagedType,
    mapping::Effects,
    model::{
        ChangeKind, Lineage, Object, OperationId, OperationRecord, PlannedRow, Purpose,
        ResourceName, RowResult, SagaState, Step, TargetObject,
        change::IdempotencyKey,
        event::NewEvent,
        object::REV,
        record::{HookRun, RecordedError, WriteRecord},
        secret::{Redactor, masked},
    },
    store::{Holder, ObjectWrite, StoredOperation},
};

use super::{error::Refusal, follow::Asked, queue, recover::intent_of, setup::Setup};

/// Where the request of a replay says whether hooks with effects elsewhere run.
const EFFECTS: &str = "/additionalParameters/sideEffects";

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

/// What the journal keeps of a change, under a version of its format. It is written down as
/// [`IntentText`].
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Intent {
    /// The format's version: [`Intent::FORMAT`] when it was written.
    pub format: u32,
    /// The facts.
    pub change: Change,
    /// The rows, in mapping order. Those of a compensation are its parent's.
    pub rows: Vec<PlannedRow>,
    /// How each row of the parent ended; set for a compensation only.
    #[serde(default)]
    pub ended: Vec<RowEnd>,
    /// Which rows of the parent are undone, 0-based; set for a compensation only.
    #[serde(default)]
    pub undone: Vec<usize>,
    /// Hooks that ran before the intent was written.
    pub hook_runs: Vec<HookRun>,
    /// Changes that hooks asked for so far.
    #[serde(default)]
    pub follow_ups: Vec<Asked>,
    /// What the `onSync` hook threw that asked for the change to be taken back.
    #[serde(default)]
    pub thrown: Option<Thrown>,
    /// Rows of the parent, 0-based, whose object may have been created again under an id that is
    /// not known; set for a compensation only.
    #[serde(default)]
    pub doubtful: Vec<usize>,
}

/// An intent as it is written, of parts that others hold.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IntentText<'a> {
    pub format: u32,
    pub change: &'a Change,
    pub rows: &'a [PlannedRow],
    #[serde(skip_serializing_if = "<[RowEnd]>::is_empty")]
    pub ended: &'a [RowEnd],
    #[serde(skip_serializing_if = "<[usize]>::is_empty")]
    pub undone: &'a [usize],
    pub hook_runs: &'a [HookRun],
    #[serde(skip_serializing_if = "<[Asked]>::is_empty")]
    pub follow_ups: &'a [Asked],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thrown: Option<&'a Thrown>,
    #[serde(skip_serializing_if = "<[usize]>::is_empty")]
    pub doubtful: &'a [usize],
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

    /// The intent as the store keeps it.
    pub(super) fn text(&self) -> String {
        IntentText {
            format: self.format,
            change: &self.change,
            rows: &self.rows,
            ended: &self.ended,
            undone: &self.undone,
            hook_runs: &self.hook_runs,
            follow_ups: &self.follow_ups,
            thrown: self.thrown.as_ref(),
            doubtful: &self.doubtful,
        }
        .text()
    }
}

impl IntentText<'_> {
    /// The text that the store keeps. Every part of it serializes to JSON by construction: maps
    /// have text keys, and numbers come from JSON.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
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

    /// Whether hooks run that have effects elsewhere: not in a replay, unless it was asked for.
    pub(super) fn effects(&self) -> Effects {
        let asked = self.change.request.pointer(EFFECTS);
        match asked.and_then(Value::as_bool) {
            Some(false) => Effects::Unwanted,
            Some(true) | None => Effects::Wanted,
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

    /// A managed object with its confidential attributes masked.
    pub(super) fn masked<'a>(&self, object: &'a Object) -> Cow<'a, Object> {
        match &self.managed {
            Some(managed) if !managed.confidential.is_empty() => {
                let names = managed.confidential.iter().map(String::as_str);
                Cow::Owned(masked(object.clone(), names))
            }
            _ => Cow::Borrowed(object),
        }
    }

    /// The object as callers may see it.
    pub(super) fn visible(&self, object: &Object) -> Object {
        self.managed
            .as_ref()
            .map_or_else(|| object.clone(), |managed| managed.visible(object))
    }

    /// The record of this change in a state, with what is known of its rows.
    pub(super) fn record(
        &self,
        state: SagaState,
        rows: Vec<PlannedRow>,
        ends: &[RowEnd],
        hook_runs: Vec<HookRun>,
    ) -> OperationRecord {
        let ends = ends.iter().map(Some).chain(std::iter::repeat(None));
        let writes = rows.into_iter().zip(ends);
        let writes = writes.map(|(row, end)| write_record(row, end)).collect();
        self.record_of(state, writes, hook_runs)
    }

    /// The record of this change whose intent is about to be stored beside it: the values that
    /// it writes are in there ([`shown`]).
    pub(super) fn outline(
        &self,
        state: SagaState,
        rows: &[PlannedRow],
        hook_runs: &[HookRun],
    ) -> OperationRecord {
        let writes = rows.iter().map(write_outline).collect();
        self.record_of(state, writes, hook_runs.to_vec())
    }

    fn record_of(
        &self,
        state: SagaState,
        writes: Vec<WriteRecord>,
        hook_runs: Vec<HookRun>,
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
            writes,
            hook_runs,
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

/// The record as it is shown: that of a change under way gets the values that it writes from its
/// intent.
#[must_use]
pub fn shown(stored: StoredOperation) -> OperationRecord {
    let mut record = stored.record;
    if record.outcome.is_some() {
        return record;
    }
    let rows = intent_of(stored.payload.as_deref()).map_or_else(|_| Vec::new(), |it| it.rows);
    for (write, row) in record.writes.iter_mut().zip(rows) {
        let full = write_record(row, None);
        (write.before, write.after) = (full.before, full.after);
    }
    record
}

fn write_record(mut row: PlannedRow, end: Option<&RowEnd>) -> WriteRecord {
    let outline = write_outline(&row);
    let (before, after) = match std::mem::replace(&mut row.step, Step::Nothing) {
        Step::Write { write } => write.into_images(),
        Step::Nothing | Step::Failed { .. } => (None, None),
    };
    let hide = |object: Object| masked(object, row.confidential.iter().map(String::as_str));
    let (before, after) = (before.map(hide), after.map(hide));
    let Some(end) = end else {
        return WriteRecord {
            before,
            after,
            ..outline
        };
    };
    let written = end.written.as_ref();
    WriteRecord {
        target_id: written
            .map(|written| written.id.clone())
            .or(outline.target_id),
        before,
        after,
        result: Some(end.result),
        cause: end.cause.clone(),
        attempts: end.attempts,
        duration_ms: end.duration_ms,
        ..outline
    }
}

/// What will be written where, without the values.
fn write_outline(row: &PlannedRow) -> WriteRecord {
    let write = match &row.step {
        Step::Write { write } => Some(write),
        Step::Nothing | Step::Failed { .. } => None,
    };
    WriteRecord {
        mapping: row.mapping.clone(),
        link_qualifier: row.link_qualifier.clone(),
        target: row.target.to_string(),
        target_id: row.target_id.clone(),
        situation: row.situation,
        action: row.action,
        operation: write.map(|write| write.operation().to_owned()),
        before: None,
        after: None,
        result: None,
        cause: None,
        attempts: 0,
        duration_ms: 0,
    }
}
