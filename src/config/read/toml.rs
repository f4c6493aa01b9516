//! Reads a TOML file into a document that knows the line of each value.
use std::collections::BTreeMap;

use serde_json::{Map, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::document::{Document, item, step};
use crate::config::problem::Problems;

/// The document in a TOML text, or none after its errors were reported.
pub(crate) fn parse(file: &str, text: &str, problems: &mut Problems) -> Option<Document> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        let message = error.message();
        problems.error_at_line(file, line, format!("is not TOML: {message}"));
    }
    if !errors.is_empty() {
        return None;
    }
    let mut lines = BTreeMap::from([(String::new(), 1)]);
    let value = object(table.get_ref(), "", text, &mut lines);
    Some(Document::new(file, value, Some(lines)))
}

fn object(
    table: &DeTable<'_>,
    pointer: &str,
    text: &str,
    lines: &mut BTreeMap<String, usize>,
) -> Value {
    let mut members = Map::new();
    for (key, entry) in table {
        let pointer = step(pointer, key.get_ref());
        lines.insert(pointer.clone(), line_of(text, key.span().start));
        members.insert(
            key.get_ref().clone().into_owned(),
            value(entry, &pointer, text, lines),
        );
    }
    Value::Object(members)
}

fn value(
    entry: &Spanned<DeValue<'_>>,
    pointer: &str,
    text: &str,
    lines: &mut BTreeMap<String, usize>,
) -> Value {
    match entry.get_ref() {
        DeValue::String(text) => Value::String(text.clone().into_owned()),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or_else(|_| Value::String(integer.as_str().to_owned()), Value::from),
        DeValue::Float(float) => float
            .as_str()
            .parse::<f64>()
            .map_or(Value::Null, Value::from),
        DeValue::Datetime(datetime) => Value::String(datetime.to_string()),
        DeValue::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, entry)| {
                let pointer = item(pointer, index);
                lines.insert(pointer.clone(), line_of(text, entry.span().start));
                value(entry, &pointer, text, lines)
            })
            .collect(),
        DeValue::Table(table) => object(table, pointer, text, lines),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
}
