//! The use-cases, for every caller: HTTP API, command line and embedding programs. The one place that wires.
pub mod access;

use std::{path::Path, time::Duration};

use serde_json::{Value, json};

pub use access::{Attempt, Identity};

use crate::{
    model::{
        ChangeRequest, Container, Object, OperationId, OperationRecord, Outcome, ResourceName,
        audit::{ChainedEntry, Topic},
    },
    store::Token,
};

pub use crate::store::{Count, Found, Search, SortKey, Verification};

/// Recant at work on one project folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App;

/// A change that was carried out: outcome `synced` or `partial`.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The root change.
    pub operation: OperationId,
    /// How it ended.
    pub outcome: Outcome,
    /// 200 or 201.
    pub status: u16,
    /// The body of the answer: the object without its confidential attributes (a delete gives the
    /// deleted one), or the `syncDetails` array of a notification.
    pub body: Value,
    /// The object's new revision.
    pub revision: Option<String>,
}

/// An error as CREST reports it. `message` and `detail` hold no secret.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The HTTP status.
    pub code: u16,
    /// What is wrong, for people.
    pub message: String,
    /// What is wrong, for programs; none: no detail.
    pub detail: Option<Value>,
    /// The root change, where it got that far.
    pub operation: Option<OperationId>,
    /// How that change ended.
    pub outcome: Option<Outcome>,
    /// How long to stay away.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// The CREST body `{code, reason, message, detail}`.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut body = json!({
            "code": self.code,
            "reason": reason(self.code),
            "message": self.message,
        });
        if let (Some(body), Some(detail)) = (body.as_object_mut(), &self.detail) {
            body.insert("detail".into(), detail.clone());
        }
        body
    }
}

/// The words that RFC 9110 gives an HTTP status.
#[must_use]
pub fn reason(code: u16) -> &'static str {
    match code {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        400..=499 => "Client Error",
        _ => "Internal Server Error",
    }
}

#[expect(unused_variables, reason = "signatures first")]
#[allow(clippy::unused_async)]
impl App {
    /// Loads a folder, opens its store (migrating it), takes up what a crash left and watches the
    /// folder for changes.
    pub async fn open(folder: &Path) -> Result<Self, StartError> {
        todo!()
    }
    /// Waits for what is in flight, at most `patience`, and closes.
    pub async fn close(&self, patience: Duration) {
        todo!()
    }
    /// Whether configuration and store work (`/health/ready`).
    pub async fn ready(&self) -> Result<(), Error> {
        todo!()
    }
    /// Carries a change out and waits for its end. Knows idempotency keys.
    pub async fn change(&self, request: ChangeRequest) -> Result<Changed, Error> {
        todo!()
    }
    /// Begins a change and comes back once it is admitted; its record tells how it goes on.
    pub async fn change_later(&self, request: ChangeRequest) -> Result<OperationId, Error> {
        todo!()
    }
    /// What a change would do: `{object, operation, writes, skipped}`; leaves an access entry.
    pub async fn plan(&self, request: ChangeRequest) -> Result<Value, Error> {
        todo!()
    }
    /// A managed object as callers see it.
    pub async fn read(&self, name: &ResourceName, caller: &str) -> Result<Object, Error> {
        todo!()
    }
    /// Managed objects of a type.
    pub async fn query(
        &self,
        container: &Container,
        search: &Search,
        caller: &str,
    ) -> Result<Found<Object>, Error> {
        todo!()
    }
    /// One change.
    pub async fn operation(&self, id: OperationId) -> Result<OperationRecord, Error> {
        todo!()
    }
    /// Changes, newest first.
    pub async fn operations(&self, search: &Search) -> Result<Found<OperationRecord>, Error> {
        todo!()
    }
    /// Retries the missing undo writes of a diverged change. 409 where it still diverges.
    pub async fn heal(&self, id: OperationId, caller: &str) -> Result<OperationRecord, Error> {
        todo!()
    }
    /// Ends a divergence as it is.
    pub async fn resolve(
        &self,
        id: OperationId,
        reason: &str,
        caller: &str,
    ) -> Result<OperationRecord, Error> {
        todo!()
    }
    /// Audit entries.
    pub async fn audit(
        &self,
        topic: Option<Topic>,
        search: &Search,
    ) -> Result<Found<ChainedEntry>, Error> {
        todo!()
    }
    /// Verifies the audit chain.
    pub async fn verify_audit(&self) -> Result<Verification, Error> {
        todo!()
    }
    /// Records a denied access (401, 403) as one `access` entry; does not wait until it is on disk.
    /// Gives the id that the entry holds as `operation`.
    pub fn deny(&self, attempt: &Attempt<'_>) -> OperationId {
        todo!()
    }
    /// Records a change that was refused before the engine saw it as one `activity` entry with
    /// outcome `rejected`; does not wait until it is on disk. Gives the id that the entry holds as
    /// `operation`.
    pub fn refuse(&self, attempt: &Attempt<'_>) -> OperationId {
        todo!()
    }
    /// Whether any token was ever made ([`access::TokenBook::is_empty`]). Asked on every request:
    /// answers from memory.
    pub fn has_tokens(&self) -> bool {
        todo!()
    }
    /// Whose token this is, if it holds now ([`access::TokenBook::identify`]). Asked on every
    /// request: answers from memory; tokens that another process made or revoked are seen within
    /// two seconds.
    pub fn authenticate(&self, bearer: &str) -> Option<Identity> {
        todo!()
    }
    /// Makes a token ([`access::fresh_token`]) and gives its text, which is shown once and kept
    /// nowhere. Roles: `caller`, `hook-admin`, `auditor`, `admin`; 400 for another or none.
    pub async fn make_token(
        &self,
        name: &str,
        roles: &[String],
        lifetime: Option<Duration>,
    ) -> Result<(secrecy::SecretString, Token), Error> {
        todo!()
    }
    /// All tokens, revoked and ended ones too, without their hashes.
    pub async fn tokens(&self) -> Result<Vec<Token>, Error> {
        todo!()
    }
    /// Revokes a token by its id; 404 where there is none.
    pub async fn revoke_token(&self, id: &str) -> Result<(), Error> {
        todo!()
    }
    /// `{name, ok, connectorType, objectTypes[, error]}` for one connector; 404 for an unknown one.
    pub async fn test_connector(&self, name: &str) -> Result<Value, Error> {
        todo!()
    }
    /// The names of the connectors.
    pub fn connectors(&self) -> Vec<String> {
        todo!()
    }
    /// An object as a target holds it now, confidential attributes masked.
    pub async fn read_target(&self, name: &ResourceName) -> Result<Object, Error> {
        todo!()
    }
    /// Objects as a target holds them now.
    pub async fn query_target(
        &self,
        container: &Container,
        search: &Search,
    ) -> Result<Found<Object>, Error> {
        todo!()
    }
    /// `{_id, name, source, target, …}` of each mapping, in order.
    pub fn mappings(&self) -> Vec<Value> {
        todo!()
    }
    /// Changes queued for mappings with `queuedSync`.
    pub async fn queue(&self, search: &Search) -> Result<Found<Value>, Error> {
        todo!()
    }
    /// Compiles a script: `{type, source | file}`; 400 with `detail {line, column}`.
    pub fn compile_script(&self, script: &Value) -> Result<(), Error> {
        todo!()
    }
    /// Runs a script `{type, source | file, globals}` and gives its value; changes nothing.
    pub async fn eval_script(&self, script: &Value) -> Result<Value, Error> {
        todo!()
    }
    /// Problems of the folder that keep its latest edit out of force.
    pub fn problems(&self) -> Value {
        todo!()
    }
}

/// Why a folder does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder has errors; one line each.
    #[error("{} problems in the folder", .0.len())]
    Problems(Vec<String>),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
}
