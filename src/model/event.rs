//! What the change feed tells: that a managed object was created, updated or deleted.
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{
    change::{ChangeKind, OperationId},
    object::Object,
    path::ResourceName,
    secret::{EVERY_ATTRIBUTE, masked},
};

/// A settled change of a managed object, before it has its place in the feed.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// The object.
    pub object: ResourceName,
    /// What happened to it.
    pub kind: ChangeKind,
    /// The change.
    pub operation: OperationId,
    /// When the change was settled.
    pub created_at: DateTime<Utc>,
    /// The object before, confidential attributes in clear; none for a create.
    pub before: Option<Object>,
    /// The object after, confidential attributes in clear; none for a delete.
    pub after: Option<Object>,
}

/// An event in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeEvent {
    /// The cursor: larger than that of every event that was settled before it.
    pub id: i64,
    /// What happened to which object.
    pub event: NewEvent,
    /// Names of the attributes that were confidential when it was stored.
    pub confidential: Vec<String>,
}

/// How much of an event's data its reader may see, beside what is confidential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Every attribute.
    Values,
    /// The names of the attributes only.
    Names,
}

impl NewEvent {
    /// `user.created`, `user.updated`, `user.deleted`.
    #[must_use]
    pub fn event_type(&self) -> String {
        let container = self.object.container.to_string();
        let name = container.strip_prefix("managed/").unwrap_or(&container);
        let word = match self.kind {
            ChangeKind::Create => "created",
            ChangeKind::Update => "updated",
            ChangeKind::Delete => "deleted",
        };
        format!("{name}.{word}")
    }
}

impl ChangeEvent {
    /// The event as its readers see it: confidential attributes are masked, those that were when it
    /// was stored and those named here.
    #[must_use]
    pub fn to_value(&self, confidential: &[String], shown: Shown) -> Value {
        let hide = |object: &Object| {
            let every = (shown == Shown::Names).then_some(EVERY_ATTRIBUTE);
            let names = self.confidential.iter().chain(confidential);
            masked(object.clone(), names.map(String::as_str).chain(every))
        };
        let event = &self.event;
        json!({
            "id": self.id,
            "type": event.event_type(),
            "createdAt": event.created_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            "operation": event.operation,
            "object": event.object.to_string(),
            "data": {
                "before": event.before.as_ref().map(hide),
                "after": event.after.as_ref().map(hide),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Container;

    #[test]
    fn an_event_hides_what_is_confidential_and_more_from_those_who_see_names_only() {
        let object = |value: Value| value.as_object().cloned();
        let event = ChangeEvent {
            id: 7,
            event: NewEvent {
                object: Container::managed("user").object("a"),
                kind: ChangeKind::Create,
                operation: OperationId(uuid::Uuid::nil()),
                created_at: DateTime::UNIX_EPOCH,
                before: None,
                after: object(json!({"_id": "a", "name": "n", "pin": "1", "old": "2"})),
            },
            confidential: vec!["old".into()],
        };
        let seen = event.to_value(&["pin".into()], Shown::Values);
        assert_eq!(seen["id"], 7);
        assert_eq!(seen["type"], "user.created");
        assert_eq!(seen["createdAt"], "1970-01-01T00:00:00.000Z");
        assert_eq!(
            seen["data"],
            json!({"before": null,
                "after": {"_id": "a", "name": "n", "pin": "***", "old": "***"}})
        );
        let names = event.to_value(&[], Shown::Names);
        assert_eq!(
            names["data"]["after"],
            json!({"_id": "a", "name": "***", "pin": "***", "old": "***"})
        );
    }
}
