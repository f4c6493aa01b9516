//! The folder that `recant init` makes, and the schemas in it.
use super::super::{init, init::Error, load, schemas};
use crate::{
    connectors::Settings,
    hooks::{Limits, Runtime},
};

#[tokio::test]
async fn a_fresh_folder_has_no_problem_and_is_made_once() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("new");
    let made = init(&folder).await.unwrap();
    assert!(made.iter().all(|path| path.is_file()), "{made:?}");
    let loaded = load(
        &folder,
        &|limits: &Limits| Runtime::new(limits.clone()),
        &|_| None,
    );
    let told: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(told, [] as [&str; 0]);
    let configuration = loaded.configuration.unwrap();
    assert_eq!(configuration.mappings.len(), 2);
    assert_eq!(configuration.connectors.len(), 2);
    assert!(matches!(init(&folder).await, Err(Error::Taken(_))));
}

#[tokio::test]
async fn the_files_meet_their_schemas() {
    let root = tempfile::tempdir().unwrap();
    init(root.path()).await.unwrap();
    for (file, schema) in [
        ("conf/managed.json", "managed.json"),
        ("conf/sync.json", "sync.json"),
        ("conf/connectors/payroll.json", "connector.json"),
        ("conf/connectors/badges.json", "connector.json"),
    ] {
        let read = |path: &str| -> serde_json::Value {
            serde_json::from_slice(&std::fs::read(root.path().join(path)).unwrap()).unwrap()
        };
        let schema = read(&format!(".schemas/{schema}"));
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let content = read(file);
        let wrong: Vec<String> = validator
            .iter_errors(&content)
            .map(|error| format!("{file}: {error}"))
            .collect();
        assert_eq!(wrong, [] as [&str; 0]);
    }
}

#[test]
fn every_schema_is_one_and_describes_every_key() {
    for (name, schema) in schemas() {
        assert!(jsonschema::draft202012::meta::is_valid(&schema), "{name}");
        if name != "connector.json" {
            described(name, &schema, "");
        }
    }
    assert!(Settings::json_schema().is_object());
}

fn described(name: &str, schema: &serde_json::Value, at: &str) {
    let properties = schema.get("properties").and_then(|found| found.as_object());
    for (property, inner) in properties.into_iter().flatten() {
        let at = format!("{at}/{property}");
        assert!(
            inner.get("description").is_some(),
            "{name}{at} has no description"
        );
        described(name, inner, &at);
    }
    let definitions = schema.get("$defs").and_then(|found| found.as_object());
    for (definition, inner) in definitions.into_iter().flatten() {
        described(name, inner, &format!("{at}/{definition}"));
    }
}
