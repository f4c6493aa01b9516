//! What a change is told as: `syncDetails`, a row for every mapping, and its audit entries; masked.
use serde_json::{Value, json};

use crate::{
    audit,
    clock::Clock,
    model::{
        CauseKind, Object, OperationRecord, PlannedRow, RowResult, Step, TargetWrite,
        audit::NewEntry, secret::masked,
    },
};

use super::change::{Context, RowEnd};

/// The audit entries about a change, its object masked.
pub(super) fn told(
    clock: &dyn Clock,
    context: &Context,
    record: &OperationRecord,
) -> Vec<NewEntry> {
    let (old, new) = (context.change.old.as_ref(), context.change.new.as_ref());
    let before = old.map(|old| context.masked(old));
    let after = new.map(|new| context.masked(new));
    let values = audit::Values {
        before: before.as_deref(),
        after: after.as_deref(),
        clear: (old, new),
    };
    audit::about_change(clock, record, &values)
}

/// The rows as SPEC 3 gives them.
pub(super) fn sync_details(rows: &[PlannedRow], ends: &[RowEnd]) -> Value {
    rows.iter()
        .zip(ends)
        .map(|(row, end)| detail(row, end))
        .collect()
}

/// The facts of the first row that failed: `mapping`, `target`, `cause`.
pub(super) fn failed_row(rows: &[PlannedRow], ends: &[RowEnd]) -> Object {
    let Some((row, end)) = first_failed(rows, ends) else {
        return Object::new();
    };
    let mut facts = Object::new();
    facts.insert("mapping".into(), json!(row.mapping));
    let target = match target_id(row, end) {
        Some(id) => format!("{}/{id}", row.target),
        None => row.target.to_string(),
    };
    facts.insert("target".into(), json!(target));
    if let Some(cause) = &end.cause {
        facts.insert(
            "cause".into(),
            json!({"code": cause.code, "message": cause.message}),
        );
    }
    facts
}

/// The row that made the change fail.
pub(super) fn first_failed<'a>(
    rows: &'a [PlannedRow],
    ends: &'a [RowEnd],
) -> Option<(&'a PlannedRow, &'a RowEnd)> {
    rows.iter()
        .zip(ends)
        .find(|(_, end)| is_failure(end.result))
}

/// Whether a row's end makes the change fail.
pub(super) fn is_failure(result: RowResult) -> bool {
    matches!(result, RowResult::Failed | RowResult::Unknown)
}

/// The HTTP status of a change that failed at a target and was taken back (SPEC 2).
pub(super) fn failure_status(kind: CauseKind) -> u16 {
    match kind {
        CauseKind::Refused => 409,
        CauseKind::Unavailable => 503,
        CauseKind::Unknown => 504,
    }
}

fn detail(row: &PlannedRow, end: &RowEnd) -> Value {
    let write = match &row.step {
        Step::Write { write } => Some(write),
        Step::Nothing | Step::Failed { .. } => None,
    };
    let hide = |object: Object| masked(object, row.confidential.iter().map(String::as_str));
    let image = |object: Option<Object>| object.map_or(Value::Null, |it| Value::Object(hide(it)));
    let mut detail = Object::with_capacity(11);
    // Hooks see every change's rows, so these are made without a detour over a serializer.
    let mut put = |name: &str, value: Value| detail.insert(name.to_owned(), value);
    put("mapping", row.mapping.as_str().into());
    put("linkQualifier", row.link_qualifier.as_str().into());
    put("targetObjectSet", row.target.to_string().into());
    put("sourceId", row.source_id.as_str().into());
    put(
        "targetId",
        target_id(row, end).map_or(Value::Null, Value::from),
    );
    put("situation", json!(row.situation));
    put("action", json!(row.action));
    put("result", json!(end.result));
    put("oldTargetValue", image(write.and_then(TargetWrite::before)));
    put("newTargetValue", image(write.and_then(TargetWrite::after)));
    if let Some(cause) = &end.cause {
        let told = json!({"code": cause.code, "reason": cause.reason, "message": cause.message});
        put("cause", told);
    }
    Value::Object(detail)
}

fn target_id<'a>(row: &'a PlannedRow, end: &'a RowEnd) -> Option<&'a str> {
    end.written
        .as_ref()
        .map(|written| written.id.as_str())
        .or(row.target_id.as_deref())
}
