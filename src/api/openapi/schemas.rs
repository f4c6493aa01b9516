//! Bodies as the description of the API shows them; a test holds those of changes against the model.
#![allow(dead_code, reason = "these types are read by the description only")]
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// An object with the properties of its type.
#[derive(ToSchema)]
pub(crate) struct ManagedObject {
    /// Its id
    #[schema(rename = "_id")]
    id: Option<String>,
    /// Its revision; what is sent here has no effect
    #[schema(rename = "_rev")]
    revision: Option<String>,
    /// Every other property
    #[serde(flatten)]
    properties: BTreeMap<String, Value>,
}

/// One page of what a query found.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct QueryResult {
    /// In order
    result: Vec<Value>,
    /// How many are in this page
    result_count: u64,
    /// What to ask the next page with; null after the last
    paged_results_cookie: Option<String>,
    /// `NONE`, `ESTIMATE` or `EXACT`
    total_paged_results_policy: String,
    /// How many match; -1 where that was not asked for
    total_paged_results: i64,
    /// How many follow this page; -1 where that is not known
    remaining_paged_results: i64,
}

/// A part of the change feed.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct EventPage {
    /// Oldest first
    result: Vec<ChangeEvent>,
    /// How many there are
    result_count: u64,
    /// The `after` of the next request
    cursor: i64,
    /// Whether there may be more already
    more: bool,
}

/// A settled change of a managed object.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ChangeEvent {
    /// The cursor: larger than that of every event that was settled before
    id: i64,
    /// `TYPE.created`, `TYPE.updated` or `TYPE.deleted`
    r#type: String,
    /// When the change was settled
    created_at: DateTime<Utc>,
    /// The change, to be found under `/operations`
    operation: Uuid,
    /// `managed/TYPE/ID`
    object: String,
    /// The object, confidential attributes masked
    data: EventData,
}

/// The object of an event.
#[derive(ToSchema)]
pub(crate) struct EventData {
    /// Before the change; null for a create
    before: Option<BTreeMap<String, Value>>,
    /// After the change; null for a delete
    after: Option<BTreeMap<String, Value>>,
}

/// Which events are told again, and to whom.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Replay {
    /// The cursor behind which to begin
    from: Option<i64>,
    /// Events from this time on
    range_start: Option<DateTime<Utc>>,
    /// Events before this time
    range_end: Option<DateTime<Utc>>,
    /// Types of events; all if left out
    types: Option<Vec<String>>,
    /// A subscription
    to: Option<String>,
    /// A mapping, in place of a subscription
    mapping: Option<String>,
    /// Whether what has side effects is told again, too
    side_effects: Option<bool>,
}

/// What a replay came to.
#[derive(ToSchema)]
pub(crate) struct Replayed {
    /// How many events there were
    events: u64,
    /// How many deliveries or writes were queued for them
    told: u64,
}

/// What is imported.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ImportWanted {
    /// The object class
    class: String,
    /// Whether what is known is brought in again
    force: Option<bool>,
    /// Records with these ids are brought in even so
    force_ids: Option<Vec<String>>,
}

/// What an import came to.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Imported {
    /// The class as `system/CONNECTOR/CLASS`
    class: String,
    /// Up to when the class was complete before; absent where it never was
    window_start_date: Option<DateTime<Utc>>,
    /// When the import began
    window_end_date: Option<DateTime<Utc>>,
    /// Pages that were read
    pages: u64,
    /// Records that were taken from them
    fetched: u64,
    /// Events that were stored
    stored: u64,
}

/// What was stored of a webhook.
#[derive(ToSchema)]
pub(crate) struct Receipt {
    /// How many events it held
    received: u64,
    /// Those that were stored, each with `_id` and `state`
    events: Vec<BTreeMap<String, String>>,
}

/// An event from or to an external system.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct IntegrationEvent {
    /// Its id
    #[schema(rename = "_id")]
    id: Uuid,
    /// `inbound` or `outbound`
    direction: String,
    /// The connector
    connector: String,
    /// The id of the record in the external system; outbound: that of the managed object
    integration_external_id: String,
    /// When the record was changed
    integration_updated_at: DateTime<Utc>,
    /// Our copy of the external record
    integration_record_id: Option<Uuid>,
    /// The object class of the external record
    integration_record_type: Option<String>,
    /// The managed object
    record_id: Option<String>,
    /// `managed/TYPE`
    record_type: Option<String>,
    /// The mapping that carries it out
    mapping: Option<String>,
    /// `withoutEffects` or `withEffects` where a recorded event is told again
    replay: Option<String>,
    /// `create`, `update` or `delete`
    kind: String,
    /// `queued`, `processing`, `completed`, `errored`, `canceled`, `ignored`, `duplicate` or
    /// `disabled`
    state: String,
    /// The event that took its place
    canceled_by: Option<Uuid>,
    /// The event that brought the same before
    duplicate_of: Option<Uuid>,
    /// What is newer
    ignored_for_id: Option<String>,
    /// `integrationEvent` or `managed/TYPE`
    ignored_for_type: Option<String>,
    /// How often it was tried
    attempts: u32,
    /// When it is tried again
    next_attempt_at: Option<DateTime<Utc>>,
    /// Whether it failed for good
    dead_letter: bool,
    /// Why the last attempt failed
    last_error: Option<String>,
    /// The change that carried it out
    operation: Option<Uuid>,
    /// When it arrived
    created_at: DateTime<Utc>,
    /// When the last attempt began
    started_at: Option<DateTime<Utc>>,
    /// When it ended
    ended_at: Option<DateTime<Utc>>,
}

/// Why a request failed.
#[derive(ToSchema)]
pub(crate) struct ErrorBody {
    /// The HTTP status
    code: u16,
    /// The status in words
    reason: String,
    /// What is wrong
    message: String,
    /// What programs may want to know
    detail: Option<ErrorDetail>,
}

/// More about a failed request; the thrown detail of a hook and violations of a schema are merged in.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ErrorDetail {
    /// The change
    operation: Option<Uuid>,
    /// How it ended
    outcome: Option<String>,
    /// The mapping that failed
    mapping: Option<String>,
    /// `system/NAME/CLASS/ID`
    target: Option<String>,
    /// What the target said
    cause: Option<Cause>,
    /// A row for every mapping
    sync_details: Option<Vec<SyncDetail>>,
    /// What an object violates
    failed_policy_requirements: Option<Vec<Value>>,
}

/// What a target said.
#[derive(ToSchema)]
pub(crate) struct Cause {
    /// The target's own code
    code: Value,
    /// One or two words for it
    reason: Option<String>,
    /// Its message, without secrets
    message: String,
    /// `refused`, `unavailable` or `unknown`
    kind: Option<String>,
}

/// What became of one mapping.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct SyncDetail {
    mapping: String,
    target_object_set: Option<String>,
    source_id: Option<String>,
    target_id: Option<String>,
    situation: Option<String>,
    action: Option<String>,
    /// `SUCCESSFUL`, `FAILED`, `SKIPPED` or `UNKNOWN`
    result: String,
    old_target_value: Option<Value>,
    new_target_value: Option<Value>,
    cause: Option<Cause>,
}

/// What a change would write.
#[derive(ToSchema)]
pub(crate) struct Plan {
    /// The object after the change
    object: Option<Value>,
    /// `create`, `update` or `delete`
    operation: String,
    /// In the order in which they would be written
    writes: Vec<PlannedWrite>,
    /// Mappings without a write, and why
    skipped: Vec<Value>,
}

/// One planned write.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct PlannedWrite {
    mapping: String,
    link_qualifier: String,
    situation: String,
    action: String,
    /// `create`, `update` or `delete`
    operation: String,
    /// `system/NAME/CLASS`
    target: String,
    target_id: Option<String>,
    before: Option<Value>,
    after: Option<Value>,
}

/// A change that was admitted.
#[derive(ToSchema)]
pub(crate) struct Admitted {
    /// Its id under `/operations`
    #[schema(rename = "_id")]
    id: Uuid,
}

/// One operation of a CREST patch.
#[derive(ToSchema)]
pub(crate) struct CrestOperation {
    /// `add`, `remove`, `replace`, `increment`, `copy` or `move`
    operation: String,
    /// A JSON pointer
    field: String,
    /// What to add, put or count up by
    value: Option<Value>,
    /// Where `copy` and `move` take the value from
    from: Option<String>,
}

/// One operation of a JSON Patch (RFC 6902).
#[derive(ToSchema)]
pub(crate) struct JsonPatchOperation {
    op: String,
    path: String,
    value: Option<Value>,
    from: Option<String>,
}

/// A change of a record that the caller keeps.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Notification {
    /// The record before; needed for update and delete
    old_value: Option<Value>,
    /// The record after; needed for create and update
    new_value: Option<Value>,
}

/// One change from its first to its last moment.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Operation {
    #[schema(rename = "_id")]
    id: Uuid,
    transaction_id: String,
    /// The change that somebody outside asked for
    root: Uuid,
    /// The change that caused this one
    parent: Option<Uuid>,
    depth: u32,
    /// `request`, `compensation` or `followUp`
    purpose: String,
    caller: String,
    /// `managed/TYPE/ID`
    object: String,
    /// `create`, `update` or `delete`
    kind: String,
    /// `synced`, `rejected`, `compensated`, `partial` or `diverged`; absent while it runs
    outcome: Option<String>,
    /// `planned`, `journaled`, `applied`, `compensating` or `ended`
    phase: String,
    /// One more each time a recovery took it up
    attempt: u32,
    started_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    revision_before: Option<String>,
    revision: Option<String>,
    writes: Vec<Write>,
    hook_runs: Vec<HookRun>,
    /// Changes that this one brought about
    nested: Vec<Uuid>,
    /// Targets that do not hold what they should
    diverged: Vec<Divergence>,
    error: Option<RecordedError>,
    healed_at: Option<DateTime<Utc>>,
    resolution: Option<Value>,
    waits_because: Option<String>,
}

/// One row of a change.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Write {
    mapping: String,
    link_qualifier: String,
    target: String,
    target_id: Option<String>,
    situation: Option<String>,
    action: Option<String>,
    operation: Option<String>,
    before: Option<Value>,
    after: Option<Value>,
    result: Option<String>,
    cause: Option<Cause>,
    attempts: u32,
    duration_ms: u64,
}

/// One run of a hook.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct HookRun {
    hook: String,
    name: String,
    digest: String,
    verdict: String,
    error: Option<String>,
    compensating: bool,
    log: Option<Vec<String>>,
    duration_ms: u64,
    duration_micros: u64,
    operations: u64,
}

/// One target that does not hold what it should.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Divergence {
    mapping: String,
    target: String,
    target_id: Option<String>,
    expected: Option<Value>,
    actual: Option<Value>,
    cause: Cause,
}

/// The error that the caller got.
#[derive(ToSchema)]
pub(crate) struct RecordedError {
    code: u16,
    message: String,
}

/// Why a divergence may stay.
#[derive(ToSchema)]
pub(crate) struct Resolution {
    reason: String,
}

/// One audit entry; it holds more than what is listed here.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct AuditEntry {
    #[schema(rename = "_id")]
    id: Uuid,
    /// Its place in the chain, from 1
    position: i64,
    timestamp: DateTime<Utc>,
    topic: String,
    transaction_id: String,
    operation: Option<Uuid>,
    /// Of this entry and the one before it
    digest: String,
}

/// A script and its variables.
#[derive(ToSchema)]
pub(crate) struct Script {
    /// `text/rhai`; needed to compile, run and trace
    r#type: Option<String>,
    /// Its text
    source: Option<String>,
    /// Or its file in the folder `hooks`
    file: Option<String>,
    /// Its variables
    globals: Option<BTreeMap<String, Value>>,
    /// Back-test: how many kept runs at most
    against: Option<u64>,
    /// Back-test and record: only runs of this hook, such as `managed/user/onSync`
    hook: Option<String>,
    /// Record: the change whose kept runs become cases
    operation: Option<uuid::Uuid>,
    /// Test: a file of cases, in place of the one in the folder
    cases: Option<Value>,
}

/// What the test of a connector found.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ConnectorTest {
    name: String,
    ok: bool,
    connector_type: String,
    object_types: Vec<String>,
    error: Option<String>,
}

/// Problems of the project folder.
#[derive(ToSchema)]
pub(crate) struct Problems {
    problems: Vec<Problem>,
}

/// One problem.
#[derive(ToSchema)]
pub(crate) struct Problem {
    /// `error` or `warning`
    severity: String,
    file: String,
    /// A line, or a JSON pointer
    place: Option<Value>,
    /// What would be right
    message: String,
}

/// The answer of a probe.
#[derive(ToSchema)]
pub(crate) struct Health {
    /// `ok`
    status: String,
}
