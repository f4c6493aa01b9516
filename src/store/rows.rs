//! Words of the domain as rows and back. Texts are made where the caller runs, so that the one
//! writer only writes.
use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    Error, JournalEntry, ObjectWrite, Settlement,
    entity::{
        audit_entry, event, hook_run, idempotency, integration_event, intent, link, managed_object,
        operation,
    },
    error::Refusal,
    keys::{Keyring, Place, Sealed},
    state::ObjectKey,
    unique::Rules,
};
use crate::model::{
    Container, LinkChange, Object, OperationId, OperationRecord, Purpose, ResourceName,
    audit::NewEntry,
    change::IdempotencyKey,
    object::REV,
    record::WriteRecord,
    unique::{Claim, Unique},
};

/// Longest name of a type, mapping or qualifier.
const LONGEST_NAME: usize = 100;
/// Longest id of an object.
const LONGEST_ID: usize = 255;
/// Longest id of a target object in a link.
const LONGEST_TARGET_ID: usize = 510;
/// Longest caller or idempotency key that is kept as it is.
const LONGEST_CALLER: usize = 120;

/// The names of the encrypted attributes by managed type.
pub(super) type Confidential = BTreeMap<String, Vec<String>>;

/// What turns words into rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Encoder<'a> {
    pub keys: &'a Keyring,
    pub confidential: &'a Confidential,
    pub rules: &'a Rules,
    pub now: DateTime<Utc>,
}

/// A journal entry as rows.
#[derive(Debug, Clone)]
pub(super) struct EntryRows {
    pub operation: operation::Model,
    pub write: Option<WriteRow>,
    pub claim: bool,
    /// The life that holds the parent of what claims nothing itself.
    pub node: String,
    pub attempt: u32,
    pub latest: Option<Option<String>>,
    pub key: Option<idempotency::Model>,
    pub updates: Vec<operation::Model>,
    pub intents: Vec<intent::Model>,
    pub claims: Vec<Claim>,
    /// Pairs that a reconciliation found to disagree: mapping, link qualifier and source id.
    pub disagreeing: Vec<(String, String, String)>,
}

/// The pairs that a reconciliation is about to put right.
fn disagreeing(record: &OperationRecord) -> Vec<(String, String, String)> {
    if record.purpose != Purpose::Reconciliation {
        return Vec::new();
    }
    let pair = |write: &WriteRecord| {
        let place = (write.mapping.clone(), write.link_qualifier.clone());
        (place.0, place.1, record.object.id.clone())
    };
    record.writes.iter().map(pair).collect()
}

/// A settlement as rows.
#[derive(Debug, Clone, Default)]
pub(super) struct SettlementRows {
    pub operations: Vec<operation::Model>,
    pub intents: Vec<intent::Model>,
    pub write: Option<WriteRow>,
    pub release: Option<HolderRow>,
    /// The object of that lane, where its type has unique values.
    pub freed: Option<ObjectKey>,
    pub claim: Option<(String, OperationId)>,
    pub links: Vec<LinkRow>,
    pub audit: Vec<audit_entry::Model>,
    pub hook_runs: Vec<hook_run::Model>,
    pub event: Option<event::Model>,
    pub outbound: Vec<integration_event::Model>,
    pub answer: Option<idempotency::Model>,
    pub supersedes: Option<(String, OperationId)>,
}

/// Who must hold the lane that is given free.
#[derive(Debug, Clone)]
pub(super) struct HolderRow {
    pub object: String,
    pub operation: String,
    pub node: Arc<str>,
}

/// What happens to a stored object.
#[derive(Debug, Clone)]
pub(super) struct WriteRow {
    pub managed_type: String,
    pub id: String,
    /// The revision that must be stored now; none: there must be no object.
    pub expected: Option<String>,
    /// The new row; none removes it.
    pub row: Option<managed_object::Model>,
    /// Rule and digest of each unique value that the object has then; none: its type has no such rules.
    pub holds: Option<Vec<(String, String)>>,
}

/// A changed link.
#[derive(Debug, Clone)]
pub(super) enum LinkRow {
    Set(link::Model),
    Remove(link::Model),
}

impl LinkRow {
    /// The link that it is about.
    pub(super) fn row(&self) -> &link::Model {
        match self {
            Self::Set(row) | Self::Remove(row) => row,
        }
    }
}

impl Encoder<'_> {
    /// A journal entry as rows.
    pub(super) fn entry(&self, entry: JournalEntry) -> Result<EntryRows, Error> {
        let step = "prepare a journal entry";
        let own = std::iter::once((entry.record.id, entry.payload));
        let intents = self
            .intents(own.chain(entry.payloads))
            .map_err(Error::at(step))?;
        let write = self
            .write(&entry.record.object, entry.object)
            .map_err(Error::at(step))?;
        check_name(&entry.record.object).map_err(Error::at(step))?;
        let operation = operation_row(&entry.record);
        let key = entry
            .idempotency
            .map(|(caller, key)| self.key_row(&caller, &key, entry.record.root, None));
        Ok(EntryRows {
            operation,
            write,
            claim: entry.claim,
            node: entry.node.to_string(),
            attempt: entry.record.attempt,
            latest: entry
                .check_latest
                .then(|| entry.latest.map(|latest| latest.to_string())),
            key,
            updates: entry.updates.iter().map(operation_row).collect(),
            intents,
            disagreeing: disagreeing(&entry.record),
            claims: entry.claims,
        })
    }

    /// A settlement as rows.
    pub(super) fn settlement(&self, settlement: Settlement) -> Result<SettlementRows, Error> {
        let step = "prepare a settlement";
        let intents = self.intents(settlement.payloads).map_err(Error::at(step))?;
        let write = settlement
            .object
            .and_then(|(name, write)| self.write(&name, write).transpose())
            .transpose()
            .map_err(Error::at(step))?;
        let outbound = settlement.outbound.into_iter();
        let outbound = outbound.map(|arrival| self.arrival(arrival));
        let outbound = outbound
            .collect::<Result<_, _>>()
            .map_err(Error::at(step))?;
        let event = settlement.event.map(|event| self.event(event));
        let event = event.transpose().map_err(Error::at(step))?;
        let answer = settlement.answer.map(|(caller, key, answer)| {
            let operation = operation_of(&settlement.records, &answer);
            let text = serde_json::to_string(&answer).unwrap_or_default();
            self.key_row(&caller, &key, operation, Some(text))
        });
        let freed = settlement.release.as_ref().map(|held| &held.object);
        let freed = freed.map(|name| (type_name(&name.container), name.id.clone()));
        Ok(SettlementRows {
            freed: freed.filter(|(managed_type, _)| self.rules.contains_key(managed_type)),
            operations: settlement.records.iter().map(operation_row).collect(),
            intents,
            write,
            release: settlement.release.map(|holder| HolderRow {
                object: holder.object.to_string(),
                operation: holder.operation.to_string(),
                node: holder.node,
            }),
            claim: settlement
                .claim
                .map(|(object, operation)| (object.to_string(), operation)),
            links: settlement.links.into_iter().filter_map(link_row).collect(),
            audit: settlement.audit.into_iter().map(audit_row).collect(),
            // Those that are kept come by themselves.
            hook_runs: Vec::new(),
            event,
            outbound,
            answer,
            supersedes: settlement
                .supersedes
                .map(|(object, by)| (object.to_string(), by)),
        })
    }

    fn intents(
        &self,
        payloads: impl IntoIterator<Item = (OperationId, String)>,
    ) -> Result<Vec<intent::Model>, Refusal> {
        payloads
            .into_iter()
            .map(|(id, clear)| self.intent(id.to_string(), clear))
            .collect()
    }

    fn write(&self, name: &ResourceName, write: ObjectWrite) -> Result<Option<WriteRow>, Refusal> {
        let managed_type = type_name(&name.container);
        let id = name.id.clone();
        match write {
            ObjectWrite::Untouched => Ok(None),
            ObjectWrite::Remove { expected } => Ok(Some(WriteRow {
                managed_type,
                id,
                expected: Some(expected),
                row: None,
                holds: self
                    .rules
                    .get(&type_name(&name.container))
                    .map(|_| Vec::new()),
            })),
            ObjectWrite::Put { object, expected } => {
                let holds = self.rules.get(&managed_type).map(|rules| {
                    let held = |rule: &Unique| Some((rule.rule(), rule.digest(&object)?));
                    rules.iter().filter_map(held).collect()
                });
                let row = self.object(&managed_type, &id, object)?;
                Ok(Some(WriteRow {
                    managed_type,
                    id,
                    expected,
                    row: Some(row),
                    holds,
                }))
            }
        }
    }

    /// The object's row: its confidential attributes apart, and encrypted.
    pub(super) fn object(
        &self,
        managed_type: &str,
        id: &str,
        mut object: Object,
    ) -> Result<managed_object::Model, Refusal> {
        let rev = text_of(&object, REV);
        let mut sealed: BTreeMap<String, Sealed> = BTreeMap::new();
        for attribute in self.confidential.get(managed_type).into_iter().flatten() {
            if let Some(value) = object.get(attribute).filter(|value| !value.is_null()) {
                let row = [managed_type, id];
                let place = object_place(&row, attribute);
                let value = self.keys.seal(&place, &value.to_string())?;
                let value = value.ok_or_else(|| Refusal::NoKey {
                    managed_type: managed_type.to_owned(),
                    attribute: attribute.clone(),
                })?;
                object.shift_remove(attribute);
                sealed.insert(attribute.clone(), value);
            }
        }
        let now = micros(self.now);
        Ok(managed_object::Model {
            r#type: managed_type.to_owned(),
            id: id.to_owned(),
            rev,
            created_at: now,
            updated_at: now,
            sealed_key: sealed.values().next().map(|sealed| sealed.key.clone()),
            body: Value::Object(object).to_string(),
            sealed: (!sealed.is_empty())
                .then(|| serde_json::to_string(&sealed).unwrap_or_default()),
        })
    }

    /// The row of an intent, encrypted where there is a key.
    pub(super) fn intent(
        &self,
        operation: String,
        clear: String,
    ) -> Result<intent::Model, Refusal> {
        let (key, body) = match self.keys.seal(&payload_place(&[&operation]), &clear)? {
            Some(sealed) => (Some(sealed.key), sealed.data),
            None => (None, clear),
        };
        Ok(intent::Model {
            operation,
            key,
            body,
        })
    }

    fn key_row(
        &self,
        caller: &str,
        key: &IdempotencyKey,
        operation: OperationId,
        answer: Option<String>,
    ) -> idempotency::Model {
        idempotency::Model {
            caller: bounded(caller),
            key: bounded(&key.key),
            request_digest: key.request_digest.clone(),
            operation: operation.to_string(),
            created_at: micros(self.now),
            answer,
        }
    }
}

/// The row of a record.
pub(super) fn operation_row(record: &OperationRecord) -> operation::Model {
    operation::Model {
        id: record.id.to_string(),
        root: record.root.to_string(),
        parent: record.parent.map(|parent| parent.to_string()),
        depth: i64::from(record.depth),
        object: record.object.to_string(),
        kind: record.kind.as_str().to_owned(),
        outcome: record.outcome.map(|outcome| outcome.as_str().to_owned()),
        phase: record.phase.clone(),
        open_divergence: i64::from(record.is_open_divergence()),
        started_at: micros(record.started_at),
        ended_at: record.ended_at.map(micros),
        record: serde_json::to_string(record).unwrap_or_default(),
    }
}

/// The row of an entry; its place in the chain is given when it is written.
pub(super) fn audit_row(entry: NewEntry) -> audit_entry::Model {
    audit_entry::Model {
        position: 0,
        id: entry.id.to_string(),
        topic: entry.topic.as_str().to_owned(),
        timestamp: micros(entry.timestamp),
        transaction_id: entry
            .transaction_id
            .chars()
            .filter(|letter| *letter != '\0')
            .take(LONGEST_ID)
            .collect(),
        operation: entry.operation.map(|operation| operation.to_string()),
        digest: String::new(),
        body: entry.body,
    }
}

/// The link's row; one that cannot be stored is logged and left out, so that it does not take the
/// rest of its settlement with it.
fn link_row(change: LinkChange) -> Option<LinkRow> {
    let (row, set) = match change {
        LinkChange::Set {
            link_type,
            link_qualifier,
            first_id,
            second_id,
        } => {
            let row = link::Model {
                link_type,
                qualifier: link_qualifier,
                first_id,
                second_id: second_id.unwrap_or_default(),
            };
            (row, true)
        }
        LinkChange::Remove(link) => {
            let row = link::Model {
                link_type: link.link_type,
                qualifier: link.link_qualifier,
                first_id: link.first_id,
                second_id: link.second_id,
            };
            (row, false)
        }
    };
    let storable = longest(&row.link_type) <= LONGEST_NAME
        && longest(&row.qualifier) <= LONGEST_NAME
        && longest(&row.first_id) <= LONGEST_ID
        && longest(&row.second_id) <= LONGEST_TARGET_ID
        && !(set && row.second_id.is_empty());
    if !storable {
        tracing::error!(
            link_type = row.link_type,
            first_id = row.first_id,
            "a link without a target id, or with one too long, is not stored"
        );
        return None;
    }
    Some(if set {
        LinkRow::Set(row)
    } else {
        LinkRow::Remove(row)
    })
}

/// The change that an answer belongs to: that of its record or of its header.
fn operation_of(records: &[OperationRecord], answer: &super::StoredAnswer) -> OperationId {
    let named = answer
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("Recant-Operation"))
        .and_then(|(_, value)| value.parse().ok());
    named
        .or_else(|| records.last().map(|record| record.root))
        .unwrap_or(OperationId(uuid::Uuid::nil()))
}

/// The name of the set that an object belongs to, as its table has it.
pub(super) fn type_name(container: &Container) -> String {
    match container {
        Container::Managed(name) => name.clone(),
        Container::System { .. } => container.to_string(),
    }
}

/// Refuses what the tables cannot hold.
fn check_name(name: &ResourceName) -> Result<(), Refusal> {
    if longest(&type_name(&name.container)) > LONGEST_NAME {
        return Err(Refusal::TooLong {
            what: "the name of the type",
            longest: LONGEST_NAME,
        });
    }
    if longest(&name.id) > LONGEST_ID {
        return Err(Refusal::TooLong {
            what: "the id of the object",
            longest: LONGEST_ID,
        });
    }
    Ok(())
}

/// Texts without bound that are looked up by equality: long ones are kept as their digest.
pub(super) fn bounded(text: &str) -> String {
    use sha2::{Digest, Sha256};
    if longest(text) <= LONGEST_CALLER {
        return text.to_owned();
    }
    let digest = crate::model::audit::hexadecimal(&Sha256::digest(text));
    format!("sha256:{digest}")
}

fn longest(text: &str) -> usize {
    text.chars().count()
}

/// Where a confidential attribute stands.
pub(super) fn object_place<'a>(row: &'a [&'a str], attribute: &'a str) -> Place<'a> {
    Place {
        table: "managed_object",
        row,
        attribute,
    }
}

/// Where an intent stands.
pub(super) fn payload_place<'a>(row: &'a [&'a str]) -> Place<'a> {
    Place {
        table: "operation",
        row,
        attribute: "payload",
    }
}

fn text_of(object: &Object, name: &str) -> String {
    object
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// A time as it is stored: microseconds since 1970.
pub(super) fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

/// A stored time.
pub(super) fn from_micros(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}
