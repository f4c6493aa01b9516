//! Reconciliations as the description of the API shows them.
#![allow(dead_code, reason = "these types are read by the description only")]
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// The latest reconciliations.
#[derive(ToSchema)]
pub(crate) struct Recons {
    /// Newest first
    reconciliations: Vec<Recon>,
}

/// What a reconciliation is asked to do.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ReconWanted {
    /// The mapping's name; the parameter counts more
    mapping: Option<String>,
    /// `full`: all of both sides. `updatedAt`: source objects that changed since the last complete sync
    mode: Option<String>,
    /// Report only: nothing is written anywhere
    dry_run: Option<bool>,
    /// Look at every record, even where both sides hold what they held when they agreed
    force: Option<bool>,
    /// Look at the source objects with these ids even so
    force_ids: Option<Vec<String>>,
    /// Only the source objects with these ids
    ids: Option<Vec<String>>,
    /// Run the mapping of the other direction that shares this one's links
    reverse: Option<bool>,
    /// Forget where the mapping's partial syncs stand
    clear_cache: Option<bool>,
    /// In place of the mapping's `allowEmptySourceSet`
    allow_empty_source_set: Option<bool>,
    /// In place of the mapping's `runTargetPhase`
    run_target_phase: Option<bool>,
    /// In place of the mapping's `sourceQuery`
    source_query: Option<String>,
    /// In place of the mapping's `targetQuery`
    target_query: Option<String>,
    /// How many deletions the run may carry out by itself
    max_deletions: Option<u64>,
    /// What share of the records, from 0 to 1, the run may delete by itself
    max_deletion_share: Option<f64>,
}

/// A reconciliation.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Recon {
    /// Its id
    #[schema(rename = "_id")]
    id: Uuid,
    /// The mapping
    mapping: String,
    /// `ACTIVE`, `SUCCESS`, `FAILED` or `CANCELED`
    state: String,
    /// Where it is
    stage: String,
    /// The same for people
    stage_description: String,
    /// How many objects and links were processed, of how many
    progress: Value,
    /// Records by situation
    situation_summary: BTreeMap<String, u64>,
    /// Records by what became of them
    status_summary: BTreeMap<String, u64>,
    /// Records looked at
    processed: u64,
    /// Records looked at in a second
    rate: Option<f64>,
    /// Seconds that are left at this rate
    remaining_seconds: Option<u64>,
    /// Deletions that wait for the end of the run, or for an approval
    held: u64,
    /// How many entries there are
    entries: u64,
    /// What was asked for
    parameters: ReconWanted,
    /// Whether all of both sides are looked at
    whole: bool,
    /// The digest of the mapping and its scripts
    sync_version: String,
    /// How often the run was taken up
    attempt: u32,
    /// Who asked
    user_id: String,
    /// What ties audit entries together
    transaction_id: String,
    /// When it began
    started: DateTime<Utc>,
    /// When it ended
    ended: Option<DateTime<Utc>>,
    /// How long it worked, in milliseconds
    duration: u64,
    /// Why it failed, or what it held back
    message: Option<String>,
    /// Who approved what it had held back
    approved_by: Option<String>,
    /// Where the window of a partial run begins
    window_start_date: Option<DateTime<Utc>>,
    /// Where it ends
    window_end_date: Option<DateTime<Utc>>,
}

/// Where partial syncs stand.
#[derive(ToSchema)]
pub(crate) struct Syncs {
    /// By name
    syncs: Vec<Sync>,
}

/// Records that an inbound class does not list any more.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct HeldBack {
    /// Why they are held back
    because: String,
    /// How many there are
    gone: u64,
    /// When they were counted
    at: DateTime<Utc>,
    /// How often the class had been moved back by then
    resets: u32,
    /// Who said that so many may go
    approved_by: Option<String>,
}

/// Where the partial syncs of a mapping, or of an inbound object class, stand.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Sync {
    /// The mapping, or `system/CONNECTOR/CLASS`
    name: String,
    /// Up to here everything is known to be in agreement
    data_synced_through: Option<DateTime<Utc>>,
    /// The version of the mapping that this holds for
    sync_version: String,
    /// What the latest sync of an inbound class looked at: `windowStartDate`, `windowEndDate`
    last_window: Option<BTreeMap<String, DateTime<Utc>>>,
    /// How often somebody moved it back
    resets: u32,
    /// How many of these an inbound class has answered by reading everything again
    answered_resets: u32,
    /// Whether an inbound class told of changes while its integration was switched off
    missed: Option<bool>,
    /// Source objects at which the latest run failed
    failing: Option<Vec<String>>,
    /// Whether `dataSyncedThrough` has moved past them: each partial run looks at them all the same
    left_behind: Option<bool>,
    /// Records that an inbound class does not list any more, and that wait for somebody's word
    held_back: Option<HeldBack>,
    /// Its schedule
    schedule: Option<String>,
    /// When that fires next
    next_at: Option<DateTime<Utc>>,
    /// How many runs in a row failed too often
    bad_runs: u32,
    /// Until when its schedule pauses because of them
    quarantined_until: Option<DateTime<Utc>>,
    /// Why
    quarantined_because: Option<String>,
}
