//! Importing: documents, messages, people, page by page, without fetching twice what is known.
use std::{collections::BTreeSet, fmt::Debug, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::Error;
use crate::model::Object;

/// Tells which records are known already. An importer gets one when it is made, and knows nothing
/// of where the answer comes from.
#[async_trait]
pub trait Known: Send + Sync + Debug {
    /// Those of these external ids that need not be fetched; one question for a whole page.
    ///
    /// # Errors
    /// Where that cannot be told.
    async fn existing(&self, external_ids: &[String]) -> Result<BTreeSet<String>, Error>;

    /// Up to when imports of the class are complete: what was changed before that need not be
    /// listed. None: everything is wanted.
    fn synced_through(&self) -> Option<DateTime<Utc>> {
        None
    }
}

/// A checker that importers share.
pub type SharedKnown = Arc<dyn Known>;

/// Something that can be imported page by page. Whether it asks its checker is its own choice: one
/// whose pages hold whole records saves nothing by it.
#[async_trait]
pub trait Importer: Send + Sync + Debug {
    /// The page at a cursor; without one, the first.
    ///
    /// # Errors
    /// Where the system fails; nothing of the page is taken in then.
    async fn page(&self, cursor: Option<&str>) -> Result<ImportPage, Error>;
}

/// Makes an importer, given its checker.
pub type MakeImporter = Arc<dyn Fn(SharedKnown) -> Box<dyn Importer> + Send + Sync>;

/// A page of what is imported.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImportPage {
    /// The records that were fetched.
    pub records: Vec<Imported>,
    /// Where the next page begins; none after the last.
    pub cursor: Option<String>,
}

/// A record that was fetched.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Its id in the external system.
    pub external_id: String,
    /// When it was changed; none: when it was fetched.
    pub updated_at: Option<DateTime<Utc>>,
    /// What it is.
    pub record: Object,
}
