//! What the audit trail tells and what scripts did, as the description shows it.
#![allow(dead_code, reason = "these fields are read by the description only")]
use utoipa::{IntoParams, ToSchema};

/// The story of a change.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Story {
    /// The root change
    operation: uuid::Uuid,
    /// What it changed
    object: String,
    /// How it ended
    #[schema(nullable = false)]
    outcome: Option<String>,
    /// What happened, in order
    sentences: Vec<Sentence>,
}

/// One thing that happened.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Sentence {
    /// 0 for the change itself, 1 for a compensation or a change that a hook asked for
    depth: u64,
    /// `request`, `hook`, `write`, `failure`, `undo`, `divergence`, `end` or `note`
    kind: String,
    /// When
    #[schema(nullable = false)]
    at: Option<chrono::DateTime<chrono::Utc>>,
    /// The entry that says so
    #[schema(nullable = false)]
    entry: Option<uuid::Uuid>,
    /// The sentence
    text: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunParameters {
    /// Runs of this hook, such as `managed/user/onSync`
    hook: Option<String>,
    /// Runs of this script, such as `compensate.rhai`
    script: Option<String>,
    /// Runs for this change
    operation: Option<String>,
    /// How many at most
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Kept runs of hooks.
#[derive(ToSchema)]
pub(crate) struct HookRuns {
    /// The newest first
    result: Vec<KeptRun>,
}

/// A kept run of a hook.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct KeptRun {
    #[schema(rename = "_id")]
    id: String,
    /// `managed/user/onSync`, or `MAPPING/onUpdate`
    hook: String,
    script: String,
    digest: String,
    operation: uuid::Uuid,
    object: String,
    at: chrono::DateTime<chrono::Utc>,
    /// `accept`, `reject`, `revert` or `error`
    verdict: String,
    duration_micros: u64,
    operations: u64,
    error: Option<String>,
    log: Vec<String>,
}

/// What a walk along the chain of the audit trail found.
#[derive(ToSchema)]
pub(crate) struct Verification {
    /// How many entries were read
    entries: u64,
    /// The first place where the chain does not hold
    broken: Option<Break>,
    /// The position of the last entry that holds
    position: i64,
    /// Its digest
    digest: String,
    /// Where the chain begins, if its beginning was pruned
    anchor: Option<Begun>,
    /// What is signed
    signed: Option<Signed>,
    /// What the walk could not prove, a sentence each
    unproven: Option<Vec<String>>,
}

/// A place where the chain does not hold.
#[derive(ToSchema)]
pub(crate) struct Break {
    id: Option<String>,
    position: i64,
    reason: String,
}

/// Where a chain begins whose beginning was pruned.
#[derive(ToSchema)]
pub(crate) struct Begun {
    /// How many entries were pruned
    position: i64,
    /// When, in microseconds since 1970
    at: i64,
    /// Whether a signature was verified that says so
    signed: bool,
}

/// What is known of signed places of the chain.
#[derive(ToSchema)]
pub(crate) struct Signed {
    /// How many checkpoints agree with the chain
    checkpoints: u64,
    /// The position up to which the chain is signed
    position: i64,
    /// Whether signatures were verified with a key
    verified: bool,
}

/// What the chain is to agree with beside itself.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Proof {
    /// Ed25519 public keys in PEM form, one after another, the oldest first: only what they verify
    /// counts as signed
    public_key: Option<String>,
    /// How one key hands over to the next, as `recant audit keygen --after` writes it
    handovers: Option<Vec<Handover>>,
    /// Checkpoints that were kept elsewhere
    checkpoints: Option<Vec<Checkpoint>>,
}

/// A key says which one comes after it.
#[derive(ToSchema)]
pub(crate) struct Handover {
    key: String,
    from: String,
    at: i64,
    signature: String,
}

/// A signed place of the chain.
#[derive(ToSchema)]
pub(crate) struct Checkpoint {
    number: i64,
    position: i64,
    digest: String,
    at: i64,
    previous: String,
    key: String,
    signature: String,
}

/// Where else the audit trail goes.
#[derive(ToSchema)]
pub(crate) struct Destinations {
    result: Vec<Destination>,
}

/// A destination of the audit trail.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Destination {
    name: String,
    /// `file`, `syslog` or `otlp`
    kind: String,
    /// `current`, `behind`, `failing` or `elsewhere` (another node delivers)
    state: String,
    /// The position of the last entry that it took
    position: i64,
    /// How many entries it lacks
    behind: i64,
    /// Since when it lacks any
    behind_since: Option<chrono::DateTime<chrono::Utc>>,
    /// Why the last try failed
    last_error: Option<String>,
    /// What it did not take, and will not unless it is sent again
    not_taken: Option<NotTaken>,
}

/// What a destination did not take: numbers of entries, and the first of them.
#[derive(ToSchema)]
pub(crate) struct NotTaken {
    /// It will not have them
    refused: i64,
    /// It got what they are about, not their content
    shortened: i64,
    /// They were pruned before it took them
    pruned: i64,
    entries: Vec<NotTakenEntry>,
}

/// Entries that a destination did not take.
#[derive(ToSchema)]
pub(crate) struct NotTakenEntry {
    /// The position of the first
    position: i64,
    /// That of the last
    last: i64,
    /// `refused`, `shortened` or `pruned`
    how: String,
    reason: String,
    at: chrono::DateTime<chrono::Utc>,
    /// Whether it will be sent again
    again: bool,
}

/// Which entry is to be sent again or given up.
#[derive(ToSchema)]
pub(crate) struct NotTakenAsk {
    /// Its position; all of them if left out
    position: Option<i64>,
}

/// How many entries are sent again, or were given up.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct NotTakenDone {
    asked: Option<u64>,
    given_up: Option<u64>,
}
