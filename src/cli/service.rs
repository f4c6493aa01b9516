//! What verbs ask for, whoever answers: the folder's store or a running server.
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::output::Result;
use crate::model::{OperationId, Outcome, audit::Topic};

/// Answers verbs, in the JSON of the HTTP API.
#[async_trait]
pub trait Service: Send + Sync {
    /// Carries a change out.
    async fn change(&self, ask: &Ask) -> Result<Answer>;
    /// What a change would do.
    async fn plan(&self, ask: &Ask) -> Result<Value>;
    /// Changes, newest first.
    async fn operations(&self, search: &Search) -> Result<Page>;
    /// One change.
    async fn operation(&self, id: OperationId) -> Result<Value>;
    /// Retries the missing undo writes of a diverged change; gives its record.
    async fn heal(&self, id: OperationId) -> Result<Value>;
    /// Ends a diverged change as it is; gives its record.
    async fn resolve(&self, id: OperationId, reason: &str) -> Result<Value>;
    /// Begins a reconciliation; gives its run object.
    async fn start_recon(&self, wanted: &Value) -> Result<Value>;
    /// The latest reconciliations, newest first.
    async fn recons(&self) -> Result<Vec<Value>>;
    /// A reconciliation as it stands.
    async fn recon(&self, id: Uuid) -> Result<Value>;
    /// What a reconciliation found.
    async fn recon_entries(&self, id: Uuid, search: &Search) -> Result<Page>;
    /// Stops a reconciliation (`cancel`) or carries out what it held back (`approve`).
    async fn act_on_recon(&self, id: Uuid, action: &str) -> Result<Value>;
    /// Where partial syncs stand.
    async fn syncs(&self) -> Result<Vec<Value>>;
    /// Lets the records go that an inbound class does not list any more; gives how it stands.
    async fn approve_sync(&self, scope: &str) -> Result<Value>;
    /// Moves back where partial syncs stand; gives their names.
    async fn reset_syncs(&self, scope: &str, since: Option<DateTime<Utc>>) -> Result<Vec<String>>;
    /// Audit entries of a topic, or of all.
    async fn audit(&self, topic: Option<Topic>, search: &Search) -> Result<Page>;
    /// The story of a change: `{operation, object, outcome, sentences}`.
    async fn explain(&self, id: OperationId) -> Result<Value>;
    /// A part of the change feed: `{result, cursor, more}`.
    async fn events(&self, ask: &EventAsk) -> Result<Value>;
    /// Tells events again: `{from, rangeStart, rangeEnd, types, to, mapping, sideEffects}` in,
    /// `{events, told}` out.
    async fn replay(&self, ask: &Value) -> Result<Value>;
    /// Integration events or deliveries, oldest first.
    async fn integration_events(&self, place: &Place, search: &Search) -> Result<Page>;
    /// Takes an event up again (`retry`) or ends it (`cancel`); gives it as it is then.
    async fn move_event(&self, place: &Place, id: Uuid, action: &str) -> Result<Value>;
    /// Imports an object class: `{class, force, forceIds}` in, what it came to out.
    async fn import(&self, connector: &str, ask: &Value) -> Result<Value>;
    /// Verifies the audit chain, against `{publicKey, handovers, checkpoints}` if given: `{entries,
    /// broken, unproven, …}`.
    async fn verify(&self, proof: Option<&Value>) -> Result<Value>;
    /// Where each destination of the audit trail stands.
    async fn destinations(&self) -> Result<Vec<Value>>;
    /// Sends again (`resend`) or gives up (`giveUp`) what a destination did not take, all of it or one
    /// entry; tells how many.
    async fn act_on_destination(
        &self,
        name: &str,
        action: &str,
        position: Option<i64>,
    ) -> Result<Value>;
    /// `{name, ok, …}` for each connector.
    async fn test_connectors(&self) -> Result<Vec<Value>>;
    /// `{name, ok, …}` for a connector.
    async fn test_connector(&self, name: &str) -> Result<Value>;
    /// What `/script?_action=ACTION` answers.
    async fn ask_script(&self, action: &str, asked: &Value) -> Result<Value>;
    /// Kept runs of hooks that meet these parameters.
    async fn hook_runs(&self, wanted: &[(&str, String)]) -> Result<Vec<Value>>;
    /// Bearer tokens, oldest first.
    async fn tokens(&self) -> Result<Vec<Value>>;
    /// Makes a token: `{name, roles, expiresAt}` in, the token with its text out.
    async fn create_token(&self, wanted: &Value) -> Result<Value>;
    /// Revokes a token; gives it.
    async fn revoke_token(&self, id: &str) -> Result<Value>;
    /// Ends the sessions of a caller: `{caller, ended}`.
    async fn end_sessions(&self, caller: &str) -> Result<Value>;
    /// Waits for what is in flight.
    async fn close(&self);
}

/// Where integration events are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// From and to a connector's system.
    Integration(String),
    /// To a subscription.
    Deliveries(String),
    /// On their way to queued mappings.
    Queue,
}

/// A change as the command line asks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The type's name, the TYPE of `managed/TYPE`.
    pub managed_type: String,
    /// The object's id; none only where a create leaves it to Recant.
    pub id: Option<String>,
    /// What to do.
    pub wish: Wish,
    /// The revision that the object must have.
    pub if_match: Option<String>,
}

/// What to do with an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// Create it with this content.
    Create(Value),
    /// Give it this content; it must exist.
    Update(Value),
    /// Change parts of it.
    Patch(PatchForm, Value),
    /// Delete it.
    Delete,
}

/// How a partial change is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchForm {
    /// CREST operations.
    Crest,
    /// RFC 6902.
    Json,
    /// RFC 7396.
    Merge,
}

/// The answer to a change that ended `synced` or `partial`.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The root change.
    pub operation: Option<OperationId>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The object.
    pub body: Value,
}

/// Which events are asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventAsk {
    /// The cursor behind which to begin.
    pub after: Option<i64>,
    /// Those from this time on.
    pub range_start: Option<DateTime<Utc>>,
    /// Those before this time.
    pub range_end: Option<DateTime<Utc>>,
    /// Those of these types; none: all.
    pub types: Vec<String>,
    /// How many at most; 0: only the newest cursor.
    pub limit: usize,
}

/// Which entries are asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Search {
    /// A query filter.
    pub filter: Option<String>,
    /// Sort keys as `_sortKeys` writes them.
    pub sort: Option<&'static str>,
    /// How many at most.
    pub size: usize,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// A page of what was found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// In order.
    pub results: Vec<Value>,
    /// Where the next page begins; none after the last.
    pub cursor: Option<String>,
}

impl Wish {
    /// The word for it in `?_action=plan&operation=`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Update(_) => "update",
            Self::Patch(..) => "patch",
            Self::Delete => "delete",
        }
    }

    /// The content that it sends.
    #[must_use]
    pub fn content(&self) -> Option<&Value> {
        match self {
            Self::Create(content) | Self::Update(content) | Self::Patch(_, content) => {
                Some(content)
            }
            Self::Delete => None,
        }
    }
}

impl PatchForm {
    /// The form that a patch is written in: an object is a merge patch; a list is JSON Patch where
    /// its operations say `op`, else CREST.
    #[must_use]
    pub fn of(patch: &Value) -> Self {
        match patch {
            Value::Array(operations)
                if operations
                    .iter()
                    .any(|operation| operation.get("op").is_some()) =>
            {
                Self::Json
            }
            Value::Array(_) => Self::Crest,
            _ => Self::Merge,
        }
    }

    /// The content type that says so.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Crest => "application/json",
            Self::Json => "application/json-patch+json",
            Self::Merge => "application/merge-patch+json",
        }
    }
}
