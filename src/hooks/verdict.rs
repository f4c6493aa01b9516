//! What a script asks the engine to do after it returns.
use serde_json::Value;

use crate::model::{Object, patch::Patch};

/// What a script asked the engine to do after it returns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// Take the change back everywhere.
    pub revert: bool,
    /// Change other objects, in this order.
    pub follow_ups: Vec<FollowUp>,
}

/// A change that a script asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum FollowUp {
    /// `create(path, object)`: the path is a container, or a container and an id.
    Create {
        /// `managed/TYPE` or `managed/TYPE/ID`.
        path: String,
        /// The new object.
        object: Object,
    },
    /// `update(path, object)`
    Update {
        /// `managed/TYPE/ID`
        path: String,
        /// The new content.
        object: Object,
    },
    /// `patch(path, operations)`
    Patch {
        /// `managed/TYPE/ID`
        path: String,
        /// CREST patch operations, as written.
        patch: Patch,
        /// The same as JSON, for the journal.
        operations: Value,
    },
    /// `delete(path)`
    Delete {
        /// `managed/TYPE/ID`
        path: String,
    },
}
