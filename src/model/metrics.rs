//! Names of what Recant counts and measures, for those who emit them and for `/metrics`.
//!
//! Emit with the `metrics` facade: `metrics::counter!(metrics::CHANGES, "outcome" => "synced")`. Labels
//! have few values: never an id, an object or a caller.

/// Counter: changes that ended, by `kind` (`create`, `update`, `delete`), `purpose` and `outcome`.
pub const CHANGES: &str = "recant_changes_total";
/// Histogram, seconds: from the admission of a change to its outcome, by `outcome`.
pub const CHANGE_SECONDS: &str = "recant_change_duration_seconds";
/// Gauge: changes between admission and outcome.
pub const CHANGES_RUNNING: &str = "recant_changes_running";
/// Gauge: open divergences.
pub const DIVERGENCES_OPEN: &str = "recant_divergences_open";
/// Counter: calls of targets, by `connector`, `kind` (`read`, `query`, `create`, `update`, `delete`)
/// and `result` (`ok`, `refused`, `unavailable`, `unknown`).
pub const TARGET_CALLS: &str = "recant_target_calls_total";
/// Histogram, seconds: one call of a target, by `connector` and `kind`.
pub const TARGET_CALL_SECONDS: &str = "recant_target_call_duration_seconds";
/// Counter: attempts after the first one, by `connector`.
pub const TARGET_RETRIES: &str = "recant_target_retries_total";
/// Counter: runs of hooks, by `hook` and `verdict` (`accept`, `reject`, `revert`, `error`).
pub const HOOK_RUNS: &str = "recant_hook_runs_total";
/// Histogram, seconds: one run of a hook, by `hook`.
pub const HOOK_SECONDS: &str = "recant_hook_duration_seconds";
/// Histogram, seconds: how long a change waited for earlier changes of the same object.
pub const LANE_WAIT_SECONDS: &str = "recant_lane_wait_seconds";
/// Counter: changes refused because too many waited for the same object.
pub const LANE_FULL: &str = "recant_lane_full_total";
/// Counter: durable commits of the journal.
pub const JOURNAL_COMMITS: &str = "recant_journal_commits_total";
/// Counter: journal entries made durable; over [`JOURNAL_COMMITS`] it tells how well commits are shared.
pub const JOURNAL_ENTRIES: &str = "recant_journal_entries_total";
/// Counter: unfinished changes taken up after a crash, by `result` (`ended`, `waits`).
pub const RECOVERED: &str = "recant_recovered_changes_total";
/// Counter: answers of the HTTP API, by `method`, `route` and class of `status` (`2xx`).
pub const HTTP_REQUESTS: &str = "recant_http_requests_total";
/// Histogram, seconds: one HTTP request, by `route`.
pub const HTTP_SECONDS: &str = "recant_http_request_duration_seconds";

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
pub const ALL: [(&str, Kind, &str); 16] = [
    (
        CHANGES,
        Kind::Counter,
        "Changes that ended, by kind, purpose and outcome.",
    ),
    (
        CHANGE_SECONDS,
        Kind::Seconds,
        "Time from the admission of a change to its outcome.",
    ),
    (
        CHANGES_RUNNING,
        Kind::Gauge,
        "Changes between admission and outcome.",
    ),
    (
        DIVERGENCES_OPEN,
        Kind::Gauge,
        "Changes whose compensation failed and that wait for somebody.",
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
        "Attempts at a target after the first one.",
    ),
    (
        HOOK_RUNS,
        Kind::Counter,
        "Runs of hooks, by hook and verdict.",
    ),
    (HOOK_SECONDS, Kind::Seconds, "Time of one run of a hook."),
    (
        LANE_WAIT_SECONDS,
        Kind::Seconds,
        "Time a change waited for earlier changes of its object.",
    ),
    (
        LANE_FULL,
        Kind::Counter,
        "Changes refused because too many waited for the same object.",
    ),
    (
        JOURNAL_COMMITS,
        Kind::Counter,
        "Durable commits of the journal.",
    ),
    (
        JOURNAL_ENTRIES,
        Kind::Counter,
        "Journal entries made durable.",
    ),
    (
        RECOVERED,
        Kind::Counter,
        "Unfinished changes taken up after a crash, by result.",
    ),
    (
        HTTP_REQUESTS,
        Kind::Counter,
        "Answers of the HTTP API, by method, route and status.",
    ),
    (HTTP_SECONDS, Kind::Seconds, "Time of one HTTP request."),
];
