//! JSON pointers as CREST writes them: RFC 6901 with an optional leading slash.
use serde_json::Value;

use super::object::Object;

/// A parsed pointer to a place inside an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// The tokens from the outside in.
    #[must_use]
    pub fn tokens(&self) -> &[String] {
        &self.0
    }

    /// The value at this place.
    #[must_use]
    pub fn get<'a>(&self, object: &'a Object) -> Option<&'a Value> {
        let _ = object;
        todo!()
    }
}
