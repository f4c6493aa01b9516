//! Audit entries and the digest that chains them.
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::object::Object;

/// What an entry is about (SPEC 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// Denied requests, failed sign-ins, dry runs.
    Access,
    /// Attempted changes and hook runs.
    Activity,
    /// Target writes.
    Sync,
    /// Undo writes, divergences and their end.
    Compensation,
    /// Reconciliations.
    Recon,
    /// Changes of configuration and hooks.
    Config,
}

/// One entry. `body` holds every field that a reader sees beside `_id`, `timestamp`, `topic` and
/// `transactionId`; what is confidential in it is masked already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// The entry's id.
    pub id: Uuid,
    /// What it is about.
    pub topic: Topic,
    /// When it happened.
    pub timestamp: DateTime<Utc>,
    /// What ties entries together.
    pub transaction_id: String,
    /// The change it belongs to, where there is one.
    pub operation: Option<Uuid>,
    /// The other fields.
    pub body: Object,
}

/// An entry that is to be appended, its body as the text that will be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEntry {
    /// The entry's id.
    pub id: Uuid,
    /// What it is about.
    pub topic: Topic,
    /// When it happened.
    pub timestamp: DateTime<Utc>,
    /// What ties entries together.
    pub transaction_id: String,
    /// The change it belongs to, where there is one.
    pub operation: Option<Uuid>,
    /// The other fields: the text of a JSON object.
    pub body: String,
}

/// An entry in its place in the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainedEntry {
    /// 1 for the first entry, without gaps.
    pub position: i64,
    /// The entry.
    pub entry: AuditEntry,
    /// Hexadecimal digest of this entry and the one before it.
    pub digest: String,
}

/// The digest that stands before the first entry.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 6] = [
        Self::Access,
        Self::Activity,
        Self::Sync,
        Self::Compensation,
        Self::Recon,
        Self::Config,
    ];

    /// The word in paths and entries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Activity => "activity",
            Self::Sync => "sync",
            Self::Compensation => "compensation",
            Self::Recon => "recon",
            Self::Config => "config",
        }
    }

    /// The topic with this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.as_str() == word)
    }
}

/// The digest of an entry: SHA-256 over the digest before it, its position and each of its parts,
/// every part behind its length, so that no two entries can be read as one.
/// `body` is the text as it is stored, not its meaning: any edit shows.
#[must_use]
pub fn chain_digest(previous: &str, position: i64, columns: &[&str], body: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(previous.as_bytes());
    hasher.update(position.to_be_bytes());
    for part in columns.iter().copied().chain([body]) {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hexadecimal(&hasher.finalize())
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

impl ChainedEntry {
    /// The entry as a reader of `/audit/TOPIC` sees it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut object = Object::new();
        object.insert("_id".into(), self.entry.id.to_string().into());
        object.insert("position".into(), self.position.into());
        object.insert(
            "timestamp".into(),
            self.entry
                .timestamp
                .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
                .into(),
        );
        object.insert("topic".into(), self.entry.topic.as_str().into());
        object.insert(
            "transactionId".into(),
            self.entry.transaction_id.clone().into(),
        );
        if let Some(operation) = self.entry.operation {
            object.insert("operation".into(), operation.to_string().into());
        }
        object.extend(
            self.entry
                .body
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        object.insert("digest".into(), self.digest.clone().into());
        Value::Object(object)
    }
}
