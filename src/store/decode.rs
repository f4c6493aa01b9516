//! Rows as words of the domain again, what was encrypted in clear.
use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Error, Refusal, StoredObject,
    entity::{intent, managed_object},
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

/// An intent in clear.
pub(super) fn clear_intent(keys: &Keyring, row: intent::Model) -> Result<String, Refusal> {
    match row.key {
        None => Ok(row.body),
        Some(key) => {
            let sealed = Sealed {
                key,
                data: row.body,
            };
            keys.open(&payload_place(&[&row.operation]), &sealed)
        }
    }
}
