//! What a caller is told: the answer to a change, and why one was refused or taken back.
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{
    hooks::Failure,
    model::{Object, OperationId, Outcome, secret::Redactor},
    store,
};

/// The end of a change as its caller sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The change.
    pub operation: OperationId,
    /// How it ended; none where that is for another node to say.
    pub outcome: Option<Outcome>,
    /// What came of it.
    pub result: Result<Accepted, Refusal>,
}

/// A change that stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// 200, or 201 for a create.
    pub status: u16,
    /// The object without its confidential attributes, or the `syncDetails` of a notification.
    pub body: Value,
    /// The object's new revision.
    pub revision: Option<String>,
}

/// An error for the caller; it holds no secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// What is wrong, for people.
    pub message: String,
    /// What is wrong, for programs; a hook may give anything.
    pub detail: Option<Value>,
    /// How long to stay away before trying again.
    pub retry_after: Option<Duration>,
    /// Why to try again.
    pub(super) again: Again,
}

/// Why a caller may try again what was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Again {
    /// Whatever the refusal says; with a 503 and a time it is the store that failed.
    #[default]
    AsTold,
    /// A target is down, or has too much to do: the change itself was refused, and recorded.
    HeldOff,
}

impl Refusal {
    /// A refusal with an HTTP status and a text.
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            detail: None,
            retry_after: None,
            again: Again::AsTold,
        }
    }

    /// With a detail.
    #[must_use]
    pub fn with_detail(mut self, detail: Value) -> Self {
        self.detail = Some(detail);
        self
    }

    /// With the time to stay away.
    #[must_use]
    pub fn after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// As a refusal by a target that is left alone for a time.
    #[must_use]
    pub(super) fn held_off(mut self, wait: Duration) -> Self {
        self.again = Again::HeldOff;
        self.after(Some(wait))
    }

    /// Whether it was the store, not the change, that was refused.
    #[must_use]
    pub fn is_by_store(&self) -> bool {
        self.code == 503 && self.retry_after.is_some() && self.again == Again::AsTold
    }

    /// The refusal of an object whose lane is full.
    pub(super) fn busy() -> Self {
        Self::new(409, "another change of this object is in flight; try again")
            .after(Some(Duration::from_secs(1)))
    }

    /// What a script's failure means where nothing but the failure decides (SPEC 2): its own code
    /// from 400 to 499, else 500; 400 for a thrown text; 500 for a broken limit or a mistake.
    #[must_use]
    pub fn of_hook(hook: &str, failure: &Failure, redactor: &Redactor) -> Self {
        match failure {
            Failure::Thrown {
                code,
                message,
                detail,
            } => {
                let mut refusal = Self::new(thrown_status(*code), redactor.text(message));
                refusal.detail = detail.as_ref().map(|detail| redactor.value(detail));
                refusal
            }
            Failure::Limit { .. } | Failure::Error { .. } => {
                let text = redactor.text(&failure.to_string());
                Self::new(500, format!("the {hook} hook failed: {text}"))
            }
        }
    }

    /// The detail as an object, under which the engine's own facts are laid.
    pub(super) fn merge_detail(&mut self, facts: Object) {
        let mut detail: Map<String, Value> = facts;
        match self.detail.take() {
            Some(Value::Object(members)) => detail.extend(members),
            Some(other) => {
                detail.insert("detail".into(), other);
            }
            None => {}
        }
        self.detail = Some(Value::Object(detail));
    }
}

fn thrown_status(code: Option<i64>) -> u16 {
    match code {
        None => 400,
        Some(code @ 400..=499) => u16::try_from(code).unwrap_or(500),
        Some(_) => 500,
    }
}

/// The store failed before anything was written: the change may be tried again. What it was asked
/// wrongly is the caller's mistake.
impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        use store::Refusal::{ConfidentialField, ForeignCookie, TooLong};
        if let Some(asked @ (ForeignCookie | ConfidentialField(_) | TooLong { .. })) =
            error.refusal()
        {
            return Self::new(400, asked.to_string());
        }
        if let Some(gone @ store::Refusal::Pruned { oldest, .. }) = error.refusal() {
            return Self::new(410, gone.to_string()).with_detail(json!({"oldest": oldest}));
        }
        tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
        Self::new(503, error.to_string()).after(Some(Duration::from_secs(1)))
    }
}

impl Answer {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match &self.result {
            Ok(accepted) => accepted.status,
            Err(refusal) => refusal.code,
        }
    }

    /// The JSON body: the object, or CREST's `{code, reason, message, detail}`.
    #[must_use]
    pub fn body(&self) -> Value {
        match &self.result {
            Ok(accepted) => accepted.body.clone(),
            Err(refusal) => refusal.body(),
        }
    }
}

impl Refusal {
    /// CREST's `{code, reason, message, detail}`.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut body = json!({
            "code": self.code,
            "reason": reason(self.code),
            "message": self.message,
        });
        if let (Some(members), Some(detail)) = (body.as_object_mut(), &self.detail) {
            members.insert("detail".into(), detail.clone());
        }
        body
    }
}

/// The reason phrase of an HTTP status (RFC 9110, RFC 6585).
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
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        code if (400..500).contains(&code) => "Client Error",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thrown(code: Option<i64>) -> u16 {
        let failure = Failure::Thrown {
            code,
            message: "no".into(),
            detail: None,
        };
        Refusal::of_hook("onCreate", &failure, &Redactor::default()).code
    }

    #[test]
    fn a_thrown_code_counts_between_400_and_499() {
        assert_eq!(thrown(None), 400);
        assert_eq!(thrown(Some(403)), 403);
        assert_eq!(thrown(Some(499)), 499);
        assert_eq!(thrown(Some(503)), 500);
        assert_eq!(thrown(Some(-1)), 500);
    }

    #[test]
    fn a_hooks_detail_lies_over_the_engines_facts() {
        let mut refusal =
            Refusal::new(400, "no").with_detail(json!({"why": "x", "outcome": "mine"}));
        refusal.merge_detail(json!({"outcome": "rejected"}).as_object().cloned().unwrap());
        assert_eq!(refusal.detail, Some(json!({"outcome": "mine", "why": "x"})));
        let mut listed = Refusal::new(400, "no").with_detail(json!([1]));
        listed.merge_detail(Object::new());
        assert_eq!(listed.detail, Some(json!({"detail": [1]})));
    }
}
