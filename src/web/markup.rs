//! Small pieces of pages: words for outcomes, times, durations, values. Everything is escaped here.
use std::fmt;

use askama::filters::HtmlSafe;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::Value;

use super::address;
use crate::model::{OperationRecord, Outcome, RowResult};

/// A piece of a page that is escaped already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Markup(String);

impl fmt::Display for Markup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl HtmlSafe for Markup {}

impl Markup {
    /// Takes text that is escaped already.
    pub(super) fn trusted(text: String) -> Self {
        Self(text)
    }
}

/// Text with the characters replaced that mean something in HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// A word in a colour that says how good it is. The colour never stands alone.
pub(super) fn badge(tone: &str, word: &str) -> Markup {
    Markup(format!(
        "<span class=\"badge {tone}\">{}</span>",
        escaped(word)
    ))
}

/// How a change ended.
pub(super) fn outcome(record: &OperationRecord) -> Markup {
    match record.outcome {
        None if record.waits_because.is_some() => badge("warn", "waits"),
        None => badge("run", "running"),
        Some(Outcome::Diverged) if record.resolution.is_some() => {
            let how = record
                .resolution
                .as_ref()
                .map_or("", |one| one.kind.as_str());
            badge("mild", &format!("diverged, {how}"))
        }
        Some(outcome) => badge(tone(outcome), outcome.as_str()),
    }
}

/// The colour of an outcome.
pub(super) fn tone(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Synced => "good",
        Outcome::Rejected => "mild",
        Outcome::Compensated => "warn",
        Outcome::Partial => "part",
        Outcome::Diverged => "bad",
    }
}

/// How a row of a change ended.
pub(super) fn result(result: Option<RowResult>) -> Markup {
    match result {
        None => badge("run", "not yet"),
        Some(RowResult::Successful) => badge("good", "done"),
        Some(RowResult::Failed) => badge("bad", "failed"),
        Some(RowResult::Skipped) => badge("mild", "skipped"),
        Some(RowResult::Unknown) => badge("bad", "unknown"),
    }
}

/// A moment, to the second, in UTC.
pub(super) fn time(at: DateTime<Utc>) -> Markup {
    let exact = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let shown = at.format("%Y-%m-%d %H:%M:%S");
    Markup(format!(
        "<time datetime=\"{exact}\" title=\"{exact}\">{shown}</time>"
    ))
}

/// A moment as fields of forms hold it (`datetime-local`, taken as UTC).
pub(super) fn moment_field(text: Option<&str>) -> Option<DateTime<Utc>> {
    let text = text?;
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
        .iter()
        .find_map(|form| {
            let naive = chrono::NaiveDateTime::parse_from_str(text, form).ok()?;
            Some(naive.and_utc())
        })
}

/// How long something took, in the unit that reads best.
pub(super) fn duration(taken: TimeDelta) -> String {
    milliseconds(taken.num_milliseconds())
}

/// Milliseconds in the unit that reads best.
#[expect(clippy::cast_precision_loss, reason = "durations are for people")]
pub(super) fn milliseconds(count: i64) -> String {
    match count {
        ..1_000 => format!("{count} ms"),
        1_000..60_000 => format!("{:.1} s", count as f64 / 1_000.0),
        60_000..3_600_000 => format!("{} min", count / 60_000),
        _ => format!("{:.1} h", count as f64 / 3_600_000.0),
    }
}

/// Microseconds in the unit that reads best.
pub(super) fn microseconds(count: u64) -> String {
    match count {
        1..1_000 => format!("{count} µs"),
        _ => milliseconds(i64::try_from(count / 1_000).unwrap_or(i64::MAX)),
    }
}

/// A count with spaces between thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push('\u{202f}');
        }
        shown.push(digit);
    }
    shown
}

/// What stands before the objects of queued changes: they wait in a lane of their own.
const QUEUED: &str = "managed/$queue:";

/// The name of an object, leading to its page where it has one.
pub(super) fn object(name: &str) -> Markup {
    if let Some((mapping, id)) = name
        .strip_prefix(QUEUED)
        .and_then(|rest| rest.split_once('/'))
    {
        return Markup(format!(
            "{} in the queue of {}",
            escaped(id),
            escaped(mapping)
        ));
    }
    match address::object(name) {
        Some(address) => Markup(format!(
            "<a href=\"{}\">{}</a>",
            escaped(&address),
            escaped(name)
        )),
        None => Markup(escaped(name)),
    }
}

/// A change's id, its last digits, leading to its page.
pub(super) fn change(id: crate::model::OperationId) -> Markup {
    let full = id.0.to_string();
    Markup(format!(
        "<a class=\"id\" href=\"{}\" title=\"{full}\">{}</a>",
        address::change(id),
        short(&full)
    ))
}

/// The end of an id or the beginning of a digest: enough to tell a few apart.
pub(super) fn short(id: &str) -> &str {
    match id.rsplit_once('-') {
        Some((_, end)) => end,
        None => id.get(..12).unwrap_or(id),
    }
}

/// What stands at a place in JSON; null where there is nothing.
pub(super) fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// A member of a JSON object; null where there is none.
pub(super) fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

/// The word that a value has in the API.
pub(super) fn word(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

/// A value as text: strings as they are, everything else as JSON; not more than `most` characters.
pub(super) fn value(value: &Value, most: usize) -> String {
    match value {
        Value::String(text) => cut(text, most),
        other => cut(&other.to_string(), most),
    }
}

/// At most so many characters, and how many are left out.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => {
            let left = text.chars().count() - most;
            format!(
                "{}… ({left} more characters)",
                text.get(..end).unwrap_or_default()
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_means_something_in_html_gets_through() {
        let text = "<a href='x' title=\"y\">&</a>";
        let safe = escaped(text);
        assert!(!safe.contains(['<', '>', '"', '\'']), "{safe}");
        assert_eq!(
            badge("good", "<b>").to_string(),
            "<span class=\"badge good\">&lt;b&gt;</span>"
        );
        assert!(
            object("managed/user/\"><script>")
                .to_string()
                .contains("&quot;&gt;&lt;script")
        );
    }

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(count(999), "999");
        assert_eq!(milliseconds(12), "12 ms");
        assert_eq!(microseconds(120), "120 µs");
        assert_eq!(microseconds(12_400), "12 ms");
        assert_eq!(milliseconds(1_250), "1.2 s");
        assert_eq!(milliseconds(120_000), "2 min");
        assert_eq!(cut("abcdef", 3), "abc… (3 more characters)");
        let at = moment_field(Some("2026-01-31T12:00")).unwrap();
        assert_eq!(at.to_rfc3339(), "2026-01-31T12:00:00+00:00");
        assert_eq!(moment_field(Some("yesterday")), None);
    }
}
