//! The entries about reconciliations (topic `recon`).
use serde_json::{Value, json};

use crate::{
    clock::Clock,
    model::{
        Object,
        audit::{NewEntry, Topic},
        recon::{Entry, Run, RunState, Status},
    },
};

/// The beginning (`start`), the end (`summary`) or the approval (`approve`) of a run; the run object
/// is its `messageDetail`.
#[must_use]
pub fn about_recon(clock: &dyn Clock, kind: &str, run: &Run) -> NewEntry {
    let body = json!({
        "eventName": "recon",
        "entryType": kind,
        "reconId": run.id,
        "mapping": run.mapping,
        "userId": run.responsible(),
        "status": match run.state {
            RunState::Failed | RunState::Canceled => "FAILURE",
            RunState::Active | RunState::Success => "SUCCESS",
        },
        "reconAction": if run.wanted.dry_run { "analyze" } else { "recon" },
        "message": run.message,
        "messageDetail": run.to_value(),
    });
    entry(clock, run, None, body)
}

/// What a run found of one record.
#[must_use]
pub fn about_recon_entry(clock: &dyn Clock, run: &Run, found: &Entry) -> NewEntry {
    let body = json!({
        "eventName": "recon",
        "entryType": "entry",
        "reconId": run.id,
        "mapping": run.mapping,
        "userId": run.responsible(),
        "reconciling": found.reconciling,
        "situation": found.situation,
        "action": found.action,
        "linkQualifier": found.link_qualifier,
        "sourceObjectId": found.source_object_id,
        "targetObjectId": found.target_object_id,
        "write": found.operation,
        "status": match found.status {
            Status::Held => "HELD",
            Status::Success => "SUCCESS",
            Status::Unknown => "UNKNOWN",
            Status::Failure => "FAILURE",
        },
        "message": found.message,
        "code": found.code,
    });
    entry(clock, run, found.change.map(|change| change.0), body)
}

fn entry(clock: &dyn Clock, run: &Run, operation: Option<uuid::Uuid>, body: Value) -> NewEntry {
    let mut members = match body {
        Value::Object(members) => members,
        _ => Object::new(),
    };
    members.retain(|_, member| !member.is_null());
    NewEntry {
        id: clock.fresh_id(),
        topic: Topic::Recon,
        timestamp: clock.now(),
        transaction_id: run.transaction_id.clone(),
        operation,
        body: Value::Object(members).to_string(),
    }
}
