//! The durable store: objects, links, the journal, the audit trail. Only this room knows sea-orm.
use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{
    clock::SharedClock,
    model::{
        Filter, LinkChange, Object, OperationId, OperationRecord, ResourceName,
        audit::{AuditEntry, ChainedEntry, Topic},
        link::Link,
    },
};

/// The store of one Recant node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    _clock: Arc<SharedClock>,
}

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// `sqlite://FILE`, `sqlite::memory:`, `postgres://…` or `mysql://…`
    pub url: String,
    /// What encrypts confidential values; the first key encrypts, all decrypt.
    pub keys: Keyring,
    /// Where time and ids come from.
    pub clock: SharedClock,
    /// How long a node's claim on its changes lasts without renewal.
    pub lease: Duration,
    /// A folder in which living nodes of this machine hold a lock each, so that a restart knows at
    /// once that its former self is dead.
    pub lock_folder: Option<std::path::PathBuf>,
}

/// Keys for data at rest, by id.
#[derive(Debug, Clone, Default)]
pub struct Keyring;

/// A managed object with its times.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredObject {
    /// With `_id` and `_rev`, confidential values in clear.
    pub object: Object,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

/// What a change does to the repository, if the object still has the expected revision.
#[derive(Debug, Clone, PartialEq)]
pub enum ObjectWrite {
    /// Nothing: the caller keeps the record itself.
    Untouched,
    /// Store it (it holds `_id` and the new `_rev`).
    Put {
        /// The new object.
        object: Object,
        /// The revision that must be stored now; none: there must be no object.
        expected: Option<String>,
    },
    /// Remove it.
    Remove {
        /// The revision that must be stored now.
        expected: String,
    },
}

/// What goes on disk before the first target write of a change.
#[derive(Debug, Clone)]
pub struct JournalEntry {
    /// The record so far; `outcome` is none.
    pub record: OperationRecord,
    /// The intent as the engine wrote it, with its format's version inside. Encrypted at rest
    /// where the store has a key.
    pub payload: Value,
    /// What happens to the stored object.
    pub object: ObjectWrite,
    /// Whether this change takes the object's in-flight row (a root or follow-up does, a
    /// compensation runs under its parent's).
    pub claim: bool,
    /// The latest change of the object when planning began; another one since makes the plan stale.
    pub latest: Option<OperationId>,
    /// Whether `latest` is to be checked (changes of objects that are not stored here).
    pub check_latest: bool,
    /// The caller's idempotency key.
    pub idempotency: Option<(String, crate::model::change::IdempotencyKey)>,
    /// Records to write again in the same transaction: the parent that begins to compensate.
    pub updates: Vec<OperationRecord>,
}

/// Why a change could not be journaled; nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another change of the object is in flight (on this node or another).
    #[error("another change of this object is in flight")]
    InFlight(OperationId),
    /// The object (or its latest change) is not what planning saw.
    #[error("the object changed since it was read")]
    Stale,
    /// The idempotency key was used meanwhile.
    #[error("the idempotency key is in use")]
    KeyInUse,
    /// This node's lease ran out.
    #[error("this node's lease has ended")]
    LeaseLost,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Everything that ends (a phase of) a change, written in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Settlement {
    /// Records to write, the nested ones first.
    pub records: Vec<OperationRecord>,
    /// Changed intents to write.
    pub payloads: Vec<(OperationId, Value)>,
    /// What happens to the stored object (a change that a post hook refused is taken back here).
    pub object: Option<(ResourceName, ObjectWrite)>,
    /// Gives the object's in-flight row free.
    pub release: Option<ResourceName>,
    /// Takes another in-flight row in the same transaction: that of the follow-up changes, whose
    /// name is no real object (`managed/$follow-ups/OPERATION`).
    pub claim: Option<(ResourceName, OperationId)>,
    /// Changed links, in order. A second id must be known by now.
    pub links: Vec<LinkChange>,
    /// Audit entries, in order.
    pub audit: Vec<AuditEntry>,
    /// The answer under the caller's idempotency key.
    pub answer: Option<(String, crate::model::change::IdempotencyKey, StoredAnswer)>,
    /// This change ended `synced`: open divergences of its object are closed as superseded, with
    /// an audit entry each.
    pub supersedes: Option<(ResourceName, OperationId)>,
}

/// The answer to a request that carried an idempotency key.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body.
    pub body: Value,
    /// Header names and values: `Recant-Operation`, `Recant-Outcome`, `ETag`, `Location`.
    pub headers: Vec<(String, String)>,
}

/// What is known under an idempotency key.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredKey {
    /// What was asked then.
    pub request_digest: String,
    /// The change.
    pub operation: OperationId,
    /// The answer, once there is one.
    pub answer: Option<StoredAnswer>,
}

/// A change as the journal holds it.
#[derive(Debug, Clone)]
pub struct StoredOperation {
    /// The record.
    pub record: OperationRecord,
    /// The intent; none once its retention has passed.
    pub payload: Option<Value>,
}

/// A change that is in flight, and who has it.
#[derive(Debug, Clone)]
pub struct InFlight {
    /// The object.
    pub object: ResourceName,
    /// The change.
    pub operation: OperationId,
    /// The node.
    pub node: String,
    /// How often it was taken up, 1 the first time.
    pub attempt: u32,
}

/// What is seen of an object before a change of it is planned.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    /// The stored object.
    pub object: Option<StoredObject>,
    /// The change that is in flight for it.
    pub in_flight: Option<OperationId>,
    /// Its latest change.
    pub latest: Option<OperationId>,
    /// The links of every type in which it is the source (its id is the first id).
    pub links: Vec<Link>,
}

/// What a query over stored things asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Which.
    pub filter: Filter,
    /// Attributes to sort by, each ascending or descending; the id breaks ties.
    pub sort: Vec<SortKey>,
    /// How many at most; none: all.
    pub page_size: Option<usize>,
    /// Where the page before ended (`pagedResultsCookie`).
    pub cookie: Option<String>,
    /// How many to skip (`_pagedResultsOffset`).
    pub offset: usize,
    /// Whether to count all that match.
    pub count: Count,
}

/// Whether a query counts all that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Count {
    /// No.
    #[default]
    None,
    /// Yes.
    Exact,
}

/// One sort key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortKey {
    /// Which attribute.
    pub field: crate::model::pointer::Pointer,
    /// Whether from the largest to the smallest.
    pub descending: bool,
}

/// A page of what a query found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<T> {
    /// In order.
    pub results: Vec<T>,
    /// Where the next page begins; none after the last.
    pub cookie: Option<String>,
    /// How many match, where that was asked for.
    pub total: Option<u64>,
}

/// A bearer token, as it is kept: a hash.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Its id, which is no secret.
    pub id: String,
    /// Whom it was given to.
    pub name: String,
    /// `caller`, `hook-admin`, `auditor`, `admin`.
    pub roles: Vec<String>,
    /// Hexadecimal SHA-256 of its 256 random bits.
    #[serde(skip)]
    pub hash: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// What the store failed at.
#[derive(Debug, thiserror::Error)]
#[error("the store failed to {step}")]
pub struct Error {
    /// What was tried.
    pub step: &'static str,
    /// Why it failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Tells when a settlement is on disk.
#[derive(Debug)]
pub struct Ticket;

impl Ticket {
    /// Waits until it is on disk. The writer retries a failing store until it works, or the store
    /// is closed.
    ///
    /// # Errors
    /// The store was closed before.
    pub async fn wait(self) -> Result<(), Error> {
        todo!()
    }
}

#[expect(unused_variables, reason = "signatures first")]
#[allow(clippy::unused_async)]
impl Store {
    /// Connects. The tables must have been migrated.
    pub async fn open(options: Options) -> Result<Self, Error> {
        todo!()
    }
    /// Brings the tables of the store at `url` up to date; tells how many migrations ran.
    pub async fn migrate(url: &str) -> Result<usize, Error> {
        todo!()
    }
    /// Says which attributes are encrypted at rest, by managed type; taken up at once, for what
    /// is written from now on.
    pub fn set_confidential(&self, attributes: std::collections::BTreeMap<String, Vec<String>>) {
        todo!()
    }
    /// This node's name.
    pub fn node(&self) -> &str {
        todo!()
    }
    /// How much of this node's lease is left; zero once it is lost.
    pub fn lease_left(&self) -> Duration {
        todo!()
    }

    // ---- objects
    /// What is to be known before a change of an object is planned, in one round trip.
    pub async fn admission(&self, object: &ResourceName) -> Result<Admission, Error> {
        todo!()
    }
    /// One object.
    pub async fn object(&self, object: &ResourceName) -> Result<Option<StoredObject>, Error> {
        todo!()
    }
    /// Objects of a type.
    pub async fn objects(
        &self,
        managed_type: &str,
        search: &Search,
    ) -> Result<Found<StoredObject>, Error> {
        todo!()
    }

    // ---- journal
    /// Makes an intent durable; shares its commit with what else is waiting.
    pub async fn journal(&self, entry: JournalEntry) -> Result<(), JournalError> {
        todo!()
    }
    /// Hands over what ends a change. It is written soon, in order, before any later journal entry.
    pub fn settle(&self, settlement: Settlement) -> Ticket {
        todo!()
    }
    /// Waits until everything handed over so far is on disk. Readers of records, audit and links
    /// call it first.
    pub async fn flush(&self) -> Result<(), Error> {
        todo!()
    }
    /// One change.
    pub async fn operation(&self, id: OperationId) -> Result<Option<StoredOperation>, Error> {
        todo!()
    }
    /// Records of changes, newest first unless sorted otherwise.
    pub async fn operations(&self, search: &Search) -> Result<Found<OperationRecord>, Error> {
        todo!()
    }
    /// The nested changes of a change, oldest first.
    pub async fn children(&self, parent: OperationId) -> Result<Vec<StoredOperation>, Error> {
        todo!()
    }
    /// Takes over in-flight changes of nodes that are certainly dead (lock free) or whose lease
    /// ran out, and tells which; `attempt` is one higher.
    pub async fn take_over(&self) -> Result<Vec<InFlight>, Error> {
        todo!()
    }
    /// Takes the in-flight row of an object for work on an ended change (`heal`); false where
    /// another change has it.
    pub async fn claim(
        &self,
        object: &ResourceName,
        operation: OperationId,
    ) -> Result<bool, Error> {
        todo!()
    }
    /// Drops intents of changes that ended before `before` and are no open divergence; tells how many.
    pub async fn forget_intents(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        todo!()
    }

    // ---- links
    /// Links of a source object: those of these link types.
    pub async fn links_of_source(
        &self,
        link_types: &[String],
        first_id: &str,
    ) -> Result<Vec<Link>, Error> {
        todo!()
    }
    /// The link of a target object.
    pub async fn link_of_target(
        &self,
        link_type: &str,
        qualifier: &str,
        second_id: &str,
    ) -> Result<Option<Link>, Error> {
        todo!()
    }

    // ---- idempotency
    /// What is known under a caller's key.
    pub async fn key(&self, caller: &str, key: &str) -> Result<Option<StoredKey>, Error> {
        todo!()
    }
    /// Forgets keys older than `before`.
    pub async fn forget_keys(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        todo!()
    }

    // ---- audit
    /// Entries of a topic (none: all), oldest first unless sorted otherwise.
    pub async fn audit(
        &self,
        topic: Option<Topic>,
        search: &Search,
    ) -> Result<Found<ChainedEntry>, Error> {
        todo!()
    }
    /// Walks the chain from its first entry to its head.
    pub async fn verify_audit(&self) -> Result<Verification, Error> {
        todo!()
    }

    // ---- tokens
    /// Keeps a token.
    pub async fn add_token(&self, token: &Token) -> Result<(), Error> {
        todo!()
    }
    /// All tokens.
    pub async fn tokens(&self) -> Result<Vec<Token>, Error> {
        todo!()
    }
    /// Revokes one; false where there is none.
    pub async fn revoke_token(&self, id: &str, at: DateTime<Utc>) -> Result<bool, Error> {
        todo!()
    }
}

/// What a walk along the audit chain found.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// How many entries were read.
    pub entries: u64,
    /// The first place where the chain does not hold.
    pub broken: Option<Break>,
}

/// A place where the audit chain does not hold.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Break {
    /// The entry's id, where there is an entry.
    pub id: Option<String>,
    /// Its position in the chain.
    pub position: i64,
    /// What is wrong: edited, missing, reordered, or removed at the end.
    pub reason: String,
}
