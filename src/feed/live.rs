//! Live sync: asks a connector again and again what changed since a token, which moves only together
//! with the events that were made of it.
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::SharedClock,
    connectors::{self, Change},
    model::{Object, TargetObject, integration::rules::Switch, pointer::Pointer},
    store::{self, Arrived, LiveToken},
    sync::Engine,
};

use super::receive::{Received, Source, receive};

/// The longest pause after failures, in intervals.
const LONGEST: u32 = 32;

/// What is asked for again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct Watched {
    /// The connector.
    pub connector: String,
    /// The object class.
    pub class: String,
    /// How long to wait between two questions.
    pub interval: Duration,
    /// The attribute with the time of a record's last change; none: the time of the question.
    pub updated_at: Option<Pointer>,
}

/// Why a question brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such connector.
    #[error("there is no connector `{0}`")]
    Unknown(String),
    /// The system failed, or cannot tell what changed.
    #[error("the system cannot be asked what changed: {0}")]
    System(#[from] connectors::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Asks until told to stop; failures make the pauses longer.
pub async fn watch(
    engine: Engine,
    clock: SharedClock,
    watched: Watched,
    switch: Switch,
    stop: CancellationToken,
) {
    let mut failures = 0_u32;
    while !stop.is_cancelled() {
        match ask(&engine, &clock, &watched, switch).await {
            Ok(true) => {
                failures = 0;
                continue;
            }
            Ok(false) => failures = 0,
            Err(error) => {
                failures = failures.saturating_add(1);
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    connector = watched.connector,
                    class = watched.class,
                    "live sync waits"
                );
            }
        }
        let factor = 1_u32.checked_shl(failures).unwrap_or(LONGEST).min(LONGEST);
        let pause = watched.interval.saturating_mul(factor);
        let _ = tokio::time::timeout(pause, stop.cancelled()).await;
    }
}

/// Asks once and stores what came; tells whether there is more already.
///
/// # Errors
/// The system or the store fails; the token stays where it is.
pub async fn ask(
    engine: &Engine,
    clock: &SharedClock,
    watched: &Watched,
    switch: Switch,
) -> Result<bool, Error> {
    let setup = engine.setup();
    let target = setup
        .targets
        .get(&watched.connector)
        .ok_or_else(|| Error::Unknown(watched.connector.clone()))?;
    let store = engine.store();
    let before = store.live_token(&watched.connector, &watched.class).await?;
    let call = target.connector.changes(&watched.class, before.as_deref());
    let changes = tokio::time::timeout(target.calls.timeout, call)
        .await
        .unwrap_or_else(|_| Err(connectors::Error::unavailable(504, "no answer in time")))?;
    if before.as_deref() == Some(changes.token.as_str()) && changes.changes.is_empty() {
        return Ok(false);
    }
    let now = clock.now();
    let received = changes.changes.into_iter();
    let received = received
        .map(|change| of_change(watched, change, now))
        .collect();
    let moved = LiveToken {
        connector: watched.connector.clone(),
        class: watched.class.clone(),
        before,
        after: changes.token,
    };
    let transaction_id = clock.fresh_id().to_string();
    let source = Source {
        connector: &watched.connector,
        switch,
        transaction_id: &transaction_id,
    };
    let arrived = receive(engine, clock.as_ref(), source, received, Some(&moved)).await?;
    Ok(changes.more || arrived == Arrived::Overtaken)
}

fn of_change(watched: &Watched, change: Change, now: DateTime<Utc>) -> Received {
    let (external_id, record, updated_at) = match change {
        Change::Present(found) => {
            let at = watched.updated_at.as_ref();
            let at = at.and_then(|field| time_at(&found, field)).unwrap_or(now);
            (found.id, Some(found.attributes), at)
        }
        Change::Gone(id) => (id, None::<Object>, now),
    };
    Received {
        class: watched.class.clone(),
        external_id,
        updated_at,
        record,
        delivery: None,
    }
}

fn time_at(found: &TargetObject, field: &Pointer) -> Option<DateTime<Utc>> {
    let text = field.get(&found.attributes).and_then(Value::as_str)?;
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    Some(time.with_timezone(&Utc))
}
