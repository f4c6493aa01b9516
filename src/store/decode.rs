//! Rows as words of the domain again, what was encrypted in clear.
use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Error, Refusal, StoredObject, StoredOperation,
    entity::{managed_object, operation},
    keys::{Keyring, Sealed},
    rows::{from_micros, object_place, payload_place},
};
use crate::model::{
    OperationRecord,
    object::{ID, REV},
};

/// An object from its row, confidential attributes in clear.
pub(super) fn stored_object(
    keys: &Keyring,
    row: managed_object::Model,
) -> Result<StoredObject, Error> {
    let step = "read an object";
    let damaged = || Error::at(step)(Refusal::Damaged("an object"));
    let Ok(Value::Object(mut object)) = serde_json::from_str(&row.body) else {
        return Err(damaged());
    };
    for (attribute, value) in sealed_values(&row).map_err(Error::at(step))? {
        let key = [row.r#type.as_str(), &row.id];
        let place = object_place(&key, &attribute);
        let clear = keys.open(&place, &value).map_err(Error::at(step))?;
        let clear = serde_json::from_str(&clear).map_err(|_| damaged())?;
        object.insert(attribute.clone(), clear);
    }
    object.entry(ID).or_insert_with(|| row.id.clone().into());
    object.entry(REV).or_insert_with(|| row.rev.clone().into());
    Ok(StoredObject {
        object,
        created_at: from_micros(row.created_at),
        updated_at: from_micros(row.updated_at),
    })
}

/// The encrypted attributes of a row.
pub(super) fn sealed_values(
    row: &managed_object::Model,
) -> Result<BTreeMap<String, Sealed>, Refusal> {
    row.sealed
        .as_deref()
        .map_or(Ok(BTreeMap::new()), serde_json::from_str)
        .map_err(|_| Refusal::Damaged("a confidential attribute"))
}

/// A record from its text.
pub(super) fn record(text: &str) -> Result<OperationRecord, Error> {
    serde_json::from_str(text).map_err(Error::at("read the record of a change"))
}

/// A change from its row, its intent in clear.
pub(super) fn stored_operation(
    keys: &Keyring,
    row: &operation::Model,
) -> Result<StoredOperation, Error> {
    let payload = match &row.payload {
        None => None,
        Some(text) => {
            let clear = clear_payload(keys, row, text).map_err(Error::at("read an intent"))?;
            Some(serde_json::from_str(&clear).map_err(Error::at("read an intent"))?)
        }
    };
    Ok(StoredOperation {
        record: record(&row.record)?,
        payload,
    })
}

/// The text of an intent in clear.
pub(super) fn clear_payload(
    keys: &Keyring,
    row: &operation::Model,
    text: &str,
) -> Result<String, Refusal> {
    match &row.payload_key {
        None => Ok(text.to_owned()),
        Some(key) => {
            let sealed = Sealed {
                key: key.clone(),
                data: text.to_owned(),
            };
            keys.open(&payload_place(&[&row.id]), &sealed)
        }
    }
}
