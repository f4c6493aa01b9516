//! `/audit`: the audit trail, to read, to take away and to verify.
use axum::{body::Body, extract::State, http::header::CONTENT_TYPE, response::Response};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    body::kind,
    call::Call,
    error::{Failure, Result},
    export::{self, Source},
    openapi::{
        self, ActionParameters, DestinationPath, EntryPath, ExportParameters, OperationPath,
        QueryParameters, TopicPath,
    },
    page,
};
use crate::{
    app::{Found, Handover, Proof, Trust},
    model::{
        Filter, Object,
        audit::{ChainedEntry, Topic},
        filter::Operator,
        object::ID,
        pointer::Pointer,
    },
};

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(query_all, act))
        .routes(routes!(query))
        .routes(routes!(read))
        .routes(routes!(explain))
        .routes(routes!(destinations))
        .routes(routes!(act_on_destination))
}

/// Query the whole audit trail
///
/// Entries of all topics, oldest first unless sorted otherwise.
#[utoipa::path(get, path = "/audit", tag = "audit", operation_id = "queryAudit",
    params(QueryParameters, ExportParameters),
    responses((status = 200, description = "One page of entries, or all of them as lines", content(
        (openapi::QueryResult = "application/json"),
        (String = "application/x-ndjson"),
        (String = "text/csv")))))]
async fn query_all(State(api): State<Api>, call: Call) -> Result<Response> {
    entries(&api, &call, None).await
}

/// Query the entries of a topic
///
/// Oldest first unless sorted otherwise. `Accept` or `_format` ask for JSON Lines or CSV: then every
/// entry that matches is sent, whatever their number.
#[utoipa::path(get, path = "/audit/{topic}", tag = "audit", operation_id = "queryTopic",
    params(TopicPath, QueryParameters, ExportParameters),
    responses((status = 200, description = "One page of entries, or all of them as lines", content(
        (openapi::QueryResult = "application/json"),
        (String = "application/x-ndjson"),
        (String = "text/csv")))))]
async fn query(State(api): State<Api>, call: Call) -> Result<Response> {
    let topic = topic(&call)?;
    entries(&api, &call, Some(topic)).await
}

/// Read an audit entry
#[utoipa::path(get, path = "/audit/{topic}/{id}", tag = "audit", operation_id = "readEntry",
    params(EntryPath),
    responses((status = 200, description = "The entry", body = openapi::AuditEntry)))]
async fn read(State(api): State<Api>, call: Call) -> Result<Response> {
    let topic = topic(&call)?;
    let id = call.segment(2)?;
    let mut search = call.parameters().query_or_all()?.search;
    search.filter = Filter::Compare {
        field: Pointer::attribute(ID),
        operator: Operator::Equal,
        value: id.into(),
    };
    let found = api.app.audit(Some(topic), &search).await?;
    match found.results.first() {
        Some(entry) => Ok(call.ok(&entry.to_value())),
        None => Err(Failure::new(404, format!("there is no entry `{id}`"))),
    }
}

/// Tell the story of a change
///
/// In plain sentences, from the audit entries alone: also of a change that the journal has forgotten.
/// A nested change is told of with the whole that it is a part of.
#[utoipa::path(get, path = "/audit/explain/{id}", tag = "audit", operation_id = "explain",
    params(OperationPath),
    responses((status = 200, description = "The story", body = openapi::Story)))]
async fn explain(State(api): State<Api>, call: Call) -> Result<Response> {
    if !call.veil().is_thin() {
        // It is told in sentences, in which nothing can be masked for certain.
        return Err(Failure::forbidden(
            "the story holds attributes that are not shown to you; read the entries instead",
        ));
    }
    let text = call.segment(2)?;
    let id = text
        .parse()
        .map_err(|_| Failure::new(404, format!("there is no operation `{text}`")))?;
    let story = api.app.explain(id).await?;
    Ok(call.ok(&serde_json::to_value(story).unwrap_or_default()))
}

/// Verify the audit trail
///
/// `_action=verify` walks the chain of digests from the first entry that is kept to the last. `broken`
/// names the first place where it does not hold, `unproven` what this walk could not show. A body may
/// bring public keys, whose signatures count then in place of the configured ones, and checkpoints that
/// were kept elsewhere, which count beside the configured file.
#[utoipa::path(post, path = "/audit", tag = "audit", operation_id = "verifyAudit",
    params(ActionParameters),
    request_body(content = Option<openapi::Proof>, content_type = "application/json"),
    responses((status = 200, description = "What the walk found", body = openapi::Verification)))]
async fn act(State(api): State<Api>, call: Call, body: Body) -> Result<Response> {
    let verification = if call.headers.contains_key(CONTENT_TYPE) {
        let asked = call.json(body, &api.settings.limits).await?.plain()?;
        match asked {
            Value::Null => api.app.verify_audit().await?,
            Value::Object(asked) => api.app.verify_audit_against(proof(&asked)?).await?,
            _ => return Err(Failure::bad("the body must be a JSON object")),
        }
    } else {
        api.app.verify_audit().await?
    };
    Ok(call.ok(&serde_json::to_value(verification).unwrap_or_default()))
}

/// What the chain is to agree with: `{publicKey, handovers, checkpoints}`.
fn proof(asked: &Object) -> Result<Proof> {
    let mut trust = match asked.get("publicKey") {
        None | Some(Value::Null) => Trust::default(),
        Some(key) => Trust::from_pems([key.as_str().unwrap_or_default()])
            .map_err(|error| Failure::bad(format!("/publicKey: {error}")))?,
    };
    let handovers: Vec<Handover> = match asked.get("handovers") {
        None | Some(Value::Null) => Vec::new(),
        Some(list) => serde_json::from_value(list.clone())
            .map_err(|error| Failure::bad(format!("/handovers: {error}")))?,
    };
    for (index, handover) in handovers.iter().enumerate() {
        trust
            .accept(handover)
            .map_err(|error| Failure::bad(format!("/handovers/{index}: {error}")))?;
    }
    let outside = match asked.get("checkpoints") {
        None | Some(Value::Null) => Vec::new(),
        Some(list) => serde_json::from_value(list.clone())
            .map_err(|error| Failure::bad(format!("/checkpoints: {error}")))?,
    };
    Ok(Proof {
        trust,
        outside,
        from: None,
    })
}

/// List where else the trail goes
///
/// Each destination of `[audit.destinations]` with how far it is behind and why, and what it did not
/// take.
#[utoipa::path(get, path = "/audit/destinations", tag = "audit", operation_id = "auditDestinations",
    responses((status = 200, description = "The destinations", body = openapi::Destinations)))]
async fn destinations(State(api): State<Api>, call: Call) -> Result<Response> {
    let result = api.app.audit_destinations().await?;
    Ok(call.ok(&json!({"result": result})))
}

/// Send again what a destination did not take
///
/// `_action=resend` sends again what it refused, or took shortened: soon, and in their order.
/// `_action=giveUp` forgets what it did not take; the entries themselves stay. The body picks one entry:
/// `{"position": N}`; all of them if left out.
#[utoipa::path(post, path = "/audit/destinations/{name}", tag = "audit",
    operation_id = "actOnAuditDestination",
    params(DestinationPath, ActionParameters),
    request_body(content = Option<openapi::NotTakenAsk>, content_type = "application/json"),
    responses((status = 200, description = "How many", body = openapi::NotTakenDone)))]
async fn act_on_destination(State(api): State<Api>, call: Call, body: Body) -> Result<Response> {
    let asked = if call.headers.contains_key(CONTENT_TYPE) {
        call.json(body, &api.settings.limits).await?.plain()?
    } else {
        Value::Null
    };
    let position = match &asked {
        Value::Null => None,
        Value::Object(asked) => match asked.get("position") {
            None | Some(Value::Null) => None,
            Some(position) => Some(position.as_i64().ok_or_else(|| {
                let found = kind(position);
                Failure::bad(format!("`position` must be a whole number, found {found}"))
            })?),
        },
        _ => return Err(Failure::bad("the body must be a JSON object")),
    };
    let name = call.segment(2)?;
    let done = match call.action() {
        "giveUp" => api.app.give_up_audit(name, position, call.by()).await?,
        _ => api.app.resend_audit(name, position, call.by()).await?,
    };
    Ok(call.ok(&done))
}

async fn entries(api: &Api, call: &Call, topic: Option<Topic>) -> Result<Response> {
    let query = call.parameters().query_or_all()?;
    if let Some(format) = export::format(call)? {
        let source = Source::Audit(topic);
        return export::stream(api.app.clone(), call.veil(), source, query, format).await;
    }
    let found: Found<ChainedEntry> = api.app.audit(topic, &query.search).await?;
    let found: Found<Value> = page::values(found, |entry| entry.to_value());
    Ok(page::answered(call, &query, found))
}

fn topic(call: &Call) -> Result<Topic> {
    let word = call.segment(1)?;
    Topic::parse(word).ok_or_else(|| {
        let topics = Topic::ALL.map(Topic::as_str).join(", ");
        Failure::new(404, format!("there is no topic `{word}`, only {topics}"))
    })
}
