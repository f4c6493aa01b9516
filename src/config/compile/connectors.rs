//! From the files in conf/connectors to settings of target systems.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use super::name_problem;
use crate::{
    config::{
        problem::Problems,
        read::{Document, shape},
    },
    connectors::{Kind, Settings},
    mapping::Mapping,
    model::{Container, object::ID},
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
        if let Some(schema) = schema_of(&value) {
            shape::unknown_keys(document, &schema, problems);
        }
        match Settings::parse(name, &value, folder) {
            Ok(settings) => {
                for caution in settings.cautions() {
                    document.warning(problems, &caution.pointer, caution.message);
                }
                self.valid.insert(name.to_owned(), settings);
            }
            Err(found) => {
                for problem in found {
                    document.error(problems, &problem.pointer, problem.message);
                }
            }
        }
    }

    /// Tells CSV files which columns the mappings set: what a file gets that Recant makes.
    pub(crate) fn note_columns(&mut self, mappings: &[Arc<Mapping>]) {
        for (name, settings) in &mut self.valid {
            let Kind::Csv(csv) = &mut settings.kind else {
                continue;
            };
            let target = Container::System {
                connector: name.clone(),
                class: csv.class.clone(),
            };
            let mapped = mappings
                .iter()
                .filter(|mapping| mapping.target == target)
                .flat_map(|mapping| &mapping.properties)
                .filter_map(|property| property.target.first())
                .filter(|column| *column != ID && *column != csv.key)
                .map(str::to_owned)
                .collect();
            csv.columns.get_or_insert(mapped);
        }
    }
}

/// The schema of the kind of connector that the file says it is.
fn schema_of(value: &Value) -> Option<Value> {
    let kind = value.get("type")?;
    let schema = Settings::json_schema();
    let branches = schema.get("allOf")?.as_array()?;
    let branch = branches
        .iter()
        .find(|branch| branch.pointer("/if/properties/type/const") == Some(kind))?;
    branch.get("then").cloned()
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
