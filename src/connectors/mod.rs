//! Target systems: what Recant asks of each, and the kinds that come with it.
//!
//! Each kind is a folder with the same files: `settings` (what its file says, as written and as
//! used), `connector` (the calls), and `wire` (the translation between Recant's words and the
//! target's, without any input or output).
//! `http` holds what the kinds that speak HTTP share.
//!
//! # Bringing your own
//! A Rust program can bring a target of its own: it implements [`Connector`] and hands it over as a
//! [`SharedConnector`], under the name by which mappings address it (`system/NAME/CLASS`). What
//! matters most is that an [`Error`] is honest: *refused* and *unavailable* promise that nothing
//! happened, and where that cannot be promised the answer is *unknown*; the engine then reads the
//! target back. Any call may be dropped at any `await`: when a time limit is over, or at the end. A
//! write of many requests says [`signs::further`] between them, so that the limit holds for each.
//!
//! ```
//! use std::{collections::BTreeMap, sync::Mutex};
//!
//! use recant::{
//!     connectors::{Capabilities, Connector, Error, Page, Query, Update, Written},
//!     model::{Object, TargetObject, object::same_object},
//! };
//!
//! /// Objects in memory.
//! #[derive(Debug, Default)]
//! struct Memory(Mutex<BTreeMap<String, Object>>);
//!
//! impl Memory {
//!     fn objects(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Object>> {
//!         self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
//!     }
//! }
//!
//! #[async_trait::async_trait]
//! impl Connector for Memory {
//!     fn capabilities(&self) -> Capabilities {
//!         Capabilities { precondition: true, recreate_with_id: true, changes: false }
//!     }
//!
//!     fn classes(&self) -> Vec<String> {
//!         vec!["account".to_owned()]
//!     }
//!
//!     async fn test(&self) -> Result<(), Error> {
//!         Ok(())
//!     }
//!
//!     async fn read(&self, _class: &str, id: &str) -> Result<Option<TargetObject>, Error> {
//!         let attributes = self.objects().get(id).cloned();
//!         Ok(attributes.map(|attributes| TargetObject { id: id.to_owned(), attributes, version: None }))
//!     }
//!
//!     async fn query(&self, _class: &str, query: &Query) -> Result<Page, Error> {
//!         let after = query.cursor.as_deref();
//!         let mut objects: Vec<TargetObject> = self
//!             .objects()
//!             .iter()
//!             .filter(|(id, _)| after.is_none_or(|after| id.as_str() > after))
//!             .map(|(id, attributes)| TargetObject {
//!                 id: id.clone(),
//!                 attributes: attributes.clone(),
//!                 version: None,
//!             })
//!             .filter(|object| query.filter.matches(&object.to_object()))
//!             .take(query.page_size + 1)
//!             .collect();
//!         let more = objects.len() > query.page_size;
//!         objects.truncate(query.page_size);
//!         let cursor = objects.last().filter(|_| more).map(|last| last.id.clone());
//!         Ok(Page { objects, cursor })
//!     }
//!
//!     async fn create(&self, _class: &str, id: Option<&str>, object: &Object) -> Result<Written, Error> {
//!         let id = id.ok_or_else(|| Error::refused(400, "an object here needs an id"))?;
//!         let mut objects = self.objects();
//!         if objects.contains_key(id) {
//!             return Err(Error::refused(409, format!("`{id}` is taken")));
//!         }
//!         objects.insert(id.to_owned(), object.clone());
//!         Ok(Written { id: id.to_owned(), version: None, attributes: Some(object.clone()) })
//!     }
//!
//!     async fn update(&self, _class: &str, update: &Update<'_>) -> Result<Written, Error> {
//!         let mut objects = self.objects();
//!         let id = update.rename.unwrap_or(&update.before.id);
//!         if id != update.before.id && objects.contains_key(id) {
//!             return Err(Error::refused(409, format!("`{id}` is taken")));
//!         }
//!         let is_as_read = objects
//!             .get(&update.before.id)
//!             .is_some_and(|now| same_object(now, &update.before.attributes));
//!         if !is_as_read {
//!             return Err(Error::refused(412, "it is not what was read"));
//!         }
//!         objects.remove(&update.before.id);
//!         objects.insert(id.to_owned(), update.after.clone());
//!         Ok(Written { id: id.to_owned(), version: None, attributes: Some(update.after.clone()) })
//!     }
//!
//!     async fn delete(&self, _class: &str, before: &TargetObject) -> Result<(), Error> {
//!         let mut objects = self.objects();
//!         match objects.get(&before.id) {
//!             Some(now) if !same_object(now, &before.attributes) => {
//!                 Err(Error::refused(412, "it is not what was read"))
//!             }
//!             _ => {
//!                 objects.remove(&before.id);
//!                 Ok(())
//!             }
//!         }
//!     }
//! }
//! ```
pub mod csv;
pub mod custom;
pub mod health;
pub mod http;
mod import;
pub mod ldap;
mod measured;
pub mod rest;
pub mod scim;
pub mod settings;
pub mod shape;
pub mod signs;
pub mod sql;
mod watermark;

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use crate::model::{CauseKind, Filter, Follows, Object, TargetObject, TargetWrite};

pub use health::{Health, guarded};
pub use import::{ImportPage, Imported, Importer, Known, MakeImporter, SharedKnown};
pub use measured::measured;
pub use settings::{Kind, Problem, Settings};

/// The connector that settings describe. It does no input or output yet: connections are made when
/// they are needed.
///
/// # Errors
/// Where a client cannot be made at all, for example for want of TLS roots.
pub fn open(settings: &Settings) -> Result<SharedConnector, Error> {
    let timeout = settings.timeout;
    Ok(match &settings.kind {
        Kind::Sql(settings) => Arc::new(sql::Sql::open(settings.clone(), timeout)?),
        Kind::Csv(settings) => Arc::new(csv::CsvFile::new(settings.clone(), timeout)),
        Kind::Rest(settings) => Arc::new(rest::Rest::open(settings.clone(), timeout)?),
        Kind::Ldap(settings) => Arc::new(ldap::Ldap::open(settings.clone(), timeout)?),
        Kind::Scim(settings) => Arc::new(scim::Scim::open(settings.clone(), timeout)?),
        Kind::Custom(_) => {
            let message = "this program does not bring the connector; it is of type custom";
            return Err(Error::refused(501, message));
        }
    })
}

/// A system that Recant reads and writes. One call is one attempt: retries, time limits and the
/// settling of unknown outcomes are the engine's.
///
/// `class` is an object class that the connector's settings name; the engine calls no other.
/// `object` and `attributes` never hold `_id`; the id travels beside them.
#[async_trait]
pub trait Connector: Send + Sync + Debug {
    /// What it can promise.
    fn capabilities(&self) -> Capabilities;

    /// The object classes that it serves.
    fn classes(&self) -> Vec<String>;

    /// What is special about an object class, as far as the settings tell.
    fn particulars(&self, class: &str) -> Particulars {
        let _ = class;
        Particulars::default()
    }

    /// A planned write as the target would carry it out: values in the form in which it holds
    /// them, and a rename as the change of an attribute where that is what it is. A plan shows, and
    /// later reads compare with, what this gives. It writes nothing.
    ///
    /// # Errors
    /// *Refused* where the target could not hold it; *unavailable* where it has to be asked first.
    async fn refine(&self, class: &str, write: TargetWrite) -> Result<TargetWrite, Error> {
        let _ = class;
        Ok(write)
    }

    /// What a refined write has to write anew, value by value, because it gives the object another
    /// name. Cut off in between, such a write is carried out again as it was, `before` and all: it
    /// then finds the object under its new name already, and brings only the rest about.
    fn follows(&self, class: &str, write: &TargetWrite) -> Option<Follows> {
        let _ = (class, write);
        None
    }

    /// Whether a new change may be planned on this target now. What is under way already is carried
    /// out whatever this says.
    ///
    /// # Errors
    /// *Unavailable*, with the time to stay away, while the target is known to be down or to have
    /// more to do than it can take.
    fn admit(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Whether it says so wherever the target answers ([`signs::answered`]). What a connector that
    /// does not say so gives or refuses counts as the target's own answer.
    fn tells_answers(&self) -> bool {
        false
    }

    /// How the target is, where somebody watches it.
    fn health(&self) -> Option<Health> {
        None
    }

    /// Checks that the target can be reached, that the credentials are good and that every object
    /// class is there.
    ///
    /// # Errors
    /// Says what is wrong in words that an administrator can act on.
    async fn test(&self) -> Result<(), Error>;

    /// The object with this id, or none.
    ///
    /// # Errors
    /// Never [`CauseKind::Unknown`]: a read changes nothing, so what is not an answer is *unavailable*.
    async fn read(&self, class: &str, id: &str) -> Result<Option<TargetObject>, Error>;

    /// The objects that meet a filter (`_id` names the target's id), a page at a time, in the
    /// order of their ids where the target can order.
    ///
    /// # Errors
    /// As `read`.
    async fn query(&self, class: &str, query: &Query) -> Result<Page, Error>;

    /// Those of the objects with these ids that exist, in any order, where the target can give them
    /// in one request; none: it cannot, and whoever compares many objects lists them instead.
    ///
    /// # Errors
    /// As `read`.
    async fn read_many(
        &self,
        class: &str,
        ids: &[String],
    ) -> Result<Option<Vec<TargetObject>>, Error> {
        let _ = (class, ids);
        Ok(None)
    }

    /// The ids of a page of objects, as `query` pages them, for whoever needs no more of them than
    /// that; none where it cannot tell them for less than the whole objects.
    ///
    /// # Errors
    /// As `query`.
    async fn list_ids(&self, class: &str, query: &Query) -> Result<Option<IdPage>, Error> {
        let _ = (class, query);
        Ok(None)
    }

    /// Creates an object; with an id, under that id and only if there is none yet.
    ///
    /// # Errors
    /// *Refused* where the target says no or the id is taken.
    async fn create(
        &self,
        class: &str,
        id: Option<&str>,
        object: &Object,
    ) -> Result<Written, Error>;

    /// Creates an object as [`Connector::create`] does, for a target that carries a request out
    /// once only. `key` is the same for every attempt at this one write, after a crash too, and no
    /// other write has it.
    ///
    /// # Errors
    /// As [`Connector::create`].
    async fn create_once(
        &self,
        class: &str,
        id: Option<&str>,
        object: &Object,
        key: &str,
    ) -> Result<Written, Error> {
        let _ = key;
        self.create(class, id, object).await
    }

    /// Whether [`Connector::create_once`] under the same key makes one object only, however often
    /// it is repeated within a day.
    fn repeats_creates(&self, class: &str) -> bool {
        let _ = class;
        false
    }

    /// Changes an object, only if it still is what `update.before` says, as far as the target can
    /// check that.
    ///
    /// # Errors
    /// *Refused* where the target says no, or holds something else by now, or no such object.
    async fn update(&self, class: &str, update: &Update<'_>) -> Result<Written, Error>;

    /// Deletes an object, only if it still is what `before` says, as far as the target can check
    /// that. An object that is gone already is a success.
    ///
    /// # Errors
    /// *Refused* where the target says no or holds something else by now.
    async fn delete(&self, class: &str, before: &TargetObject) -> Result<(), Error>;

    /// Takes a create back that a change of ours made: the object is gone after it, only if it still
    /// is what `made` says, as far as the target can check that. `dormant` is what
    /// [`Connector::dormant`] told before the create.
    ///
    /// # Errors
    /// As [`Connector::delete`].
    async fn uncreate(
        &self,
        class: &str,
        made: &TargetObject,
        dormant: Option<&Object>,
    ) -> Result<(), Error> {
        let _ = dormant;
        self.delete(class, made).await
    }

    /// What an object holds that counts as deleted, is there all the same, and would be brought
    /// back into use by this create; none where the create makes a new one.
    ///
    /// # Errors
    /// As [`Connector::read`].
    async fn dormant(
        &self,
        class: &str,
        id: Option<&str>,
        object: &Object,
    ) -> Result<Option<Object>, Error> {
        let _ = (class, id, object);
        Ok(None)
    }

    /// What changed since a token; the first call, without one, only gives the newest token.
    ///
    /// # Errors
    /// *Refused* where the target cannot tell, or no longer knows the token.
    async fn changes(&self, class: &str, since: Option<&str>) -> Result<Changes, Error> {
        let _ = since;
        Err(Error::refused(
            501,
            format!("object class `{class}` cannot tell what changed"),
        ))
    }
}

/// A connector that many share.
pub type SharedConnector = Arc<dyn Connector>;

/// What a connector can promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// A write happens only if the object still is what was read.
    pub precondition: bool,
    /// An object that was deleted can be created again under its id.
    pub recreate_with_id: bool,
    /// It tells what changed since a token.
    pub changes: bool,
}

/// What is special about an object class.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Particulars {
    /// An object goes by an id that the target assigns; the id that a create asks for is another
    /// name, under which `read` finds it too.
    pub assigns_ids: bool,
    /// Attributes that are written and never read. The engine writes one only where the mapping
    /// gives another value than it gave before, compares it with nothing, and puts back what the
    /// mapping gave before. Their case does not count.
    pub write_only: Vec<String>,
    /// Attributes whose values are a set: their order means nothing, and a write that is cut off may
    /// have brought some of them in or out and not the others. The engine takes such a half write
    /// of its own back, or finishes it. Their case does not count.
    pub sets: Vec<String>,
    /// A create may bring an object back into use that counts as deleted: the engine asks
    /// [`Connector::dormant`] what it holds.
    pub revives: bool,
}

impl Particulars {
    /// Whether an attribute is never read.
    #[must_use]
    pub fn is_write_only(&self, name: &str) -> bool {
        let mut names = self.write_only.iter();
        names.any(|one| one.eq_ignore_ascii_case(name))
    }

    /// Whether the values of an attribute are a set.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        let mut names = self.sets.iter();
        names.any(|one| one.eq_ignore_ascii_case(name))
    }
}

/// What a query asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Which objects.
    pub filter: Filter,
    /// How many at most.
    pub page_size: usize,
    /// Where the page before this one ended.
    pub cursor: Option<String>,
}

/// The ids of a page of objects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdPage {
    /// The ids.
    pub ids: Vec<String>,
    /// Where the next page begins; none after the last.
    pub cursor: Option<String>,
}

/// A page of objects.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// The objects.
    pub objects: Vec<TargetObject>,
    /// Where the next page begins; none after the last.
    pub cursor: Option<String>,
}

/// A change of one object.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    /// The object as it was read; it holds the id and the version.
    pub before: &'a TargetObject,
    /// All its attributes as they shall be.
    pub after: &'a Object,
    /// Its new id, where that changes.
    pub rename: Option<&'a str>,
}

/// What a target says after a write.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The object's id.
    pub id: String,
    /// What the target gives for optimistic preconditions.
    pub version: Option<String>,
    /// The whole object as the target holds it now, where the target told; it may have
    /// normalized what was sent.
    pub attributes: Option<Object>,
}

/// What changed since a token.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// The changes, oldest first.
    pub changes: Vec<Change>,
    /// The token to come back with.
    pub token: String,
    /// Whether there is more already.
    pub more: bool,
}

/// One changed object.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is there, new or changed.
    Present(TargetObject),
    /// It is gone.
    Gone(String),
}

/// Why a call to a target failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What is known about the target.
    pub kind: CauseKind,
    /// The target's own code: an HTTP status as a number, an SQLSTATE as text; a number like an
    /// HTTP status where the target has none.
    pub code: Value,
    /// What the target said, without credentials.
    pub message: String,
    /// How long the target asked us to stay away.
    pub retry_after: Option<Duration>,
    /// What caused it.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// The target said no; nothing happened there.
    pub fn refused(code: impl Into<Value>, message: impl Into<String>) -> Self {
        Self::new(CauseKind::Refused, code, message)
    }

    /// The target could not be reached or was busy; nothing happened there.
    pub fn unavailable(code: impl Into<Value>, message: impl Into<String>) -> Self {
        Self::new(CauseKind::Unavailable, code, message)
    }

    /// The write may or may not have happened.
    pub fn unknown(code: impl Into<Value>, message: impl Into<String>) -> Self {
        Self::new(CauseKind::Unknown, code, message)
    }

    fn new(kind: CauseKind, code: impl Into<Value>, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: code.into(),
            message: message.into(),
            retry_after: None,
            source: None,
        }
    }

    /// With the error that caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// With the time that the target asked us to stay away.
    #[must_use]
    pub fn after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }
}
