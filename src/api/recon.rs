//! `/recon`: reconciliations, what they found, and what an operator does about them.
use axum::{body::Body, extract::State, response::Response};
use chrono::DateTime;
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    Api, body,
    call::Call,
    error::{Failure, Result},
    export::{self, Source},
    openapi::{
        self, ActionParameters, ExportParameters, QueryParameters, ReconParameters, ReconPath,
        ReconStartParameters,
    },
    page,
    parameters::wrong,
};
use crate::model::{
    Object,
    recon::{Entry, Wanted},
};

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, start))
        .routes(routes!(syncs))
        .routes(routes!(read, act))
        .routes(routes!(entries))
}

/// List reconciliations
///
/// The latest ones, newest first. `mapping` names one mapping.
#[utoipa::path(get, path = "/recon", tag = "recon", operation_id = "listRecons",
    params(ReconParameters),
    responses((status = 200, description = "The reconciliations", body = openapi::Recons)))]
async fn list(State(api): State<Api>, call: Call) -> Result<Response> {
    let runs = api.app.recons(call.parameters().get("mapping")).await?;
    let runs: Vec<Value> = runs.iter().map(|run| run.to_value()).collect();
    Ok(call.ok(&json!({"reconciliations": runs})))
}

/// Start a reconciliation
///
/// `_action=recon` compares the whole of both sides, `_action=reconById` the record that `ids`
/// names. The body may override the mapping's settings for this run; `dryRun` reports only. With
/// `waitForCompletion=true` the answer comes when the run is over.
///
/// `_action=reset` moves back where partial syncs stand: of the mapping, `managed/TYPE`,
/// `system/CONNECTOR/CLASS` or `all` that the body's `scope` names, to the time `since`, or to the
/// beginning.
///
/// `_action=approveSync` lets the records go that the inbound class `system/CONNECTOR/CLASS`, which the
/// body's `scope` names, does not list any more: its `heldBack` tells how many.
#[utoipa::path(post, path = "/recon", tag = "recon", operation_id = "startRecon",
    params(ActionParameters, ReconParameters, ReconStartParameters),
    request_body(content = Option<openapi::ReconWanted>, content_type = "application/json"),
    responses((status = 200, description = "The reconciliation as it stands", body = openapi::Recon)))]
async fn start(State(api): State<Api>, call: Call, body: Body) -> Result<Response> {
    match call.action() {
        "reset" => return reset(&api, &call, body).await,
        "approveSync" => return approve_sync(&api, &call, body).await,
        _ => {}
    }
    let wanted = wanted(&api, &call, body).await?;
    let wait = flag(&call, "waitForCompletion")?.unwrap_or_default();
    let caller = call.caller().name.clone();
    let mut run = api
        .app
        .start_recon(wanted, &caller, call.transaction_id())
        .await?;
    if wait {
        run = api.app.wait_for_recon(run.id).await?;
    }
    Ok(call.ok(&run.to_value()))
}

/// Show where partial syncs stand
///
/// Of each mapping: `dataSyncedThrough`, its `syncVersion`, when its schedule fires next, and until
/// when it pauses because its runs fail.
#[utoipa::path(get, path = "/recon/syncs", tag = "recon", operation_id = "listSyncs",
    responses((status = 200, description = "Where they stand", body = openapi::Syncs)))]
async fn syncs(State(api): State<Api>, call: Call) -> Result<Response> {
    Ok(call.ok(&json!({"syncs": api.app.syncables().await?})))
}

/// Read a reconciliation
#[utoipa::path(get, path = "/recon/{id}", tag = "recon", operation_id = "readRecon",
    params(ReconPath),
    responses((status = 200, description = "The reconciliation as it stands", body = openapi::Recon)))]
async fn read(State(api): State<Api>, call: Call) -> Result<Response> {
    let run = api.app.recon(id(&call)?).await?;
    Ok(call.ok(&run.to_value()))
}

/// Cancel a reconciliation, or approve what it held back
///
/// `_action=cancel` stops it behind the records it is at. `_action=approve` carries out the
/// deletions that it held back because there were too many.
#[utoipa::path(post, path = "/recon/{id}", tag = "recon", operation_id = "actOnRecon",
    params(ReconPath, ActionParameters),
    responses((status = 200, description = "The reconciliation, or the word that it will stop",
        body = openapi::Recon)))]
async fn act(State(api): State<Api>, call: Call) -> Result<Response> {
    let id = id(&call)?;
    if call.action() == "cancel" {
        return Ok(call.ok(&api.app.cancel_recon(id, call.by()).await?));
    }
    let run = api.app.approve_recon(id, &call.caller().name).await?;
    Ok(call.ok(&run.to_value()))
}

/// Query what a reconciliation found
///
/// One entry for each record about which there is something to tell, in the order in which they
/// were met. `Accept` or `_format` ask for JSON Lines or CSV: then every entry that matches is sent.
#[utoipa::path(get, path = "/recon/{id}/entries", tag = "recon", operation_id = "queryReconEntries",
    params(ReconPath, QueryParameters, ExportParameters),
    responses((status = 200, description = "One page of entries, or all of them as lines", content(
        (openapi::QueryResult = "application/json"),
        (String = "application/x-ndjson"),
        (String = "text/csv")))))]
async fn entries(State(api): State<Api>, call: Call) -> Result<Response> {
    let id = id(&call)?;
    let query = call.parameters().query_or_all()?;
    if let Some(format) = export::format(&call)? {
        let app = api.app.clone();
        return export::stream(app, call.veil(), Source::Recon(id), query, format).await;
    }
    let found = api.app.recon_entries(id, &query.search).await?;
    let found = page::values(found, |entry: Entry| entry.to_value());
    Ok(page::answered(&call, &query, found))
}

/// What the body and the parameters ask for; parameters count more.
async fn wanted(api: &Api, call: &Call, body: Body) -> Result<Wanted> {
    let mut members = optional_object(api, call, body).await?;
    if let Some(mapping) = call.parameters().get("mapping") {
        members.insert("mapping".into(), json!(mapping));
    }
    if !members.contains_key("mapping") {
        return Err(Failure::bad("parameter `mapping` is missing"));
    }
    if let Some(dry) = flag(call, "dryRun")? {
        members.insert("dryRun".into(), json!(dry));
    }
    if call.action() == "reconById" {
        if let Some(id) = call.parameters().get("ids") {
            members.insert("ids".into(), json!([id]));
        }
        if !members.contains_key("ids") {
            return Err(Failure::bad("parameter `ids` is missing"));
        }
    }
    serde_json::from_value(Value::Object(members))
        .map_err(|error| Failure::bad(format!("the body cannot be read: {error}")))
}

async fn approve_sync(api: &Api, call: &Call, body: Body) -> Result<Response> {
    let asked = optional_object(api, call, body).await?;
    let Some(Value::String(scope)) = asked.get("scope") else {
        return Err(Failure::bad(
            "`scope` must be a text: system/CONNECTOR/CLASS",
        ));
    };
    let stands = api.app.approve_sync(scope, call.by()).await?;
    Ok(call.ok(&json!(stands)))
}

async fn reset(api: &Api, call: &Call, body: Body) -> Result<Response> {
    let asked = optional_object(api, call, body).await?;
    let text = |name: &str| match asked.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(other) => {
            let found = body::kind(other);
            Err(Failure::bad(format!(
                "`{name}` must be a text, found {found}"
            )))
        }
    };
    let scope = text("scope")?.ok_or_else(|| Failure::bad("`scope` is missing"))?;
    let since = text("since")?
        .map(|text| {
            DateTime::parse_from_rfc3339(text)
                .map(|at| at.to_utc())
                .map_err(|_| wrong("since", "a time such as 2026-01-31T00:00:00Z", text))
        })
        .transpose()?;
    let names = api.app.reset_syncs(scope, since, call.by()).await?;
    Ok(call.ok(&json!({"reset": names})))
}

/// The body as an object; an empty one where there is none.
async fn optional_object(api: &Api, call: &Call, body: Body) -> Result<Object> {
    let text = body::collect(&call.headers, body, &api.settings.limits).await?;
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(Object::new());
    }
    match body::parse(&text)? {
        Value::Object(members) => Ok(members),
        other => {
            let found = body::kind(&other);
            Err(Failure::bad(format!(
                "the body must be a JSON object, found {found}"
            )))
        }
    }
}

fn flag(call: &Call, name: &str) -> Result<Option<bool>> {
    match call.parameters().get(name) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => Err(wrong(name, "true or false", other)),
    }
}

fn id(call: &Call) -> Result<Uuid> {
    let text = call.segment(1)?;
    text.parse()
        .map_err(|_| Failure::new(404, format!("there is no reconciliation `{text}`")))
}
