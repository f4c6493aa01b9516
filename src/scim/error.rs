//! Failed requests in SCIM's form (RFC 7644, section 3.12): the one place that makes answers of errors.
use std::time::Duration;

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::Response,
};
use serde_json::{Value, json};

use super::answer::JSON;
use crate::{
    app::{self, Veil},
    model::{OperationId, Outcome},
};

/// The URN of errors.
const MESSAGE: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
/// The header that names the root change.
pub(super) const OPERATION: HeaderName = HeaderName::from_static("recant-operation");
/// The header that says how the change ended.
pub(super) const OUTCOME: HeaderName = HeaderName::from_static("recant-outcome");

/// What is wrong, in SCIM's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScimType {
    InvalidFilter,
    TooMany,
    Uniqueness,
    Mutability,
    InvalidSyntax,
    InvalidPath,
    NoTarget,
    InvalidValue,
    Sensitive,
    InvalidCursor,
    InvalidCount,
}

/// Where a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// At the door: it may not be asked.
    Denied,
    /// Before the engine saw it, or in a use-case.
    Request,
    /// On the way back: what became of the change is not known here.
    Fault,
}

/// A request that failed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure {
    pub(super) status: u16,
    pub(super) scim_type: Option<ScimType>,
    pub(super) detail: String,
    pub(super) operation: Option<OperationId>,
    pub(super) outcome: Option<Outcome>,
    pub(super) retry_after: Option<Duration>,
    pub(super) origin: Origin,
    pub(super) allowed: Option<String>,
    /// What a use-case said, from which the detail was made.
    pub(super) source: Option<Box<app::Error>>,
}

pub(super) type Result<T> = std::result::Result<T, Failure>;

impl ScimType {
    fn as_str(self) -> &'static str {
        match self {
            Self::InvalidFilter => "invalidFilter",
            Self::TooMany => "tooMany",
            Self::Uniqueness => "uniqueness",
            Self::Mutability => "mutability",
            Self::InvalidSyntax => "invalidSyntax",
            Self::InvalidPath => "invalidPath",
            Self::NoTarget => "noTarget",
            Self::InvalidValue => "invalidValue",
            Self::Sensitive => "sensitive",
            Self::InvalidCursor => "invalidCursor",
            Self::InvalidCount => "invalidCount",
        }
    }
}

impl Failure {
    pub(super) fn new(status: u16, detail: impl Into<String>) -> Self {
        Self {
            status,
            scim_type: None,
            detail: detail.into(),
            operation: None,
            outcome: None,
            retry_after: None,
            origin: Origin::Request,
            allowed: None,
            source: None,
        }
    }

    /// 400 with SCIM's word for it.
    pub(super) fn bad(scim_type: ScimType, detail: impl Into<String>) -> Self {
        Self {
            scim_type: Some(scim_type),
            ..Self::new(400, detail)
        }
    }

    /// Who asks is not known (401) or may not (403).
    pub(super) fn denied(status: u16, detail: impl Into<String>) -> Self {
        Self {
            origin: Origin::Denied,
            ..Self::new(status, detail)
        }
    }

    pub(super) fn missing(what: impl std::fmt::Display) -> Self {
        Self::new(404, format!("there is no {what}"))
    }

    /// 405 with the methods that there are.
    pub(super) fn method_not_allowed(method: &str, allowed: &[&str]) -> Self {
        let allowed = allowed.join(", ");
        Self {
            allowed: Some(allowed.clone()),
            ..Self::new(405, format!("expected one of {allowed}, found {method}"))
        }
    }

    /// 504: the answer does not come in time; what was begun goes on.
    pub(super) fn late(transaction_id: &str) -> Self {
        let detail = format!(
            "there is no answer yet; what was begun goes on, see the operations of transaction {transaction_id}"
        );
        Self {
            origin: Origin::Fault,
            ..Self::new(504, detail)
        }
    }

    /// 500: the program failed.
    pub(super) fn fault() -> Self {
        Self {
            origin: Origin::Fault,
            ..Self::new(
                500,
                "the request failed by a fault of the server, see its log",
            )
        }
    }

    /// The same about a change that goes on: the answer names it, where it is known.
    pub(super) fn about(mut self, operation: Option<OperationId>) -> Self {
        self.operation = operation;
        self
    }

    /// The same as the end of a change.
    pub(super) fn rejected(mut self, operation: OperationId) -> Self {
        self.operation = Some(operation);
        self.outcome = Some(Outcome::Rejected);
        self
    }

    /// The same for somebody behind a veil: targets and scripts may have said what is hidden.
    pub(super) fn behind(mut self, veil: Option<&Veil>) -> Self {
        let (Some(veil), Some(source)) = (veil.filter(|veil| !veil.is_thin()), &self.source) else {
            return self;
        };
        let text = |body: &Value, pointer: &str| Some(body.pointer(pointer)?.as_str()?.to_owned());
        let said = source.body();
        let shown = veil.document(None, said.clone());
        let mut veiled = app::Error::clone(source);
        veiled.message = text(&shown, "/message").unwrap_or_default();
        veiled.detail = shown.get("detail").cloned();
        // The message repeats the cause, which may be hidden as a whole.
        let cause = "/detail/cause/message";
        if let (Some(said), Some(shown)) = (text(&said, cause), text(&shown, cause)) {
            veiled.message = veiled.message.replace(&said, &shown);
        }
        let violated = violated(source.detail.as_ref());
        self.detail = told(&veiled, violated.as_deref());
        self.source = None;
        self
    }

    /// The body.
    pub(super) fn body(&self) -> Value {
        let mut body = json!({"schemas": [MESSAGE], "status": self.status.to_string()});
        if let Some(members) = body.as_object_mut() {
            if let Some(scim_type) = self.scim_type {
                members.insert("scimType".into(), scim_type.as_str().into());
            }
            members.insert("detail".into(), self.detail.clone().into());
        }
        body
    }

    /// The finished answer.
    pub(super) fn render(&self) -> Response {
        let text = serde_json::to_vec(&self.body()).unwrap_or_default();
        let mut response = Response::new(Body::from(text));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        if self.status == 401 {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(Ok(allowed)) = self.allowed.as_deref().map(HeaderValue::from_str) {
            headers.insert(ALLOW, allowed);
        }
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if let Some(operation) = self.operation {
            name_change(headers, operation, self.outcome);
        }
        response
    }
}

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
    /// As the table of outcomes says; what the type's schema refuses (403 there) is an invalid value
    /// here (RFC 7644, table 9).
    fn from(error: app::Error) -> Self {
        let violated = violated(error.detail.as_ref());
        let told = told(&error, violated.as_deref());
        let is_taken = error
            .detail
            .as_ref()
            .is_some_and(|it| it.get("taken").is_some());
        let (status, scim_type) = match error.code {
            409 if is_taken => (409, Some(ScimType::Uniqueness)),
            403 if violated.is_some() => (400, Some(ScimType::InvalidValue)),
            400 if error.operation.is_none() => (400, Some(ScimType::InvalidValue)),
            code => (code, None),
        };
        Self {
            scim_type,
            operation: error.operation,
            outcome: error.outcome,
            retry_after: error.retry_after,
            source: Some(Box::new(error)),
            ..Self::new(status, told)
        }
    }
}

/// Which properties break which rules of the type's schema.
fn violated(detail: Option<&Value>) -> Option<String> {
    let failed = detail?.get("failedPolicyRequirements")?.as_array()?;
    let each = failed.iter().filter_map(|failure| {
        let property = failure.get("property")?.as_str()?;
        let requirements = failure.get("policyRequirements")?.as_array()?;
        let words = requirements
            .iter()
            .filter_map(|it| it.get("policyRequirement")?.as_str());
        Some(format!(
            "`{property}` ({})",
            words.collect::<Vec<_>>().join(", ")
        ))
    });
    Some(each.collect::<Vec<_>>().join(", "))
}

/// The message with what a person needs to go on: which target, why, and which change it was.
fn told(error: &app::Error, violated: Option<&str>) -> String {
    let mut text = error.message.clone();
    if let Some(violated) = violated.filter(|it| !it.is_empty()) {
        text = format!("{text}: {violated}");
    }
    let said = |pointer: &str| error.detail.as_ref()?.pointer(pointer)?.as_str();
    if let Some(target) = said("/target").filter(|target| !text.contains(*target)) {
        text = format!("{text} (target {target})");
    }
    if let Some(cause) = said("/cause/message").filter(|cause| !text.contains(*cause)) {
        text = format!("{text}: {cause}");
    }
    if let (Some(operation), Some(outcome)) = (error.operation, error.outcome) {
        let outcome = outcome.as_str();
        text = format!("{text} [operation {operation}, {outcome}]");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_schema_refuses_is_an_invalid_value() {
        let mut error = app::Error::new(403, "the object violates its schema");
        error.detail = Some(json!({"failedPolicyRequirements": [
            {"property": "mail", "policyRequirements": [{"policyRequirement": "FORMAT", "params": {}}]}
        ]}));
        let failure = Failure::from(error);
        assert_eq!(
            (failure.status, failure.scim_type),
            (400, Some(ScimType::InvalidValue))
        );
        assert_eq!(
            failure.detail,
            "the object violates its schema: `mail` (FORMAT)"
        );
        assert_eq!(failure.body()["status"], "400");
        let forbidden = Failure::from(app::Error::new(403, "no"));
        assert_eq!((forbidden.status, forbidden.scim_type), (403, None));
    }

    #[test]
    fn a_compensated_change_says_where_and_why() {
        let mut error = app::Error::new(409, "refused");
        error.operation = Some(OperationId(uuid::Uuid::nil()));
        error.outcome = Some(Outcome::Compensated);
        error.detail =
            Some(json!({"target": "system/payroll/account/1", "cause": {"message": "too long"}}));
        let failure = Failure::from(error);
        assert_eq!(
            failure.detail,
            "refused (target system/payroll/account/1): too long \
             [operation 00000000-0000-0000-0000-000000000000, compensated]"
        );
        assert_eq!(failure.render().headers()["recant-outcome"], "compensated");
    }
}
