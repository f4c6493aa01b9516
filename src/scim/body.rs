//! Request bodies: read within bounds.
use axum::{
    body::{Body, Bytes},
    http::{
        HeaderMap,
        header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    },
};
use futures::StreamExt;
use serde_json::Value;

use super::{
    Settings,
    error::{Failure, Result, ScimType},
};

/// Reads a body that must hold JSON.
pub(super) async fn json(
    headers: &HeaderMap,
    body: Body,
    settings: &Settings,
) -> Result<(Bytes, Value)> {
    check_type(headers)?;
    let text = collect(headers, body, settings).await?;
    let value = parse(&text)?;
    Ok((text, value))
}

fn check_type(headers: &HeaderMap) -> Result<()> {
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| encoding != "identity")
    {
        return Err(Failure::new(415, "bodies must not be compressed"));
    }
    let Some(header) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let text = header.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    let known = ["application/scim+json", "application/json"];
    match known
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known))
    {
        true => Ok(()),
        false => Err(Failure::new(
            415,
            "expected a body of type application/scim+json (or application/json)",
        )),
    }
}

async fn collect(headers: &HeaderMap, body: Body, settings: &Settings) -> Result<Bytes> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > settings.body_bytes) {
        return Err(too_large(settings));
    }
    let read = tokio::time::timeout(settings.request_time, drain(body, settings)).await;
    read.unwrap_or_else(|_| Err(Failure::new(408, "the body did not arrive in time")))
}

async fn drain(body: Body, settings: &Settings) -> Result<Bytes> {
    let mut chunks = body.into_data_stream();
    let mut text = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let broken = |_| Failure::bad(ScimType::InvalidSyntax, "the body broke off before its end");
        let chunk = chunk.map_err(broken)?;
        if text.len() + chunk.len() > settings.body_bytes {
            return Err(too_large(settings));
        }
        text.extend_from_slice(&chunk);
    }
    Ok(text.into())
}

fn too_large(settings: &Settings) -> Failure {
    let detail = format!("a body may have at most {} bytes", settings.body_bytes);
    Failure::new(413, detail)
}

/// Reads a JSON text.
fn parse(text: &[u8]) -> Result<Value> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(Failure::bad(
            ScimType::InvalidSyntax,
            "the body is empty, expected JSON",
        ));
    }
    crate::model::json::parse(text).map_err(|error| {
        Failure::bad(
            ScimType::InvalidSyntax,
            format!("the body is not JSON: {error}"),
        )
    })
}
