//! Changes: from a request to the engine, and from its answer to HTTP.
use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{HeaderName, LOCATION},
    },
    response::Response,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Api, answer,
    call::{Call, has_word},
    error::{Failure, OPERATION, Result, name_change},
};
use crate::{
    app::Changed,
    model::{
        ChangeRequest, Container, OperationId, Precondition, Requested, audit::hexadecimal,
        change::IdempotencyKey, pointer::Pointer,
    },
};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const PREFER: &str = "prefer";
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// The longest idempotency key.
const LONGEST_KEY: usize = 255;
/// What stands for itself in one segment of a path (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A change as a request asks for it.
#[derive(Debug)]
pub(super) struct Asked {
    /// The type of the object.
    pub(super) container: Container,
    /// What to do.
    pub(super) requested: Requested,
    /// The word for it in the `request` variable of hooks.
    pub(super) method: &'static str,
    /// What was sent, for hooks.
    pub(super) content: Value,
    /// The text of the body, for the idempotency key.
    pub(super) text: axum::body::Bytes,
}

/// When the caller wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// When the change has ended.
    ForTheEnd,
    /// Once it is admitted (`Prefer: respond-async`).
    ForAdmission,
}

/// Carries a change out and answers.
///
/// The change runs in a task of its own: a caller that goes away does not stop it half way.
pub(super) async fn carry_out(api: &Api, call: &Call, asked: Asked) -> Result<Response> {
    let fields = call.parameters().fields()?;
    let request = request(call, asked)?;
    let container = request.container.clone();
    let app = api.app.clone();
    match waiting(call) {
        Waiting::ForAdmission => {
            let begun = tokio::spawn(async move { app.change_later(request).await });
            Ok(begun_answer(call, joined(api, call, begun, None).await?))
        }
        Waiting::ForTheEnd => {
            let id = app.fresh_operation();
            // Under a key it may be an earlier change that is waited for.
            let named = request.idempotency.is_none().then_some(id);
            let running = tokio::spawn(async move { app.change_as(id, request).await });
            let changed = joined(api, call, running, named).await?;
            Ok(ended_answer(call, &container, changed, &fields))
        }
    }
}

/// Shows what a change would do.
pub(super) async fn plan(api: &Api, call: &Call, asked: Asked) -> Result<Response> {
    let request = request(call, asked)?;
    Ok(call.ok(&api.app.plan(request).await?))
}

async fn joined<T>(
    api: &Api,
    call: &Call,
    task: tokio::task::JoinHandle<std::result::Result<T, crate::app::Error>>,
    operation: Option<OperationId>,
) -> Result<T> {
    match tokio::time::timeout(api.settings.limits.request_time, task).await {
        Ok(Ok(result)) => Ok(result?),
        Err(_) => Err(Failure::late(call.transaction_id()).about(operation)),
        Ok(Err(error)) => {
            tracing::error!(%error, "a change broke off by a fault; recovery will take it up");
            Err(Failure::fault().about(operation))
        }
    }
}

fn request(call: &Call, asked: Asked) -> Result<ChangeRequest> {
    let idempotency = idempotency(call, &asked.text)?;
    let mut request = ChangeRequest {
        unseen: call.unseen(&asked.container.to_string()),
        container: asked.container,
        requested: asked.requested,
        caller: call.caller().name.clone(),
        transaction_id: call.transaction_id().to_owned(),
        idempotency,
        request: Value::Null,
    };
    let path = request
        .object()
        .map_or_else(|| request.container.to_string(), |name| name.to_string());
    request.request = json!({
        "method": asked.method,
        "resourcePath": path,
        "content": asked.content,
        "revision": revision(&request.requested),
        "additionalParameters": call.parameters().additional(),
    });
    Ok(request)
}

fn revision(requested: &Requested) -> Option<&str> {
    match requested {
        Requested::Replace { precondition, .. }
        | Requested::Patch { precondition, .. }
        | Requested::Delete { precondition, .. } => match precondition {
            Precondition::Revision(revision) => Some(revision),
            Precondition::None | Precondition::Exists | Precondition::Absent => None,
        },
        Requested::Create { .. } | Requested::Notify { .. } => None,
    }
}

/// The caller's idempotency key with the digest of everything that gives the request its meaning.
fn idempotency(call: &Call, text: &[u8]) -> Result<Option<IdempotencyKey>> {
    let Some(key) = call.header(IDEMPOTENCY_KEY)? else {
        return Ok(None);
    };
    let fits =
        (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if !fits {
        return Err(Failure::bad(format!(
            "`Idempotency-Key` must hold 1 to {LONGEST_KEY} visible ASCII characters"
        )));
    }
    let mut hasher = Sha256::new();
    let mut part = |text: &[u8]| {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text);
    };
    part(call.method.as_str().as_bytes());
    part(call.path().as_bytes());
    for (name, value) in call.parameters().meaning() {
        part(name.as_bytes());
        part(value.as_bytes());
    }
    for name in ["if-match", "if-none-match", "content-type"] {
        part(call.header(name)?.unwrap_or_default().as_bytes());
    }
    part(text);
    Ok(Some(IdempotencyKey {
        key: key.to_owned(),
        request_digest: hexadecimal(&hasher.finalize()),
    }))
}

fn waiting(call: &Call) -> Waiting {
    if has_word(call.headers.get_all(PREFER), "respond-async") {
        Waiting::ForAdmission
    } else {
        Waiting::ForTheEnd
    }
}

fn begun_answer(call: &Call, operation: OperationId) -> Response {
    let mut response = call.answer(StatusCode::ACCEPTED, &json!({"_id": operation.to_string()}));
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(&format!("/operations/{operation}")) {
        headers.insert(LOCATION, location);
    }
    headers.insert(
        PREFERENCE_APPLIED,
        HeaderValue::from_static("respond-async"),
    );
    if let Ok(id) = HeaderValue::from_str(&operation.to_string()) {
        headers.insert(OPERATION, id);
    }
    response
}

fn ended_answer(
    call: &Call,
    container: &Container,
    changed: Changed,
    fields: &[Pointer],
) -> Response {
    let status = StatusCode::from_u16(changed.status).unwrap_or(StatusCode::OK);
    let location = created_at(container, &changed);
    let body = match changed.body {
        Value::Object(object) => Value::Object(answer::select(object, fields)),
        other => other,
    };
    let mut response = call.answer(status, &body);
    name_change(
        response.headers_mut(),
        changed.operation,
        Some(changed.outcome),
    );
    if let Some(revision) = &changed.revision {
        answer::tag(&mut response, revision);
    }
    if let Some(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Where a created object is.
fn created_at(container: &Container, changed: &Changed) -> Option<HeaderValue> {
    let created = changed.status == StatusCode::CREATED.as_u16();
    let id = changed.body.get("_id").filter(|_| created)?.as_str()?;
    let id = utf8_percent_encode(id, SEGMENT);
    HeaderValue::from_str(&format!("/{container}/{id}")).ok()
}
