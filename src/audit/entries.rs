//! The entries about a change, made from its record, in which what is confidential is masked.
use serde_json::{Value, json};

use crate::{
    clock::Clock,
    model::{
        Object, OperationRecord, Outcome, RowResult,
        audit::{AuditEntry, Topic},
        record::{Divergence, HookRun, WriteRecord},
    },
};

/// What a change tried and how it ended: one `activity` entry for the change, one for each hook
/// run, and a `sync` entry for each target write. `before` and `after` are masked.
#[must_use]
pub fn about_change(
    clock: &dyn Clock,
    record: &OperationRecord,
    before: Option<Object>,
    after: Option<Object>,
) -> Vec<AuditEntry> {
    let mut entries = Vec::with_capacity(1 + record.hook_runs.len() + record.writes.len());
    entries.push(entry(
        clock,
        record,
        Topic::Activity,
        change_body(record, before, after),
    ));
    entries.extend(
        record
            .hook_runs
            .iter()
            .map(|run| entry(clock, record, Topic::Activity, hook_body(record, run))),
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
                    write_body(record, write, "sync"),
                )
            }),
    );
    entries
}

/// What a compensation did: one entry for each undo write, and one for each target that diverges.
#[must_use]
pub fn about_compensation(clock: &dyn Clock, nested: &OperationRecord) -> Vec<AuditEntry> {
    let mut entries = vec![entry(
        clock,
        nested,
        Topic::Compensation,
        compensation_body(nested),
    )];
    entries.extend(about_undo(clock, nested));
    entries
}

/// The undo writes of a compensation (or of another try to heal it) and what still diverges.
#[must_use]
pub fn about_undo(clock: &dyn Clock, nested: &OperationRecord) -> Vec<AuditEntry> {
    let writes = nested.writes.iter().map(|write| {
        entry(
            clock,
            nested,
            Topic::Compensation,
            write_body(nested, write, "undo"),
        )
    });
    let diverged = nested.diverged.iter().map(|divergence| {
        entry(
            clock,
            nested,
            Topic::Compensation,
            divergence_body(nested, divergence),
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
) -> AuditEntry {
    let mut body = object(json!({
        "eventName": "divergenceEnd",
        "userId": by,
        "objectId": record.object.to_string(),
        "action": how,
        "status": "SUCCESS",
        "outcome": record.outcome,
        "parent": record.parent,
        "root": record.root,
    }));
    if let Some(reason) = reason {
        body.insert("message".into(), json!(reason));
    }
    entry(clock, record, Topic::Compensation, body)
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
) -> AuditEntry {
    let body = object(json!({
        "eventName": "access",
        "userId": caller,
        "request": request,
        "response": {"statusCode": status},
        "status": if status < 400 { "SUCCESS" } else { "FAILURE" },
        "message": message,
    }));
    loose(clock, Topic::Access, transaction_id, body)
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
) -> AuditEntry {
    let body = object(json!({
        "eventName": "change",
        "userId": caller,
        "objectId": resource,
        "action": method.to_ascii_lowercase(),
        "status": "FAILURE",
        "outcome": Outcome::Rejected,
        "code": status,
        "message": message,
    }));
    loose(clock, Topic::Activity, transaction_id, body)
}

/// A file of the project folder that came into force changed, with its digests before and after
/// (none: it was not there, or is not there any more).
#[must_use]
pub fn about_configuration(
    clock: &dyn Clock,
    file: &str,
    before: Option<&str>,
    after: Option<&str>,
) -> AuditEntry {
    let body = object(json!({
        "eventName": "configuration",
        "objectId": file,
        "action": match (before, after) {
            (None, _) => "create",
            (_, None) => "delete",
            _ => "update",
        },
        "status": "SUCCESS",
        "before": before.map(|digest| json!({"digest": digest})),
        "after": after.map(|digest| json!({"digest": digest})),
    }));
    let transaction_id = clock.fresh_id().to_string();
    loose(clock, Topic::Config, &transaction_id, body)
}

/// An entry that belongs to no change.
fn loose(clock: &dyn Clock, topic: Topic, transaction_id: &str, body: Object) -> AuditEntry {
    AuditEntry {
        id: clock.fresh_id(),
        topic,
        timestamp: clock.now(),
        transaction_id: transaction_id.to_owned(),
        operation: None,
        body,
    }
}

fn entry(clock: &dyn Clock, record: &OperationRecord, topic: Topic, body: Object) -> AuditEntry {
    AuditEntry {
        id: clock.fresh_id(),
        topic,
        timestamp: clock.now(),
        transaction_id: record.transaction_id.clone(),
        operation: Some(record.id.0),
        body,
    }
}

fn change_body(record: &OperationRecord, before: Option<Object>, after: Option<Object>) -> Object {
    let mut body = object(json!({
        "eventName": "change",
        "userId": record.caller,
        "objectId": record.object.to_string(),
        "action": record.kind,
        "status": status_of(record.outcome),
        "outcome": record.outcome,
        "parent": record.parent,
        "root": record.root,
        "revision": record.revision,
        "attempt": record.attempt,
        "durationMs": duration(record),
        "changedFields": changed_fields(before.as_ref(), after.as_ref()),
        "before": before,
        "after": after,
    }));
    if let Some(error) = &record.error {
        body.insert("message".into(), json!(error.message));
        body.insert("code".into(), json!(error.code));
    }
    body
}

fn hook_body(record: &OperationRecord, run: &HookRun) -> Object {
    let mut body = object(json!({
        "eventName": "hook",
        "userId": record.caller,
        "objectId": record.object.to_string(),
        "action": run.hook,
        "script": {"name": run.name, "digest": run.digest},
        "status": if run.error.is_none() { "SUCCESS" } else { "FAILURE" },
        "verdict": run.verdict,
        "compensating": run.compensating,
        "parent": record.parent,
        "root": record.root,
        "durationMs": run.duration_ms,
        "log": run.log,
    }));
    if let Some(error) = &run.error {
        body.insert("message".into(), json!(error));
    }
    body
}

fn write_body(record: &OperationRecord, write: &WriteRecord, event: &str) -> Object {
    let target = match &write.target_id {
        Some(id) => format!("{}/{id}", write.target),
        None => write.target.clone(),
    };
    let mut body = object(json!({
        "eventName": event,
        "userId": record.caller,
        "mapping": write.mapping,
        "linkQualifier": write.link_qualifier,
        "situation": write.situation,
        "action": write.action,
        "write": write.operation,
        "sourceObjectId": record.object.to_string(),
        "targetObjectId": target,
        "status": row_status(write.result),
        "parent": record.parent,
        "root": record.root,
        "attempt": write.attempts,
        "durationMs": write.duration_ms,
        "before": write.before,
        "after": write.after,
    }));
    if let Some(cause) = &write.cause {
        body.insert("exception".into(), json!(cause.kind));
        body.insert("code".into(), cause.code.clone());
        body.insert("message".into(), json!(cause.message));
    }
    body
}

fn compensation_body(nested: &OperationRecord) -> Object {
    object(json!({
        "eventName": "compensation",
        "userId": nested.caller,
        "objectId": nested.object.to_string(),
        "action": nested.kind,
        "status": status_of(nested.outcome),
        "outcome": nested.outcome,
        "parent": nested.parent,
        "root": nested.root,
        "revision": nested.revision,
        "attempt": nested.attempt,
        "durationMs": duration(nested),
    }))
}

fn divergence_body(nested: &OperationRecord, divergence: &Divergence) -> Object {
    let target = match &divergence.target_id {
        Some(id) => format!("{}/{id}", divergence.target),
        None => divergence.target.clone(),
    };
    object(json!({
        "eventName": "divergence",
        "userId": nested.caller,
        "mapping": divergence.mapping,
        "sourceObjectId": nested.object.to_string(),
        "targetObjectId": target,
        "status": "FAILURE",
        "parent": nested.parent,
        "root": nested.root,
        "before": divergence.expected,
        "after": divergence.actual,
        "code": divergence.cause.code,
        "message": divergence.cause.message,
    }))
}

fn is_attempted(write: &WriteRecord) -> bool {
    let tried = matches!(write.result, Some(result) if result != RowResult::Skipped);
    tried && (write.operation.is_some() || write.cause.is_some())
}

fn status_of(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Synced) => "SUCCESS",
        _ => "FAILURE",
    }
}

fn row_status(result: Option<RowResult>) -> &'static str {
    match result {
        Some(RowResult::Successful) => "SUCCESS",
        Some(RowResult::Unknown) => "UNKNOWN",
        Some(RowResult::Skipped) => "SKIPPED",
        Some(RowResult::Failed) | None => "FAILURE",
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

/// The members of a JSON object that `json!` just made; without those that are null.
fn object(value: Value) -> Object {
    match value {
        Value::Object(mut members) => {
            members.retain(|_, member| !member.is_null());
            members
        }
        _ => Object::new(),
    }
}
