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
    /// Something that this version does not know: the entry is of a later one, or was tampered with.
    Other,
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

/// How entries did not get to a destination of the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NotTakenHow {
    /// The destination will not have them.
    Refused,
    /// It got the facts that it sorts by, and not the whole entry.
    Shortened,
    /// They were pruned before it took them.
    Pruned,
}

/// Entries that a destination of the audit trail did not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotTaken {
    /// The position of the first entry.
    pub position: i64,
    /// That of the last.
    pub last: i64,
    /// How.
    pub how: NotTakenHow,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: DateTime<Utc>,
    /// Whether somebody asked to send it again.
    pub again: bool,
}

impl NotTakenHow {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Refused, Self::Shortened, Self::Pruned];

    /// The word in answers and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Shortened => "shortened",
            Self::Pruned => "pruned",
        }
    }

    /// The way with this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|how| how.as_str() == word)
    }
}

/// The digest that stands before the first entry.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl Topic {
    /// Every topic that can be asked for.
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
            Self::Other => "other",
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
        // What stands in columns is what is chained: nothing in a body speaks louder.
        for (name, value) in &self.entry.body {
            if name != "digest" && !object.contains_key(name) {
                object.insert(name.clone(), value.clone());
            }
        }
        object.insert("digest".into(), self.digest.clone().into());
        Value::Object(object)
    }

    /// The entry as one line of JSON, in which nothing moves the cursor of a terminal, ends a line or
    /// turns the direction of writing: these are escaped as JSON allows.
    #[must_use]
    pub fn to_line(&self) -> String {
        let text = self.to_value().to_string();
        if !text.chars().any(is_unruly) {
            return text;
        }
        let mut line = String::with_capacity(text.len() + 16);
        for letter in text.chars() {
            if is_unruly(letter) {
                // All of them are of the basic plane.
                line.push_str(&format!("\\u{:04x}", u32::from(letter)));
            } else {
                line.push(letter);
            }
        }
        line
    }
}

/// Characters that do something instead of being seen.
#[must_use]
pub fn is_unruly(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(body: Value) -> ChainedEntry {
        ChainedEntry {
            position: 7,
            entry: AuditEntry {
                id: Uuid::nil(),
                topic: Topic::Activity,
                timestamp: DateTime::UNIX_EPOCH,
                transaction_id: "t".into(),
                operation: None,
                body: body.as_object().cloned().unwrap_or_default(),
            },
            digest: "d".into(),
        }
    }

    #[test]
    fn a_line_is_one_line_and_moves_no_cursor() {
        let hostile = "a\nb\u{1b}[2J\u{9b}31m\u{7f}\u{85}\u{2028}\u{202e}é😀";
        let line = entry(json!({"userId": hostile, hostile: 1})).to_line();
        assert!(!line.chars().any(is_unruly), "{line:?}");
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&read["userId"], &read[hostile]),
            (&json!(hostile), &json!(1))
        );
    }

    #[test]
    fn a_body_does_not_speak_for_the_columns() {
        let value =
            entry(json!({"position": 1, "digest": "x", "_id": "y", "own": true})).to_value();
        assert_eq!(
            (&value["position"], &value["digest"]),
            (&json!(7), &json!("d"))
        );
        assert_eq!(
            (&value["_id"], &value["own"]),
            (&json!(Uuid::nil()), &json!(true))
        );
    }
}
