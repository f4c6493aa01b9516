//! Where a sync stands: how far it has come, what it waits for, when it runs next.
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Window;

/// Where the partial syncs, the schedule and the quarantine of a mapping stand.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Syncable {
    /// The mapping's name, or `system/CONNECTOR/CLASS` for an inbound connector class.
    pub name: String,
    /// Up to here everything is known to be in agreement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_synced_through: Option<DateTime<Utc>>,
    /// The digest of the mapping and its scripts, or the version that its configuration gives.
    pub sync_version: String,
    /// The change token of a source system that belongs to `data_synced_through`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What the latest sync of an inbound connector class looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_window: Option<Window>,
    /// How often somebody moved `data_synced_through` back.
    pub resets: u32,
    /// How many of these an inbound connector class has answered by reading everything again.
    pub answered_resets: u32,
    /// Deletions that reading an inbound connector class in full would bring, and that wait for
    /// somebody's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_back: Option<HeldBack>,
    /// Whether an inbound connector class told of changes while its integration was switched off.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub missed: bool,
    /// Source objects at which the latest run failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failing: Vec<String>,
    /// Whether `data_synced_through` has moved past them: the next partial run looks at them all the
    /// same.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub left_behind: bool,
    /// When its schedule fires next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<DateTime<Utc>>,
    /// The schedule that this was computed from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// How many runs in a row failed too often.
    pub bad_runs: u32,
    /// Until when its schedule pauses because of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantined_until: Option<DateTime<Utc>>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantined_because: Option<String>,
}

/// Records of an inbound connector class that its source does not list any more, too many of them to
/// be taken for deleted unasked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldBack {
    /// Why they are held back.
    pub because: String,
    /// How many there are.
    pub gone: u64,
    /// When they were counted.
    pub at: DateTime<Utc>,
    /// How often the class had been moved back by then.
    pub resets: u32,
    /// Who said that so many may go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
}
