//! Links: which source object and which target object are the same, under one qualifier.
use serde::{Deserialize, Serialize};

/// The qualifier of a mapping that names none.
pub const DEFAULT_QUALIFIER: &str = "default";

/// One link. Per link type and qualifier each id on either side occurs once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// The mapping's name, or that of the mapping whose links it shares (`links`).
    pub link_type: String,
    /// The link qualifier.
    pub link_qualifier: String,
    /// The source object's id.
    pub first_id: String,
    /// The target object's id.
    pub second_id: String,
}

/// What becomes of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LinkChange {
    /// Set the source object's link; without a target id it is the one that the target assigns.
    Set {
        /// The link type.
        link_type: String,
        /// The link qualifier.
        link_qualifier: String,
        /// The source object's id.
        first_id: String,
        /// The target object's id, where it is known before the write.
        second_id: Option<String>,
    },
    /// Remove the source object's link.
    Remove(Link),
}
