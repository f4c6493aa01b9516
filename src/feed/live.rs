//! Live sync: asks a connector again and again what changed since a token, which moves only together
//! with the events that were made of it.
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::SharedClock,
    connectors::{self, Change},
    model::{
        Container, Object, TargetObject,
        integration::rules::Switch,
        pointer::Pointer,
        recon::{Syncable, Window},
    },
    store::{self, Arrived, LiveToken, Sequence, Store},
    sync::{Engine, Fingerprint},
};

use super::{
    receive::{Known, Received, Source, receive},
    refill::{refill, waits},
    told_time::told_time,
};

/// The longest pause after failures, in intervals.
const LONGEST: u32 = 32;
/// How often it is written down that nothing has changed.
const QUIET: chrono::Duration = chrono::Duration::seconds(60);

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

/// Asks once and stores what came, or reads the class in full where that is called for; tells whether
/// there is more already.
///
/// # Errors
/// The system or the store fails; the token stays where it is.
pub async fn ask(
    engine: &Engine,
    clock: &SharedClock,
    watched: &Watched,
    switch: Switch,
) -> Result<bool, Error> {
    if !engine.setup().targets.contains_key(&watched.connector) {
        return Err(Error::Unknown(watched.connector.clone()));
    }
    let store = engine.store();
    let before = store.live_token(&watched.connector, &watched.class).await?;
    let class = watched.container();
    let mut stands = store.syncable(&class.to_string()).await?;
    if stands.missed && switch == Switch::On {
        stands = switched_on(store, &class).await?;
    }
    let version = engine.version_of(&class);
    let now = clock.now();
    let is_void = before.is_some() && is_void(&stands, version.as_deref());
    if is_void && !waits(&stands, now) {
        refill(engine, clock, watched, switch, &stands).await?;
        return Ok(false);
    }
    if !is_void && stands.held_back.is_some() {
        let name = class.to_string();
        let released = store.change_syncable(&name, |syncable| syncable.held_back = None);
        released.await?;
    }
    let changes = engine.changes(&class, before.as_deref()).await?;
    let mut through = Through {
        start: stands.data_synced_through,
        end: now,
        version,
    };
    if before.as_deref() == Some(changes.token.as_str()) && changes.changes.is_empty() {
        through.note_quiet(store, &class, &stands).await?;
        return Ok(false);
    }
    let more = changes.more;
    let received = of_changes(watched, changes.changes, now);
    if switch == Switch::Off && !received.is_empty() && !stands.missed {
        let name = class.to_string();
        let missed = store.change_syncable(&name, |syncable| syncable.missed = true);
        missed.await?;
    }
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
        known: Known::Duplicate,
        sequence: Sequence::AsTold,
    };
    let arrived = receive(engine, clock.as_ref(), source, received, Some(&moved)).await?;
    let is_overtaken = arrived == Arrived::Overtaken;
    if !more && !is_overtaken {
        through.note(store, &class).await?;
    }
    Ok(more || is_overtaken)
}

/// A class whose changes were only recorded for a while is read in full: its token is behind them.
async fn switched_on(store: &Store, class: &Container) -> Result<Syncable, store::Error> {
    let name = class.to_string();
    let switched = store.change_syncable(&name, |syncable| {
        if std::mem::take(&mut syncable.missed) {
            syncable.resets = syncable.resets.wrapping_add(1);
        }
    });
    switched.await
}

/// Whether what was read up to now counts no more: somebody moved it back, or the mapping that brings
/// the records in is another one.
fn is_void(stands: &Syncable, version: Option<&str>) -> bool {
    let is_known = !stands.sync_version.is_empty();
    stands.resets != stands.answered_resets
        || is_known && version.is_some_and(|version| version != stands.sync_version)
}

/// How far a sync of a class has come: every event up to there is stored.
pub(super) struct Through {
    pub(super) start: Option<DateTime<Utc>>,
    pub(super) end: DateTime<Utc>,
    pub(super) version: Option<Fingerprint>,
}

impl Through {
    /// Writes it down; what somebody moved back meanwhile stays back.
    pub(super) async fn note(&self, store: &Store, class: &Container) -> Result<(), store::Error> {
        let name = class.to_string();
        let noted = store.change_syncable(&name, |syncable| {
            let waits = syncable.held_back.is_some();
            if syncable.resets == syncable.answered_resets && !waits {
                self.mark(syncable);
            }
        });
        noted.await.map(drop)
    }

    /// The same where nothing had changed, now and then: it costs a commit.
    async fn note_quiet(
        &mut self,
        store: &Store,
        class: &Container,
        stands: &Syncable,
    ) -> Result<(), store::Error> {
        let next = stands.data_synced_through.map(|at| at + QUIET);
        if next.is_none_or(|next| next <= self.end) {
            self.note(store, class).await?;
        }
        Ok(())
    }

    pub(super) fn mark(&self, syncable: &mut Syncable) {
        syncable.data_synced_through = Ord::max(syncable.data_synced_through, Some(self.end));
        syncable.sync_version = self.version.clone().unwrap_or_default();
        syncable.last_window = Some(Window {
            start: self.start,
            end: self.end,
        });
    }
}

impl Watched {
    /// The object class as mappings and partial syncs name it.
    pub(super) fn container(&self) -> Container {
        Container::system(&self.connector, &self.class)
    }

    /// When a record says that it was changed.
    pub(super) fn told_time(&self, found: &TargetObject) -> Option<DateTime<Utc>> {
        let field = self.updated_at.as_ref()?;
        told_time(field.get(&found.attributes)?)
    }

    /// Says so where records tell no time that can be read.
    pub(super) fn report_unreadable<'f>(&self, found: impl Iterator<Item = &'f TargetObject>) {
        if self.updated_at.is_none() {
            return;
        }
        let unreadable: Vec<&str> = found
            .filter(|found| self.told_time(found).is_none())
            .map(|found| found.id.as_str())
            .collect();
        if let Some(first) = unreadable.first() {
            tracing::warn!(
                connector = self.connector,
                class = self.class,
                first,
                count = unreadable.len(),
                "records tell no time in `updatedAt` that can be read: they count as changed now"
            );
        }
    }
}

/// What changed as records that came in.
pub(super) fn of_changes(
    watched: &Watched,
    changes: Vec<Change>,
    now: DateTime<Utc>,
) -> Vec<Received> {
    watched.report_unreadable(changes.iter().filter_map(|change| match change {
        Change::Present(found) => Some(found),
        Change::Gone(_) => None,
    }));
    let changes = changes.into_iter();
    changes
        .map(|change| of_change(watched, change, now))
        .collect()
}

fn of_change(watched: &Watched, change: Change, now: DateTime<Utc>) -> Received {
    let (external_id, record, updated_at) = match change {
        Change::Present(found) => {
            let at = watched.told_time(&found).unwrap_or(now);
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
