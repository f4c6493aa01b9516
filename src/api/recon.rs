//! `/recon`: reconciliations, what they found, and what an operator does about them.
use axum::{body::Body, extract::State, response::Response};
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
use crate::model::recon::{Entry, Mode, Wanted};

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, start))
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
/// `_action=recon` compares the whole of both sides, `_action=reconById` the records that `id`
/// names. The body may override the mapping's settings for this run; `dryRun` reports only. With
/// `waitForCompletion=true` the answer comes when the run is over.
#[utoipa::path(post, path = "/recon", tag = "recon", operation_id = "startRecon",
    params(ActionParameters, ReconParameters, ReconStartParameters),
    request_body(content = Option<openapi::ReconWanted>, content_type = "application/json"),
    responses((status = 200, description = "The reconciliation as it stands", body = openapi::Recon)))]
async fn start(State(api): State<Api>, call: Call, body: Body) -> Result<Response> {
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
        return Ok(call.ok(&api.app.cancel_recon(id).await?));
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
        return export::stream(api.app.clone(), Source::Recon(id), query, format).await;
    }
    let found = api.app.recon_entries(id, &query.search).await?;
    let found = page::values(found, |entry: Entry| entry.to_value());
    Ok(page::answered(&call, &query, found))
}

/// What the body and the parameters ask for; parameters count more.
async fn wanted(api: &Api, call: &Call, body: Body) -> Result<Wanted> {
    let text = body::collect(&call.headers, body, &api.settings.limits).await?;
    let mut asked = if text.iter().all(u8::is_ascii_whitespace) {
        json!({})
    } else {
        body::parse(&text)?
    };
    let Some(members) = asked.as_object_mut() else {
        let found = body::kind(&asked);
        return Err(Failure::bad(format!(
            "the body must be a JSON object, found {found}"
        )));
    };
    if let Some(mapping) = call.parameters().get("mapping") {
        members.insert("mapping".into(), json!(mapping));
    }
    if !members.contains_key("mapping") {
        return Err(Failure::bad("parameter `mapping` is missing"));
    }
    if let Some(dry) = flag(call, "dryRun")? {
        members.insert("dryRun".into(), json!(dry));
    }
    if let Some(mode) = call.parameters().get("mode") {
        let known = [Mode::Full, Mode::UpdatedAt].map(|mode| json!(mode));
        if !known.contains(&json!(mode)) {
            return Err(wrong("mode", "full or updatedAt", mode));
        }
        members.insert("mode".into(), json!(mode));
    }
    if call.action() == "reconById" {
        let id = call.parameters().get("id").or(call.parameters().get("ids"));
        if let Some(id) = id {
            members.insert("ids".into(), json!([id]));
        }
        if !members.contains_key("ids") {
            return Err(Failure::bad("parameter `id` is missing"));
        }
    }
    serde_json::from_value(asked)
        .map_err(|error| Failure::bad(format!("the body cannot be read: {error}")))
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
