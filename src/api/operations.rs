//! `/operations`: every change with its outcome, and what an operator does about a diverged one.
use axum::{body::Body, extract::State, response::Response};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    body::kind,
    call::Call,
    error::{Failure, Result, name_change},
    openapi::{self, ActionParameters, OperationPath, QueryParameters},
    page,
};
use crate::model::{OperationId, OperationRecord};

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(query))
        .routes(routes!(read, act))
}

/// Query changes
///
/// Newest first unless sorted otherwise. `!(outcome pr)` finds those that have not ended.
#[utoipa::path(get, path = "/operations", tag = "operations", operation_id = "queryOperations",
    params(QueryParameters),
    responses((status = 200, description = "One page of changes", body = openapi::QueryResult)))]
async fn query(State(api): State<Api>, call: Call) -> Result<Response> {
    let query = call.parameters().query_or_all()?;
    let found = api.app.operations(&query.search).await?;
    let found = page::values(found, |record: OperationRecord| record.to_value());
    Ok(page::answered(&call, &query, found))
}

/// Read a change
///
/// Who may only ask for changes sees those that it asked for itself.
#[utoipa::path(get, path = "/operations/{id}", tag = "operations", operation_id = "readOperation",
    params(OperationPath),
    responses((status = 200, description = "The change", body = openapi::Operation)))]
async fn read(State(api): State<Api>, call: Call) -> Result<Response> {
    let record = api.app.operation(id(&call)?).await?;
    if call.caller().reads_everything() || record.caller == call.caller().name {
        return Ok(call.ok(&record.to_value()));
    }
    Err(Failure::forbidden(format!(
        "`{}` may only see changes that it asked for",
        call.caller().name
    )))
}

/// Heal or resolve a diverged change
///
/// `_action=heal` retries the missing undo writes; 409 where targets still differ. `_action=resolve`
/// ends the divergence as it is, for a reason.
#[utoipa::path(post, path = "/operations/{id}", tag = "operations", operation_id = "actOnOperation",
    params(OperationPath, ActionParameters),
    request_body(content = Option<openapi::Resolution>, content_type = "application/json"),
    responses((status = 200, description = "The change as it is now", body = openapi::Operation)))]
async fn act(State(api): State<Api>, call: Call, body: Body) -> Result<Response> {
    let id = id(&call)?;
    let caller = call.caller().name.clone();
    let app = api.app.clone();
    let record = if call.action() == "resolve" {
        let body = call.json(body, &api.settings.limits).await?.object()?;
        let reason = match body.get("reason") {
            Some(Value::String(reason)) if !reason.trim().is_empty() => reason.clone(),
            None | Some(Value::Null | Value::String(_)) => {
                return Err(Failure::bad(
                    "`reason` is missing: say why the divergence may stay",
                ));
            }
            Some(other) => {
                let found = kind(other);
                return Err(Failure::bad(format!(
                    "`reason` must be a text, found {found}"
                )));
            }
        };
        tokio::spawn(async move { app.resolve(id, &reason, &caller).await }).await
    } else {
        tokio::spawn(async move { app.heal(id, &caller).await }).await
    };
    let record = record.map_err(|_| Failure::fault())??;
    let mut response = call.ok(&record.to_value());
    name_change(response.headers_mut(), record.id, record.outcome);
    Ok(response)
}

fn id(call: &Call) -> Result<OperationId> {
    let text = call.segment(1)?;
    text.parse().map_err(|_| {
        Failure::new(404, format!("there is no change `{text}`"))
            .detail(json!({"expected": "a UUID"}))
    })
}
