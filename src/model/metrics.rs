//! Names of what Recant counts and measures, for those who emit them and for `/metrics`.
//!
//! Emit with the `metrics` facade: `::metrics::counter!(metrics::CHANGES, "outcome" => "synced")`. Labels
//! have few values: never an id, an object or a caller.

/// Counter: changes that ended, nested ones too, by `kind` (`create`, `update`, `delete`) and
/// `outcome`.
pub const CHANGES: &str = "recant_changes_total";
/// Histogram, seconds: from the arrival of a change at its lane to its answer.
pub const CHANGE_SECONDS: &str = "recant_change_duration_seconds";
/// Histogram, seconds: how long a change waited for earlier changes of the same object.
pub const LANE_WAIT_SECONDS: &str = "recant_lane_wait_seconds";
/// Gauge: audit entries that a destination lacks, by `destination`.
pub const AUDIT_DELIVERY_BEHIND: &str = "recant_audit_delivery_behind";
/// Counter: failures to send audit entries, by `destination`.
pub const AUDIT_DELIVERY_FAILURES: &str = "recant_audit_delivery_failures_total";
/// Counter: audit entries that a destination refused for good, by `destination`.
pub const AUDIT_DELIVERY_REFUSED: &str = "recant_audit_delivery_refused_total";
/// Counter: runs of hooks that were to be kept and are too large, or came too fast.
pub const HOOK_RUNS_NOT_KEPT: &str = "recant_hook_runs_not_kept_total";
/// Counter: runs of hooks, by `hook` and `verdict` (`accept`, `reject`, `revert`, `error`).
pub const HOOK_RUNS: &str = "recant_hook_runs_total";
/// Counter: calls of targets, by `connector`, `kind` (`read`, `readMany`, `query`, `create`, `update`,
/// `delete`, `test`, `changes`) and `result` (`ok`, `refused`, `unavailable`, `unknown`, `timeout`).
pub const TARGET_CALLS: &str = "recant_target_calls_total";
/// Histogram, seconds: one call of a target, by `connector` and `kind`.
pub const TARGET_CALL_SECONDS: &str = "recant_target_call_duration_seconds";
/// Counter: calls of targets that were repeated.
pub const TARGET_RETRIES: &str = "recant_target_retries_total";
/// Gauge: whether changes may be planned on a target, by `connector`: 0 closed (they may), 1 half open
/// (one tries), 2 open (they are held off).
pub const TARGET_CIRCUIT_STATE: &str = "recant_target_circuit_state";
/// Counter: how often a target was found to be down, by `connector`.
pub const TARGET_CIRCUIT_OPENED: &str = "recant_target_circuit_opened_total";
/// Counter: changes that were held off before anything was written, by `connector` and `reason`
/// (`circuit`, `limit`).
pub const TARGET_HELD_OFF: &str = "recant_target_held_off_total";
/// Gauge: calls of a target that are under way, by `connector`.
pub const TARGET_IN_FLIGHT: &str = "recant_target_calls_in_flight";
/// Histogram, seconds: how long a call waited for the limits of its target, by `connector`.
pub const TARGET_WAIT_SECONDS: &str = "recant_target_wait_seconds";
/// Counter: durable commits of the store.
pub const STORE_COMMITS: &str = "recant_store_commits_total";
/// Counter: journal entries made durable; over [`STORE_COMMITS`] it tells how well commits are
/// shared.
pub const STORE_JOURNAL_ENTRIES: &str = "recant_store_journal_entries_total";
/// Counter: settled changes made durable.
pub const STORE_SETTLEMENTS: &str = "recant_store_settlements_total";
/// Counter: commits that were repeated because the store failed.
pub const STORE_RETRIES: &str = "recant_store_retries_total";
/// Counter: integration events that came to the end of an attempt, by `direction` and `state`.
pub const INTEGRATION_EVENTS: &str = "recant_integration_events_total";
/// Counter: answers of the HTTP API, by `method`, `route` and class of `status` (`2xx`).
pub const HTTP_REQUESTS: &str = "recant_http_requests_total";
/// Histogram, seconds: one HTTP request, by `route`.
pub const HTTP_SECONDS: &str = "recant_http_request_duration_seconds";

/// Counter: reconciliations, by `state` (`begun`, `SUCCESS`, `FAILED`, `CANCELED`).
pub const RECON_RUNS: &str = "recant_recon_runs_total";

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It falls into buckets of seconds.
    Seconds,
}

/// Every metric with what it is and the sentence that `/metrics` shows.
pub const ALL: [(&str, Kind, &str); 24] = [
    (
        CHANGES,
        Kind::Counter,
        "Changes that ended, nested ones too, by kind and outcome.",
    ),
    (
        CHANGE_SECONDS,
        Kind::Seconds,
        "Time from the arrival of a change at its lane to its answer.",
    ),
    (
        AUDIT_DELIVERY_BEHIND,
        Kind::Gauge,
        "Audit entries that a destination lacks.",
    ),
    (
        AUDIT_DELIVERY_FAILURES,
        Kind::Counter,
        "Failures to send audit entries to a destination.",
    ),
    (
        HOOK_RUNS_NOT_KEPT,
        Kind::Counter,
        "Runs of hooks that were to be kept and are too large, or came too fast.",
    ),
    (
        AUDIT_DELIVERY_REFUSED,
        Kind::Counter,
        "Audit entries that a destination refused for good and that were set aside.",
    ),
    (
        LANE_WAIT_SECONDS,
        Kind::Seconds,
        "Time a change waited for earlier changes of its object.",
    ),
    (
        HOOK_RUNS,
        Kind::Counter,
        "Runs of hooks, by hook and verdict.",
    ),
    (
        TARGET_CALLS,
        Kind::Counter,
        "Calls of targets, by connector, kind and result.",
    ),
    (
        TARGET_CALL_SECONDS,
        Kind::Seconds,
        "Time of one call of a target.",
    ),
    (
        TARGET_RETRIES,
        Kind::Counter,
        "Calls of targets that were repeated.",
    ),
    (
        TARGET_CIRCUIT_STATE,
        Kind::Gauge,
        "Whether changes may be planned on a target: 0 closed, 1 half open, 2 open.",
    ),
    (
        TARGET_CIRCUIT_OPENED,
        Kind::Counter,
        "How often a target was found to be down.",
    ),
    (
        TARGET_HELD_OFF,
        Kind::Counter,
        "Changes held off before anything was written, by connector and reason.",
    ),
    (
        TARGET_IN_FLIGHT,
        Kind::Gauge,
        "Calls of a target that are under way.",
    ),
    (
        TARGET_WAIT_SECONDS,
        Kind::Seconds,
        "Time a call waited for the limits of its target.",
    ),
    (
        STORE_COMMITS,
        Kind::Counter,
        "Durable commits of the store.",
    ),
    (
        STORE_JOURNAL_ENTRIES,
        Kind::Counter,
        "Journal entries made durable.",
    ),
    (
        STORE_SETTLEMENTS,
        Kind::Counter,
        "Settled changes made durable.",
    ),
    (
        STORE_RETRIES,
        Kind::Counter,
        "Commits that were repeated because the store failed.",
    ),
    (
        INTEGRATION_EVENTS,
        Kind::Counter,
        "Integration events that came to the end of an attempt, by direction and state.",
    ),
    (
        HTTP_REQUESTS,
        Kind::Counter,
        "Answers of the HTTP API, by method, route and class of status.",
    ),
    (HTTP_SECONDS, Kind::Seconds, "Time of one HTTP request."),
    (RECON_RUNS, Kind::Counter, "Reconciliations, by state."),
];
