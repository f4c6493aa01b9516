//! Tables and texts for terminals: columns that line up, and short forms of values.
use comfy_table::{
    Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table as Grid, Width,
};
use serde_json::Value;

use super::output::{Colours, Output, Result, Tone};

/// A table without lines: a faint heading and columns two spaces apart.
pub struct Table {
    grid: Grid,
    colours: Colours,
}

impl Table {
    /// A table with these headings, as wide as the output's terminal.
    #[must_use]
    pub fn new(output: &Output, headings: &[&str]) -> Self {
        let mut grid = Grid::new();
        grid.load_style(comfy_table::presets::NOTHING);
        grid.set_content_arrangement(ContentArrangement::Disabled);
        if let Some(width) = output.width {
            grid.set_content_arrangement(ContentArrangement::Dynamic);
            grid.set_width(width);
        }
        match output.colours {
            Colours::Ansi => grid.enforce_styling(),
            Colours::Plain => grid.force_no_tty(),
        };
        let colours = output.colours;
        let cells = headings
            .iter()
            .map(|heading| cell(colours, Tone::Faint, heading));
        grid.set_header(cells.collect::<Vec<_>>());
        let mut table = Self { grid, colours };
        for index in 0..headings.len() {
            if let Some(column) = table.grid.column_mut(index) {
                column.set_padding((0, 2));
            }
        }
        table
    }

    /// Adds a row of texts with their tones.
    pub fn row(&mut self, cells: impl IntoIterator<Item = (Tone, String)>) {
        let colours = self.colours;
        let cells: Vec<Cell> = cells
            .into_iter()
            .map(|(tone, text)| cell(colours, tone, &text))
            .collect();
        self.grid.add_row(cells);
    }

    /// Keeps a column at least this wide, so that ids stay whole.
    pub fn at_least(&mut self, column: usize, width: u16) {
        if let Some(column) = self.grid.column_mut(column) {
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
        }
    }

    /// Prints the table, each line behind an indent.
    ///
    /// # Errors
    /// The writer's.
    pub fn print(mut self, output: &mut Output, indent: usize) -> Result<()> {
        if let Some(width) = output.width {
            let indent = u16::try_from(indent).unwrap_or_default();
            self.grid.set_width(width.saturating_sub(indent));
        }
        for line in self.grid.lines() {
            output.line(format!("{:indent$}{}", "", line.trim_end()))?;
        }
        Ok(())
    }
}

fn cell(colours: Colours, tone: Tone, text: &str) -> Cell {
    // A value that breaks lines would look like a row of its own.
    let cell = Cell::new(super::output::seen_in_cell(text));
    match (colours, tone) {
        (Colours::Plain, _) | (_, Tone::Normal) => cell,
        (_, Tone::Good) => cell.fg(Color::DarkGreen),
        (_, Tone::Warn) => cell.fg(Color::DarkYellow),
        (_, Tone::Bad) => cell.fg(Color::DarkRed),
        (_, Tone::Strong) => cell.add_attribute(Attribute::Bold),
        (_, Tone::Faint) => cell.add_attribute(Attribute::Dim),
    }
}

/// A value in few words: texts as they are, null as a dash, everything else as JSON.
#[must_use]
pub fn short(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "–".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The text at a JSON pointer, or an empty one.
#[must_use]
pub fn text_at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The list at a JSON pointer, or an empty one.
#[must_use]
pub fn list_at<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// A time as `2026-01-31 12:00:00`, from RFC 3339.
#[must_use]
pub fn time(text: &str) -> String {
    text.get(..19)
        .map_or_else(|| text.to_owned(), |time| time.replace('T', " "))
}

/// What differs between two objects, one text per attribute: `title: "old" → "new"`.
#[must_use]
pub fn differences(before: Option<&Value>, after: Option<&Value>) -> Vec<String> {
    let names = |value: Option<&Value>| -> Vec<String> {
        value
            .and_then(Value::as_object)
            .map(|object| object.keys().cloned().collect())
            .unwrap_or_default()
    };
    let mut all = names(before);
    for name in names(after) {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all.into_iter()
        .filter(|name| name != "_rev")
        .filter_map(|name| {
            let (old, new) = (member(before, &name), member(after, &name));
            (old != new).then(|| format!("{name}: {} → {}", short(old), short(new)))
        })
        .collect()
}

fn member<'a>(value: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    value
        .and_then(|value| value.get(name))
        .filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;
    use crate::cli::output::Form;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn columns_line_up_without_trailing_space() {
        let page = Page::default();
        let mut output = Output::to(Box::new(page.clone()), Form::Text);
        let mut table = Table::new(&output, &["name", "result"]);
        table.row([
            (Tone::Normal, "payroll".to_owned()),
            (Tone::Good, "ok".into()),
        ]);
        table.print(&mut output, 2).unwrap();
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "  name     result\n  payroll  ok\n");
    }

    #[test]
    fn differences_are_named() {
        let (before, after) = (
            json!({"_rev": "1", "a": 1, "b": "x"}),
            json!({"_rev": "2", "a": 2, "c": null}),
        );
        assert_eq!(
            differences(Some(&before), Some(&after)),
            ["a: 1 → 2", "b: x → –"]
        );
        assert_eq!(differences(None, Some(&json!({"a": 1}))), ["a: – → 1"]);
    }
}
