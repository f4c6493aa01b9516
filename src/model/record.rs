//! The record of a change as `/operations` shows it; values in it are masked already.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    change::{ChangeKind, Lineage, OperationId, Purpose},
    hook_run::Kept,
    object::Object,
    path::ResourceName,
    plan::{Cause, RowResult},
    saga::{Outcome, SagaState},
    situation::{Action, Situation},
};

/// One change from its first to its last moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationRecord {
    /// The change's id.
    #[serde(rename = "_id")]
    pub id: OperationId,
    /// What ties audit entries together.
    pub transaction_id: String,
    /// The change that somebody outside asked for; this one's own id for a root.
    pub root: OperationId,
    /// The change that caused this one.
    pub parent: Option<OperationId>,
    /// 0 for a root.
    pub depth: u32,
    /// Why this change exists.
    pub purpose: Purpose,
    /// Who asked.
    pub caller: String,
    /// The object that changes.
    pub object: ResourceName,
    /// What happens to it.
    pub kind: ChangeKind,
    /// How it ended; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Where it is: `planned`, `journaled`, `applied`, `compensating` or `ended`.
    pub phase: String,
    /// 1, and one more each time a recovery took it up.
    pub attempt: u32,
    /// When it was admitted.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// The object's revision before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_before: Option<String>,
    /// The object's revision that the change wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// A row for every mapping, those without a write too.
    pub writes: Vec<WriteRecord>,
    /// The hooks that ran, in order.
    pub hook_runs: Vec<HookRun>,
    /// Changes that this one brought about: its compensation, and what its hooks asked for.
    pub nested: Vec<OperationId>,
    /// What hooks asked for, and how that ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub follow_ups: Vec<FollowUpRecord>,
    /// Targets that do not hold what they should; empty unless the outcome is `diverged`.
    pub diverged: Vec<Divergence>,
    /// Why the change failed, for the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RecordedError>,
    /// When `heal` carried out the last missing undo write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healed_at: Option<DateTime<Utc>>,
    /// How a divergence ended without healing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// Why an unfinished change waits, where recovery could not go on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_because: Option<String>,
}

/// One row of a change's plan and how it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WriteRecord {
    /// The mapping's name.
    pub mapping: String,
    /// The link qualifier.
    pub link_qualifier: String,
    /// `system/NAME/CLASS`.
    pub target: String,
    /// The target object's id.
    pub target_id: Option<String>,
    /// How source and target stood to each other.
    pub situation: Option<Situation>,
    /// What was decided.
    pub action: Option<Action>,
    /// `create`, `update` or `delete`; absent where nothing was to be written.
    pub operation: Option<String>,
    /// The target's object before, masked.
    pub before: Option<Object>,
    /// The target's object after, masked.
    pub after: Option<Object>,
    /// How the row ended; absent while it has not.
    pub result: Option<RowResult>,
    /// Why it failed.
    pub cause: Option<Cause>,
    /// How often the target was asked to write.
    pub attempts: u32,
    /// Milliseconds from the first attempt to the result.
    pub duration_ms: u64,
}

/// One run of a hook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookRun {
    /// `onCreate`, `onSync`, …; hooks of mappings are `MAPPING/onUpdate`.
    pub hook: String,
    /// The script's name.
    pub name: String,
    /// Hexadecimal SHA-256 of the script's text.
    pub digest: String,
    /// `accept`, `reject`, `revert` or `error`.
    pub verdict: String,
    /// What it threw, or the limit it broke; secrets are masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether the compensation had failed when it ran.
    pub compensating: bool,
    /// What it logged; secrets are masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// How long it ran, in milliseconds.
    pub duration_ms: u64,
    /// The same in microseconds.
    #[serde(default)]
    pub duration_micros: u64,
    /// How many operations it took.
    #[serde(default)]
    pub operations: u64,
    /// What it was given and what came of it, until the change ends: no part of the record.
    #[serde(skip)]
    pub kept: Option<Arc<Kept>>,
}

/// A change of another object that a hook asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FollowUpRecord {
    /// The change's id.
    #[serde(rename = "_id")]
    pub id: OperationId,
    /// `create`, `update`, `patch` or `delete`.
    pub method: String,
    /// `managed/TYPE` or `managed/TYPE/ID`.
    pub path: String,
    /// How it ended; absent while it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why it failed; secrets are masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RecordedError>,
}

/// One target that does not hold what it should.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Divergence {
    /// The mapping's name.
    pub mapping: String,
    /// `system/NAME/CLASS`.
    pub target: String,
    /// The target object's id.
    pub target_id: Option<String>,
    /// What it should hold (none: it should not exist), masked.
    pub expected: Option<Object>,
    /// What it held when it was last read (none: it did not exist, or could not be read), masked.
    pub actual: Option<Object>,
    /// Why it could not be put right.
    pub cause: Cause,
}

/// The error that the caller got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedError {
    /// The HTTP status.
    pub code: u16,
    /// What was said.
    pub message: String,
}

/// How a divergence ended without healing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resolution {
    /// `resolved` by a person or `superseded` by a later change.
    pub kind: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Who resolved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why it was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The change that superseded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationId>,
}

impl OperationRecord {
    /// Where the change stands in its lineage.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        Lineage {
            root: self.root,
            parent: self.parent,
            depth: self.depth,
            purpose: self.purpose,
            came_from: None,
        }
    }

    /// Whether a divergence waits for somebody.
    #[must_use]
    pub fn is_open_divergence(&self) -> bool {
        self.outcome == Some(Outcome::Diverged) && self.resolution.is_none()
    }

    /// The record as JSON.
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl SagaState {
    /// The word that a record's `phase` holds.
    #[must_use]
    pub fn phase(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Journaled => "journaled",
            Self::Applied => "applied",
            Self::Compensating => "compensating",
            Self::Ended(_) => "ended",
        }
    }
}
