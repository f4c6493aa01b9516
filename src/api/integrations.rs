//! `/integrations/CONNECTOR/events`: integration events, in and out.
use axum::{body::Body, extract::State, response::Response};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    Api,
    call::Call,
    error::{Failure, Result},
    openapi::{self, ActionParameters, IntegrationPath, QueryParameters, SystemPath},
    page,
};
use crate::{
    app::{Force, Posted},
    model::integration::rules::Request,
};

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(query, import))
        .routes(routes!(webhook))
        .routes(routes!(read, act))
}

/// Query integration events
///
/// Events from and to the external system of a connector, oldest first unless sorted otherwise;
/// `deadLetter` tells those that are not tried again.
#[utoipa::path(get, path = "/integrations/{connector}/events", tag = "events",
    operation_id = "queryIntegrationEvents",
    params(SystemPath, QueryParameters),
    responses((status = 200, description = "One page of events", body = openapi::QueryResult)))]
async fn query(State(api): State<Api>, call: Call) -> Result<Response> {
    let query = call.parameters().query_or_all()?;
    let found = api
        .app
        .integrations(call.segment(1)?, &query.search)
        .await?;
    Ok(page::answered(&call, &query, found))
}

/// Import an object class, or take events up again
///
/// `_action=import` brings in the records of `class` as the connector lists them, through the mapping
/// that leads from them. What is known is left out, unless `force` is true or `forceIds` lists it. The
/// import goes on though the caller does not wait.
///
/// `_action=retry` and `_action=cancel` do with every event that `_queryFilter` finds what they do with
/// one, and need no body: `moved` tells how many, `refused` how many are in a state that does not allow
/// it.
#[utoipa::path(post, path = "/integrations/{connector}/events", tag = "events",
    operation_id = "importRecords",
    params(SystemPath, ActionParameters, QueryParameters),
    request_body(content = Option<openapi::ImportWanted>, content_type = "application/json"),
    responses((status = 200, description = "What it came to", body = openapi::Imported)))]
async fn import(State(api): State<Api>, call: Call, body: Body) -> Result<Response> {
    let connector = call.segment(1)?;
    if let Some(request) = asked(call.action()) {
        let filter = call.parameters().query()?.search.filter;
        let done = api
            .app
            .move_integrations(connector, filter, request, call.by());
        return Ok(call.ok(&done.await?));
    }
    let body = call.json(body, &api.settings.limits).await?.object()?;
    let class = body.get("class").and_then(Value::as_str);
    let class = class.ok_or_else(|| Failure::bad("`class` must be a text"))?;
    let force = match (body.get("force"), body.get("forceIds")) {
        (Some(Value::Bool(true)), _) => Force::All,
        (None | Some(Value::Null | Value::Bool(false)), None | Some(Value::Null)) => Force::Nothing,
        (None | Some(Value::Null | Value::Bool(false)), Some(Value::Array(ids))) => {
            let ids: Option<_> = ids
                .iter()
                .map(|id| id.as_str().map(str::to_owned))
                .collect();
            Force::Ids(ids.ok_or_else(|| Failure::bad("`forceIds` must be a list of texts"))?)
        }
        (None | Some(Value::Null | Value::Bool(false)), _) => {
            return Err(Failure::bad("`forceIds` must be a list of texts"));
        }
        _ => return Err(Failure::bad("`force` must be true or false")),
    };
    let done = api.app.import_listed(connector, class, force, call.by());
    Ok(call.ok(&done.await?))
}

/// Read an integration event
#[utoipa::path(get, path = "/integrations/{connector}/events/{id}", tag = "events",
    operation_id = "readIntegrationEvent",
    params(IntegrationPath),
    responses((status = 200, description = "The event", body = openapi::IntegrationEvent)))]
async fn read(State(api): State<Api>, call: Call) -> Result<Response> {
    let event = api.app.integration(call.segment(1)?, id(&call)?).await?;
    Ok(call.ok(&event.to_value()))
}

/// Try an integration event again, or cancel it
///
/// `_action=retry` takes up what failed, was canceled or arrived while the integration was switched
/// off; `_action=cancel` ends what waits or failed. 409 where the event's state does not allow it.
#[utoipa::path(post, path = "/integrations/{connector}/events/{id}", tag = "events",
    operation_id = "actOnIntegrationEvent",
    params(IntegrationPath, ActionParameters),
    responses((status = 200, description = "The event as it is now", body = openapi::IntegrationEvent)))]
async fn act(State(api): State<Api>, call: Call) -> Result<Response> {
    let request = asked(call.action()).unwrap_or(Request::Retry);
    let (connector, id) = (call.segment(1)?, id(&call)?);
    let event = api
        .app
        .move_integration(connector, id, request, call.by())
        .await?;
    Ok(call.ok(&event.to_value()))
}

/// Receive a webhook
///
/// Needs no token but a signature that `conf/integrations.json` describes. The events are stored when
/// this answers, and carried out soon; a delivery that was received before is not stored again.
#[utoipa::path(post, path = "/integrations/{connector}/webhook", tag = "events",
    operation_id = "receiveWebhook",
    params(SystemPath),
    request_body(content = serde_json::Value, content_type = "application/json"),
    responses((status = 200, description = "What was stored", body = openapi::Receipt)))]
async fn webhook(State(api): State<Api>, call: Call, body: Body) -> Result<Response> {
    let body = call.json(body, &api.settings.limits).await?;
    let headers = call.headers.iter().filter_map(|(name, value)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    });
    let posted = Posted {
        headers: headers.collect(),
        text: body.text.to_vec(),
        transaction_id: call.transaction_id().to_owned(),
        body: body.plain()?,
    };
    let receipt = api.app.webhook(call.segment(1)?, posted).await?;
    Ok(call.ok(&receipt))
}

/// What an action asks of events that are there.
fn asked(action: &str) -> Option<Request> {
    match action {
        "cancel" => Some(Request::Cancel),
        "retry" => Some(Request::Retry),
        _ => None,
    }
}

fn id(call: &Call) -> Result<Uuid> {
    let text = call.segment(3)?;
    text.parse().map_err(|_| {
        Failure::new(404, format!("there is no event `{text}`"))
            .detail(json!({"expected": "a UUID"}))
    })
}
