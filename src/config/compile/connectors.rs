//! From the files in conf/connectors to settings of target systems.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::name_problem;
use crate::{
    config::{problem::Problems, read::Document},
    connectors::Settings,
};

/// The target systems, and what mappings may name.
#[derive(Default)]
pub(crate) struct Connectors {
    /// Those without a problem.
    pub(crate) valid: BTreeMap<String, Settings>,
    /// Object classes of each, those with problems too; none where they cannot be known.
    pub(crate) classes: BTreeMap<String, Option<BTreeSet<String>>>,
}

impl Connectors {
    /// Takes a connector's file up; none: it cannot be read.
    pub(crate) fn add(
        &mut self,
        file: &str,
        document: Option<&Document>,
        folder: &std::path::Path,
        problems: &mut Problems,
    ) {
        let name = name_of(file);
        if let Some(message) = name_problem(name) {
            problems.error_at_line(
                file,
                1,
                format!("the file is named after its target: {message}"),
            );
        }
        let Some(document) = document else {
            self.classes.insert(name.to_owned(), None);
            return;
        };
        let classes = document.value.get("objects").and_then(Value::as_object);
        let classes = classes.map(|classes| classes.keys().cloned().collect());
        self.classes.insert(name.to_owned(), classes);
        let value = without_comments(&document.value);
        for warning in Settings::warnings(&value) {
            document.warning(problems, &warning.pointer, warning.message);
        }
        match Settings::parse(name, &value, folder) {
            Ok(settings) => {
                self.valid.insert(name.to_owned(), settings);
            }
            Err(found) => {
                for problem in found {
                    document.error(problems, &problem.pointer, problem.message);
                }
            }
        }
    }
}

/// The connector's name: that of its file.
fn name_of(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.strip_suffix(".json").unwrap_or(name)
}

/// The value without keys that are comments or name the schema for editors.
fn without_comments(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(key, _)| !crate::config::read::shape::is_comment(key))
            .map(|(key, inner)| (key.clone(), without_comments(inner)))
            .collect::<crate::model::Object>()
            .into(),
        Value::Array(items) => items.iter().map(without_comments).collect(),
        other => other.clone(),
    }
}
