//! What is asked of Recant: a change of one object, who asks, and where it stands in its lineage.
use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{
    object::Object,
    patch::Patch,
    path::{Container, ResourceName},
};

/// The id of one change and of its record under `/operations`; ids sort by time (UUIDv7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(pub Uuid);

impl OperationId {
    /// The key of the write at a place in the change's plan, for targets that carry a request out
    /// once only: the same for every attempt at it, after a crash too, and no other write's.
    #[must_use]
    pub fn write_key(self, index: usize) -> String {
        // The low 62 bits of a UUIDv7 are random: neighbouring places land far apart in them.
        let place = u64::try_from(index).unwrap_or(u64::MAX).wrapping_add(1);
        let mixed = place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 2;
        Uuid::from_u128(self.0.as_u128() ^ u128::from(mixed)).to_string()
    }
}

/// What happens to the managed object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It comes into being.
    Create,
    /// It gets new content.
    Update,
    /// It goes away.
    Delete,
}

/// Why a change exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// Somebody outside asked for it.
    Request,
    /// It takes its parent back.
    Compensation,
    /// A hook of its parent asked for it.
    FollowUp,
    /// A mapping with `queuedSync` is carried out; the object itself has changed before.
    Queued,
    /// A reconciliation puts the target of one mapping right; the object itself does not change.
    Reconciliation,
}

/// Where a change comes from. Kept in the journal; the recursion guard reads nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lineage {
    /// The change that somebody outside asked for.
    pub root: OperationId,
    /// The change that caused this one; none for a root.
    pub parent: Option<OperationId>,
    /// 0 for a root, one more for each step down.
    pub depth: u32,
    /// Why this change exists.
    pub purpose: Purpose,
    /// The external records that it was brought from: it is not written back there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came_from: Option<Container>,
}

/// What must be true of the stored object for the change to be admitted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// It exists (`If-Match: *`).
    Exists,
    /// It does not exist (`If-None-Match: *`).
    Absent,
    /// It has this revision (`If-Match: REV`).
    Revision(String),
}

/// The content of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Requested {
    /// Create an object; without an id it gets a fresh one.
    Create {
        /// The id that the client chose.
        id: Option<String>,
        /// The new object.
        content: Object,
    },
    /// Put this content, creating the object where the precondition lets it.
    Replace {
        /// The object's id.
        id: String,
        /// The new content.
        content: Object,
        /// What must hold.
        precondition: Precondition,
    },
    /// Change parts of an existing object.
    Patch {
        /// The object's id.
        id: String,
        /// The parts.
        patch: Patch,
        /// What must hold.
        precondition: Precondition,
    },
    /// Delete an existing object.
    Delete {
        /// The object's id.
        id: String,
        /// What must hold.
        precondition: Precondition,
    },
    /// Synchronize a change of a record that the caller keeps itself.
    Notify {
        /// What happened to it.
        kind: ChangeKind,
        /// The record's id.
        id: String,
        /// The record before; needed for update and delete.
        old: Option<Object>,
        /// The record after; needed for create and update.
        new: Option<Object>,
    },
}

/// The key under which a caller may repeat a request without repeating its effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdempotencyKey {
    /// The text of the `Idempotency-Key` header.
    pub key: String,
    /// Hexadecimal SHA-256 of what was asked: method, path, parameters and body.
    pub request_digest: String,
}

/// One change as it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeRequest {
    /// The type of the object, `managed/TYPE`.
    pub container: Container,
    /// What to do.
    pub requested: Requested,
    /// Who asks: a token's name or a subject; `anonymous` where no token is configured.
    pub caller: String,
    /// What ties audit entries of several systems together.
    pub transaction_id: String,
    /// Set where the caller sent an `Idempotency-Key`.
    pub idempotency: Option<IdempotencyKey>,
    /// The `request` variable of hooks: `method`, `resourcePath`, `content`, `additionalParameters`,
    /// `revision`.
    pub request: Value,
    /// Names of attributes that the caller may not see: content that leaves one out is no wish to
    /// remove it, and no patch may make something of it.
    pub unseen: Vec<String>,
}

impl ChangeRequest {
    /// The id that the request names, if it names one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match &self.requested {
            Requested::Create { id, .. } => id.as_deref(),
            Requested::Replace { id, .. }
            | Requested::Patch { id, .. }
            | Requested::Delete { id, .. }
            | Requested::Notify { id, .. } => Some(id),
        }
    }

    /// The object that the request names, if it names one.
    #[must_use]
    pub fn object(&self) -> Option<ResourceName> {
        self.id().map(|id| self.container.object(id))
    }
}

impl Lineage {
    /// The lineage of a change that somebody outside asked for.
    #[must_use]
    pub fn root(id: OperationId) -> Self {
        Self {
            root: id,
            parent: None,
            depth: 0,
            purpose: Purpose::Request,
            came_from: None,
        }
    }

    /// The lineage of a change that `parent`, whose lineage this is, brings about.
    #[must_use]
    pub fn child(&self, parent: OperationId, purpose: Purpose) -> Self {
        Self {
            root: self.root,
            parent: Some(parent),
            depth: self.depth + 1,
            purpose,
            came_from: None,
        }
    }
}

impl ChangeKind {
    /// The word that API, audit and CLI use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// The action of implicit sync that tells of this change: `notifyCreate` and so on.
    #[must_use]
    pub fn sync_action(self) -> &'static str {
        match self {
            Self::Create => "notifyCreate",
            Self::Update => "notifyUpdate",
            Self::Delete => "notifyDelete",
        }
    }

    /// What takes a change of this kind back.
    #[must_use]
    pub fn inverse(self) -> Self {
        match self {
            Self::Create => Self::Delete,
            Self::Update => Self::Update,
            Self::Delete => Self::Create,
        }
    }
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for OperationId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_write_of_each_change_has_a_key_of_its_own_that_stays() {
        let ids = [
            "01975f6e-7f00-7000-8000-000000000000",
            "01975f6e-7f00-7000-8000-000000000001",
        ];
        let ids = ids.map(|id| id.parse::<OperationId>().unwrap());
        let keys = ids.map(|id| (0..1_000).map(move |index| id.write_key(index)));
        let all: HashSet<String> = keys.into_iter().flatten().collect();
        assert_eq!(all.len(), 2_000);
        assert!(ids.iter().all(|id| !all.contains(&id.to_string())));
        // It goes into journals of other programs: it may never change.
        assert_eq!(ids[0].write_key(0), "01975f6e-7f00-7000-a78d-de6e5fd29f05");
        assert!(all.iter().all(|key| Uuid::parse_str(key).is_ok()));
    }
}
