//! Columns: what their types hold, and how values go between JSON and a database without loss.
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use serde_json::{Number, Value};

use super::settings::Dialect;
use crate::connectors::Error;

/// A table as the database describes it, narrowed to what the settings show.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The product.
    pub dialect: Dialect,
    /// The table's name as people write it.
    pub name: String,
    /// The table's name as statements write it.
    pub quoted: String,
    /// The column that identifies a row.
    pub key: Column,
    /// The other columns, in the table's order.
    pub columns: Vec<Column>,
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub class: Class,
    /// The name of its type, where a statement needs it for a cast.
    pub cast: String,
    /// Whether the database computes it.
    pub is_generated: bool,
    /// Whether no two rows hold the same value.
    pub is_unique: bool,
}

/// What a column holds, as far as JSON and comparisons care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Text; compared by its characters, whatever the collation says.
    Text,
    /// Whole numbers.
    Integer,
    /// Bits, which MySQL takes and gives as a number.
    Bits,
    /// Decimal numbers.
    Decimal,
    /// Binary floating-point numbers of 64 bits.
    Real,
    /// Binary floating-point numbers of 32 bits.
    Single,
    /// Truth.
    Boolean,
    /// JSON.
    Json,
    /// A list whose elements JSON holds without loss.
    List,
    /// A list whose elements show as text.
    TextList,
    /// Bytes; base64 in JSON.
    Binary,
    /// A moment with its place in time; RFC 3339 in UTC in JSON.
    Moment,
    /// Date and time of a clock on some wall; RFC 3339 without zone in JSON.
    WallClock,
    /// Anything else that the database writes as text and reads back from it: dates, times,
    /// enumerations, network addresses, ranges…
    Written,
    /// SQLite: each value has a type of its own; `true` where the column is declared as truth.
    Dynamic {
        /// Whether 0 and 1 mean false and true.
        boolean: bool,
    },
}

/// A value on its way to the database, or from it.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// SQL's null.
    Null,
    /// Text.
    Text(String),
    /// Bytes; also text whose encoding the driver left to us.
    Bytes(Vec<u8>),
    /// A whole number.
    Integer(i64),
    /// A whole number that only fits without sign.
    Unsigned(u64),
    /// A floating-point number of 64 bits.
    Real(f64),
    /// A floating-point number of 32 bits.
    Single(f32),
}

impl Table {
    /// The column with this name, the key aside.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

impl Column {
    /// The value as JSON; none for null, which equals an absent attribute.
    ///
    /// # Errors
    /// Refused where the value is not of the column's type.
    pub fn to_json(&self, cell: Cell) -> Result<Option<Value>, Error> {
        if cell == Cell::Null {
            return Ok(None);
        }
        if let (Class::Dynamic { boolean }, cell) = (self.class, &cell) {
            return Ok(Some(dynamic(boolean, cell)));
        }
        if self.class == Class::Binary {
            return Ok(Some(Value::String(match cell {
                Cell::Bytes(bytes) => BASE64_STANDARD.encode(bytes),
                Cell::Text(text) => text.replace('\n', ""),
                _ => return Err(self.unreadable()),
            })));
        }
        let text = match cell {
            Cell::Text(text) => text,
            Cell::Bytes(bytes) => String::from_utf8(bytes).map_err(|_| self.unreadable())?,
            Cell::Real(number) => return Ok(Some(real(number))),
            Cell::Single(number) => return Ok(Some(from_text(&number.to_string()))),
            Cell::Integer(number) => return Ok(Some(number.into())),
            Cell::Unsigned(number) => return Ok(Some(number.into())),
            Cell::Null => return Ok(None),
        };
        self.text_to_json(text).map(Some)
    }

    fn text_to_json(&self, text: String) -> Result<Value, Error> {
        Ok(match self.class {
            Class::Integer | Class::Bits | Class::Decimal => exact(&text),
            Class::Real | Class::Single => from_text(&text),
            Class::Boolean => match text.as_str() {
                "true" | "t" | "1" => Value::Bool(true),
                "false" | "f" | "0" => Value::Bool(false),
                _ => exact(&text),
            },
            // SQLite keeps any text in a column that is declared as JSON.
            Class::Json => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            Class::List | Class::TextList => {
                serde_json::from_str(&text).map_err(|_| self.unreadable())?
            }
            Class::Moment => Value::String(moment(&text, "Z")),
            Class::WallClock => Value::String(moment(&text, "")),
            _ => Value::String(text),
        })
    }

    /// The JSON value for the database.
    ///
    /// # Errors
    /// Refused where the column cannot hold such a value.
    pub fn to_cell(&self, value: &Value) -> Result<Cell, Error> {
        match (self.class, value) {
            (_, Value::Null) => Ok(Cell::Null),
            (Class::Json, value) => Ok(Cell::Text(value.to_string())),
            (Class::List | Class::TextList, Value::Array(items)) => {
                list(items).map(Cell::Text).ok_or_else(|| self.unfit(value))
            }
            (Class::Boolean, Value::Bool(truth)) => Ok(Cell::Text(truth.to_string())),
            (Class::Dynamic { .. }, Value::Bool(truth)) => Ok(Cell::Integer(i64::from(*truth))),
            (Class::Dynamic { .. } | Class::Integer | Class::Bits, Value::Number(number)) => {
                Ok(numeric(number))
            }
            (Class::Real, Value::Number(number)) => Ok(number
                .as_f64()
                .map_or_else(|| Cell::Text(number.to_string()), Cell::Real)),
            (Class::Binary, Value::String(text)) => BASE64_STANDARD
                .decode(text)
                .map(Cell::Bytes)
                .map_err(|_| self.unfit(value)),
            (Class::WallClock, Value::String(text)) => Ok(Cell::Text(without_zone(text))),
            (_, Value::String(text)) => Ok(Cell::Text(text.clone())),
            (_, Value::Bool(_) | Value::Number(_)) => Ok(Cell::Text(value.to_string())),
            (_, Value::Array(_) | Value::Object(_)) => Err(self.unfit(value)),
        }
    }

    fn unreadable(&self) -> Error {
        let message = format!(
            "column `{}` holds a value that is not of its type",
            self.name
        );
        Error::refused(422, message)
    }

    fn unfit(&self, value: &Value) -> Error {
        let kind = match value {
            Value::Array(_) => "list",
            Value::Object(_) => "object",
            _ => "text",
        };
        let message = format!("column `{}` cannot hold such a {kind}", self.name);
        Error::refused(422, message)
    }
}

/// What an id is as text.
pub fn id_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn dynamic(boolean: bool, cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(number @ (0 | 1)) if boolean => Value::Bool(*number == 1),
        Cell::Integer(number) => (*number).into(),
        Cell::Unsigned(number) => (*number).into(),
        Cell::Real(number) => real(*number),
        Cell::Single(number) => real(f64::from(*number)),
        Cell::Text(text) => Value::String(text.clone()),
        Cell::Bytes(bytes) => Value::String(BASE64_STANDARD.encode(bytes)),
    }
}

/// A finite number as JSON; JSON knows no other, they become text.
fn real(number: f64) -> Value {
    Number::from_f64(number).map_or_else(|| Value::String(number.to_string()), Value::Number)
}

fn from_text(text: &str) -> Value {
    if let Ok(number) = text.parse::<i64>() {
        return number.into();
    }
    let finite = text.parse::<f64>().ok().and_then(Number::from_f64);
    finite.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

/// A decimal number as a JSON number, or as text where a JSON number would lose digits.
fn exact(text: &str) -> Value {
    if let Ok(number) = text.parse::<i64>() {
        return number.into();
    }
    if let Ok(number) = text.parse::<u64>() {
        return number.into();
    }
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    match number {
        Some(number) if digits(&number.to_string()) == digits(text) => real(number),
        _ => Value::String(text.to_owned()),
    }
}

/// A plain decimal number without zeros that mean nothing: sign, whole part, fraction.
fn digits(text: &str) -> (bool, &str, &str) {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let (whole, fraction) = (
        whole.trim_start_matches('0'),
        fraction.trim_end_matches('0'),
    );
    (
        negative && !(whole.is_empty() && fraction.is_empty()),
        whole,
        fraction,
    )
}

fn numeric(number: &Number) -> Cell {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number below 2^53 fits"
    )]
    let whole = |number: f64| {
        (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then_some(number as i64)
    };
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(number), _, _) => Cell::Integer(number),
        (_, Some(number), _) => Cell::Unsigned(number),
        (_, _, Some(number)) => whole(number).map_or(Cell::Real(number), Cell::Integer),
        _ => Cell::Null,
    }
}

/// A PostgreSQL array literal; none where an element is a list or an object.
fn list(items: &[Value]) -> Option<String> {
    let mut text = String::from("{");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        match item {
            Value::Null => text.push_str("NULL"),
            Value::Bool(_) | Value::Number(_) => text.push_str(&item.to_string()),
            Value::String(item) => {
                text.push('"');
                text.push_str(&item.replace('\\', "\\\\").replace('"', "\\\""));
                text.push('"');
            }
            Value::Array(_) | Value::Object(_) => return None,
        }
    }
    text.push('}');
    Some(text)
}

/// `2024-01-31 08:05:06.120000+00` as RFC 3339, without zeros at the end of the fraction. What does
/// not look so (`infinity`, a year before Christ) stays as it is.
fn moment(text: &str, zone: &str) -> String {
    let plain = text.strip_suffix("+00").unwrap_or(text);
    let Some((date, time)) = plain.split_once(' ') else {
        return text.to_owned();
    };
    if !time
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b':' || byte == b'.')
    {
        return text.to_owned();
    }
    let time = match time.split_once('.') {
        Some((seconds, fraction)) => match fraction.trim_end_matches('0') {
            "" => seconds.to_owned(),
            fraction => format!("{seconds}.{fraction}"),
        },
        None => time.to_owned(),
    };
    format!("{date}T{time}{zone}")
}

/// A moment with a zone as UTC without one; anything else as it is.
fn without_zone(text: &str) -> String {
    match DateTime::parse_from_rfc3339(text) {
        Ok(moment) => moment
            .with_timezone(&Utc)
            .format("%Y-%m-%d %H:%M:%S%.f")
            .to_string(),
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn column(class: Class) -> Column {
        Column {
            name: "c".to_owned(),
            class,
            cast: String::new(),
            is_generated: false,
            is_unique: false,
        }
    }

    fn read(class: Class, text: &str) -> Value {
        let cell = Cell::Text(text.to_owned());
        column(class).to_json(cell).unwrap().unwrap()
    }

    #[test]
    fn a_number_is_a_json_number_only_where_no_digit_is_lost() {
        for (text, value) in [
            ("1.10", json!(1.1)),
            ("-0.50", json!(-0.5)),
            ("12", json!(12)),
            ("18446744073709551615", json!(u64::MAX)),
            (
                "12345678901234567890.123456789",
                json!("12345678901234567890.123456789"),
            ),
            ("0.1000000000000000055", json!("0.1000000000000000055")),
            ("NaN", json!("NaN")),
            ("0.00", json!(0.0)),
        ] {
            assert_eq!(read(Class::Decimal, text), value, "{text}");
        }
        assert_eq!(read(Class::Real, "1e+20"), json!(1e20));
        assert_eq!(read(Class::Real, "NaN"), json!("NaN"));
        let single = column(Class::Single).to_json(Cell::Single(1.1)).unwrap();
        assert_eq!(single, Some(json!(1.1)));
    }

    #[test]
    fn moments_read_as_rfc_3339() {
        for (class, text, value) in [
            (
                Class::Moment,
                "2024-01-31 08:05:06.120000+00",
                "2024-01-31T08:05:06.12Z",
            ),
            (Class::Moment, "2024-01-31 08:05:06", "2024-01-31T08:05:06Z"),
            (
                Class::WallClock,
                "2024-01-31 08:05:06.000000",
                "2024-01-31T08:05:06",
            ),
            (Class::Moment, "infinity", "infinity"),
            (
                Class::Moment,
                "0044-03-15 00:00:00+00 BC",
                "0044-03-15 00:00:00+00 BC",
            ),
        ] {
            assert_eq!(read(class, text), json!(value));
        }
        let wall = column(Class::WallClock).to_cell(&json!("2024-01-31T08:05:06+02:00"));
        assert_eq!(wall.unwrap(), Cell::Text("2024-01-31 06:05:06".to_owned()));
    }

    #[test]
    fn lists_become_array_literals() {
        let list = column(Class::List);
        let cell = list.to_cell(&json!(["a\"b", "c\\d", null, 1, "", "NULL"]));
        let text = r#"{"a\"b","c\\d",NULL,1,"","NULL"}"#;
        assert_eq!(cell.unwrap(), Cell::Text(text.to_owned()));
        assert!(list.to_cell(&json!([["x"]])).is_err());
    }

    #[test]
    fn what_a_column_cannot_hold_is_refused_by_name() {
        for (class, value) in [
            (Class::Text, json!({"a": 1})),
            (Class::Integer, json!([1])),
            (Class::Binary, json!("no base64!")),
            (Class::Dynamic { boolean: false }, json!([])),
        ] {
            let error = column(class).to_cell(&value).unwrap_err();
            assert!(error.message.contains("`c`"));
        }
    }

    #[test]
    fn sqlite_values_keep_their_own_types() {
        let truth = column(Class::Dynamic { boolean: true });
        assert_eq!(truth.to_json(Cell::Integer(1)).unwrap(), Some(json!(true)));
        assert_eq!(truth.to_json(Cell::Integer(2)).unwrap(), Some(json!(2)));
        let plain = column(Class::Dynamic { boolean: false });
        assert_eq!(plain.to_json(Cell::Integer(1)).unwrap(), Some(json!(1)));
        assert_eq!(
            plain.to_json(Cell::Bytes(vec![1, 2])).unwrap(),
            Some(json!("AQI="))
        );
        assert_eq!(plain.to_cell(&json!(2.0)).unwrap(), Cell::Integer(2));
        assert_eq!(plain.to_cell(&json!(2.5)).unwrap(), Cell::Real(2.5));
    }
}
