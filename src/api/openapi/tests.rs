//! The description is whole: it agrees with the table of rights, the parameters and the model.
use std::collections::BTreeSet;

use serde_json::Value;

use super::{super::access::RULES, super::parameters::KNOWN, *};

fn described() -> &'static Value {
    &DOCUMENT
}

fn operations() -> Vec<(String, String, &'static Value)> {
    let paths = described()["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let item = item.as_object().unwrap();
            item.iter()
                .map(move |(method, operation)| (path.clone(), method.to_uppercase(), operation))
        })
        .collect()
}

fn parameters(operation: &Value) -> Vec<(&str, &str)> {
    let list = operation.get("parameters").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .map(|parameter| {
            (
                parameter["in"].as_str().unwrap(),
                parameter["name"].as_str().unwrap(),
            )
        })
        .collect()
}

#[test]
fn every_route_has_a_right_and_every_right_a_route() {
    let routes: BTreeSet<_> = operations()
        .into_iter()
        .map(|(path, method, _)| (method, path))
        .collect();
    let rights: BTreeSet<_> = RULES
        .iter()
        .map(|rule| rule.place())
        .map(|(method, route)| (method.to_owned(), route.to_owned()))
        .collect();
    assert_eq!(routes, rights);
}

#[test]
fn every_reference_leads_somewhere() {
    fn check(value: &Value, references: &mut usize) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(described().pointer(pointer).is_some(), "{reference}");
                    *references += 1;
                }
                members
                    .values()
                    .for_each(|member| check(member, references));
            }
            Value::Array(items) => items.iter().for_each(|item| check(item, references)),
            _ => {}
        }
    }
    let mut references = 0;
    check(described(), &mut references);
    assert!(references > 30, "{references}");
}

#[test]
fn operations_are_named_and_their_parameters_declared() {
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} twice");
        assert!(
            operation["summary"].is_string(),
            "{method} {path} has no summary"
        );
        let tag = operation["tags"][0].as_str().unwrap();
        assert!(TAGS.iter().any(|(known, _)| *known == tag), "{tag}");
        let declared = parameters(operation);
        let unique: BTreeSet<_> = declared.iter().collect();
        assert_eq!(
            unique.len(),
            declared.len(),
            "{method} {path}: {declared:?}"
        );
        let in_path: BTreeSet<_> = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        let declared_in_path: BTreeSet<_> = declared
            .iter()
            .filter(|(place, _)| *place == "path")
            .map(|(_, name)| *name)
            .collect();
        assert_eq!(in_path, declared_in_path, "{method} {path}");
        assert!(
            operation["responses"]["default"].is_object(),
            "{method} {path}"
        );
    }
}

#[test]
fn query_parameters_are_those_that_are_read() {
    let documented: BTreeSet<_> = operations()
        .into_iter()
        .flat_map(|(_, _, operation)| parameters(operation))
        .filter(|(place, _)| *place == "query")
        .map(|(_, name)| name)
        .collect();
    // Read in order to be refused.
    let refused = "_queryExpression";
    let known: BTreeSet<_> = KNOWN.into_iter().filter(|name| *name != refused).collect();
    assert_eq!(documented, known);
}

#[test]
fn actions_are_those_of_the_table() {
    let post = &described()["paths"]["/operations/{id}"]["post"]["parameters"];
    let action = post
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "_action");
    assert_eq!(
        action.unwrap()["schema"]["enum"],
        serde_json::json!(["heal", "resolve"])
    );
}

#[test]
fn the_record_of_a_change_is_described_whole() {
    for (name, sample) in samples() {
        let described = &described()["components"]["schemas"][name]["properties"];
        let described: BTreeSet<_> = described.as_object().unwrap().keys().collect();
        let written: BTreeSet<_> = sample.as_object().unwrap().keys().collect();
        assert_eq!(described, written, "{name}");
    }
}

/// Values of the model with every part that they may have.
fn samples() -> [(&'static str, Value); 5] {
    let id = "00000000-0000-7000-8000-000000000000";
    let time = "2026-01-01T00:00:00Z";
    let cause = serde_json::json!({"code": 1, "reason": "r", "message": "m", "kind": "refused"});
    let write = serde_json::json!({
        "mapping": "m", "linkQualifier": "default", "target": "system/a/b", "targetId": "1",
        "situation": "ABSENT", "action": "CREATE", "operation": "create", "before": {},
        "after": {}, "result": "FAILED", "cause": cause, "attempts": 1, "durationMs": 1,
    });
    let run = serde_json::json!({
        "hook": "onSync", "name": "n", "digest": "d", "verdict": "accept", "error": "e",
        "compensating": false, "log": ["l"], "durationMs": 1,
    });
    let divergence = serde_json::json!({
        "mapping": "m", "target": "system/a/b", "targetId": "1", "expected": {}, "actual": {},
        "cause": cause,
    });
    let record = serde_json::json!({
        "_id": id, "transactionId": "t", "root": id, "parent": id, "depth": 0,
        "purpose": "request", "caller": "c", "object": "managed/user/1", "kind": "create",
        "outcome": "diverged", "phase": "ended", "attempt": 1, "startedAt": time, "endedAt": time,
        "revisionBefore": "1", "revision": "2", "writes": [write], "hookRuns": [run],
        "nested": [id], "diverged": [divergence], "error": {"code": 500, "message": "m"},
        "healedAt": time, "resolution": {"kind": "resolved", "at": time}, "waitsBecause": "w",
    });
    let record: crate::model::OperationRecord = serde_json::from_value(record).unwrap();
    let record = record.to_value();
    [
        ("Write", record["writes"][0].clone()),
        ("HookRun", record["hookRuns"][0].clone()),
        ("Divergence", record["diverged"][0].clone()),
        ("RecordedError", record["error"].clone()),
        ("Operation", record),
    ]
}

#[test]
fn changes_tell_their_operation_and_outcome() {
    let put = &described()["paths"]["/managed/{type}/{id}"]["put"]["responses"];
    for status in ["200", "201", "default"] {
        let headers = &put[status]["headers"];
        assert!(headers["Recant-Operation"].is_object(), "{status}");
        assert!(headers["Recant-Outcome"].is_object(), "{status}");
    }
    assert!(put["202"]["headers"]["Recant-Outcome"].is_null());
    let read = &described()["paths"]["/managed/{type}/{id}"]["get"]["responses"];
    assert!(read["default"]["headers"]["Recant-Operation"].is_null());
}

#[test]
fn the_head_is_ours() {
    let info = &described()["info"];
    assert_eq!(info["title"], "Recant");
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert!(info.get("contact").is_none());
    let open = &described()["paths"]["/health/live"]["get"]["security"];
    assert_eq!(open, &serde_json::json!([]));
}
