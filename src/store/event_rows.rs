//! Events of the change feed as rows and back: what is confidential stands apart, encrypted.
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Error, Refusal,
    entity::event,
    keys::{Keyring, Place, Sealed},
    rows::{Encoder, from_micros, micros, type_name},
};
use crate::model::{
    ChangeKind, Container, Object,
    event::{ChangeEvent, NewEvent},
    secret::MASK,
};

/// The confidential attributes of an object before and after a change.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct Secrets {
    before: BTreeMap<String, Value>,
    after: BTreeMap<String, Value>,
}

/// Whether confidential attributes are read in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confidential {
    /// No: their values are masked, and no key is needed.
    Masked,
    /// Yes.
    Clear,
}

impl Encoder<'_> {
    /// The event's row; its id is given when it is written.
    pub(super) fn event(&self, event: NewEvent) -> Result<event::Model, Refusal> {
        let managed_type = type_name(&event.object.container);
        let r#type = event.event_type();
        let (mut before, mut after) = (event.before, event.after);
        let mut secrets = Secrets::default();
        let names = self.confidential.get(&managed_type).into_iter().flatten();
        for name in names {
            secrets.before.extend(taken(&mut before, name));
            secrets.after.extend(taken(&mut after, name));
        }
        let operation = event.operation.to_string();
        let sealed = self.seal(&operation, &managed_type, &secrets)?;
        Ok(event::Model {
            id: 0,
            r#type,
            object_type: managed_type,
            object_id: event.object.id,
            kind: event.kind.as_str().to_owned(),
            operation,
            created_at: micros(event.created_at),
            sealed_key: sealed.as_ref().map(|sealed| sealed.key.clone()),
            body: json!({"before": before, "after": after}).to_string(),
            sealed: sealed.map(|sealed| sealed.data),
        })
    }

    fn seal(
        &self,
        operation: &str,
        managed_type: &str,
        secrets: &Secrets,
    ) -> Result<Option<Sealed>, Refusal> {
        let names = secrets.before.keys().chain(secrets.after.keys());
        let Some(first) = names.min() else {
            return Ok(None);
        };
        let clear = serde_json::to_string(secrets).unwrap_or_default();
        match self.keys.seal(&place(&[operation]), &clear)? {
            Some(sealed) => Ok(Some(sealed)),
            None => Err(Refusal::NoKey {
                managed_type: managed_type.to_owned(),
                attribute: first.clone(),
            }),
        }
    }

    /// The encrypted part of a row under the first key; none where it is already.
    pub(super) fn reseal(
        &self,
        row: &event::Model,
        first: &str,
    ) -> Result<Option<Sealed>, Refusal> {
        if row.sealed_key.as_deref().is_none_or(|key| key == first) {
            return Ok(None);
        }
        let secrets = secrets(self.keys, row)?;
        self.seal(&row.operation, &row.object_type, &secrets)
    }
}

/// The event of a row.
pub(super) fn change_event(
    keys: &Keyring,
    row: event::Model,
    confidential: Confidential,
) -> Result<ChangeEvent, Error> {
    let step = "read an event";
    let damaged = || Error::at(step)(Refusal::Damaged("an event"));
    let kinds = [ChangeKind::Create, ChangeKind::Update, ChangeKind::Delete];
    let kind = kinds.into_iter().find(|kind| kind.as_str() == row.kind);
    let mut body: Value = serde_json::from_str(&row.body).map_err(|_| damaged())?;
    let mut side = |name: &str| match body.get_mut(name).map(Value::take) {
        Some(Value::Object(object)) => Some(object),
        _ => None,
    };
    let (mut before, mut after) = (side("before"), side("after"));
    let mut names = Vec::new();
    if row.sealed.is_some() {
        let secrets = match confidential {
            Confidential::Clear => secrets(keys, &row).map_err(Error::at(step))?,
            Confidential::Masked => Secrets::default(),
        };
        names.extend(secrets.before.keys().chain(secrets.after.keys()).cloned());
        give(&mut before, secrets.before);
        give(&mut after, secrets.after);
    }
    names.sort();
    names.dedup();
    Ok(ChangeEvent {
        id: row.id,
        event: NewEvent {
            object: Container::managed(&row.object_type).object(&row.object_id),
            kind: kind.ok_or_else(damaged)?,
            operation: row.operation.parse().map_err(|_| damaged())?,
            created_at: from_micros(row.created_at),
            before,
            after,
        },
        confidential: names,
    })
}

fn secrets(keys: &Keyring, row: &event::Model) -> Result<Secrets, Refusal> {
    let (Some(key), Some(data)) = (row.sealed_key.clone(), row.sealed.clone()) else {
        return Ok(Secrets::default());
    };
    let clear = keys.open(&place(&[&row.operation]), &Sealed { key, data })?;
    serde_json::from_str(&clear).map_err(|_| Refusal::Damaged("an event"))
}

/// Takes a confidential attribute out; its name stays, with a mask.
fn taken(object: &mut Option<Object>, name: &str) -> Option<(String, Value)> {
    let value = object.as_mut()?.get_mut(name)?;
    if value.is_null() {
        return None;
    }
    let clear = std::mem::replace(value, MASK.into());
    Some((name.to_owned(), clear))
}

fn give(object: &mut Option<Object>, secrets: BTreeMap<String, Value>) {
    if let Some(object) = object {
        object.extend(secrets);
    }
}

/// Where the confidential attributes of an event stand.
fn place<'a>(row: &'a [&'a str]) -> Place<'a> {
    Place {
        table: "event",
        row,
        attribute: "data",
    }
}
