//! What goes into the store and what comes out of it.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::sync::{mpsc::UnboundedSender, oneshot};

use super::{Arrival, Error, unique::Taken, writer::Command};
use crate::model::{
    Link, LinkChange, Object, OperationId, OperationRecord, ResourceName, audit::NewEntry,
    change::IdempotencyKey, event::NewEvent, hook_run::KeptRun, unique::Claim,
};

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

/// Who holds an object's in-flight row: the row is given free for nobody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The object.
    pub object: ResourceName,
    /// The change.
    pub operation: OperationId,
    /// The life of the node that works on it ([`super::Store::identity`] when it took the row).
    pub node: Arc<str>,
}

/// What goes on disk before the first target write of a change.
#[derive(Debug, Clone)]
pub struct JournalEntry {
    /// The record so far; `outcome` is none.
    pub record: OperationRecord,
    /// The intent as the engine wrote it, with its format's version inside. Encrypted at rest
    /// where the store has a key.
    pub payload: String,
    /// What happens to the stored object.
    pub object: ObjectWrite,
    /// Whether this change takes the object's in-flight row (a root or follow-up does, a
    /// compensation runs under its parent's).
    pub claim: bool,
    /// The life of this node under which the parent of a compensation is held; nothing is stored
    /// where the row is somebody else's by now.
    pub node: Arc<str>,
    /// The latest change of the object when planning began; another one since makes the plan stale.
    pub latest: Option<OperationId>,
    /// Whether `latest` is to be checked.
    pub check_latest: bool,
    /// The caller's idempotency key.
    pub idempotency: Option<(String, IdempotencyKey)>,
    /// Records to write again in the same transaction: the parent that begins to compensate.
    pub updates: Vec<OperationRecord>,
    /// Changed intents to write in the same transaction: that of this parent.
    pub payloads: Vec<(OperationId, String)>,
    /// Unique values that the object takes and did not have: nothing is stored where another has one.
    pub claims: Vec<Claim>,
}

/// Why a change could not be journaled; nothing was stored, but for [`JournalError::Unknown`].
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
    /// Another object has a value that must be unique.
    #[error(transparent)]
    Taken(#[from] Taken),
    /// This node's lease ran out.
    #[error("this node's lease has ended")]
    LeaseLost,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
    /// Nobody knows whether it was stored: the store was closed, or this node's registration went
    /// away, before that could be found out.
    #[error("whether the change was stored is not known")]
    Unknown,
}

/// Everything that ends (a phase of) a change, written in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Settlement {
    /// Records to write, the nested ones first.
    pub records: Vec<OperationRecord>,
    /// Changed intents to write.
    pub payloads: Vec<(OperationId, String)>,
    /// What happens to the stored object (a change that a post hook refused is taken back here).
    pub object: Option<(ResourceName, ObjectWrite)>,
    /// Gives an object's in-flight row free; the whole settlement is void where another change, or
    /// another life of a node, has the row by now.
    pub release: Option<Holder>,
    /// Takes another in-flight row in the same transaction: that of the follow-up changes, whose
    /// name is no real object (`managed/$follow-ups/OPERATION`).
    pub claim: Option<(ResourceName, OperationId)>,
    /// Changed links, in order. A second id must be known by now.
    pub links: Vec<LinkChange>,
    /// Audit entries, in order.
    pub audit: Vec<NewEntry>,
    /// Runs of hooks to keep.
    pub hook_runs: Vec<KeptRun>,
    /// What the change feed tells; its cursor is the place of the last of these audit entries, so
    /// there must be one.
    pub event: Option<NewEvent>,
    /// Integration events that go out; each takes the place of those of its object that wait.
    pub outbound: Vec<Arrival>,
    /// The answer under the caller's idempotency key.
    pub answer: Option<(String, IdempotencyKey, StoredAnswer)>,
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
    pub payload: Option<String>,
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

impl InFlight {
    /// Who holds the row, as this tells it.
    #[must_use]
    pub fn holder(&self) -> Holder {
        Holder {
            object: self.object.clone(),
            operation: self.operation,
            node: self.node.as_str().into(),
        }
    }
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

/// Tells when a settlement is on disk.
#[derive(Debug)]
pub struct Ticket {
    answer: oneshot::Receiver<Result<(), Error>>,
    commands: UnboundedSender<Command>,
}

impl Ticket {
    pub(super) fn new(
        answer: oneshot::Receiver<Result<(), Error>>,
        commands: UnboundedSender<Command>,
    ) -> Self {
        Self { answer, commands }
    }

    /// Waits until it is on disk. The writer retries a failing store until it works, or the store
    /// is closed.
    ///
    /// # Errors
    /// The store was closed before, another node took the change over, or the settlement cannot
    /// be stored at all.
    pub async fn wait(self) -> Result<(), Error> {
        let _ = self.commands.send(Command::Hurry);
        match self.answer.await {
            Ok(result) => result,
            Err(_) => Err(Error::at("settle a change")(super::Refusal::Closed)),
        }
    }
}
