//! Integration events and copies of external records as rows and back; what they bring is encrypted.
use sea_orm::{EntityTrait as _, Iterable as _, QuerySelect as _, sea_query::Expr};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Error, Refusal,
    entity::integration_event as event,
    keys::{Keyring, Place, Sealed},
    rows::{Encoder, from_micros, micros},
};
use crate::model::{
    ChangeKind, OperationId,
    integration::{IntegrationEvent, Payload},
};

/// An event that is to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// The event.
    pub event: IntegrationEvent,
    /// What it brings.
    pub payload: Payload,
    /// The id under which its sender delivered it.
    pub delivery: Option<String>,
}

impl Encoder<'_> {
    /// The event's row.
    pub(super) fn arrival(&self, arrival: Arrival) -> Result<event::Model, Refusal> {
        let event = arrival.event;
        let id = event.id.to_string();
        let clear = serde_json::to_string(&arrival.payload).unwrap_or_default();
        let (payload_key, payload) = self.sealed(&payload_place(&[&id]), clear)?;
        let lane = event.lane();
        if lane.chars().count() > LONGEST_LANE {
            return Err(Refusal::TooLong {
                what: "the id of an external record",
                longest: LONGEST_LANE,
            });
        }
        Ok(event::Model {
            id,
            direction: event.direction.as_str().to_owned(),
            connector: event.connector,
            lane,
            active: None,
            external_id: event.external_id,
            updated_at: micros(event.updated_at),
            kind: event.kind.as_str().to_owned(),
            cached_id: event.cached_id,
            cached_type: event.cached_type,
            record_id: event.record_id,
            record_type: event.record_type,
            mapping: event.mapping,
            state: event.state.as_str().to_owned(),
            canceled_by: event.canceled_by,
            duplicate_of: event.duplicate_of,
            ignored_for_id: event.ignored_for_id,
            ignored_for_type: event.ignored_for_type,
            attempts: i64::from(event.attempts),
            next_attempt_at: event.next_attempt_at.map(micros),
            operation: event.operation.map(|id| id.to_string()),
            node: None,
            created_at: micros(event.created_at),
            started_at: event.started_at.map(micros),
            ended_at: event.ended_at.map(micros),
            delivery: arrival.delivery,
            payload_key,
            last_error: event.last_error,
            payload: Some(payload),
            replay: event.replay.map(|replay| replay.as_str().to_owned()),
        })
    }

    /// A text under the first key, and that key's id; in clear where there is none.
    pub(super) fn sealed(
        &self,
        place: &Place<'_>,
        clear: String,
    ) -> Result<(Option<String>, String), Refusal> {
        Ok(match self.keys.seal(place, &clear)? {
            Some(sealed) => (Some(sealed.key), sealed.data),
            None => (None, clear),
        })
    }
}

/// Events without what they bring: that may be long, and lists and turns do not look at it.
pub(super) fn narrow() -> sea_orm::Select<event::Entity> {
    event::Entity::find()
        .select_only()
        .columns(narrow_columns())
        .expr_as(Expr::cust("NULL"), "payload")
}

/// The same for a query that names its tables itself.
pub(super) fn narrow_columns() -> Vec<event::Column> {
    let columns = event::Column::iter();
    columns
        .filter(|column| !matches!(column, event::Column::Payload))
        .collect()
}

/// Longest name of an external record or a managed object, with its system.
const LONGEST_LANE: usize = 480;

/// The event of a row.
pub(super) fn integration_event(row: &event::Model) -> Result<IntegrationEvent, Error> {
    let damaged = || Error::at("read an integration event")(Refusal::Damaged("an event"));
    let kinds = [ChangeKind::Create, ChangeKind::Update, ChangeKind::Delete];
    let kind = kinds.into_iter().find(|kind| kind.as_str() == row.kind);
    let operation: Option<OperationId> = row.operation.as_deref().and_then(|id| id.parse().ok());
    Ok(IntegrationEvent {
        id: row.id.parse::<Uuid>().map_err(|_| damaged())?,
        direction: row.direction.parse().map_err(|_| damaged())?,
        connector: row.connector.clone(),
        external_id: row.external_id.clone(),
        updated_at: from_micros(row.updated_at),
        kind: kind.ok_or_else(damaged)?,
        cached_id: row.cached_id.clone(),
        cached_type: row.cached_type.clone(),
        record_id: row.record_id.clone(),
        record_type: row.record_type.clone(),
        mapping: row.mapping.clone(),
        state: row.state.parse().map_err(|_| damaged())?,
        canceled_by: row.canceled_by.clone(),
        duplicate_of: row.duplicate_of.clone(),
        ignored_for_id: row.ignored_for_id.clone(),
        ignored_for_type: row.ignored_for_type.clone(),
        attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
        next_attempt_at: row.next_attempt_at.map(from_micros),
        last_error: row.last_error.clone(),
        operation,
        created_at: from_micros(row.created_at),
        started_at: row.started_at.map(from_micros),
        ended_at: row.ended_at.map(from_micros),
        replay: row
            .replay
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|_| damaged())?,
    })
}

/// What a row brings, in clear.
pub(super) fn payload(keys: &Keyring, row: &event::Model) -> Result<Payload, Error> {
    let step = "read what an integration event brings";
    let Some(text) = &row.payload else {
        return Ok(Payload::default());
    };
    let clear = opened(keys, &payload_place(&[&row.id]), &row.payload_key, text);
    let clear = clear.map_err(Error::at(step))?;
    // The parser's own words may quote what it read.
    let damaged = |_| Error::at(step)(Refusal::Damaged("what it brings"));
    serde_json::from_str(&clear).map_err(damaged)
}

/// A text that was sealed for this place.
pub(super) fn opened(
    keys: &Keyring,
    place: &Place<'_>,
    key: &Option<String>,
    text: &str,
) -> Result<String, Refusal> {
    let Some(key) = key.clone() else {
        return Ok(text.to_owned());
    };
    let data = text.to_owned();
    keys.open(place, &Sealed { key, data })
}

/// The event as filters see it.
pub(super) fn view(row: &event::Model) -> Result<crate::model::Object, Error> {
    match integration_event(row)?.to_value() {
        Value::Object(object) => Ok(object),
        _ => Ok(crate::model::Object::new()),
    }
}

/// Where what an event brings stands.
pub(super) fn payload_place<'a>(row: &'a [&'a str]) -> Place<'a> {
    Place {
        table: "integration_event",
        row,
        attribute: "payload",
    }
}

/// Where the copy of an external record stands.
pub(super) fn body_place<'a>(lane: &'a [&'a str]) -> Place<'a> {
    Place {
        table: "integration_record",
        row: lane,
        attribute: "body",
    }
}
