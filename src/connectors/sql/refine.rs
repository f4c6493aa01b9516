//! Planned writes as a table holds them: the values in the form in which they read, as far as that
//! can be told without the database.
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::{DateTime, NaiveDateTime, Timelike as _};
use serde_json::Value;

use super::columns::{Cell, Class, Column, Table};
use crate::model::{Object, TargetWrite, object::Difference};

/// How a clock on some wall is written.
const WALL_CLOCKS: [&str; 2] = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];

/// The same write with values as they read once they are written. What does not fit stays as it is;
/// to write it is refused.
pub fn refined(table: &Table, write: TargetWrite) -> TargetWrite {
    match write {
        TargetWrite::Create { id, mut after } => {
            let names: Vec<String> = after.keys().cloned().collect();
            read_back(table, names, &mut after);
            TargetWrite::Create { id, after }
        }
        TargetWrite::Update {
            before,
            mut after,
            rename,
        } => {
            let change = Difference::between(&before.attributes, &after);
            let names = change.attributes().map(str::to_owned).collect();
            read_back(table, names, &mut after);
            let is_held = |name: &str| before.attributes.contains_key(name);
            after.retain(|name, value| !value.is_null() || is_held(name));
            TargetWrite::Update {
                before,
                after,
                rename,
            }
        }
        delete @ TargetWrite::Delete { .. } => delete,
    }
}

fn read_back(table: &Table, names: Vec<String>, object: &mut Object) {
    for name in names {
        if let (Some(column), Some(value)) = (table.column(&name), object.get_mut(&name))
            && let Some(read) = as_read(column, value)
        {
            *value = read;
        }
    }
}

/// A value as it reads from a column; none where that cannot be told, or is the value itself.
fn as_read(column: &Column, value: &Value) -> Option<Value> {
    match (column.class, value) {
        (Class::Moment, Value::String(text)) => moment(text),
        (Class::WallClock, Value::String(text)) => wall_clock(text),
        (Class::Binary, Value::String(text)) => {
            let bytes = BASE64_STANDARD.decode(text).ok()?;
            Some(Value::String(BASE64_STANDARD.encode(bytes)))
        }
        (Class::Single, Value::Number(number)) => {
            #[expect(clippy::cast_possible_truncation, reason = "what the column does")]
            let rounded = number.as_f64()? as f32;
            column.to_json(Cell::Single(rounded)).ok()?
        }
        (
            Class::Integer
            | Class::Bits
            | Class::Decimal
            | Class::Real
            | Class::Boolean
            | Class::Text
            | Class::Written
            | Class::Dynamic { boolean: true },
            Value::Bool(_) | Value::Number(_),
        )
        | (Class::Dynamic { boolean: false }, Value::Bool(_)) => {
            column.to_json(column.to_cell(value).ok()?).ok()?
        }
        (
            Class::Integer
            | Class::Bits
            | Class::Decimal
            | Class::Real
            | Class::Single
            | Class::Boolean,
            Value::String(text),
        ) => column.to_json(Cell::Text(text.trim().to_owned())).ok()?,
        _ => None,
    }
}

/// A moment in UTC; none where it is none, or finer than any database keeps it.
fn moment(text: &str) -> Option<Value> {
    let at = DateTime::parse_from_rfc3339(text).ok()?.naive_utc();
    Some(Value::String(format!("{}Z", clock(at)?)))
}

/// What the clock shows: that of UTC where a zone is told.
fn wall_clock(text: &str) -> Option<Value> {
    let told = DateTime::parse_from_rfc3339(text).map(|at| at.naive_utc());
    let forms = WALL_CLOCKS.into_iter();
    let mut forms = forms.filter_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let at = told.ok().or_else(|| forms.next())?;
    clock(at).map(Value::String)
}

fn clock(at: NaiveDateTime) -> Option<String> {
    if !at.nanosecond().is_multiple_of(1_000) || at.nanosecond() >= 1_000_000_000 {
        return None;
    }
    let text = at.format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
    let text = text.trim_end_matches('0').trim_end_matches('.');
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_planned_as_they_will_read() {
        for (class, given, read) in [
            (Class::Integer, json!("42"), Some(json!(42))),
            (Class::Integer, json!("a"), Some(json!("a"))),
            (Class::Decimal, json!("1234.50"), Some(json!(1234.5))),
            (Class::Real, json!("0.5"), Some(json!(0.5))),
            (
                Class::Single,
                json!(0.300_000_000_000_000_04),
                Some(json!(0.3)),
            ),
            (Class::Boolean, json!("t"), Some(json!(true))),
            (Class::Boolean, json!(1), Some(json!(true))),
            (Class::Text, json!(42), Some(json!("42"))),
            (Class::Text, json!("42"), None),
            (Class::Text, json!({"a": 1}), None),
            (
                Class::Moment,
                json!("2024-02-29T01:30:00.1250+02:00"),
                Some(json!("2024-02-28T23:30:00.125Z")),
            ),
            (
                Class::Moment,
                json!("2024-03-01T00:00:00Z"),
                Some(json!("2024-03-01T00:00:00Z")),
            ),
            (Class::Moment, json!("infinity"), None),
            (
                Class::WallClock,
                json!("2024-02-29 23:59:59"),
                Some(json!("2024-02-29T23:59:59")),
            ),
            (Class::Json, json!("42"), None),
            (
                Class::Dynamic { boolean: false },
                json!(true),
                Some(json!(1)),
            ),
        ] {
            let column = Column {
                name: "a".to_owned(),
                class,
                cast: String::new(),
                is_generated: false,
                is_unique: false,
            };
            assert_eq!(as_read(&column, &given), read, "{class:?} {given}");
        }
    }
}
