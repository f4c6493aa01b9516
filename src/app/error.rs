//! What callers are told when something does not work, in CREST's form.
use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    model::{OperationId, Outcome},
    store::{self, StoredAnswer},
    sync::{Answer, Refusal, reason},
};

use super::Changed;

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
    /// An error with an HTTP status and a text.
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            detail: None,
            operation: None,
            outcome: None,
            retry_after: None,
        }
    }

    /// Something that is not there.
    pub fn missing(what: impl std::fmt::Display) -> Self {
        Self::new(404, format!("there is no {what}"))
    }

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

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code,
            message: refusal.message,
            detail: refusal.detail,
            operation: None,
            outcome: None,
            retry_after: refusal.retry_after,
        }
    }
}

/// A query that the store cannot answer as asked is the caller's mistake; anything else is ours.
impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Refusal::from(error).into()
    }
}

/// The answer of the engine, as the use-cases give it.
pub(super) fn of_answer(answer: Answer) -> Result<Changed, Error> {
    let Answer {
        operation,
        outcome,
        result,
    } = answer;
    match result {
        Ok(accepted) => Ok(Changed {
            operation,
            outcome: outcome.unwrap_or(Outcome::Synced),
            status: accepted.status,
            body: accepted.body,
            revision: accepted.revision,
        }),
        Err(refusal) => Err(Error {
            operation: Some(operation),
            outcome,
            ..Error::from(refusal)
        }),
    }
}

/// The answer that was given under the same idempotency key before.
pub(super) fn of_stored(operation: OperationId, stored: StoredAnswer) -> Result<Changed, Error> {
    let header = |name: &str| {
        stored
            .headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    let outcome = header("Recant-Outcome").and_then(|word| {
        Outcome::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
    });
    if stored.status < 400 {
        return Ok(Changed {
            operation,
            outcome: outcome.unwrap_or(Outcome::Synced),
            status: stored.status,
            body: stored.body,
            revision: header("ETag").map(|tag| tag.trim_matches('"').to_owned()),
        });
    }
    let text = stored
        .body
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Err(Error {
        code: stored.status,
        message: text.to_owned(),
        detail: stored.body.get("detail").cloned(),
        operation: Some(operation),
        outcome,
        retry_after: header("Retry-After")
            .and_then(|seconds| seconds.parse().ok())
            .map(Duration::from_secs),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_answer_tells_again_how_long_to_stay_away() {
        let id = OperationId(uuid::Uuid::nil());
        let headers = [("Recant-Outcome", "compensated"), ("Retry-After", "7")];
        let stored = StoredAnswer {
            status: 503,
            body: serde_json::json!({"code": 503, "message": "later"}),
            headers: headers
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
        };
        let error = of_stored(id, stored).unwrap_err();
        assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
        assert_eq!(error.outcome, Some(Outcome::Compensated));
    }
}
