//! What pages show to somebody who does not see every attribute: whole values of the domain behind a
//! veil, as [`Veil::document`] leaves them.
use serde_json::{Value, json};

use super::{App, Error, Veil};
use crate::{
    audit::{self, Story},
    model::{
        Object, OperationId, OperationRecord, audit::ChainedEntry, plan::Cause, recon, secret::MASK,
    },
    store::{AuditLook, Looked},
};

/// Most entries that a story on a page is told from.
const LONGEST_STORY: usize = 400;

impl App {
    /// As [`App::look_for_entries`], for somebody behind a veil: a text is sought in what they see
    /// alone, so that no search tells what is hidden.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn look_for_entries_behind(
        &self,
        veil: &Veil,
        look: &AuditLook,
        count: usize,
    ) -> Result<Looked<ChainedEntry, i64>, Error> {
        let text = look.text.as_deref().filter(|_| !veil.is_thin());
        let mut looked = match text {
            None => self.look_for_entries(look, count).await?,
            Some(text) => {
                let shows = |entry: &ChainedEntry| {
                    let seen = veil.entry(entry.clone());
                    Value::Object(seen.entry.body).to_string().contains(text)
                };
                let open = AuditLook {
                    text: None,
                    ..look.clone()
                };
                self.look_for_entries_that(&open, count, &shows).await?
            }
        };
        if !veil.is_thin() {
            let entries = looked.results.into_iter();
            looked.results = entries.map(|entry| veil.entry(entry)).collect();
        }
        Ok(looked)
    }

    /// As [`App::explain`], for a page and somebody behind a veil: the story is told from what they see
    /// of its entries, unless those are very many.
    ///
    /// # Errors
    /// 404 where no entry is about such a change, 413 for a story that is too long for a page.
    pub async fn explain_behind(&self, veil: &Veil, id: OperationId) -> Result<Story, Error> {
        let family = self.entries_of_family(id, LONGEST_STORY).await?;
        if family.len() >= LONGEST_STORY {
            return Err(Error::new(
                413,
                "the story is too long to be told on a page",
            ));
        }
        let seen: Vec<ChainedEntry> = family.into_iter().map(|entry| veil.entry(entry)).collect();
        audit::explain(&id.to_string(), &seen)
            .ok_or_else(|| Error::missing(format!("audit entry about operation {id}")))
    }
}

impl Veil {
    /// The record of a change.
    #[must_use]
    pub fn record(&self, record: OperationRecord) -> OperationRecord {
        if self.is_thin() {
            return record;
        }
        let container = record.object.container.to_string();
        let shown = self.document(Some(&container), record.to_value());
        serde_json::from_value(shown).unwrap_or_else(|_| bare(record))
    }

    /// An audit entry.
    #[must_use]
    pub fn entry(&self, mut entry: ChainedEntry) -> ChainedEntry {
        if self.is_thin() {
            return entry;
        }
        let body = std::mem::take(&mut entry.entry.body);
        if let Value::Object(body) = self.document(None, Value::Object(body)) {
            entry.entry.body = body;
        }
        entry
    }

    /// What a reconciliation found of one record, by the container of the mapping's targets.
    #[must_use]
    pub fn finding(&self, target: Option<&str>, found: recon::Entry) -> recon::Entry {
        if self.is_thin() {
            return found;
        }
        let shown = self.document(target, found.to_value());
        serde_json::from_value(shown).unwrap_or_else(|_| recon::Entry {
            before: None,
            after: None,
            message: found.message.as_ref().map(|_| MASK.to_owned()),
            code: None,
            ..found
        })
    }

    /// One object of a container, with what is hidden in it masked.
    #[must_use]
    pub fn masked_object(&self, container: &str, object: Object) -> Object {
        let document = json!({"before": object});
        match self.document(Some(container), document) {
            Value::Object(mut members) => match members.shift_remove("before") {
                Some(Value::Object(object)) => object,
                _ => Object::new(),
            },
            _ => Object::new(),
        }
    }

    /// What a script or a target said of a container's objects, where nothing tells which values may
    /// stand in it.
    #[must_use]
    pub fn text(&self, container: Option<&str>, text: &str) -> String {
        if self.may_hide_in(container) && !text.is_empty() {
            return format!("{MASK} (what was said may hold attributes that are not shown to you)");
        }
        text.to_owned()
    }

    /// The names of those attributes of a container that are hidden and differ in two states.
    #[must_use]
    pub fn changed_unseen(
        &self,
        container: &str,
        before: Option<&Object>,
        after: Option<&Object>,
    ) -> Vec<String> {
        if !self.may_hide_in(Some(container)) {
            return Vec::new();
        }
        let seen = |object: Option<&Object>| {
            object.map(|object| self.masked_object(container, object.clone()))
        };
        let (seen_before, seen_after) = (seen(before), seen(after));
        let value = |object: Option<&Object>, name: &str| object?.get(name).cloned();
        let names = before.into_iter().chain(after).flat_map(Object::keys);
        let mut changed: Vec<String> = names
            .filter(|name| value(before, name) != value(after, name))
            .filter(|name| value(seen_before.as_ref(), name) == value(seen_after.as_ref(), name))
            .cloned()
            .collect();
        changed.sort_unstable();
        changed.dedup();
        changed
    }
}

/// A record without any value, where what is left of it does not fit its form any more.
fn bare(mut record: OperationRecord) -> OperationRecord {
    let silent = |cause: &mut Cause| {
        MASK.clone_into(&mut cause.message);
        cause.code = Value::Null;
    };
    for write in &mut record.writes {
        (write.before, write.after) = (None, None);
        if let Some(cause) = &mut write.cause {
            silent(cause);
        }
    }
    for one in &mut record.diverged {
        (one.expected, one.actual) = (None, None);
        silent(&mut one.cause);
    }
    for run in &mut record.hook_runs {
        run.error = run.error.as_ref().map(|_| MASK.to_owned());
        run.log = run.log.iter().map(|_| MASK.to_owned()).collect();
    }
    let errors = record.follow_ups.iter_mut().map(|one| one.error.as_mut());
    for error in errors.chain([record.error.as_mut()]).flatten() {
        MASK.clone_into(&mut error.message);
    }
    record.waits_because = record.waits_because.map(|_| MASK.to_owned());
    if let Some(resolution) = &mut record.resolution {
        resolution.reason = resolution.reason.as_ref().map(|_| MASK.to_owned());
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::veil::tests::veil;

    #[test]
    fn what_changed_unseen_is_told_by_name_alone() {
        let object = |value: Value| value.as_object().cloned();
        let before = object(json!({"_id": "a", "pay": 5000, "name": "Ann"}));
        let after = object(json!({"_id": "a", "pay": 6000, "name": "Bea"}));
        let changed =
            |container: &str| veil().changed_unseen(container, before.as_ref(), after.as_ref());
        assert_eq!(changed("system/payroll/employee"), ["pay"]);
        assert!(changed("system/badges/badge").is_empty());
        let same =
            veil().changed_unseen("system/payroll/employee", before.as_ref(), before.as_ref());
        assert!(same.is_empty());
    }

    #[test]
    fn a_record_whose_code_is_a_hidden_value_keeps_its_form() {
        let id = uuid::Uuid::nil().to_string();
        let record = json!({
            "_id": id, "transactionId": "t", "root": id, "parent": null, "depth": 0,
            "purpose": "request", "caller": "hr", "object": "managed/user/a", "kind": "update",
            "phase": "ended", "attempt": 1, "startedAt": "2026-01-01T00:00:00Z",
            "writes": [{"mapping": "m", "linkQualifier": "default",
                "target": "system/payroll/employee", "targetId": "a", "situation": null,
                "action": null, "operation": "update", "before": {"pay": 409}, "after": {"pay": 1},
                "result": "FAILED",
                "cause": {"kind": "refused", "code": 409, "reason": "Conflict", "message": "409!"},
                "attempts": 1, "durationMs": 1}],
            "hookRuns": [], "nested": [], "diverged": [],
            "error": {"code": 409, "message": "pay 409 is refused"},
        });
        let record: OperationRecord = serde_json::from_value(record).unwrap();
        let shown = veil().record(record);
        assert_eq!(shown.error.unwrap().message, MASK);
        assert_eq!(shown.writes[0].before, None);
        assert!(!json!(shown.writes).to_string().contains("409!"));
    }

    #[test]
    fn what_was_said_of_an_object_is_not_told_where_nothing_shows_its_values() {
        let silent = |entry: Value| veil().document(None, entry)["message"] == json!(MASK);
        let of = |event: &str, member: &str, name: &str| {
            silent(json!({"eventName": event, member: name, "message": "5000 is too much"}))
        };
        assert!(of("sync", "targetObjectId", "system/payroll/employee/a"));
        assert!(!of("sync", "targetObjectId", "system/badges/badge/a"));
        assert!(of("change", "objectId", "managed/user/a"));
        assert!(of("hook", "objectId", "managed/other/a"));
        assert!(!of("access", "request", "GET managed/user"));
        let plan = json!({"eventName": "access", "request": "plan patch managed/user/a",
            "status": "FAILURE", "message": "5000 is too much"});
        assert!(silent(plan));
        let event = json!({"recordType": "user", "lastError": "5000 is too much"});
        assert_eq!(veil().document(None, event)["lastError"], MASK);
    }
}
