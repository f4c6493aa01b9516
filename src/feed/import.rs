//! Imports: pages of an importer as integration events, and the checker that it is handed.
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    clock::SharedClock,
    connectors::{self, ImportPage, Imported, Importer, MakeImporter, SharedKnown},
    model::{Container, Filter, integration::rules::Switch, recon::Window},
    store::{self, Arrived, Sequence, Store},
    sync::Engine,
};

use super::{
    live::{Through, Watched},
    receive::{Known, Received, Source, receive},
};

/// How many records are read at a time.
const PAGE: usize = 500;

/// What is fetched although it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Force {
    /// Nothing.
    #[default]
    Nothing,
    /// Everything: the check is skipped.
    All,
    /// Records with these ids.
    Ids(BTreeSet<String>),
}

/// What an import came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Import {
    /// From where syncs of the class stood, up to when this one began.
    #[serde(flatten)]
    pub window: Option<Window>,
    /// Pages that were read.
    pub pages: usize,
    /// Records that were fetched.
    pub fetched: usize,
    /// Events that were stored.
    pub stored: usize,
}

/// Why an import stopped; what was taken in until then stays.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system failed.
    #[error("a page cannot be imported: {0}")]
    System(#[from] connectors::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The checker of one import.
#[derive(Debug)]
struct Checker {
    store: Store,
    connector: String,
    class: String,
    force: Force,
    through: Option<DateTime<Utc>>,
    /// Whether a record was left out because it is known.
    left_out: Arc<AtomicBool>,
}

/// Imports all pages of an object class.
///
/// # Errors
/// The system or the store fails.
pub async fn import(
    engine: &Engine,
    clock: &SharedClock,
    (connector, class): (&str, &str),
    make: &MakeImporter,
    (switch, force): (Switch, Force),
) -> Result<Import, Error> {
    let container = Container::system(connector, class);
    let stands = engine.store().syncable(&container.to_string()).await?;
    let version = engine.version_of(&container);
    let is_same = version
        .as_deref()
        .is_none_or(|now| now == stands.sync_version);
    let through = Through {
        start: stands.data_synced_through.filter(|_| is_same),
        end: clock.now(),
        version,
    };
    let left_out = Arc::new(AtomicBool::new(false));
    let importer = make(Arc::new(Checker {
        store: engine.store().clone(),
        connector: connector.to_owned(),
        class: class.to_owned(),
        through: through.start.filter(|_| force != Force::All),
        left_out: Arc::clone(&left_out),
        force,
    }));
    let transaction_id = clock.fresh_id().to_string();
    let source = Source {
        connector,
        switch,
        transaction_id: &transaction_id,
        known: Known::Duplicate,
        sequence: Sequence::ByTime,
    };
    let (mut done, mut cursor) = (Import::default(), None::<String>);
    done.window = Some(Window {
        start: through.start,
        end: through.end,
    });
    loop {
        let page = importer.page(cursor.as_deref()).await?;
        let now = clock.now();
        let received = page.records.into_iter().map(|one| Received {
            class: class.to_owned(),
            external_id: one.external_id,
            updated_at: one.updated_at.unwrap_or(now),
            record: Some(one.record),
            delivery: None,
        });
        let received: Vec<Received> = received.collect();
        done.pages += 1;
        done.fetched += received.len();
        if !received.is_empty() {
            let arrived = receive(engine, clock.as_ref(), source, received, None).await?;
            if let Arrived::Stored(events) = arrived {
                done.stored += events.len();
            }
        }
        cursor = page.cursor;
        if cursor.is_none() {
            // What is known was brought in by the mapping as it was then: where that is another one by
            // now, such records are still to be brought in again.
            let is_new = stands.sync_version.is_empty();
            if is_same || is_new || !left_out.load(Ordering::Relaxed) {
                through.note(engine.store(), &container).await?;
            }
            return Ok(done);
        }
    }
}

/// Makes an importer of what a connector lists, for object classes of which nobody knows better.
#[must_use]
pub fn lister(engine: &Engine, watched: Watched) -> MakeImporter {
    let engine = engine.clone();
    Arc::new(move |known| {
        Box::new(Lister {
            engine: engine.clone(),
            watched: watched.clone(),
            known,
        })
    })
}

/// Reads a class as its connector lists it.
#[derive(Debug)]
struct Lister {
    engine: Engine,
    watched: Watched,
    known: SharedKnown,
}

#[async_trait]
impl Importer for Lister {
    async fn page(&self, cursor: Option<&str>) -> Result<ImportPage, connectors::Error> {
        let class = self.watched.container();
        let cursor = cursor.map(str::to_owned);
        let all = Filter::Literal(true);
        let page = self.engine.list(&class, &all, cursor, PAGE).await?;
        let ids: Vec<String> = page.objects.iter().map(|found| found.id.clone()).collect();
        let known = self.known.existing(&ids).await?;
        let new = page.objects.into_iter();
        let new = new.filter(|found| !known.contains(&found.id));
        let new: Vec<_> = new.collect();
        self.watched.report_unreadable(new.iter());
        let records = new.into_iter().map(|found| Imported {
            updated_at: self.watched.told_time(&found),
            external_id: found.id,
            record: found.attributes,
        });
        Ok(ImportPage {
            records: records.collect(),
            cursor: page.cursor,
        })
    }
}

#[async_trait]
impl connectors::Known for Checker {
    fn synced_through(&self) -> Option<DateTime<Utc>> {
        self.through
    }

    async fn existing(
        &self,
        external_ids: &[String],
    ) -> Result<BTreeSet<String>, connectors::Error> {
        let asked: Vec<&String> = match &self.force {
            Force::All => return Ok(BTreeSet::new()),
            Force::Nothing => external_ids.iter().collect(),
            Force::Ids(forced) => external_ids
                .iter()
                .filter(|id| !forced.contains(*id))
                .collect(),
        };
        let (connector, class) = (&self.connector, &self.class);
        let known = self.store.known_records(connector, class, &asked).await;
        let known = known.map_err(|error| {
            connectors::Error::unavailable(503, error.to_string()).because(error)
        })?;
        if !known.is_empty() {
            self.left_out.store(true, Ordering::Relaxed);
        }
        Ok(known)
    }
}
