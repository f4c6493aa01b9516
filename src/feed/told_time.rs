//! When a record says that it was changed, in the ways in which systems say it. Pure.
use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::Value;

/// From which number on it counts milliseconds: as seconds it would be the year 5138.
const MILLISECONDS: u64 = 100_000_000_000;
/// Without a word about the zone it is UTC.
const PLAIN: [&str; 2] = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"];
/// The generalized time of directories.
const GENERALIZED: [&str; 2] = ["%Y%m%d%H%M%S%.fZ", "%Y%m%d%H%M%SZ"];

/// The time that a value tells; none where it cannot be read.
pub(super) fn told_time(value: &Value) -> Option<DateTime<Utc>> {
    if let Some(number) = value.as_i64() {
        return match number.unsigned_abs() {
            0..MILLISECONDS => DateTime::from_timestamp(number, 0),
            _ => DateTime::from_timestamp_millis(number),
        };
    }
    // An attribute of a directory may be a list of one.
    let value = match value {
        Value::Array(list) if list.len() == 1 => list.first()?,
        other => other,
    };
    let text = value.as_str()?.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.with_timezone(&Utc));
    }
    let mut forms = PLAIN.into_iter().chain(GENERALIZED);
    let time = forms.find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())?;
    Some(time.and_utc())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn systems_tell_times_in_their_ways() {
        let same = [
            json!("2026-01-31T12:00:00Z"),
            json!("2026-01-31T13:00:00+01:00"),
            json!("2026-01-31 12:00:00"),
            json!("2026-01-31T12:00:00.000"),
            json!("20260131120000Z"),
            json!("20260131120000.0Z"),
            json!(["20260131120000Z"]),
            json!(1_769_860_800),
            json!(1_769_860_800_000_i64),
        ];
        for value in same {
            let time = told_time(&value).unwrap_or_else(|| panic!("{value}"));
            assert_eq!(time.to_rfc3339(), "2026-01-31T12:00:00+00:00", "{value}");
        }
        for value in [
            json!("yesterday"),
            json!(""),
            json!(true),
            json!([]),
            json!(null),
        ] {
            assert_eq!(told_time(&value), None, "{value}");
        }
    }
}
