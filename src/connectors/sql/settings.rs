//! What a connector's file says about a database, as written and as used.
use std::{collections::BTreeMap, path::Path};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::connectors::settings::{Problem, Secret, class_name_problems};

/// What a path in a URL cannot hold as it is.
const IN_PATH: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#');

/// As written in `conf/connectors/NAME.json`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Raw {
    /// `postgres://…`, `mysql://…` or `sqlite://PATH`; a path is relative to the project folder.
    url: Secret,
    /// Whether a SQLite file is switched to its write-ahead log, for good: readers and the writer then
    /// do not wait for each other. Without it a file that was there keeps the mode that it has.
    #[serde(default)]
    write_ahead_log: bool,
    /// The object classes by name.
    objects: BTreeMap<String, RawClass>,
}

/// One object class as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct RawClass {
    /// The table, or `SCHEMA.TABLE`.
    table: String,
    /// The column that identifies a row; it shows as `_id` only.
    key: String,
    /// The columns that Recant sees; all of them where this is left out.
    columns: Option<Vec<String>>,
    /// The column that tells when a row was last changed: a time, or a number that only grows. By it
    /// the table tells what changed.
    change_column: Option<String>,
    /// The column that says that a row counts as deleted: not null, not false, not 0.
    deleted_column: Option<String>,
    /// How long after its time a change may become visible, in seconds; for a number, by how much it
    /// may lag behind.
    #[serde(default = "default_overlap")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    overlap: f64,
    /// The table that has a row for each change of this one, deletions too, written by triggers for
    /// example. Beside `changeColumn` it may have rows for deletions only.
    changes: Option<RawLog>,
}

/// A table of changes as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct RawLog {
    /// The table, or `SCHEMA.TABLE`.
    table: String,
    /// The column that holds the key of the row that changed.
    key: String,
    /// The column by which changes are in order: a number that only grows, or a time; no two rows
    /// share it.
    order: String,
}

fn default_overlap() -> f64 {
    60.0
}

/// A database as it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Which product.
    pub dialect: Dialect,
    /// The full URL with credentials; for SQLite with a path that no longer depends on a folder.
    pub url: Secret,
    /// Host, port and database, or the file, for people.
    pub place: String,
    /// Whether a SQLite file is switched to its write-ahead log.
    pub write_ahead_log: bool,
    /// The object classes by name.
    pub classes: BTreeMap<String, Class>,
}

/// The products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// MariaDB and MySQL.
    MySql,
    /// SQLite.
    Sqlite,
}

/// One table as it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Class {
    /// The table's name, after its schema's where that was given.
    pub table: Vec<String>,
    /// The column that identifies a row.
    pub key: String,
    /// The columns that Recant sees, the key aside; none means all.
    pub columns: Option<Vec<String>>,
    /// The column that tells when a row was last changed.
    pub change_column: Option<String>,
    /// The column that says that a row counts as deleted.
    pub deleted_column: Option<String>,
    /// How long after its time a change may become visible, in seconds, or how far a number may lag.
    pub overlap: f64,
    /// The table that has a row for each change.
    pub changes: Option<Log>,
}

/// A table of changes as it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// The table's name, after its schema's where that was given.
    pub table: Vec<String>,
    /// The column that holds the key of the row that changed.
    pub key: String,
    /// The column by which changes are in order.
    pub order: String,
}

impl Settings {
    /// What was written, checked; `folder` is what a SQLite path is relative to.
    ///
    /// # Errors
    /// Every problem in it.
    pub fn validate(raw: Raw, folder: &Path) -> Result<Self, Vec<Problem>> {
        let mut problems = class_name_problems(raw.objects.keys());
        let mut classes = BTreeMap::new();
        for (name, class) in raw.objects {
            problems.extend(class_problems(&name, &class));
            classes.insert(name, Class::from(class));
        }
        let located = locate(raw.url.expose(), folder).map_err(|problem| problems.push(problem));
        match located {
            Ok((dialect, url, place)) if problems.is_empty() => Ok(Self {
                dialect,
                url,
                place,
                write_ahead_log: raw.write_ahead_log,
                classes,
            }),
            _ => Err(problems),
        }
    }
}

impl Class {
    /// The table's name as it was written.
    #[must_use]
    pub fn table_name(&self) -> String {
        self.table.join(".")
    }

    /// Whether the table tells what changed.
    #[must_use]
    pub fn tells_changes(&self) -> bool {
        self.change_column.is_some() || self.changes.is_some()
    }

    /// The table of changes as a class of its own: its rows go by their place in the order.
    #[must_use]
    pub fn log(&self) -> Option<Self> {
        let log = self.changes.as_ref()?;
        Some(Self {
            table: log.table.clone(),
            key: log.order.clone(),
            columns: Some(vec![log.key.clone()]),
            change_column: Some(log.order.clone()),
            deleted_column: None,
            overlap: self.overlap,
            changes: None,
        })
    }

    /// Whether Recant sees a column.
    #[must_use]
    pub fn sees(&self, column: &str) -> bool {
        column == self.key
            || self
                .columns
                .as_ref()
                .is_none_or(|columns| columns.iter().any(|name| name == column))
    }
}

impl From<RawClass> for Class {
    fn from(raw: RawClass) -> Self {
        Self {
            table: raw.table.split('.').map(str::to_owned).collect(),
            key: raw.key,
            columns: raw.columns,
            change_column: raw.change_column,
            deleted_column: raw.deleted_column,
            overlap: raw.overlap,
            changes: raw.changes.map(|log| Log {
                table: log.table.split('.').map(str::to_owned).collect(),
                key: log.key,
                order: log.order,
            }),
        }
    }
}

fn class_problems(name: &str, class: &RawClass) -> Vec<Problem> {
    let mut problems = Vec::new();
    let bad = |text: &str| text.is_empty() || text.contains('\0');
    if class.table.split('.').any(bad) || class.table.split('.').count() > 2 {
        let message = "expected TABLE or SCHEMA.TABLE";
        problems.push(Problem::of_class(name, "table", message));
    }
    if let Some(log) = &class.changes {
        if log.table.split('.').any(bad) || log.table.split('.').count() > 2 {
            let message = "expected TABLE or SCHEMA.TABLE";
            problems.push(Problem::of_class(name, "changes/table", message));
        }
        for (key, column) in [("changes/key", &log.key), ("changes/order", &log.order)] {
            if bad(column) {
                let message = "expected the name of a column of the table of changes";
                problems.push(Problem::of_class(name, key, message));
            }
        }
        if log.key == log.order {
            let message = "expected another column than `key`: many changes may be of one row";
            problems.push(Problem::of_class(name, "changes/order", message));
        }
    }
    if bad(&class.key) {
        let message = "expected the name of the column that identifies a row";
        problems.push(Problem::of_class(name, "key", message));
    }
    if class.columns.iter().flatten().any(|column| bad(column)) {
        let message = "expected names of columns";
        problems.push(Problem::of_class(name, "columns", message));
    }
    let by_change = [
        ("changeColumn", &class.change_column),
        ("deletedColumn", &class.deleted_column),
    ];
    for (key, column) in by_change {
        let is_seen = |column: &String| {
            class
                .columns
                .as_ref()
                .is_none_or(|all| all.contains(column))
        };
        if column.as_ref().is_some_and(|column| !is_seen(column)) {
            let message = "expected one of `columns`: Recant has to see it";
            problems.push(Problem::of_class(name, key, message));
        }
    }
    if class.deleted_column.is_some() && class.change_column.is_none() {
        let message = "expected `changeColumn` beside it: by that a deletion is found";
        problems.push(Problem::of_class(name, "deletedColumn", message));
    }
    problems
}

fn locate(text: &str, folder: &Path) -> Result<(Dialect, Secret, String), Problem> {
    let problem = |message: &str| Problem::new("/url", message);
    if let Some(rest) = text.strip_prefix("sqlite:") {
        return locate_file(rest, folder)
            .ok_or_else(|| problem("expected sqlite://PATH with the path of a file"));
    }
    let wrong = "expected postgres://USER:PASSWORD@HOST:PORT/DATABASE, mysql://… or sqlite://PATH";
    let url = Url::parse(text).map_err(|_| problem(wrong))?;
    let dialect = match url.scheme() {
        "postgres" | "postgresql" => Dialect::Postgres,
        "mysql" | "mariadb" => Dialect::MySql,
        _ => return Err(problem(wrong)),
    };
    if url.path().trim_matches('/').is_empty() {
        return Err(problem("name the database after the host: …/DATABASE"));
    }
    let place = format!(
        "{}{}{}",
        url.host_str().unwrap_or_default(),
        url.port()
            .map(|port| format!(":{port}"))
            .unwrap_or_default(),
        url.path()
    );
    Ok((dialect, Secret::new(text), place))
}

/// `rest` is what follows `sqlite:`; a relative path gets the folder in front. A database in memory
/// is none that two connections share, so it is no target.
fn locate_file(rest: &str, folder: &Path) -> Option<(Dialect, Secret, String)> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let (file, options) = path.split_once('?').unwrap_or((path, ""));
    let file = percent_decode_str(file).decode_utf8().ok()?;
    if file.is_empty() || file == ":memory:" || options.contains("mode=memory") {
        return None;
    }
    let place = folder.join(file.as_ref()).to_string_lossy().into_owned();
    // The driver decodes what it is given.
    let encoded = utf8_percent_encode(&place, IN_PATH);
    let url = match options {
        "" => format!("sqlite://{encoded}"),
        options => format!("sqlite://{encoded}?{options}"),
    };
    Some((Dialect::Sqlite, Secret::new(url), place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn validate(value: Value) -> Result<Settings, Vec<Problem>> {
        Settings::validate(
            serde_json::from_value(value).unwrap(),
            Path::new("/project"),
        )
    }

    #[test]
    fn a_relative_file_lies_in_the_project_folder() {
        for (written, place) in [
            ("sqlite://hr.db", "/project/hr.db"),
            ("sqlite:hr.db", "/project/hr.db"),
            ("sqlite:///srv/hr.db?mode=ro", "/srv/hr.db"),
        ] {
            let settings = validate(json!({"url": written, "objects": {
                "a": {"table": "t", "key": "id"}}}))
            .unwrap();
            assert_eq!(settings.place, place);
            assert!(
                settings
                    .url
                    .expose()
                    .starts_with(&format!("sqlite://{place}"))
            );
        }
    }

    #[test]
    fn a_folder_may_have_any_name_and_memory_is_no_place() {
        let validate_in = |folder: &str, url: &str| {
            let value = json!({"url": url, "objects": {"a": {"table": "t", "key": "id"}}});
            Settings::validate(serde_json::from_value(value).unwrap(), Path::new(folder))
        };
        let settings = validate_in("/50% ?/#1", "sqlite://a%20b.db").unwrap();
        assert_eq!(settings.place, "/50% ?/#1/a b.db");
        assert_eq!(settings.url.expose(), "sqlite:///50%25 %3F/%231/a b.db");
        for url in ["sqlite::memory:", "sqlite://", "sqlite://x?mode=memory"] {
            assert!(validate_in("/x", url).is_err(), "{url}");
        }
    }

    #[test]
    fn wrong_places_and_names_are_reported() {
        let problems = validate(json!({"url": "ftp://x/y", "objects": {
            "a/b": {"table": "x.y.z", "key": "", "changes": {
                "table": "", "key": "k", "order": "k"}}}}))
        .unwrap_err();
        let places: Vec<&str> = problems.iter().map(|it| it.pointer.as_str()).collect();
        assert_eq!(
            places,
            [
                "/objects/a~1b",
                "/objects/a~1b/table",
                "/objects/a~1b/changes/table",
                "/objects/a~1b/changes/order",
                "/objects/a~1b/key",
                "/url"
            ]
        );
    }

    #[test]
    fn the_place_holds_no_credentials() {
        let settings = validate(json!({"url": "mysql://me:hush@db:3306/hr", "objects": {
            "a": {"table": "s.t", "key": "id"}}}))
        .unwrap();
        assert_eq!(settings.place, "db:3306/hr");
        assert_eq!(settings.dialect, Dialect::MySql);
        assert_eq!(settings.classes["a"].table, ["s", "t"]);
    }
}
