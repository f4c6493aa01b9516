//! From the files in conf/connectors to settings of target systems.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use serde_json::Value;

use super::{Context, name_problem, scripts::Owner};
use crate::{
    config::{
        problem::Problems,
        read::{Document, document::step, shape},
        written::script as written,
    },
    connectors::{
        Kind, Settings,
        shape::{Shape, Shaper, Shaping},
    },
    hooks::{Runtime, Script, Variable},
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
    /// The documents of those that name scripts, by name.
    pub(crate) scripted: Vec<(String, Document)>,
}

impl Connectors {
    /// Takes a connector's file up; none: it cannot be read.
    pub(crate) fn add(
        &mut self,
        file: &str,
        document: Option<Document>,
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
        let Some(document) = &document else {
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
                if names_scripts(&settings) {
                    self.scripted.push((name.to_owned(), document.clone()));
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

    /// Compiles the scripts that a connector names.
    pub(crate) fn compile_scripts(&mut self, name: &str, context: &mut Context<'_>) {
        let Some(Kind::Rest(rest)) = self.valid.get_mut(name).map(|it| &mut it.kind) else {
            return;
        };
        for (class, settings) in &mut rest.classes {
            let place = step("/objects", class);
            let hooks = [
                ("onRequest", &mut settings.on_request),
                ("onResponse", &mut settings.on_response),
            ];
            for (hook, shape) in hooks {
                if shape.is_wanted()
                    && let Some(shaping) = shaping(context, name, &step(&place, hook), hook)
                {
                    *shape = Shape::By(shaping);
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

fn names_scripts(settings: &Settings) -> bool {
    let Kind::Rest(rest) = &settings.kind else {
        return false;
    };
    let mut classes = rest.classes.values();
    classes.any(|class| class.on_request.is_wanted() || class.on_response.is_wanted())
}

fn shaping(context: &mut Context<'_>, name: &str, pointer: &str, hook: &str) -> Option<Shaping> {
    let value = context.document.value.pointer(pointer)?.clone();
    let written: written::Script = match serde_json::from_value(value) {
        Ok(written) => written,
        Err(error) => {
            context.error(pointer, error.to_string());
            return None;
        }
    };
    if written.kind.is_none() {
        context.error(pointer, "`type` is missing: expected `text/rhai`");
        return None;
    }
    let owner = Owner {
        kind: "connector",
        name: name.to_owned(),
    };
    let script = context.script(&written, pointer, &owner, hook)?;
    let globals = serde_json::to_string(&*script.globals).unwrap_or_default();
    let digest = format!("{}{globals}", script.digest);
    let runtime = context.scripts.runtime().clone();
    Some(Shaping::new(digest, Arc::new(ByScript { runtime, script })))
}

/// A script that shapes: it gets a value and gives one, and nothing else comes of it.
#[derive(Debug)]
struct ByScript {
    runtime: Runtime,
    script: Script,
}

#[async_trait]
impl Shaper for ByScript {
    async fn shape(&self, operation: &'static str, value: Value) -> Result<Value, String> {
        let variables = vec![
            ("object", Variable::Mutable(vec!["object"], value)),
            ("operation", Variable::Constant(operation.into())),
        ];
        let mut run = self.runtime.run(&self.script, variables, None).await;
        let result = run.result.map_err(|failure| failure.to_string())?;
        if run.verdict.revert || !run.verdict.follow_ups.is_empty() {
            let name = &self.script.name;
            return Err(format!("{name} asked for a change: here it may only shape"));
        }
        Ok(match result {
            Value::Null => run.variables.shift_remove("object").unwrap_or_default(),
            made => made,
        })
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
