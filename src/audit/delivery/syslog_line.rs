//! One entry as a message of syslog (RFC 5424).
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::model::audit::{ChainedEntry, is_unruly};

/// The number of a private enterprise stands behind the name of structured data that is not the
/// standard's own; 32473 is the one for documentation (RFC 5612).
const DATA: &str = "recant@32473";
/// `informational`.
const INFO: u8 = 6;
/// `warning`.
const WARNING: u8 = 4;

/// The message: its header, the facts that receivers sort by, and the whole entry as JSON.
pub(super) fn line(entry: &ChainedEntry, app_name: &str, host: &str, facility: u8) -> String {
    let mut line = head(entry, app_name, host, facility);
    line.push_str(&ascii(&entry.to_line()));
    line
}

/// The message for a receiver that takes no long ones: the same without the entry's content.
pub(super) fn short_line(
    entry: &ChainedEntry,
    app_name: &str,
    host: &str,
    facility: u8,
    bytes: usize,
) -> String {
    let mut line = head(entry, app_name, host, facility);
    let short = json!({
        "_id": entry.entry.id,
        "position": entry.position,
        "topic": entry.entry.topic.as_str(),
        "digest": entry.digest,
        "shortened": true,
        "bytes": bytes,
    });
    line.push_str(&ascii(&short.to_string()));
    line
}

fn head(entry: &ChainedEntry, app_name: &str, host: &str, facility: u8) -> String {
    let value = entry.to_value();
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let severity = match text("status") {
        Some("FAILURE" | "UNKNOWN") => WARNING,
        _ => INFO,
    };
    let priority = u16::from(facility) * 8 + u16::from(severity);
    let mut line = format!(
        "<{priority}>1 {} {} {} {} {} [{DATA}",
        text("timestamp").unwrap_or("-"),
        word(host, 255),
        word(app_name, 48),
        std::process::id(),
        word(entry.entry.topic.as_str(), 32),
    );
    for name in [
        "operation",
        "transactionId",
        "eventName",
        "outcome",
        "userId",
        "digest",
    ] {
        if let Some(value) = text(name) {
            let _ = write!(line, " {name}=\"{}\"", escaped(value));
        }
    }
    let _ = write!(line, " position=\"{}\"] ", entry.position);
    line
}

/// JSON without a letter beyond ASCII: what is not ASCII would need a mark before it that receivers
/// of JSON stumble over (RFC 5424, 6.4).
fn ascii(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter.is_ascii() {
            ascii.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    ascii
}

/// A word of the header: visible ASCII without spaces, or `-`.
fn word(text: &str, most: usize) -> String {
    let word: String = text
        .chars()
        .filter(char::is_ascii_graphic)
        .take(most)
        .collect();
    if word.is_empty() {
        "-".to_owned()
    } else {
        word
    }
}

/// A value of structured data: at most so long, and without letters that end a line or move a cursor;
/// the entry itself has them, escaped.
fn escaped(text: &str) -> String {
    const LONGEST: usize = 255;
    let mut escaped = String::with_capacity(text.len().min(LONGEST));
    for letter in text.chars().take(LONGEST) {
        if matches!(letter, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(if is_unruly(letter) {
            '\u{fffd}'
        } else {
            letter
        });
    }
    escaped
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::model::audit::{AuditEntry, Topic};

    fn entry(body: Value) -> ChainedEntry {
        ChainedEntry {
            position: 7,
            entry: AuditEntry {
                id: Uuid::nil(),
                topic: Topic::Activity,
                timestamp: DateTime::UNIX_EPOCH,
                transaction_id: "t".into(),
                operation: None,
                body: body.as_object().cloned().unwrap(),
            },
            digest: "d".into(),
        }
    }

    #[test]
    fn no_value_ends_a_message_or_begins_another() {
        let hostile = "ann\n<13>1 - - - - - - root signed in\r\u{1b}[2K\u{85}é😀";
        let entry = entry(json!({"eventName": "change", "userId": hostile, "message": hostile}));
        let line = line(&entry, "recant", "host", 13);
        assert!(!line.chars().any(is_unruly), "{line:?}");
        let (_, json) = line.split_once("] ").unwrap();
        assert!(json.is_ascii(), "{json}");
        let read: Value = serde_json::from_str(json).unwrap();
        assert_eq!(read["userId"], hostile);
    }

    #[test]
    fn a_short_message_says_what_it_leaves_out() {
        let entry = entry(json!({"eventName": "change", "after": "x".repeat(100_000)}));
        let line = short_line(&entry, "recant", "host", 13, 100_123);
        assert!(line.len() < 2_000, "{}", line.len());
        let (_, json) = line.split_once("] ").unwrap();
        let read: Value = serde_json::from_str(json).unwrap();
        assert_eq!(
            (&read["shortened"], &read["bytes"]),
            (&json!(true), &json!(100_123))
        );
    }

    #[test]
    fn a_message_is_as_the_standard_wants_it() {
        let body = json!({"eventName": "change", "status": "FAILURE", "userId": "a\"]\\ b"});
        let entry = entry(body);
        let line = line(&entry, "re cant", "", 13);
        let process = std::process::id();
        let head = format!("<108>1 1970-01-01T00:00:00.000Z - recant {process} activity ");
        assert!(line.starts_with(&head), "{line}");
        let data = r#"[recant@32473 transactionId="t" eventName="change" userId="a\"\]\\ b" digest="d" position="7"] {"_id""#;
        assert!(line.contains(data), "{line}");
    }
}
