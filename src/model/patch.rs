//! Partial changes of an object: CREST patch operations, JSON Patch (RFC 6902), Merge Patch (RFC 7396).
use serde_json::Value;

use super::object::Object;

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

/// One CREST patch operation.
#[derive(Debug, Clone, PartialEq)]
pub struct CrestOperation {
    /// The parsed content will be defined with the parser.
    pub value: Value,
}

/// Why a patch cannot be read or applied; says which operation (0-based) and field.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Patch {
    /// The object after this patch.
    ///
    /// # Errors
    /// Where an operation does not fit the object.
    pub fn apply(&self, object: &Object) -> Result<Object, Error> {
        let _ = object;
        todo!()
    }
}
