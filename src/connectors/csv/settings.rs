//! What a connector's file says about a CSV file, as written and as used.
use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::connectors::settings::{Problem, class_name_problems};

/// As written in `conf/connectors/NAME.json`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Raw {
    /// The file, relative to the project folder.
    file: String,
    /// Whether a missing file is made with its first row: true: always; false: never, the target is
    /// unavailable until the file is there; left out: only where it has never been there.
    #[serde(default)]
    create_file: Option<bool>,
    /// What stands between two cells: one ASCII character, a comma where this is left out.
    #[serde(default = "comma")]
    delimiter: String,
    /// The one object class of the file, by name.
    objects: BTreeMap<String, RawClass>,
}

/// One object class as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct RawClass {
    /// The column that identifies a row; it shows as `_id` only.
    key: String,
    /// The columns of a file that Recant makes, besides the key; those that the mappings set where
    /// this is left out.
    #[serde(default)]
    #[schemars(length(min = 1))]
    columns: Option<Vec<String>>,
}

/// What is done about a file that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// The first row makes it where Recant has never seen it there; else somebody has moved it
    /// away, and the target is unavailable.
    #[default]
    MakeFirst,
    /// The first row makes it (`createFile: true`).
    Make,
    /// The target is unavailable (`createFile: false`).
    Wait,
}

/// A CSV file as it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The file.
    pub file: PathBuf,
    /// What stands between two cells.
    pub delimiter: u8,
    /// The object class' name.
    pub class: String,
    /// The column that identifies a row.
    pub key: String,
    /// What is done about a file that is missing.
    pub missing: Missing,
    /// The columns of a file that is made, besides the key; none: those of its first row.
    pub columns: Option<Vec<String>>,
}

fn comma() -> String {
    ",".to_owned()
}

impl Settings {
    /// What was written, checked; `folder` is what the file is relative to.
    ///
    /// # Errors
    /// Every problem in it.
    pub fn validate(raw: Raw, folder: &Path) -> Result<Self, Vec<Problem>> {
        let mut problems = class_name_problems(raw.objects.keys());
        if raw.file.is_empty() {
            problems.push(Problem::new("/file", "expected the path of a CSV file"));
        }
        if raw.objects.len() > 1 {
            problems.push(Problem::new(
                "/objects",
                "a CSV file holds one object class",
            ));
        }
        for (name, class) in &raw.objects {
            if class.key.is_empty() {
                let message = "expected the name of the column that identifies a row";
                problems.push(Problem::of_class(name, "key", message));
            }
            if let Some(message) = class.columns_problem() {
                problems.push(Problem::of_class(name, "columns", message));
            }
        }
        let delimiter = delimiter(&raw.delimiter);
        if delimiter.is_none() {
            let message = "expected one ASCII character that is no quote and no line break";
            problems.push(Problem::new("/delimiter", message));
        }
        match (delimiter, raw.objects.into_iter().next()) {
            (Some(delimiter), Some((class, RawClass { key, columns }))) if problems.is_empty() => {
                Ok(Self {
                    file: folder.join(raw.file),
                    delimiter,
                    class,
                    key,
                    missing: match raw.create_file {
                        None => Missing::MakeFirst,
                        Some(true) => Missing::Make,
                        Some(false) => Missing::Wait,
                    },
                    columns,
                })
            }
            _ => Err(problems),
        }
    }
}

impl RawClass {
    fn columns_problem(&self) -> Option<String> {
        let mut seen = HashSet::from([&self.key]);
        let twice = self
            .columns
            .iter()
            .flatten()
            .find(|name| !seen.insert(name))?;
        Some(if *twice == self.key {
            format!("`{twice}` is the key, which is a column already")
        } else {
            format!("the column `{twice}` stands here twice")
        })
    }
}

fn delimiter(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | 0) => Some(*byte),
        _ => None,
    }
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
    fn the_file_lies_in_the_project_folder() {
        let settings = validate(json!({"file": "b.csv", "delimiter": "\t",
            "objects": {"badge": {"key": "id"}}}))
        .unwrap();
        assert_eq!(settings.file, Path::new("/project/b.csv"));
        assert_eq!(settings.delimiter, b'\t');
    }

    #[test]
    fn every_problem_is_reported() {
        let problems = validate(json!({"file": "", "delimiter": "ab",
            "objects": {"a": {"key": ""}, "b": {"key": "id", "columns": ["x", "id"]}}}))
        .unwrap_err();
        let places: Vec<&str> = problems.iter().map(|it| it.pointer.as_str()).collect();
        assert_eq!(
            places,
            [
                "/file",
                "/objects",
                "/objects/a/key",
                "/objects/b/columns",
                "/delimiter"
            ]
        );
    }
}
