//! `/audit`: the audit trail, to read, to take away and to verify.
use axum::{extract::State, response::Response};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    call::Call,
    error::{Failure, Result},
    export::{self, Source},
    openapi::{self, ActionParameters, EntryPath, ExportParameters, QueryParameters, TopicPath},
    page,
};
use crate::{
    app::Found,
    model::{
        Filter,
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

/// Verify the audit trail
///
/// `_action=verify` walks the chain of digests from the first entry to the last. `broken` names the
/// first place where it does not hold.
#[utoipa::path(post, path = "/audit", tag = "audit", operation_id = "verifyAudit",
    params(ActionParameters),
    responses((status = 200, description = "What the walk found", body = openapi::Verification)))]
async fn act(State(api): State<Api>, call: Call) -> Result<Response> {
    let verification = api.app.verify_audit().await?;
    Ok(call.ok(&serde_json::to_value(verification).unwrap_or_default()))
}

async fn entries(api: &Api, call: &Call, topic: Option<Topic>) -> Result<Response> {
    let query = call.parameters().query_or_all()?;
    if let Some(format) = export::format(call)? {
        let source = Source::Audit(topic);
        return export::stream(api.app.clone(), source, query, format).await;
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
