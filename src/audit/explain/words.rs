//! Values, differences and times as sentences say them.
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::model::{
    Object,
    audit::is_unruly,
    object::{ID, REV},
    secret::MASK,
};

/// Most attributes that one sentence names.
const MOST: usize = 6;
/// Most characters of one value.
const LONGEST: usize = 60;

/// A sentence is one line, whatever names and messages in it hold: somebody could tell a sentence of
/// their own otherwise.
pub(super) fn of_one_line(text: String) -> String {
    if !text.chars().any(is_unruly) {
        return text;
    }
    let seen = |letter: char| match letter {
        '\n' | '\r' | '\t' => ' ',
        letter if is_unruly(letter) => char::REPLACEMENT_CHARACTER,
        letter => letter,
    };
    text.chars().map(seen).collect()
}

/// A time as people write it.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.format("%-d %B %Y at %H:%M:%S UTC").to_string()
}

/// How long something took; none where that is not worth a word.
pub(super) fn took(milliseconds: Option<u64>) -> String {
    match milliseconds {
        None => String::new(),
        Some(0) => " in less than a millisecond".to_owned(),
        Some(1) => " in 1 millisecond".to_owned(),
        Some(short @ 2..1_000) => format!(" in {short} milliseconds"),
        Some(long) => format!(" in {}.{} seconds", long / 1_000, long % 1_000 / 100),
    }
}

/// A value in a sentence.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) if text == MASK => "a hidden value".to_owned(),
        Value::String(text) => format!("\u{201c}{}\u{201d}", shortened(text)),
        other => shortened(&other.to_string()),
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let begin: String = text.chars().take(LONGEST).collect();
    format!("{begin}…")
}

/// The attributes of an object with their values: ` with name “Ann” and title “Engineer”`.
pub(super) fn contents(object: Option<&Object>) -> String {
    let shown = object.into_iter().flatten();
    let members: Vec<String> = shown
        .filter(|(name, value)| *name != ID && *name != REV && !value.is_null())
        .map(|(name, member)| format!("{name} {}", value(member)))
        .collect();
    if members.is_empty() {
        return String::new();
    }
    format!(" with {}", some_of(members))
}

/// What changed between two states, `hidden` naming attributes whose values are masked in both.
/// Empty where nothing is known to have changed.
pub(super) fn difference(
    before: Option<&Object>,
    after: Option<&Object>,
    hidden: &[String],
) -> String {
    let empty = Object::new();
    let (before, after) = (before.unwrap_or(&empty), after.unwrap_or(&empty));
    let mut parts = Vec::new();
    let names = after
        .keys()
        .chain(before.keys().filter(|name| !after.contains_key(*name)));
    for name in names.filter(|name| *name != ID && *name != REV) {
        let old = before.get(name).filter(|old| !old.is_null());
        let new = after.get(name).filter(|new| !new.is_null());
        parts.extend(match (old, new) {
            (old, new) if old == new && hidden.contains(name) => {
                Some(format!("{name} (its values are hidden)"))
            }
            (old, new) if old == new => None,
            (None, Some(new)) => Some(format!("{name} to {}", value(new))),
            (Some(old), None) => Some(format!("{name} from {} to nothing", value(old))),
            (Some(old), Some(new)) => Some(format!("{name} from {} to {}", value(old), value(new))),
            (None, None) => None,
        });
    }
    some_of(parts)
}

/// The first parts as a list in a sentence.
fn some_of(mut parts: Vec<String>) -> String {
    if parts.len() > MOST + 1 {
        let more = parts.len() - MOST;
        parts.truncate(MOST);
        parts.push(format!("{more} more attributes"));
    }
    listed(&parts)
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn listed(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `1 target`, `2 targets`.
pub(super) fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// A message without its final full stop, to stand inside a sentence.
pub(super) fn inside(message: &str) -> &str {
    message.trim().trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn differences_are_said_in_words() {
        let before = object(json!({"_rev": "1", "title": "Engineer", "phone": "1", "pin": "***"}));
        let after = object(json!({"_rev": "2", "title": "Director", "room": 7, "pin": "***"}));
        let said = difference(Some(&before), Some(&after), &["pin".into()]);
        assert_eq!(
            said,
            "title from “Engineer” to “Director”, room to 7, pin (its values are hidden) and phone \
             from “1” to nothing"
        );
        assert_eq!(difference(Some(&before), Some(&before), &[]), "");
    }

    #[test]
    fn contents_are_bounded() {
        let many: Object = (0..20)
            .map(|number| (format!("a{number}"), json!("x".repeat(100))))
            .collect();
        let said = contents(Some(&many));
        assert!(said.ends_with("and 14 more attributes"), "{said}");
        assert!(said.contains(&format!("“{}…”", "x".repeat(LONGEST))));
        assert_eq!(contents(Some(&object(json!({"_id": "1"})))), "");
    }

    #[test]
    fn times_read_well() {
        assert_eq!(took(Some(0)), " in less than a millisecond");
        assert_eq!(took(Some(1_540)), " in 1.5 seconds");
        assert_eq!(time(DateTime::UNIX_EPOCH), "1 January 1970 at 00:00:00 UTC");
    }
}
