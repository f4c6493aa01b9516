//! Partial changes of an object: CREST patch operations, JSON Patch (RFC 6902), Merge Patch (RFC 7396).
mod crest;
mod json;
#[cfg(test)]
mod tests;

use json_patch::PatchOperation;
use serde_json::Value;

use super::{
    object::{ID, Object, REV},
    pointer::Pointer,
};
pub use crest::{CrestChange, CrestOperation};

/// A partial change.
#[derive(Debug, Clone, PartialEq)]
pub enum Patch {
    /// `[{operation, field, value}]` (CREST).
    Crest(Vec<CrestOperation>),
    /// RFC 6902.
    Json(json_patch::Patch),
    /// RFC 7396.
    Merge(Object),
}

/// Why a patch cannot be read or applied. Holds no value of the patch or the object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// One operation is wrong.
    #[error("operation {operation}: {message}")]
    Operation {
        /// 0-based.
        operation: usize,
        /// What is wrong, and at which field.
        message: String,
    },
    /// The patch as a whole is wrong.
    #[error("{0}")]
    Whole(String),
}

/// How deep a patch may nest values inside each other; what serde_json can read back is 128.
const DEPTH: usize = 100;
/// How much one patch may copy in all, in bytes of text plus 16 for each value: copies of copies
/// double with every operation.
const COPIED: usize = 16 << 20;

impl Patch {
    /// The places whose values the patch makes something of, or whose values its success tells:
    /// what it copies, moves, tests, or removes only if it is equal.
    #[must_use]
    pub fn reads(&self) -> Vec<Pointer> {
        match self {
            Self::Crest(operations) => operations
                .iter()
                .filter_map(|operation| match &operation.change {
                    CrestChange::Copy(from) | CrestChange::Move(from) => Some(from.clone()),
                    CrestChange::Remove(Some(_)) | CrestChange::Increment(_) => {
                        Some(operation.field.clone())
                    }
                    _ => None,
                })
                .collect(),
            Self::Json(operations) => operations
                .0
                .iter()
                .filter_map(|operation| match operation {
                    PatchOperation::Copy(copy) => Some(copy.from.to_string()),
                    PatchOperation::Move(moved) => Some(moved.from.to_string()),
                    PatchOperation::Test(test) => Some(test.path.to_string()),
                    _ => None,
                })
                .filter_map(|place| Pointer::parse(&place).ok())
                .collect(),
            Self::Merge(_) => Vec::new(),
        }
    }

    /// The patch without what it does to these attributes of the object.
    #[must_use]
    pub fn without(self, is_left_out: impl Fn(&str) -> bool) -> Self {
        let stays = |place: &Pointer| !place.first().is_some_and(&is_left_out);
        match self {
            Self::Crest(mut operations) => {
                operations.retain(|operation| stays(&operation.field));
                Self::Crest(operations)
            }
            Self::Json(mut operations) => {
                operations.0.retain(|operation| {
                    Pointer::parse(operation.path().as_str()).is_ok_and(|place| stays(&place))
                });
                Self::Json(operations)
            }
            Self::Merge(mut members) => {
                members.retain(|name, _| !is_left_out(name));
                Self::Merge(members)
            }
        }
    }

    /// Reads CREST patch operations: `add`, `remove`, `replace`, `increment`, `copy`, `move`.
    ///
    /// # Errors
    /// Where an operation or one of its members is unknown, missing or of the wrong type.
    pub fn parse_crest(operations: &Value) -> Result<Self, Error> {
        let list = operations.as_array().ok_or_else(|| {
            Error::Whole("a patch must be a list of {operation, field, value}".to_owned())
        })?;
        at_operation(list.iter().map(CrestOperation::parse)).map(Self::Crest)
    }

    /// Reads a JSON Patch.
    ///
    /// # Errors
    /// Where an operation or one of its members is unknown, missing or of the wrong type.
    pub fn parse_json_patch(operations: &Value) -> Result<Self, Error> {
        let list = operations.as_array().ok_or_else(|| {
            Error::Whole("a JSON Patch must be a list of {op, path, …}".to_owned())
        })?;
        at_operation(list.iter().map(json::parse))
            .map(|operations| Self::Json(json_patch::Patch(operations)))
    }

    /// Reads a Merge Patch.
    ///
    /// # Errors
    /// Where it is no JSON object: anything else would replace the whole object.
    pub fn parse_merge(patch: Value) -> Result<Self, Error> {
        match patch {
            Value::Object(members) => Ok(Self::Merge(members)),
            _ => Err(Error::Whole(
                "a merge patch must be a JSON object".to_owned(),
            )),
        }
    }

    /// The patch as it is written; the parser of its form reads it back.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Crest(operations) => operations.iter().map(CrestOperation::to_value).collect(),
            Self::Json(patch) => serde_json::to_value(patch).unwrap_or_default(),
            Self::Merge(members) => Value::Object(members.clone()),
        }
    }

    /// The object after this patch. What the patch says about `_rev` has no effect: a revision is
    /// named in `If-Match`.
    ///
    /// # Errors
    /// Where an operation does not fit the object, the patch would change `_id`, or the result
    /// nests too deep or grows too large by copies.
    pub fn apply(&self, object: &Object) -> Result<Object, Error> {
        let mut patched = match self {
            Self::Crest(operations) => crest::apply(operations, object.clone())?,
            Self::Json(patch) => json::apply(patch, object.clone())?,
            Self::Merge(members) => merge(members, object.clone()),
        };
        if patched.get(ID) != object.get(ID) {
            return Err(Error::Whole("a patch cannot change `_id`".to_owned()));
        }
        match object.get(REV) {
            Some(revision) => drop(patched.insert(REV.to_owned(), revision.clone())),
            None => drop(patched.shift_remove(REV)),
        }
        Ok(patched)
    }
}

impl Error {
    /// The same for the operation with this index.
    fn of(operation: usize, message: String) -> Self {
        Self::Operation { operation, message }
    }
}

/// Collects what each operation was read as; a fault gets the index of its operation.
fn at_operation<T>(read: impl Iterator<Item = Result<T, String>>) -> Result<Vec<T>, Error> {
    read.enumerate()
        .map(|(index, operation)| operation.map_err(|message| Error::of(index, message)))
        .collect()
}

fn merge(members: &Object, object: Object) -> Object {
    let mut document = Value::Object(object);
    json_patch::merge(&mut document, &Value::Object(members.clone()));
    match document {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

/// Counts what a patch copies, and refuses what would grow without end.
#[derive(Default)]
struct Growth {
    copied: usize,
}

impl Growth {
    /// Allows a copy of `value`.
    fn copy(&mut self, value: &Value) -> Result<(), String> {
        self.copied = self.copied.saturating_add(weight(value));
        if self.copied > COPIED {
            return Err("the patch copies more than 16 MiB".to_owned());
        }
        Ok(())
    }
}

/// Allows `value` below a place that lies `above` members deep.
fn check_depth(above: usize, value: &Value) -> Result<(), String> {
    if above + depth(value) > DEPTH {
        return Err(format!("the result would nest deeper than {DEPTH}"));
    }
    Ok(())
}

fn weight(value: &Value) -> usize {
    16 + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| name.len() + weight(member))
            .sum(),
        _ => 0,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
