//! Failed requests: the one place that turns an error into an HTTP answer.
use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::answer::{JSON, rendered};
use crate::{
    app,
    model::{OperationId, Outcome},
};

/// The header that names the root change.
pub(super) const OPERATION: HeaderName = HeaderName::from_static("recant-operation");
/// The header that says how the change ended.
pub(super) const OUTCOME: HeaderName = HeaderName::from_static("recant-outcome");

/// A request that failed. It travels as an extension of an empty answer to the outermost layer,
/// which knows who asked for what and completes it.
#[derive(Debug, Clone)]
pub(super) struct Failure(Arc<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    error: app::Error,
    headers: HeaderMap,
    origin: Origin,
}

/// Where a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// At the door: it may not be asked.
    Denied,
    /// Before the engine saw it.
    Request,
    /// In a use-case.
    App,
    /// On the way back: what became of the change is not known here.
    Fault,
}

pub(super) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A request that is refused before any use-case sees it.
    pub(super) fn new(code: u16, message: impl Into<String>) -> Self {
        Self::of(Origin::Request, code, message)
    }

    /// 400.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    /// Who asks is not known, or may not come in: 401, 403, or what keeps the server from finding
    /// out.
    pub(super) fn denied(error: app::Error) -> Self {
        let denied = matches!(error.code, 401 | 403);
        let unknown = error.code == 401;
        let failure = Self(Arc::new(Parts {
            error,
            headers: HeaderMap::new(),
            origin: if denied { Origin::Denied } else { Origin::App },
        }));
        if unknown {
            failure.with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
        } else {
            failure
        }
    }

    /// 403: who asks may not.
    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::of(Origin::Denied, 403, message)
    }

    /// 405 with the methods that there are.
    pub(super) fn method_not_allowed(method: &str, allowed: &str) -> Self {
        let failure = Self::new(405, format!("expected one of {allowed}, found {method}"));
        match HeaderValue::from_str(allowed) {
            Ok(value) => failure.with(ALLOW, value),
            Err(_) => failure,
        }
    }

    /// 429: too many requests.
    pub(super) fn too_many(wait: Duration) -> Self {
        let mut failure = Self::new(429, "too many requests from this caller");
        Arc::make_mut(&mut failure.0).error.retry_after = Some(wait);
        failure
    }

    /// 504: the answer does not come in time; what was begun goes on.
    pub(super) fn late(transaction_id: &str) -> Self {
        Self::of(
            Origin::Fault,
            504,
            "there is no answer yet; what was begun goes on, see the operations of this transaction",
        )
        .detail(json!({"transactionId": transaction_id}))
    }

    /// 500: the program failed.
    pub(super) fn fault() -> Self {
        Self::of(
            Origin::Fault,
            500,
            "the request failed by a fault of the server, see its log",
        )
    }

    /// The same about a change that goes on: the answer names it, where it is known.
    pub(super) fn about(mut self, operation: Option<OperationId>) -> Self {
        Arc::make_mut(&mut self.0).error.operation = operation;
        self
    }

    /// The same with something to tell programs.
    pub(super) fn detail(mut self, detail: Value) -> Self {
        Arc::make_mut(&mut self.0).error.detail = Some(detail);
        self
    }

    fn of(origin: Origin, code: u16, message: impl Into<String>) -> Self {
        Self(Arc::new(Parts {
            error: app::Error {
                code,
                message: message.into(),
                detail: None,
                operation: None,
                outcome: None,
                retry_after: None,
            },
            headers: HeaderMap::new(),
            origin,
        }))
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        Arc::make_mut(&mut self.0).headers.insert(name, value);
        self
    }

    pub(super) fn origin(&self) -> Origin {
        self.0.origin
    }

    pub(super) fn code(&self) -> u16 {
        self.0.error.code
    }

    pub(super) fn message(&self) -> &str {
        &self.0.error.message
    }

    pub(super) fn operation(&self) -> Option<OperationId> {
        self.0.error.operation
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.0.error.outcome
    }

    /// The same as the end of a change: headers and detail name it.
    pub(super) fn rejected(mut self, operation: OperationId) -> Self {
        let error = &mut Arc::make_mut(&mut self.0).error;
        error.operation = Some(operation);
        error.outcome = Some(Outcome::Rejected);
        let detail = error.detail.get_or_insert_with(|| json!({}));
        if let Some(members) = detail.as_object_mut() {
            members.insert("operation".into(), operation.to_string().into());
            members.insert("outcome".into(), Outcome::Rejected.as_str().into());
        }
        self
    }

    /// The finished HTTP answer for somebody behind a veil.
    pub(super) fn render(&self, pretty: Option<Pretty>, veil: Option<&app::Veil>) -> Response {
        let body = self.0.error.body();
        let body = match veil {
            Some(veil) => veil.document(None, body),
            None => body,
        };
        let mut response = Response::new(Body::from(rendered(&body, pretty)));
        *response.status_mut() =
            StatusCode::from_u16(self.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.clone_from(&self.0.headers);
        headers.insert(CONTENT_TYPE, JSON);
        if let Some(wait) = self.0.error.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if let Some(operation) = self.operation() {
            name_change(headers, operation, self.outcome());
        }
        response
    }
}

pub(super) use super::answer::Pretty;

/// Names a change and its outcome in the headers of an answer.
pub(super) fn name_change(
    headers: &mut HeaderMap,
    operation: OperationId,
    outcome: Option<Outcome>,
) {
    if let Ok(value) = HeaderValue::from_str(&operation.to_string()) {
        headers.insert(OPERATION, value);
    }
    if let Some(outcome) = outcome {
        headers.insert(OUTCOME, HeaderValue::from_static(outcome.as_str()));
    }
}

/// Seconds for `Retry-After`: whole, rounded up, at least 1.
fn whole_seconds(wait: Duration) -> u64 {
    let up = u64::from(wait.subsec_nanos() > 0);
    wait.as_secs().saturating_add(up).max(1)
}

impl From<app::Error> for Failure {
    fn from(error: app::Error) -> Self {
        Self(Arc::new(Parts {
            error,
            headers: HeaderMap::new(),
            origin: Origin::App,
        }))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_times_are_whole_seconds_and_never_none() {
        for (wait, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (2500, 3)] {
            assert_eq!(
                whole_seconds(Duration::from_millis(wait)),
                seconds,
                "{wait} ms"
            );
        }
    }

    #[test]
    fn a_rejection_names_its_operation_beside_its_own_detail() {
        let id = OperationId(uuid::Uuid::nil());
        let failure = Failure::bad("no").detail(json!({"line": 3})).rejected(id);
        let body = failure.0.error.body();
        assert_eq!(
            body,
            json!({"code": 400, "reason": "Bad Request", "message": "no",
                "detail": {"line": 3, "operation": id.to_string(), "outcome": "rejected"}})
        );
    }
}
