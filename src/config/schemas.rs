//! JSON Schemas of the files of a project folder, so that editors complete and check them.
use schemars::JsonSchema;
use serde_json::{Value, json};

use super::written::{integrations::Integrations, managed::Managed, project::Project, sync::Sync};
use crate::connectors;

/// The folder of the schemas in a project folder.
pub(super) const FOLDER: &str = ".schemas";

/// Each schema (JSON Schema, draft 2020-12) with the name of its file.
#[must_use]
pub fn schemas() -> Vec<(&'static str, Value)> {
    let mut schemas = vec![
        ("recant.toml.json", schema_of::<Project>()),
        ("managed.json", schema_of::<Managed>()),
        ("sync.json", schema_of::<Sync>()),
        ("integrations.json", schema_of::<Integrations>()),
        ("connector.json", connectors::Settings::json_schema()),
    ];
    for (_, schema) in &mut schemas {
        complete(schema);
        name_itself(schema);
    }
    schemas
}

fn schema_of<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}

/// Tells editors which keys there are: those that it names, and comments.
fn complete(schema: &mut Value) {
    let Value::Object(members) = schema else {
        return;
    };
    if members.contains_key("properties") {
        let conditional = members.contains_key("allOf");
        if !conditional && !members.contains_key("additionalProperties") {
            members.insert("additionalProperties".into(), json!(false));
        }
    }
    if members.contains_key("additionalProperties") {
        members.insert("patternProperties".into(), json!({"^//": true}));
    }
    for key in ["properties", "$defs"] {
        let inner = members.get_mut(key).and_then(Value::as_object_mut);
        inner
            .into_iter()
            .for_each(|inner| inner.values_mut().for_each(complete));
    }
    for key in ["items", "then", "additionalProperties"] {
        members.get_mut(key).into_iter().for_each(complete);
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        let inner = members.get_mut(key).and_then(Value::as_array_mut);
        inner
            .into_iter()
            .for_each(|inner| inner.iter_mut().for_each(complete));
    }
}

/// Knows the key by which a file names its schema.
fn name_itself(schema: &mut Value) {
    let description = "The schema of this file, for editors.";
    let key = json!({"type": "string", "description": description});
    let branches = schema.get_mut("allOf").and_then(Value::as_array_mut);
    for branch in branches.into_iter().flatten() {
        if let Some(properties) = branch.pointer_mut("/then/properties") {
            insert(properties, &key);
        }
    }
    if let Some(properties) = schema.get_mut("properties") {
        insert(properties, &key);
    }
}

fn insert(properties: &mut Value, key: &Value) {
    if let Some(properties) = properties.as_object_mut() {
        properties.insert("$schema".to_owned(), key.clone());
    }
}
