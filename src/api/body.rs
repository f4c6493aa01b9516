//! Request bodies: read within bounds, parsed strictly, told apart by content type.
use axum::{
    body::{Body, Bytes},
    http::{
        HeaderMap,
        header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    },
};
use futures::StreamExt;
use serde_json::{Value, json};

use super::{
    Limits,
    error::{Failure, Result},
};
use crate::model::{Object, json, patch::Patch};

/// What a `Content-Type` says about a JSON body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MediaType {
    /// `application/json`, or none at all.
    Json,
    /// `application/json-patch+json` (RFC 6902).
    JsonPatch,
    /// `application/merge-patch+json` (RFC 7396).
    MergePatch,
}

/// A JSON body with its text.
#[derive(Debug, Clone)]
pub(super) struct JsonBody {
    /// As it was sent.
    pub(super) text: Bytes,
    /// What it holds.
    pub(super) value: Value,
    /// In which form.
    pub(super) media_type: MediaType,
}

impl JsonBody {
    /// Reads a body that must hold JSON.
    pub(super) async fn read(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Self> {
        let media_type = MediaType::of(headers)?;
        let text = collect(headers, body, limits).await?;
        let value = parse(&text)?;
        Ok(Self {
            text,
            value,
            media_type,
        })
    }

    /// The body as plain JSON; 415 where it says that it is a patch.
    pub(super) fn plain(self) -> Result<Value> {
        match self.media_type {
            MediaType::Json => Ok(self.value),
            MediaType::JsonPatch | MediaType::MergePatch => Err(unsupported("application/json")),
        }
    }

    /// The body as an object.
    pub(super) fn object(self) -> Result<Object> {
        match self.plain()? {
            Value::Object(object) => Ok(object),
            other => Err(Failure::bad(format!(
                "the body must be a JSON object, found {}",
                kind(&other)
            ))),
        }
    }

    /// The body as a patch in the form that its content type names.
    pub(super) fn patch(self) -> Result<Patch> {
        match self.media_type {
            MediaType::Json => Patch::parse_crest(&self.value),
            MediaType::JsonPatch => Patch::parse_json_patch(&self.value),
            MediaType::MergePatch => Patch::parse_merge(self.value),
        }
        .map_err(|error| Failure::bad(format!("the patch cannot be read: {error}")))
    }
}

impl MediaType {
    fn of(headers: &HeaderMap) -> Result<Self> {
        if let Some(encoding) = headers.get(CONTENT_ENCODING)
            && encoding != "identity"
        {
            return Err(Failure::new(415, "bodies must not be compressed"));
        }
        let Some(header) = headers.get(CONTENT_TYPE) else {
            return Ok(Self::Json);
        };
        let text = header.to_str().unwrap_or_default();
        let mut parts = text.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let foreign = parts.any(|parameter| {
            parameter.split_once('=').is_some_and(|(name, value)| {
                name.eq_ignore_ascii_case("charset")
                    && !value.trim_matches('"').eq_ignore_ascii_case("utf-8")
            })
        });
        match essence.as_str() {
            _ if foreign => Err(Failure::new(415, "bodies must be encoded in UTF-8")),
            "application/json" => Ok(Self::Json),
            "application/json-patch+json" => Ok(Self::JsonPatch),
            "application/merge-patch+json" => Ok(Self::MergePatch),
            _ => Err(unsupported(
                "application/json (for a patch also application/json-patch+json or application/merge-patch+json)",
            )),
        }
    }
}

fn unsupported(expected: &str) -> Failure {
    Failure::new(415, format!("expected a body of type {expected}"))
}

/// Reads a body to its end, within the limits on its size and time.
pub(super) async fn collect(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Bytes> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limits.body_bytes) {
        return Err(too_large(limits));
    }
    match tokio::time::timeout(limits.request_time, drain(body, limits)).await {
        Ok(text) => text,
        Err(_) => Err(Failure::new(408, "the body did not arrive in time")),
    }
}

async fn drain(body: Body, limits: &Limits) -> Result<Bytes> {
    let mut chunks = body.into_data_stream();
    let mut first = Bytes::new();
    let mut text = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Failure::bad("the body broke off before its end"))?;
        if first.len() + text.len() + chunk.len() > limits.body_bytes {
            return Err(too_large(limits));
        }
        if first.is_empty() && text.is_empty() {
            first = chunk;
        } else {
            if text.is_empty() {
                text.extend_from_slice(&std::mem::take(&mut first));
            }
            text.extend_from_slice(&chunk);
        }
    }
    Ok(if text.is_empty() { first } else { text.into() })
}

pub(super) fn too_large(limits: &Limits) -> Failure {
    Failure::new(
        413,
        format!("a body may have at most {} bytes", limits.body_bytes),
    )
}

/// Reads a JSON text; an object that names a member twice is refused, because readers disagree
/// about what it means.
pub(super) fn parse(text: &[u8]) -> Result<Value> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(Failure::bad("the body is empty, expected JSON"));
    }
    json::parse(text).map_err(|error| {
        Failure::bad(format!("the body is not JSON: {error}"))
            .detail(json!({"line": error.line(), "column": error.column()}))
    })
}

/// The kind of a JSON value in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: Limits = Limits {
        body_bytes: 16,
        request_time: Duration::from_secs(5),
        requests_per_second: None,
    };

    fn headers(content_type: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        headers
    }

    #[test]
    fn broken_texts_are_told_with_line_and_column() {
        for (text, line, column) in [
            ("{\"a\": 1,\n \"b\": }", 2, 7),
            ("{\"a\": 1} x", 1, 10),
            ("{\"a\": 1, \"a\": 2}", 1, 12),
            ("{\"a\": 1e999}", 1, 11),
            ("{\"a\": \"\\ud800\"}", 1, 14),
        ] {
            let failure = parse(text.as_bytes()).unwrap_err();
            assert_eq!(failure.code(), 400);
            let place = format!("line {line} column {column}");
            assert!(
                failure.message().contains(&place),
                "{text}: {}",
                failure.message()
            );
        }
        let deep = "[".repeat(100_000);
        assert!(
            parse(deep.as_bytes())
                .unwrap_err()
                .message()
                .contains("recursion")
        );
        assert!(parse(b"{\"a\": \"\xff\"}").is_err());
        assert!(parse(b" \n").unwrap_err().message().contains("empty"));
    }

    #[test]
    fn whole_texts_are_read_in_order() {
        let value = parse(br#"{"b": [1, -2, 1.5, null, true], "a": {"x": "y"}}"#).unwrap();
        assert_eq!(
            value.to_string(),
            r#"{"b":[1,-2,1.5,null,true],"a":{"x":"y"}}"#
        );
    }

    #[test]
    fn content_types_choose_the_form() {
        let of = |text: &str| MediaType::of(&headers(text)).map_err(|failure| failure.code());
        assert_eq!(of("application/json; charset=UTF-8"), Ok(MediaType::Json));
        assert_eq!(of("application/json-patch+json"), Ok(MediaType::JsonPatch));
        assert_eq!(
            of("Application/Merge-Patch+JSON"),
            Ok(MediaType::MergePatch)
        );
        assert_eq!(of("text/plain"), Err(415));
        assert_eq!(of("application/json; charset=latin1"), Err(415));
        assert_eq!(MediaType::of(&HeaderMap::new()).ok(), Some(MediaType::Json));
        let mut compressed = headers("application/json");
        compressed.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(MediaType::of(&compressed).is_err());
    }

    #[tokio::test]
    async fn bodies_are_bounded_in_size_and_time() {
        let none = HeaderMap::new();
        let fits = collect(&none, Body::from("0123456789abcdef"), &LIMITS).await;
        assert_eq!(fits.unwrap().len(), 16);
        let long = collect(&none, Body::from("0123456789abcdef0"), &LIMITS).await;
        assert_eq!(long.unwrap_err().code(), 413);
        let chunks = futures::stream::iter(["01234567"; 3].map(Ok::<_, std::io::Error>));
        let long = collect(&none, Body::from_stream(chunks), &LIMITS).await;
        assert_eq!(long.unwrap_err().code(), 413);
        let silent = Body::from_stream(futures::stream::pending::<std::io::Result<Bytes>>());
        let hasty = Limits {
            request_time: Duration::from_millis(1),
            ..LIMITS
        };
        let late = collect(&none, silent, &hasty).await;
        assert_eq!(late.unwrap_err().code(), 408);
    }
}
