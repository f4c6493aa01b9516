//! Successful answers.
use axum::{
    body::Body,
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, ETAG, LOCATION},
    },
    response::Response,
};
use serde_json::{Value, json};

/// The media type of SCIM.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/scim+json");
/// The URN of lists.
const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// A JSON answer.
pub(super) fn json(status: StatusCode, value: &Value) -> Response {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// A resource with its version and address.
pub(super) fn resource(status: StatusCode, value: &Value) -> Response {
    let mut response = json(status, value);
    let said = |name: &str| value.get("meta")?.get(name)?.as_str();
    for (header, name) in [(ETAG, "version"), (LOCATION, "location")] {
        if let Some(Ok(text)) = said(name).map(HeaderValue::from_str) {
            response.headers_mut().insert(header, text);
        }
    }
    response
}

/// No content.
pub(super) fn nothing() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// What a query found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Listed {
    pub(super) resources: Vec<Value>,
    pub(super) total: u64,
    /// The index of the first one; none where pages are cut by cursor.
    pub(super) start: Option<usize>,
    pub(super) next_cursor: Option<String>,
}

impl Listed {
    /// All of a short list.
    pub(super) fn whole(resources: Vec<Value>) -> Self {
        Self {
            total: resources.len() as u64,
            resources,
            start: Some(1),
            next_cursor: None,
        }
    }

    /// The answer (RFC 7644, section 3.4.2; RFC 9865).
    pub(super) fn to_value(&self) -> Value {
        let mut body = json!({
            "schemas": [LIST],
            "totalResults": self.total,
            "itemsPerPage": self.resources.len(),
            "Resources": self.resources,
        });
        if let Some(members) = body.as_object_mut() {
            if let Some(start) = self.start {
                members.insert("startIndex".into(), start.into());
            }
            if let Some(cursor) = &self.next_cursor {
                members.insert("nextCursor".into(), cursor.as_str().into());
            }
        }
        body
    }
}

/// A revision as an entity tag. It is weak: the same revision may be shown with other attributes.
pub(super) fn tag(revision: &str) -> String {
    format!("W/\"{revision}\"")
}
