//! JSON Schemas of the files of a project folder, so that editors complete and check them.
use schemars::JsonSchema;
use serde_json::Value;

use super::written::{managed::Managed, project::Project, sync::Sync};
use crate::connectors;

/// The folder of the schemas in a project folder.
pub const FOLDER: &str = ".schemas";

/// Each schema (JSON Schema, draft 2020-12) with the name of its file.
#[must_use]
pub fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("recant.toml.json", schema_of::<Project>()),
        ("managed.json", open(schema_of::<Managed>())),
        ("sync.json", open(schema_of::<Sync>())),
        ("connector.json", connectors::Settings::json_schema()),
    ]
}

fn schema_of<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}

/// Knows the key by which a file names its schema.
fn open(mut schema: Value) -> Value {
    if let Some(properties) = schema
        .pointer_mut("/properties")
        .and_then(Value::as_object_mut)
    {
        let named = serde_json::json!({"type": "string", "description": "The schema of this file, for editors."});
        properties.insert("$schema".to_owned(), named);
    }
    schema
}
