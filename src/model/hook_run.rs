//! What one run of a hook was given and what came of it: kept to make a case of it, or to run a
//! changed script on it.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{change::OperationId, object::Object, path::ResourceName};

/// What a script is given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inputs {
    /// Its variables, those of the configuration (`globals`) not among them.
    pub variables: Object,
    /// Names that share one value which the script may change; the first is in `variables`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mutable: Vec<String>,
    /// What it read, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<Read>,
}

/// One call of `read` or `query`, and what it gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Read {
    /// `managed/user/ID` for `read`, `managed/user` for `query`.
    pub path: String,
    /// The filter of a `query`; absent for a `read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The object (null: there is none), or the list of objects.
    #[serde(default)]
    pub answer: Value,
    /// The error that the script got in place of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What came of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// `accept`, `reject`, `revert` or `error`.
    pub verdict: String,
    /// The script's value.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
    /// What it threw: `{code, message, detail}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throws: Option<Value>,
    /// What is wrong with it, or the limit that it broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Changes of other objects that it asked for: `{method, path, content}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<Value>,
    /// The variables that it may change, as it left them.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub changed: Object,
    /// What it logged: `info: text`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

/// A run of a hook that is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// Which hook: `managed/user/onSync`, or `MAPPING/onUpdate`.
    pub hook: String,
    /// The script's name.
    pub script: String,
    /// Hexadecimal SHA-256 of the script's text.
    pub digest: String,
    /// When it began.
    pub at: DateTime<Utc>,
    /// How long it ran, in microseconds.
    pub micros: u64,
    /// How many operations it took.
    pub operations: u64,
    /// What it was given.
    pub inputs: Inputs,
    /// What came of it.
    pub ended: Ended,
    /// Confidential values in all of it; they are masked before anybody sees it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
}

/// A kept run as the store gives it back.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptRun {
    /// Its id.
    pub id: String,
    /// The change that it ran for.
    pub operation: OperationId,
    /// The object of that change.
    pub object: ResourceName,
    /// The run.
    pub run: Arc<Kept>,
}
