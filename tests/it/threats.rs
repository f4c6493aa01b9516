//! Holds the list of threats against the tests that it names.
use std::{fs, path::Path};

const LIST: &str = include_str!("../../src/threats.md");
/// Whom the list must speak of.
const CHAPTERS: [&str; 6] = [
    "Scripts",
    "Callers",
    "Targets",
    "Auditors",
    "Somebody with the database file",
    "Browsers",
];

#[test]
fn every_threat_names_a_test_that_exists() {
    let rows: Vec<&str> = LIST.lines().filter(|line| is_row(line)).collect();
    assert!(rows.len() > 40, "only {} threats", rows.len());
    let wrong: Vec<String> = rows.iter().filter_map(|row| complaint(row)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    for chapter in CHAPTERS {
        assert!(LIST.contains(&format!("\n## {chapter}\n")), "{chapter}");
    }
}

#[test]
fn a_row_without_its_test_is_seen() {
    let good = "| t | s | `tests/it/threats.rs: a_row_without_its_test_is_seen` |";
    assert_eq!(complaint(good), None);
    for bad in [
        "| t | s | |",
        "| t |  | `tests/it/threats.rs: a_row_without_its_test_is_seen` |",
        "| t | s | `tests/it/threats.rs: nothing` |",
        "| t | s | `tests/it/threats.rs: complaint` |",
        "| t | s | `tests/it/none.rs: x` |",
        "| t | s |",
    ] {
        assert!(complaint(bad).is_some(), "{bad}");
    }
}

fn is_row(line: &str) -> bool {
    line.starts_with("| ") && !line.starts_with("| threat ") && !line.starts_with("| --- ")
}

/// What is wrong with a row.
fn complaint(row: &str) -> Option<String> {
    let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
    let [threat, stops, shown] = cells.as_slice() else {
        return Some(format!("three cells are needed: {row}"));
    };
    if threat.is_empty() || stops.is_empty() {
        return Some(format!("something is left out: {row}"));
    }
    let named = shown.trim_matches('`').split_once(": ");
    match named {
        Some((file, test)) if is_test(file, test) => None,
        _ => Some(format!("there is no such test: {shown}")),
    }
}

/// Whether a file holds a test of this name.
fn is_test(file: &str, test: &str) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let Ok(text) = fs::read_to_string(path) else {
        return false;
    };
    let mut marked = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some(rest) = line
            .strip_prefix("async fn ")
            .or_else(|| line.strip_prefix("fn "))
        {
            let name = rest.split('(').next().unwrap_or_default();
            if marked && name == test {
                return true;
            }
            marked = false;
        }
    }
    false
}
