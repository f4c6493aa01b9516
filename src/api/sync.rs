//! `/sync`: changes of records that the caller keeps itself, the mappings, and queued changes.
use axum::{body::Body, extract::State, response::Response};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, address,
    body::kind,
    call::Call,
    change::{self, Asked},
    error::{Failure, Result},
    openapi::{self, ActionParameters, ChangeHeaders, QueryParameters, ResourceParameters},
    page,
};
use crate::model::{ChangeKind, Container, Object, Requested};

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(notify))
        .routes(routes!(mappings))
        .routes(routes!(queue))
}

/// Synchronize a change of a record that the caller keeps
///
/// `_action` is `notifyCreate`, `notifyUpdate` or `notifyDelete`. The record itself is not stored.
/// After an error the caller keeps `oldValue`.
#[utoipa::path(post, path = "/sync", tag = "sync", operation_id = "notify",
    params(ActionParameters, ResourceParameters, ChangeHeaders),
    request_body(content = openapi::Notification, content_type = "application/json"),
    responses(
        (status = 200, description = "A row for every mapping", body = Vec<openapi::SyncDetail>),
        (status = 202, description = "Admitted (`Prefer: respond-async`)", body = openapi::Admitted)))]
async fn notify(State(api): State<Api>, call: Call, body: Body) -> Result<Response> {
    let kind = match call.action() {
        "notifyCreate" => ChangeKind::Create,
        "notifyUpdate" => ChangeKind::Update,
        _ => ChangeKind::Delete,
    };
    let container = call.parameters().need("resourceContainer")?;
    let container: Container = container
        .trim_matches('/')
        .parse()
        .map_err(|error| Failure::new(404, format!("parameter `resourceContainer`: {error}")))?;
    let id = address::checked_id(call.parameters().need("resourceId")?)?.to_owned();
    let body = call.json(body, &api.settings.limits).await?;
    let text = body.text.clone();
    let mut values = body.object()?;
    let content = Value::Object(values.clone());
    let old = value(&mut values, "oldValue", kind != ChangeKind::Create)?;
    let new = value(&mut values, "newValue", kind != ChangeKind::Delete)?;
    let asked = Asked {
        container,
        requested: Requested::Notify { kind, id, old, new },
        method: "action",
        content,
        text,
    };
    change::carry_out(&api, &call, asked).await
}

/// List the mappings
///
/// In the order in which they are synchronized.
#[utoipa::path(get, path = "/sync/mappings", tag = "sync", operation_id = "queryMappings",
    params(QueryParameters),
    responses((status = 200, description = "Mappings in order", body = openapi::QueryResult)))]
async fn mappings(State(api): State<Api>, call: Call) -> Result<Response> {
    let query = call.parameters().query_or_all()?;
    let found = page::of_list(api.app.mappings(), &query);
    Ok(page::answered(&call, &query, found))
}

/// List queued changes
///
/// Changes that wait for mappings with `queuedSync`.
#[utoipa::path(get, path = "/sync/queue", tag = "sync", operation_id = "queryQueue",
    params(QueryParameters),
    responses((status = 200, description = "Queued changes", body = openapi::QueryResult)))]
async fn queue(State(api): State<Api>, call: Call) -> Result<Response> {
    let query = call.parameters().query_or_all()?;
    let found = api.app.queue(&query.search).await?;
    Ok(page::answered(&call, &query, found))
}

/// Takes one of the two records out of a notification.
fn value(values: &mut Object, name: &str, needed: bool) -> Result<Option<Object>> {
    match values.shift_remove(name) {
        Some(Value::Object(object)) => Ok(Some(object)),
        None | Some(Value::Null) if !needed => Ok(None),
        None | Some(Value::Null) => Err(Failure::bad(format!(
            "`{name}` is missing: this action needs it"
        ))),
        Some(other) => Err(Failure::bad(format!(
            "`{name}` must be an object, found {}",
            kind(&other)
        ))),
    }
}
