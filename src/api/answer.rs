//! Successful answers: JSON with the headers that go with it, and the selection of `_fields`.
use axum::{
    body::Body,
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, ETAG},
    },
    response::Response,
};
use serde_json::Value;

use crate::model::{
    Object,
    object::{ID, REV},
    pointer::Pointer,
};

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The caller wants line breaks and indentation (`_prettyPrint=true`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pretty;

/// A JSON answer.
pub(super) fn json(status: StatusCode, value: &Value, pretty: Option<Pretty>) -> Response {
    let mut response = Response::new(Body::from(rendered(value, pretty)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// The text of a JSON value.
pub(super) fn rendered(value: &Value, pretty: Option<Pretty>) -> Vec<u8> {
    let text = match pretty {
        Some(Pretty) => serde_json::to_vec_pretty(value),
        None => serde_json::to_vec(value),
    };
    text.unwrap_or_default()
}

/// Sets the `ETag` of an answer to a revision.
pub(super) fn tag(response: &mut Response, revision: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        response.headers_mut().insert(ETAG, value);
    }
}

/// The parts of an object that `_fields` asks for; all of it where it asks for nothing. `_id` and
/// `_rev` always stay.
pub(super) fn select(object: Object, fields: &[Pointer]) -> Object {
    if fields.is_empty() || fields.iter().any(Pointer::is_whole) {
        return object;
    }
    let mut selected = Object::new();
    for name in [ID, REV] {
        if let Some(value) = object.get(name) {
            selected.insert(name.to_owned(), value.clone());
        }
    }
    for field in fields {
        if field.get(&object).is_some() {
            place(&mut selected, &object, field.tokens());
        }
    }
    selected
}

/// Copies what stands at a place, with the objects around it. An element of a list brings the whole
/// list along: a list with holes would be read wrongly.
fn place(into: &mut Object, from: &Object, tokens: &[String]) {
    let Some((name, rest)) = tokens.split_first() else {
        return;
    };
    match from.get(name) {
        Some(Value::Object(members)) if !rest.is_empty() => {
            let inner = into
                .entry(name.clone())
                .or_insert_with(|| Value::Object(Object::new()));
            if let Value::Object(inner) = inner {
                place(inner, members, rest);
            }
        }
        Some(value) => {
            into.insert(name.clone(), value.clone());
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selected(fields: &[&str]) -> Value {
        let object =
            json!({"_id": "1", "_rev": "2", "name": {"first": "A", "last": "B"}, "tags": ["x"]});
        let fields: Vec<Pointer> = fields
            .iter()
            .map(|field| Pointer::parse(field).unwrap())
            .collect();
        let Value::Object(object) = object else {
            unreachable!()
        };
        Value::Object(select(object, &fields))
    }

    #[test]
    fn fields_are_selected_in_their_places() {
        assert_eq!(
            selected(&["/name/first", "missing"]),
            json!({"_id": "1", "_rev": "2", "name": {"first": "A"}})
        );
        assert_eq!(
            selected(&["name/first", "name/last", "tags"]),
            json!({"_id": "1", "_rev": "2", "name": {"first": "A", "last": "B"}, "tags": ["x"]})
        );
        assert_eq!(selected(&["name", "name/first"]), selected(&["name"]));
        assert_eq!(selected(&["tags/0"]), selected(&["tags"]));
        assert_eq!(selected(&["tags/7"]), json!({"_id": "1", "_rev": "2"}));
    }
}
