//! The entries about what people do by hand to events, deliveries and partial syncs.
use serde_json::{Value, json};

use crate::{
    clock::Clock,
    model::{
        Object,
        audit::{NewEntry, Topic},
        integration::{IntegrationEvent, State},
        recon::Run,
    },
};

/// Who did it, and under which transaction.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// Who.
    pub caller: &'a str,
    /// What ties audit entries together.
    pub transaction_id: &'a str,
}

/// An integration event, or a delivery, was moved from one state to another (topic `sync`).
#[must_use]
pub fn about_moved_event(
    clock: &dyn Clock,
    by: By<'_>,
    event: &IntegrationEvent,
    to: State,
) -> NewEntry {
    let body = json!({
        "eventName": "integration",
        "action": if to == State::Canceled { "cancel" } else { "retry" },
        "userId": by.caller,
        "status": "SUCCESS",
        "integrationEvent": event.id,
        "direction": event.direction,
        "connector": event.connector,
        "integrationExternalId": event.external_id,
        "recordId": event.record_id,
        "recordType": event.record_type,
        "mapping": event.mapping,
        "stateBefore": event.state,
        "stateAfter": to,
        "message": event.last_error,
    });
    entry(clock, by, Topic::Sync, event.operation.map(|id| id.0), body)
}

/// Partial syncs were moved back (topic `recon`).
#[must_use]
pub fn about_reset(
    clock: &dyn Clock,
    by: By<'_>,
    scope: &str,
    since: Option<chrono::DateTime<chrono::Utc>>,
    names: &[String],
) -> NewEntry {
    let body = json!({
        "eventName": "recon",
        "entryType": "reset",
        "userId": by.caller,
        "status": "SUCCESS",
        "scope": scope,
        "since": since,
        "syncs": names,
    });
    entry(clock, by, Topic::Recon, None, body)
}

/// Somebody wants a reconciliation to stop (topic `recon`).
#[must_use]
pub fn about_cancel(clock: &dyn Clock, by: By<'_>, run: &Run) -> NewEntry {
    let body = json!({
        "eventName": "recon",
        "entryType": "cancel",
        "reconId": run.id,
        "mapping": run.mapping,
        "userId": by.caller,
        "status": "SUCCESS",
    });
    entry(clock, by, Topic::Recon, None, body)
}

/// Recorded events were told again, or records imported (topic `sync`).
#[must_use]
pub fn about_run_by_hand(clock: &dyn Clock, by: By<'_>, action: &str, detail: Value) -> NewEntry {
    let body = json!({
        "eventName": "integration",
        "action": action,
        "userId": by.caller,
        "status": "SUCCESS",
        "messageDetail": detail,
    });
    entry(clock, by, Topic::Sync, None, body)
}

/// Somebody decided what becomes of entries that a destination of the audit trail did not take.
#[must_use]
pub fn about_audit_by_hand(
    clock: &dyn Clock,
    by: By<'_>,
    action: &str,
    destination: &str,
    detail: Value,
) -> NewEntry {
    let body = json!({
        "eventName": "auditDelivery",
        "action": action,
        "userId": by.caller,
        "objectId": destination,
        "status": "SUCCESS",
        "messageDetail": detail,
    });
    entry(clock, by, Topic::Config, None, body)
}

fn entry(
    clock: &dyn Clock,
    by: By<'_>,
    topic: Topic,
    operation: Option<uuid::Uuid>,
    body: Value,
) -> NewEntry {
    let mut members = match body {
        Value::Object(members) => members,
        _ => Object::new(),
    };
    members.retain(|_, member| !member.is_null());
    NewEntry {
        id: clock.fresh_id(),
        topic,
        timestamp: clock.now(),
        transaction_id: by.transaction_id.to_owned(),
        operation,
        body: Value::Object(members).to_string(),
    }
}
