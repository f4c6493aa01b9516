//! One entry as a message of syslog (RFC 5424).
use std::fmt::Write as _;

use serde_json::Value;

use crate::model::audit::ChainedEntry;

/// The number of a private enterprise stands behind the name of structured data that is not the
/// standard's own; 32473 is the one for documentation (RFC 5612).
const DATA: &str = "recant@32473";
/// `informational`.
const INFO: u8 = 6;
/// `warning`.
const WARNING: u8 = 4;

/// The message: its header, the facts that receivers sort by, and the whole entry as JSON.
pub(super) fn line(entry: &ChainedEntry, app_name: &str, host: &str, facility: u8) -> String {
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
    line.push_str(&value.to_string());
    line
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

/// A value of structured data.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::model::audit::{AuditEntry, Topic};

    #[test]
    fn a_message_is_as_the_standard_wants_it() {
        let body = json!({"eventName": "change", "status": "FAILURE", "userId": "a\"]\\ b"});
        let entry = ChainedEntry {
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
        };
        let line = line(&entry, "re cant", "", 13);
        let process = std::process::id();
        let head = format!("<108>1 1970-01-01T00:00:00.000Z - recant {process} activity ");
        assert!(line.starts_with(&head), "{line}");
        let data = r#"[recant@32473 transactionId="t" eventName="change" userId="a\"\]\\ b" digest="d" position="7"] {"_id""#;
        assert!(line.contains(data), "{line}");
    }
}
