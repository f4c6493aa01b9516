//! What comes in, from whatever source: as integration events, judged and stored at once.
use chrono::{DateTime, Utc};

use crate::{
    clock::Clock,
    model::{
        ChangeKind, Container, Object,
        integration::{
            Direction, IntegrationEvent, Payload, State,
            rules::{Seen, Switch, judge},
        },
    },
    store::{self, Arrival, Arrived, Judge, LiveToken, Sequence},
    sync::Engine,
};

/// A record of an external system, new, changed or gone.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// Its object class.
    pub class: String,
    /// Its id.
    pub external_id: String,
    /// When it was changed.
    pub updated_at: DateTime<Utc>,
    /// What it is; none: it is gone.
    pub record: Option<Object>,
    /// The id under which it was delivered, where the sender gives one.
    pub delivery: Option<String>,
}

/// Where records come from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The connector.
    pub connector: &'a str,
    /// Whether its events are carried out.
    pub switch: Switch,
    /// What ties audit entries together.
    pub transaction_id: &'a str,
    /// What is done about a record that is known as it is.
    pub known: Known,
    /// What tells which of two records is the later one.
    pub sequence: Sequence,
}

/// What is done about a record of which our copy has the very time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It is a duplicate.
    Duplicate,
    /// It is carried out again: what its mapping makes of it may be another.
    Again,
}

/// Stores what came in, and how far its source was read; the events are carried out soon.
///
/// # Errors
/// The store fails, or an id is too long; nothing is stored then.
pub async fn receive(
    engine: &Engine,
    clock: &dyn Clock,
    source: Source<'_>,
    received: Vec<Received>,
    moved: Option<&LiveToken>,
) -> Result<Arrived, store::Error> {
    let arrivals = received.into_iter();
    let arrivals = arrivals
        .map(|one| arrival(engine, clock, source, one))
        .collect();
    let judged = |event: &IntegrationEvent, seen: &Seen| match source.known {
        Known::Duplicate => judge(event.updated_at, source.switch, seen),
        Known::Again => {
            let seen = seen.clone().without_copy_of(event.updated_at);
            judge(event.updated_at, source.switch, &seen)
        }
    };
    let how: (Judge<'_>, Sequence) = (&judged, source.sequence);
    engine.store().arrive(arrivals, how, moved).await
}

fn arrival(engine: &Engine, clock: &dyn Clock, source: Source<'_>, received: Received) -> Arrival {
    let container = Container::system(source.connector, &received.class);
    let now = clock.now();
    Arrival {
        event: IntegrationEvent {
            id: clock.fresh_id(),
            direction: Direction::Inbound,
            connector: source.connector.to_owned(),
            external_id: received.external_id,
            updated_at: received.updated_at,
            kind: match received.record {
                Some(_) => ChangeKind::Update,
                None => ChangeKind::Delete,
            },
            cached_id: None,
            cached_type: Some(received.class),
            record_id: None,
            record_type: None,
            mapping: engine.brings_in(&container),
            state: State::Queued,
            canceled_by: None,
            duplicate_of: None,
            ignored_for_id: None,
            ignored_for_type: None,
            attempts: 0,
            next_attempt_at: None,
            last_error: None,
            operation: None,
            created_at: now,
            started_at: None,
            ended_at: None,
            replay: None,
        },
        payload: Payload {
            before: None,
            after: received.record,
            caller: format!("integration:{}", source.connector),
            transaction_id: source.transaction_id.to_owned(),
            forced: source.known == Known::Again,
            ..Payload::default()
        },
        delivery: received.delivery,
    }
}
