//! The entries about a change, made from its record, in which what is confidential is masked.
use serde::Serialize;

use super::body::{
    AccessBody, ChangeBody, CompensationBody, ConfigurationBody, Digest, DivergenceBody,
    DivergenceEndBody, HookBody, RefusalBody, Response, ScriptBody, SkippedBody, WriteBody,
};
use crate::{
    clock::Clock,
    model::{
        Object, OperationRecord, Outcome, RowResult,
        audit::{NewEntry, Topic},
        record::{Divergence, HookRun, WriteRecord},
    },
};

const SUCCESS: &str = "SUCCESS";
const FAILURE: &str = "FAILURE";

/// The object of a change before and after it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Values<'a> {
    /// Before, masked; none where it came into being.
    pub before: Option<&'a Object>,
    /// After, masked; none where it went away.
    pub after: Option<&'a Object>,
    /// Both as they are: from these it is told which attributes changed, be they masked or not.
    pub clear: (Option<&'a Object>, Option<&'a Object>),
}

/// What a change tried and how it ended: one `activity` entry for the change, one for each hook
/// run, and a `sync` entry for each target write.
#[must_use]
pub fn about_change(
    clock: &dyn Clock,
    record: &OperationRecord,
    values: &Values<'_>,
) -> Vec<NewEntry> {
    let mut entries = Vec::with_capacity(1 + record.hook_runs.len() + record.writes.len());
    entries.push(entry(
        clock,
        record,
        Topic::Activity,
        &change_body(record, values),
    ));
    entries.extend(
        record
            .hook_runs
            .iter()
            .map(|run| entry(clock, record, Topic::Activity, &hook_body(record, run))),
    );
    entries.extend(
        record
            .writes
            .iter()
            .filter(|write| is_attempted(write))
            .map(|write| {
                entry(
                    clock,
                    record,
                    Topic::Sync,
                    &write_body(record, write, "sync"),
                )
            }),
    );
    entries
}

/// What a compensation did: one entry for each undo write, and one for each target that diverges.
#[must_use]
pub fn about_compensation(clock: &dyn Clock, nested: &OperationRecord) -> Vec<NewEntry> {
    let mut entries = vec![entry(
        clock,
        nested,
        Topic::Compensation,
        &compensation_body(nested),
    )];
    entries.extend(about_undo(clock, nested));
    entries
}

/// The undo writes of a compensation (or of another try to heal it) and what still diverges.
#[must_use]
pub fn about_undo(clock: &dyn Clock, nested: &OperationRecord) -> Vec<NewEntry> {
    let writes = nested.writes.iter().map(|write| {
        entry(
            clock,
            nested,
            Topic::Compensation,
            &write_body(nested, write, "undo"),
        )
    });
    let diverged = nested.diverged.iter().map(|divergence| {
        entry(
            clock,
            nested,
            Topic::Compensation,
            &divergence_body(nested, divergence),
        )
    });
    writes.chain(diverged).collect()
}

/// The end of a divergence: `healed`, `resolved` or `superseded`.
#[must_use]
pub fn about_divergence_end(
    clock: &dyn Clock,
    record: &OperationRecord,
    how: &str,
    by: &str,
    reason: Option<&str>,
) -> NewEntry {
    let body = DivergenceEndBody {
        event_name: "divergenceEnd",
        user_id: by,
        object_id: &record.object,
        action: how,
        status: SUCCESS,
        outcome: record.outcome,
        parent: record.parent,
        root: record.root,
        message: reason,
    };
    entry(clock, record, Topic::Compensation, &body)
}

/// An access that was denied, or a dry run.
#[must_use]
pub fn about_access(
    clock: &dyn Clock,
    transaction_id: &str,
    caller: &str,
    request: &str,
    status: u16,
    message: &str,
) -> NewEntry {
    let body = AccessBody {
        event_name: "access",
        user_id: caller,
        request,
        response: Response {
            status_code: status,
        },
        status: if status < 400 { SUCCESS } else { FAILURE },
        message,
    };
    loose(clock, Topic::Access, transaction_id, &body)
}

/// A change that was refused before the engine saw it: an unreadable body, a missing right.
/// `what` is the HTTP method and what was to be changed.
#[must_use]
pub fn about_refusal(
    clock: &dyn Clock,
    transaction_id: &str,
    caller: &str,
    (method, resource): (&str, &str),
    status: u16,
    message: &str,
) -> NewEntry {
    let body = RefusalBody {
        event_name: "change",
        user_id: caller,
        object_id: resource,
        action: &method.to_ascii_lowercase(),
        status: FAILURE,
        outcome: Outcome::Rejected,
        code: status,
        message,
    };
    loose(clock, Topic::Activity, transaction_id, &body)
}

/// A file of the project folder that came into force changed, with its digests before and after
/// (none: it was not there, or is not there any more).
#[must_use]
pub fn about_configuration(
    clock: &dyn Clock,
    file: &str,
    before: Option<&str>,
    after: Option<&str>,
) -> NewEntry {
    let body = ConfigurationBody {
        event_name: "configuration",
        object_id: file,
        action: match (before, after) {
            (None, _) => "create",
            (_, None) => "delete",
            _ => "update",
        },
        status: SUCCESS,
        before: before.map(|digest| Digest { digest }),
        after: after.map(|digest| Digest { digest }),
    };
    let transaction_id = clock.fresh_id().to_string();
    loose(clock, Topic::Config, &transaction_id, &body)
}

/// An entry that belongs to no change.
fn loose(clock: &dyn Clock, topic: Topic, transaction_id: &str, body: &impl Serialize) -> NewEntry {
    NewEntry {
        id: clock.fresh_id(),
        topic,
        timestamp: clock.now(),
        transaction_id: transaction_id.to_owned(),
        operation: None,
        body: text(body),
    }
}

fn entry(
    clock: &dyn Clock,
    record: &OperationRecord,
    topic: Topic,
    body: &impl Serialize,
) -> NewEntry {
    NewEntry {
        operation: Some(record.id.0),
        ..loose(clock, topic, &record.transaction_id, body)
    }
}

/// Every part of a body serializes to JSON by construction: maps have text keys, and numbers come
/// from JSON.
fn text(body: &impl Serialize) -> String {
    serde_json::to_string(body).unwrap_or_default()
}

fn change_body<'a>(record: &'a OperationRecord, values: &Values<'a>) -> ChangeBody<'a> {
    ChangeBody {
        event_name: "change",
        user_id: &record.caller,
        object_id: &record.object,
        action: record.kind,
        status: status_of(record.outcome),
        outcome: record.outcome,
        parent: record.parent,
        root: record.root,
        revision: record.revision.as_deref(),
        attempt: record.attempt,
        duration_ms: duration(record),
        changed_fields: changed_fields(values.clear.0, values.clear.1),
        skipped: skipped(record),
        before: values.before,
        after: values.after,
        message: record.error.as_ref().map(|error| error.message.as_str()),
        code: record.error.as_ref().map(|error| error.code),
    }
}

fn hook_body<'a>(record: &'a OperationRecord, run: &'a HookRun) -> HookBody<'a> {
    HookBody {
        event_name: "hook",
        user_id: &record.caller,
        object_id: &record.object,
        action: &run.hook,
        script: ScriptBody {
            name: &run.name,
            digest: &run.digest,
        },
        status: if run.error.is_none() {
            SUCCESS
        } else {
            FAILURE
        },
        verdict: &run.verdict,
        compensating: run.compensating,
        parent: record.parent,
        root: record.root,
        duration_ms: run.duration_ms,
        duration_micros: run.duration_micros,
        operations: run.operations,
        log: &run.log,
        message: run.error.as_deref(),
    }
}

fn write_body<'a>(
    record: &'a OperationRecord,
    write: &'a WriteRecord,
    event_name: &'static str,
) -> WriteBody<'a> {
    let cause = write.cause.as_ref();
    WriteBody {
        event_name,
        user_id: &record.caller,
        mapping: &write.mapping,
        link_qualifier: &write.link_qualifier,
        situation: write.situation,
        action: write.action,
        write: write.operation.as_deref(),
        source_object_id: &record.object,
        target_object_id: place(&write.target, write.target_id.as_deref()),
        status: row_status(write.result),
        parent: record.parent,
        root: record.root,
        attempt: write.attempts,
        duration_ms: write.duration_ms,
        before: write.before.as_ref(),
        after: write.after.as_ref(),
        exception: cause.map(|cause| cause.kind),
        code: cause.map(|cause| &cause.code),
        message: cause.map(|cause| cause.message.as_str()),
    }
}

fn compensation_body(nested: &OperationRecord) -> CompensationBody<'_> {
    CompensationBody {
        event_name: "compensation",
        user_id: &nested.caller,
        object_id: &nested.object,
        action: nested.kind,
        status: status_of(nested.outcome),
        outcome: nested.outcome,
        parent: nested.parent,
        root: nested.root,
        revision: nested.revision.as_deref(),
        attempt: nested.attempt,
        duration_ms: duration(nested),
    }
}

fn divergence_body<'a>(
    nested: &'a OperationRecord,
    divergence: &'a Divergence,
) -> DivergenceBody<'a> {
    DivergenceBody {
        event_name: "divergence",
        user_id: &nested.caller,
        mapping: &divergence.mapping,
        source_object_id: &nested.object,
        target_object_id: place(&divergence.target, divergence.target_id.as_deref()),
        status: FAILURE,
        parent: nested.parent,
        root: nested.root,
        before: divergence.expected.as_ref(),
        after: divergence.actual.as_ref(),
        code: &divergence.cause.code,
        message: &divergence.cause.message,
    }
}

/// A target object's full name, or that of its class where the id is not known.
fn place(target: &str, id: Option<&str>) -> String {
    match id {
        Some(id) => format!("{target}/{id}"),
        None => target.to_owned(),
    }
}

/// What was to be written, but not tried any more.
fn skipped(record: &OperationRecord) -> Vec<SkippedBody<'_>> {
    let writes = record.writes.iter();
    writes
        .filter(|write| write.result == Some(RowResult::Skipped) && write.operation.is_some())
        .map(|write| SkippedBody {
            mapping: &write.mapping,
            target: place(&write.target, write.target_id.as_deref()),
        })
        .collect()
}

fn is_attempted(write: &WriteRecord) -> bool {
    let tried = matches!(write.result, Some(result) if result != RowResult::Skipped);
    tried && (write.operation.is_some() || write.cause.is_some())
}

fn status_of(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Synced) => SUCCESS,
        _ => FAILURE,
    }
}

fn row_status(result: Option<RowResult>) -> &'static str {
    match result {
        Some(RowResult::Successful) => SUCCESS,
        Some(RowResult::Unknown) => "UNKNOWN",
        Some(RowResult::Skipped) => "SKIPPED",
        Some(RowResult::Failed) | None => FAILURE,
    }
}

fn duration(record: &OperationRecord) -> Option<i64> {
    record
        .ended_at
        .map(|ended| (ended - record.started_at).num_milliseconds())
}

fn changed_fields(before: Option<&Object>, after: Option<&Object>) -> Vec<String> {
    let empty = Object::new();
    let difference =
        crate::model::Difference::between(before.unwrap_or(&empty), after.unwrap_or(&empty));
    difference
        .attributes()
        .map(|name| format!("/{name}"))
        .collect()
}
