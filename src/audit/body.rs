//! The fields of each kind of entry, in the order in which they are stored.
use serde::Serialize;
use serde_json::Value;

use crate::model::{
    Action, CauseKind, ChangeKind, Object, OperationId, Outcome, ResourceName, Situation,
};

/// A change and how it ended.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChangeBody<'a> {
    pub event_name: &'static str,
    pub user_id: &'a str,
    pub object_id: &'a ResourceName,
    pub action: ChangeKind,
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<OperationId>,
    pub root: OperationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<&'a str>,
    pub attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    pub changed_fields: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<&'a Object>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<&'a Object>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
}

/// A write that was planned and, after a failure, not tried.
#[derive(Serialize)]
pub(super) struct SkippedBody<'a> {
    pub mapping: &'a str,
    pub target: String,
}

/// One run of a hook.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HookBody<'a> {
    pub event_name: &'static str,
    pub user_id: &'a str,
    pub object_id: &'a ResourceName,
    pub action: &'a str,
    pub script: ScriptBody<'a>,
    pub status: &'static str,
    pub verdict: &'a str,
    pub compensating: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<OperationId>,
    pub root: OperationId,
    pub duration_ms: u64,
    pub duration_micros: u64,
    pub operations: u64,
    pub log: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
}

/// Which script ran.
#[derive(Serialize)]
pub(super) struct ScriptBody<'a> {
    pub name: &'a str,
    pub digest: &'a str,
}

/// One write to a target, or its undo.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WriteBody<'a> {
    pub event_name: &'static str,
    pub user_id: &'a str,
    pub mapping: &'a str,
    pub link_qualifier: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub situation: Option<Situation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write: Option<&'a str>,
    pub source_object_id: &'a ResourceName,
    pub target_object_id: String,
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<OperationId>,
    pub root: OperationId,
    pub attempt: u32,
    pub duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<&'a Object>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<&'a Object>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<CauseKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
}

/// A compensation as a whole.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CompensationBody<'a> {
    pub event_name: &'static str,
    pub user_id: &'a str,
    pub object_id: &'a ResourceName,
    pub action: ChangeKind,
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<OperationId>,
    pub root: OperationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<&'a str>,
    pub attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
}

/// A target that does not hold what it should.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DivergenceBody<'a> {
    pub event_name: &'static str,
    pub user_id: &'a str,
    pub mapping: &'a str,
    pub source_object_id: &'a ResourceName,
    pub target_object_id: String,
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<OperationId>,
    pub root: OperationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<&'a Object>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<&'a Object>,
    pub code: &'a Value,
    pub message: &'a str,
}

/// The end of a divergence.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DivergenceEndBody<'a> {
    pub event_name: &'static str,
    pub user_id: &'a str,
    pub object_id: &'a ResourceName,
    pub action: &'a str,
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<OperationId>,
    pub root: OperationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
}

/// An access that was denied, or a dry run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccessBody<'a> {
    pub event_name: &'static str,
    pub user_id: &'a str,
    pub request: &'a str,
    pub response: Response,
    pub status: &'static str,
    pub message: &'a str,
}

/// What a request was answered.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response {
    pub status_code: u16,
}

/// A change that was refused before the engine saw it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RefusalBody<'a> {
    pub event_name: &'static str,
    pub user_id: &'a str,
    pub object_id: &'a str,
    pub action: &'a str,
    pub status: &'static str,
    pub outcome: Outcome,
    pub code: u16,
    pub message: &'a str,
}

/// A file of the project folder that changed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigurationBody<'a> {
    pub event_name: &'static str,
    pub object_id: &'a str,
    pub action: &'static str,
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Digest<'a>>,
}

/// The digest of a file.
#[derive(Serialize)]
pub(super) struct Digest<'a> {
    pub digest: &'a str,
}
