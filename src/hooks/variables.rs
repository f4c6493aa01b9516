//! The variables that a script sees.
use serde_json::Value;

/// A variable that a script sees.
#[derive(Debug, Clone, PartialEq)]
pub enum Variable {
    /// It can be read.
    Constant(Value),
    /// It can be changed in place or assigned anew, and comes back in [`super::Run::variables`].
    /// Several names may stand for the same value (`object` and `newObject`): what is done under
    /// one name is seen under all.
    Mutable(Vec<&'static str>, Value),
}

/// What a script sees: names in order with their values (the name of a mutable one is its first).
pub type Variables = Vec<(&'static str, Variable)>;

/// Every name that some hook provides. A script may only mention these, its globals and its own:
/// any other name is reported when the script is compiled.
pub(super) const KNOWN: [&str; 53] = [
    "action",
    "actionParam",
    "candidates",
    "compensating",
    "config",
    "context",
    "event",
    "existing",
    "global",
    "linkId",
    "linkQualifier",
    "linkQualifiers",
    "mapping",
    "mappingConfig",
    "mappingName",
    "newObject",
    "newTarget",
    "newValue",
    "object",
    "oldObject",
    "oldSource",
    "oldTarget",
    "oldValue",
    "operation",
    "outcome",
    "params",
    "previous",
    "property",
    "propertyName",
    "recon",
    "reconId",
    "report",
    "request",
    "resourceContainer",
    "resourceId",
    "resourceName",
    "resourcePath",
    "result",
    "returnAll",
    "situation",
    "source",
    "sourceAction",
    "sourceId",
    "sourceObject",
    "statistics",
    "subscription",
    "syncDetails",
    "syncResults",
    "target",
    "targetId",
    "targetObject",
    "trigger",
    "value",
];
