//! `syncDetails`: a row for every mapping, for hooks, callers and platforms that notify; masked.
use serde_json::{Value, json};

use crate::model::{CauseKind, Object, PlannedRow, RowResult, Step, secret::masked};

use super::change::RowEnd;

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
    let mut detail = json!({
        "mapping": row.mapping,
        "linkQualifier": row.link_qualifier,
        "targetObjectSet": row.target.to_string(),
        "sourceId": row.source_id,
        "targetId": target_id(row, end),
        "situation": row.situation,
        "action": row.action,
        "result": end.result,
        "oldTargetValue": write.and_then(|write| write.before()).map(hide),
        "newTargetValue": write.and_then(|write| write.after()).map(hide),
    });
    if let (Some(members), Some(cause)) = (detail.as_object_mut(), &end.cause) {
        let told = json!({"code": cause.code, "reason": cause.reason, "message": cause.message});
        members.insert("cause".into(), told);
    }
    detail
}

fn target_id<'a>(row: &'a PlannedRow, end: &'a RowEnd) -> Option<&'a str> {
    end.written
        .as_ref()
        .map(|written| written.id.as_str())
        .or(row.target_id.as_deref())
}
