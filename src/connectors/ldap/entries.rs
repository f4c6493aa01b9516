//! What is said of an entry that is not where, or not what, it was.
use serde_json::Value;

use super::wire::DN;
use crate::{
    connectors::Error,
    model::{CauseKind, Filter, TargetObject, filter::Operator},
};

/// Somebody changed the entry since it was read.
pub fn other() -> Error {
    Error::refused(412, "the entry is not what was read")
}

/// Whether nothing happened because the entry, or one that it needs, was not where it was sought.
pub fn is_elsewhere(error: &Error) -> bool {
    error.kind == CauseKind::Refused && (error.code == 32 || error.code == 412)
}

/// Whether an entry is not at this name any more.
pub fn is_moved(now: &TargetObject, dn: &str) -> bool {
    now.attributes.get(DN).and_then(Value::as_str) != Some(dn)
}

/// The entry is somewhere else by now.
pub fn moved() -> Error {
    Error::refused(412, "the entry was moved meanwhile")
}

/// The entry does not exist any more.
pub fn gone(id: &str) -> Error {
    Error::refused(404, format!("there is no entry `{id}` any more"))
}

/// The name that a query asks for, where it asks for nothing else.
pub fn asked_dn(filter: &Filter) -> Option<&str> {
    match filter {
        Filter::Compare {
            field,
            operator: Operator::Equal,
            value: Value::String(dn),
        } if matches!(field.tokens(), [name] if name == DN) => Some(dn),
        _ => None,
    }
}
