//! Between Recant's words and a REST service's: addresses, bodies, and what a status means.
use std::time::Duration;

use chrono::DateTime;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use super::settings::{Class, List, Paging};
use crate::{
    connectors::{Error, Update},
    model::{Difference, Object, TargetObject},
};

/// Everything but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How long the text of an error may be, in characters.
const LONGEST_MESSAGE: usize = 500;

/// How many objects Recant asks a list for at once. It does not follow the caller's page size, so
/// that the number of a page means the same in every call.
const LIST_SIZE: usize = 100;

/// What came back, as far as it matters.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The `ETag` header.
    pub etag: Option<String>,
    /// The `Location` header.
    pub location: Option<String>,
    /// The `Retry-After` header.
    pub retry_after: Option<String>,
    /// The `Date` header.
    pub date: Option<String>,
    /// The body; empty where it was lost on the way.
    pub body: Vec<u8>,
}

/// Whether a call changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// It only reads.
    Read,
    /// It writes.
    Write,
}

/// Where a page of a query begins: a place in a list of the service, and how many of the objects
/// there belong to earlier pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// How many objects to leave out.
    pub skip: usize,
    /// What the paging parameter gets; none asks for the first page.
    pub token: Option<String>,
}

/// The address of a collection.
pub fn collection(base: &str, class: &Class) -> String {
    format!("{base}{}", class.path)
}

/// The address of an object.
pub fn address(base: &str, class: &Class, id: &str) -> String {
    // Clients take `.` and `..` for steps through the path, even encoded (WHATWG URL, section 4.4);
    // such an id could only reach another resource.
    format!("{base}{}/{}", class.path, utf8_percent_encode(id, RESERVED))
}

/// Whether an id can stand in an address of its own.
pub fn is_addressable(id: &str) -> bool {
    !matches!(id, "" | "." | "..")
}

/// A whole object as a body, with its id where there is one, written without being copied.
pub struct Body<'a> {
    /// The member for the id.
    pub id_attribute: &'a str,
    /// The id.
    pub id: Option<&'a str>,
    /// The attributes.
    pub object: &'a Object,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let id = self.id.map(|id| (self.id_attribute, id));
        let mut members = serializer.serialize_map(None)?;
        if let Some((name, id)) = id {
            members.serialize_entry(name, id)?;
        }
        for (name, value) in self.object {
            if id.is_none() || name != self.id_attribute {
                members.serialize_entry(name, value)?;
            }
        }
        members.end()
    }
}

/// What changes, as a JSON Merge Patch (RFC 7396). A changed attribute that holds an object gets
/// null for every member that goes away.
pub fn merge_patch(update: &Update<'_>) -> Value {
    let before = &update.before.attributes;
    let difference = Difference::between(before, update.after);
    let mut patch = Object::new();
    for (name, value) in difference.set {
        let value = match before.get(&name) {
            Some(old) => nested_patch(old, value),
            None => value,
        };
        patch.insert(name, value);
    }
    patch.extend(
        difference
            .removed
            .into_iter()
            .map(|name| (name, Value::Null)),
    );
    Value::Object(patch)
}

fn nested_patch(old: &Value, new: Value) -> Value {
    match (old, new) {
        (Value::Object(old), Value::Object(mut new)) => {
            for (name, value) in &mut new {
                if let Some(old) = old.get(name) {
                    *value = nested_patch(old, value.take());
                }
            }
            for name in old.keys() {
                new.entry(name.as_str()).or_insert(Value::Null);
            }
            Value::Object(new)
        }
        (_, new) => new,
    }
}

/// An object out of a body: the attributes without the id.
pub fn object(class: &Class, body: &[u8]) -> Option<(Option<String>, Object)> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Some(split(class, object)),
        _ => None,
    }
}

fn split(class: &Class, mut object: Object) -> (Option<String>, Object) {
    let id = object
        .shift_remove(&class.id_attribute)
        .and_then(|id| match id {
            Value::String(id) => Some(id),
            Value::Number(id) => Some(id.to_string()),
            _ => None,
        });
    (id, object)
}

/// The attributes in the answer to a write, where it holds the whole object: every attribute that
/// was sent, that is.
pub fn attributes(sent: &Object, answered: Option<Object>) -> Option<Object> {
    answered.filter(|answered| {
        sent.iter()
            .all(|(name, value)| value.is_null() || answered.contains_key(name))
    })
}

/// The last segment of a `Location`, decoded.
pub fn last_segment(location: &str) -> Option<String> {
    let path = location.split(['?', '#']).next()?;
    let segment = path.trim_end_matches('/').rsplit('/').next()?;
    let decoded = percent_decode_str(segment).decode_utf8().ok()?;
    (!decoded.is_empty()).then(|| decoded.into_owned())
}

/// The objects in the answer to a list.
///
/// # Errors
/// Refused where there is no array, or an object in it has no id.
pub fn items(class: &Class, answer: &Value) -> Result<Vec<TargetObject>, Error> {
    let pointer = &class.list.items_pointer;
    let items = answer
        .pointer(pointer)
        .and_then(Value::as_array)
        .ok_or_else(|| Error::refused(502, no_array(pointer)))?;
    items.iter().map(|item| listed(class, item)).collect()
}

fn no_array(pointer: &str) -> String {
    if pointer.is_empty() {
        "the list is no JSON array: say where the objects are with `list.itemsPointer`".to_owned()
    } else {
        format!("the list has no array at `{pointer}` (`list.itemsPointer`)")
    }
}

fn listed(class: &Class, item: &Value) -> Result<TargetObject, Error> {
    let split = item.as_object().map(|item| split(class, item.clone()));
    match split {
        Some((Some(id), attributes)) => Ok(TargetObject {
            id,
            attributes,
            version: None,
        }),
        _ => Err(Error::refused(
            502,
            format!(
                "an object in the list has no id in `{}` (`idAttribute`)",
                class.id_attribute
            ),
        )),
    }
}

/// The query parameters that ask for the page that begins at a place.
pub fn parameters(list: &List, place: &Place) -> Vec<(String, String)> {
    let size = list
        .size_parameter
        .iter()
        .map(|name| (name.clone(), LIST_SIZE.to_string()));
    let page = match (&list.paging, &place.token) {
        (Paging::None, _) | (Paging::Cursor { .. }, None) => None,
        (Paging::Page { parameter, first }, token) => Some((
            parameter.clone(),
            token.clone().unwrap_or_else(|| first.to_string()),
        )),
        (Paging::Offset { parameter }, token) => Some((
            parameter.clone(),
            token.clone().unwrap_or_else(|| "0".to_owned()),
        )),
        (Paging::Cursor { parameter, .. }, Some(token)) => Some((parameter.clone(), token.clone())),
    };
    size.chain(page).collect()
}

/// Where the list goes on after a page with `count` objects; none after the last. A page of a
/// service may be shorter than what was asked for, so only an empty one ends a numbered list.
pub fn next_token(
    list: &List,
    token: Option<&str>,
    count: usize,
    answer: &Value,
) -> Option<String> {
    let number = |default: u64| token.map_or(Some(default), |token| token.parse().ok());
    match &list.paging {
        Paging::None => None,
        Paging::Page { first, .. } if count > 0 => Some((number(*first)? + 1).to_string()),
        Paging::Offset { .. } if count > 0 => {
            Some((number(0)? + u64::try_from(count).ok()?).to_string())
        }
        Paging::Page { .. } | Paging::Offset { .. } => None,
        Paging::Cursor { pointer, .. } => match answer.pointer(pointer)? {
            Value::String(next) if !next.is_empty() => Some(next.clone()),
            Value::Number(next) => Some(next.to_string()),
            _ => None,
        },
    }
}

impl Place {
    /// Where the first page begins.
    pub const START: Self = Self {
        skip: 0,
        token: None,
    };

    /// As a query's cursor.
    pub fn to_cursor(&self) -> String {
        match &self.token {
            Some(token) => format!("{}:{token}", self.skip),
            None => self.skip.to_string(),
        }
    }

    /// Out of a query's cursor.
    ///
    /// # Errors
    /// Refused where no connector of this kind made it.
    pub fn from_cursor(cursor: &str) -> Result<Self, Error> {
        let (skip, token) = match cursor.split_once(':') {
            Some((skip, token)) => (skip, Some(token.to_owned())),
            None => (cursor, None),
        };
        let skip = skip
            .parse()
            .map_err(|_| Error::refused(400, "this is no cursor of this query"))?;
        Ok(Self { skip, token })
    }
}

/// What an answer that is no success means (SPEC 1, Connectors).
pub fn failure(answer: &Answer, call: Call) -> Error {
    let status = answer.status;
    let message = message(answer);
    let error = match (status, call) {
        (425 | 429 | 503, _) => Error::unavailable(status, message),
        (408 | 500 | 502 | 504, Call::Read) => Error::unavailable(status, message),
        // A status below 200 or above 599 is no answer that HTTP knows.
        (408 | 500 | 502 | 504, Call::Write) => Error::unknown(status, message),
        (300..=399, _) => Error::refused(status, redirected(answer)),
        (400..=499 | 501, _) => Error::refused(status, message),
        (_, Call::Read) => Error::unavailable(status, message),
        (_, Call::Write) => Error::unknown(status, message),
    };
    error.after(retry_after(answer))
}

fn redirected(answer: &Answer) -> String {
    match &answer.location {
        Some(location) => format!(
            "the service redirects to `{}`, which Recant does not follow",
            location.split(['?', '#']).next().unwrap_or_default()
        ),
        None => format!(
            "the service redirects ({}), which Recant does not follow",
            answer.status
        ),
    }
}

/// Seconds, or a date (RFC 9110, section 10.2.3) as it stands to the answer's own `Date`, so that
/// the clocks of both sides need not agree.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let text = answer.retry_after.as_deref()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = DateTime::parse_from_rfc2822(text).ok()?;
    let now = DateTime::parse_from_rfc2822(answer.date.as_deref()?).ok()?;
    Some((then - now).to_std().unwrap_or_default())
}

/// What the service said: the text of its JSON, its plain text, or the name of the status.
fn message(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let said = match serde_json::from_slice::<Value>(&answer.body) {
        Ok(value) => text_in(&value),
        Err(_) if text.trim_start().starts_with('<') => None,
        Err(_) => Some(text.trim().to_owned()),
    };
    said.filter(|said| !said.is_empty())
        .map_or_else(|| status_text(answer.status), |said| bounded(&said))
}

fn text_in(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Array(items) => items.first().and_then(text_in),
        Value::Object(members) => [
            "message",
            "detail",
            "error_description",
            "error",
            "title",
            "reason",
            "errors",
        ]
        .iter()
        .find_map(|name| members.get(*name).and_then(text_in))
        .filter(|text| !text.is_empty()),
        _ => None,
    }
}

fn status_text(status: u16) -> String {
    let reason = reqwest::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason());
    match reason {
        Some(reason) => format!("the service answered {status} {reason}"),
        None => format!("the service answered {status}"),
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(LONGEST_MESSAGE).collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
