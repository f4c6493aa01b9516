//! Imports: pages of an importer as integration events, and the checker that it is handed.
use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;

use crate::{
    clock::SharedClock,
    connectors::{self, Known, MakeImporter},
    model::integration::rules::Switch,
    store::{self, Arrived, Store},
    sync::Engine,
};

use super::receive::{Received, Source, receive};

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
pub struct Import {
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
    let importer = make(Arc::new(Checker {
        store: engine.store().clone(),
        connector: connector.to_owned(),
        class: class.to_owned(),
        force,
    }));
    let transaction_id = clock.fresh_id().to_string();
    let source = Source {
        connector,
        switch,
        transaction_id: &transaction_id,
    };
    let (mut done, mut cursor) = (Import::default(), None::<String>);
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
            return Ok(done);
        }
    }
}

#[async_trait]
impl Known for Checker {
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
        self.store
            .known_records(connector, class, &asked)
            .await
            .map_err(|error| connectors::Error::unavailable(503, error.to_string()).because(error))
    }
}
