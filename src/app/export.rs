//! Lists as JSON Lines and CSV, a part at a time.
use serde_json::Value;

/// The columns of an export of the audit trail. What an entry holds besides is in `other`, as JSON,
/// so that nothing is lost.
pub const AUDIT_COLUMNS: [&str; 27] = [
    "position",
    "_id",
    "timestamp",
    "topic",
    "transactionId",
    "operation",
    "parent",
    "eventName",
    "userId",
    "objectId",
    "action",
    "outcome",
    "status",
    "mapping",
    "linkQualifier",
    "situation",
    "sourceObjectId",
    "target",
    "targetObjectId",
    "result",
    "attempt",
    "durationMs",
    "script",
    "message",
    "before",
    "after",
    "digest",
];

/// What a formula begins with, for one program or another.
const FORMULA: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\n'];

/// The first line of a CSV export: the names of the columns.
#[must_use]
pub fn csv_head(columns: &[&str]) -> Vec<u8> {
    let names = columns.iter().copied().chain(["other"]).map(str::to_owned);
    csv_lines([names.collect()])
}

/// Values as lines of CSV (RFC 4180).
#[must_use]
pub fn csv(columns: &[&str], values: impl IntoIterator<Item = Value>) -> Vec<u8> {
    csv_lines(values.into_iter().map(|value| row(columns, value)))
}

/// Values as lines of JSON.
#[must_use]
pub fn json_lines(values: impl IntoIterator<Item = Value>) -> Vec<u8> {
    let mut text = Vec::new();
    for value in values {
        text.extend(value.to_string().into_bytes());
        text.push(b'\n');
    }
    text
}

fn row(columns: &[&str], entry: Value) -> Vec<String> {
    let Value::Object(mut entry) = entry else {
        return Vec::new();
    };
    let mut cells: Vec<String> = columns
        .iter()
        .map(|name| entry.shift_remove(*name).map_or_else(String::new, cell))
        .collect();
    cells.push(if entry.is_empty() {
        String::new()
    } else {
        Value::Object(entry).to_string()
    });
    cells
}

/// A value as a cell of CSV. A text that a table program would take for a formula gets a quote before
/// it; numbers stay numbers.
#[must_use]
pub fn cell(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.starts_with(FORMULA) => format!("'{text}"),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn csv_lines(rows: impl IntoIterator<Item = Vec<String>>) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    for row in rows {
        // Writing to memory does not fail, and all rows have the same length.
        let _ = writer.write_record(row);
    }
    writer.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_keeps_everything_and_quotes_what_needs_it() {
        let entry = json!({"position": 1, "_id": "a", "message": "x, \"y\"\nz",
            "before": {"a": 1}, "own": true});
        let text = String::from_utf8(csv(&AUDIT_COLUMNS, [entry])).unwrap();
        assert!(text.starts_with("1,a,,"), "{text}");
        assert!(
            text.contains("\"x, \"\"y\"\"\nz\",\"{\"\"a\"\":1}\",,"),
            "{text}"
        );
        assert!(text.ends_with("\"{\"\"own\"\":true}\"\r\n"), "{text}");
        assert!(csv_head(&["a"]).starts_with(b"a,other\r\n"));
    }

    #[test]
    fn no_cell_is_a_formula_and_json_lines_stay_exact() {
        for text in ["=1+1", "+1", "-1", "@sum(a1)", "\t=1", "\r=1", "\n=1"] {
            let entry = json!({"message": text, "userId": text, "position": -1});
            let lines = String::from_utf8(csv(&["message", "position"], [entry.clone()])).unwrap();
            let mut rows = ::csv::ReaderBuilder::new()
                .has_headers(false)
                .from_reader(lines.as_bytes());
            let row = rows.records().next().unwrap().unwrap();
            assert_eq!(&row[0], format!("'{text}"));
            assert_eq!(&row[1], "-1", "a number is no formula");
            assert!(row[2].starts_with('{'), "{row:?}");
            let line = json_lines([entry.clone()]);
            assert_eq!(serde_json::from_slice::<Value>(&line).unwrap(), entry);
        }
        assert_eq!(cell(json!("a=1")), "a=1");
    }

    #[test]
    fn json_lines_are_lines() {
        let text = json_lines([json!({"_id": "1", "m": "a\nb"}), json!({"_id": "2"})]);
        assert_eq!(
            &text[..],
            b"{\"_id\":\"1\",\"m\":\"a\\nb\"}\n{\"_id\":\"2\"}\n"
        );
    }
}
