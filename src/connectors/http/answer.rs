//! What came back from a service over HTTP, and what it means.
use std::time::Duration;

use chrono::DateTime;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;

use crate::connectors::Error;

/// Everything but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How long the text of an error may be, in characters.
const LONGEST_MESSAGE: usize = 500;

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
    /// The `Link` headers, joined by commas.
    pub link: Option<String>,
    /// The body; empty where it was lost on the way.
    pub body: Vec<u8>,
    /// Whether the body, or the end of it, was lost on the way.
    pub body_lost: bool,
}

/// Whether a call changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// It only reads.
    Read,
    /// It writes.
    Write,
}

/// An id as a segment of an address.
pub fn segment(id: &str) -> String {
    utf8_percent_encode(id, RESERVED).to_string()
}

/// Whether an id can stand in an address of its own. Clients take `.` and `..` for steps through the
/// path, even encoded (WHATWG URL, section 4.4); such an id could only reach another resource.
pub fn is_addressable(id: &str) -> bool {
    !matches!(id, "" | "." | "..")
}

/// The last segment of a `Location`, decoded.
pub fn last_segment(location: &str) -> Option<String> {
    let path = location.split(['?', '#']).next()?;
    let segment = path.trim_end_matches('/').rsplit('/').next()?;
    let decoded = percent_decode_str(segment).decode_utf8().ok()?;
    (!decoded.is_empty()).then(|| decoded.into_owned())
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
        // See Other (RFC 9110, section 15.4.4) is the answer to a write that was carried out.
        (303, Call::Write) => Error::unknown(status, redirected(answer)),
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
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::CauseKind;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            body: body.as_bytes().to_vec(),
            ..Answer::default()
        }
    }

    #[test]
    fn a_location_names_the_id() {
        assert_eq!(
            last_segment("http://x/people/a%2Fb?c=d").as_deref(),
            Some("a/b")
        );
        assert_eq!(last_segment("/people/7/").as_deref(), Some("7"));
    }

    #[test]
    fn each_status_says_what_happened() {
        use CauseKind::{Refused, Unavailable, Unknown};
        for (status, write, read) in [
            (301, Refused, Refused),
            (303, Unknown, Refused),
            (400, Refused, Refused),
            (401, Refused, Refused),
            (404, Refused, Refused),
            (408, Unknown, Unavailable),
            (409, Refused, Refused),
            (412, Refused, Refused),
            (422, Refused, Refused),
            (425, Unavailable, Unavailable),
            (429, Unavailable, Unavailable),
            (500, Unknown, Unavailable),
            (501, Refused, Refused),
            (502, Unknown, Unavailable),
            (503, Unavailable, Unavailable),
            (504, Unknown, Unavailable),
            (507, Unknown, Unavailable),
        ] {
            let answer = answer(status, "");
            let failed = failure(&answer, Call::Write);
            assert_eq!(failed.kind, write, "{status} to a write");
            assert_eq!(failed.code, json!(status));
            assert_eq!(
                failure(&answer, Call::Read).kind,
                read,
                "{status} to a read"
            );
        }
    }

    #[test]
    fn the_text_of_an_error_is_what_the_service_said() {
        for (body, said) in [
            (r#"{"message": "no"}"#, "no"),
            (r#"{"error": {"detail": "deep"}}"#, "deep"),
            (r#"{"errors": [{"title": "first"}]}"#, "first"),
            (r#"{"title": "Bad", "detail": "worse"}"#, "worse"),
            (" plain ", "plain"),
            ("<html>page</html>", "the service answered 409 Conflict"),
            ("", "the service answered 409 Conflict"),
            (r#"{"code": 1}"#, "the service answered 409 Conflict"),
        ] {
            assert_eq!(failure(&answer(409, body), Call::Write).message, said);
        }
        let long = failure(&answer(400, &"é".repeat(2000)), Call::Write).message;
        assert_eq!(long.chars().count(), LONGEST_MESSAGE);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let mut busy = answer(503, "");
        busy.retry_after = Some("7".to_owned());
        assert_eq!(
            failure(&busy, Call::Write).retry_after,
            Some(Duration::from_secs(7))
        );
        busy.retry_after = Some("Sun, 06 Nov 1994 08:49:57 GMT".to_owned());
        assert_eq!(failure(&busy, Call::Write).retry_after, None);
        busy.date = Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned());
        assert_eq!(
            failure(&busy, Call::Write).retry_after,
            Some(Duration::from_secs(20))
        );
        busy.retry_after = Some("Sun, 06 Nov 1994 08:00:00 GMT".to_owned());
        assert_eq!(
            failure(&busy, Call::Write).retry_after,
            Some(Duration::ZERO)
        );
    }
}
