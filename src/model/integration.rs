//! Integration events: what came from an external system or is to go to one, and its state.
pub mod rules;

use std::{fmt, str::FromStr};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    change::{ChangeKind, OperationId},
    object::Object,
};

/// Which way an event goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the external system into managed objects.
    Inbound,
    /// From a managed object to the external system.
    Outbound,
    /// From the change feed to a subscription.
    Delivery,
}

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for its turn.
    Queued,
    /// It is being carried out.
    Processing,
    /// It was carried out.
    Completed,
    /// It failed; it is tried again, by itself or by hand.
    Errored,
    /// A newer event of the same external id took its place, or somebody canceled it.
    Canceled,
    /// Something newer is there already.
    Ignored,
    /// It was carried out before.
    Duplicate,
    /// It arrived while the integration was switched off.
    Disabled,
}

/// A text that names no state or direction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no state of an integration event")]
pub struct Unknown(String);

/// One event with everything that is shown of it.
#[derive(Debug, Clone, PartialEq)]
pub struct IntegrationEvent {
    /// Its id; ids sort by time (UUIDv7).
    pub id: Uuid,
    /// Which way it goes.
    pub direction: Direction,
    /// The connector; the subscription of a delivery.
    pub connector: String,
    /// The external id: that of the record in the external system, or, outbound, of the managed
    /// object.
    pub external_id: String,
    /// When the external record was changed; outbound: when the change of the object was settled.
    pub updated_at: DateTime<Utc>,
    /// What happened to the record.
    pub kind: ChangeKind,
    /// Our cached copy of the external record.
    pub cached_id: Option<String>,
    /// The object class of the external record.
    pub cached_type: Option<String>,
    /// The managed object.
    pub record_id: Option<String>,
    /// Its type.
    pub record_type: Option<String>,
    /// The mapping that carries it out.
    pub mapping: Option<String>,
    /// Where it stands.
    pub state: State,
    /// The event that took its place.
    pub canceled_by: Option<String>,
    /// The event that brought the same before.
    pub duplicate_of: Option<String>,
    /// What is newer: the id of an event or of an object.
    pub ignored_for_id: Option<String>,
    /// What that is: `integrationEvent`, or `managed/TYPE`.
    pub ignored_for_type: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried again; none for an errored one: never by itself, it is a dead letter.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// The change that carries it out.
    pub operation: Option<OperationId>,
    /// When it arrived.
    pub created_at: DateTime<Utc>,
    /// When its last attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it came to its end.
    pub ended_at: Option<DateTime<Utc>>,
    /// Set where a recorded event is told again.
    pub replay: Option<Replay>,
}

/// What an event brings, kept encrypted where the store has a key.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// The record before, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Object>,
    /// The record after; none: it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Object>,
    /// Who caused it.
    #[serde(default)]
    pub caller: String,
    /// What ties audit entries together.
    #[serde(default)]
    pub transaction_id: String,
    /// Set where a recorded event is told again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
    /// Whether it is carried out although our copy has its time already: what its mapping makes of
    /// the record has changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
}

/// How a recorded event is told again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Replay {
    /// Hooks with `"sideEffects": true` do not run.
    WithoutEffects,
    /// They run.
    WithEffects,
}

impl Replay {
    /// The word in JSON and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WithoutEffects => "withoutEffects",
            Self::WithEffects => "withEffects",
        }
    }
}

impl FromStr for Replay {
    type Err = Unknown;
    fn from_str(text: &str) -> Result<Self, Unknown> {
        let mut known = [Self::WithoutEffects, Self::WithEffects].into_iter();
        let found = known.find(|replay| replay.as_str() == text);
        found.ok_or_else(|| Unknown(text.to_owned()))
    }
}

impl Direction {
    /// The word in JSON and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Delivery => "delivery",
        }
    }
}

impl State {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Processing,
        Self::Completed,
        Self::Errored,
        Self::Canceled,
        Self::Ignored,
        Self::Duplicate,
        Self::Disabled,
    ];

    /// The word in JSON and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Errored => "errored",
            Self::Canceled => "canceled",
            Self::Ignored => "ignored",
            Self::Duplicate => "duplicate",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = Unknown;
    fn from_str(text: &str) -> Result<Self, Unknown> {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == text);
        known.ok_or_else(|| Unknown(text.to_owned()))
    }
}

impl FromStr for Direction {
    type Err = Unknown;
    fn from_str(text: &str) -> Result<Self, Unknown> {
        match text {
            "inbound" => Ok(Self::Inbound),
            "outbound" => Ok(Self::Outbound),
            "delivery" => Ok(Self::Delivery),
            _ => Err(Unknown(text.to_owned())),
        }
    }
}

impl IntegrationEvent {
    /// Whose events are carried out one after the other.
    #[must_use]
    pub fn lane(&self) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        match self.direction {
            Direction::Inbound => {
                let class = text(&self.cached_type);
                format!("in/{}/{class}/{}", self.connector, self.external_id)
            }
            Direction::Outbound => {
                format!("out/{}/{}", text(&self.mapping), text(&self.record_id))
            }
            Direction::Delivery => {
                let record_type = text(&self.record_type);
                format!("to/{}/{record_type}/{}", self.connector, self.external_id)
            }
        }
    }

    /// Whether it failed for good: it is not tried again by itself.
    #[must_use]
    pub fn is_dead_letter(&self) -> bool {
        self.state == State::Errored && self.next_attempt_at.is_none()
    }

    /// The event as its readers see it; what it brings is not shown.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut value = json!({
            "_id": self.id,
            "direction": self.direction,
            "connector": self.connector,
            "integrationExternalId": self.external_id,
            "integrationUpdatedAt": self.updated_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            "integrationRecordId": self.cached_id,
            "integrationRecordType": self.cached_type,
            "recordId": self.record_id,
            "recordType": self.record_type,
            "mapping": self.mapping,
            "replay": self.replay,
            "kind": self.kind,
            "state": self.state,
            "canceledBy": self.canceled_by,
            "duplicateOf": self.duplicate_of,
            "ignoredForId": self.ignored_for_id,
            "ignoredForType": self.ignored_for_type,
            "attempts": self.attempts,
            "nextAttemptAt": self.next_attempt_at.map(time),
            "deadLetter": self.is_dead_letter(),
            "lastError": self.last_error,
            "operation": self.operation,
            "createdAt": time(self.created_at),
            "startedAt": self.started_at.map(time),
            "endedAt": self.ended_at.map(time),
        });
        if let Some(members) = value.as_object_mut() {
            members.retain(|_, member| !member.is_null());
        }
        value
    }
}
