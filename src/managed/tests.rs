//! Schemas as identity admins write them, and what objects violate.
use serde_json::json;

use super::*;

fn managed(schema: Value) -> (ManagedType, Vec<SchemaProblem>) {
    ManagedType::new("user", schema, BTreeMap::new()).expect("a usable schema")
}

fn violations(schema: Value, object: Value) -> Vec<(String, String, Value)> {
    let object = object.as_object().cloned().expect("an object");
    managed(schema)
        .0
        .violations(&object)
        .into_iter()
        .flat_map(|failure| {
            failure.requirements.into_iter().map(move |requirement| {
                (
                    failure.property.clone(),
                    requirement.requirement,
                    requirement.params,
                )
            })
        })
        .collect()
}

#[test]
fn violations_name_property_and_keyword() {
    let schema = json!({
        "$schema": "http://example.org/json-schema#", "id": "urn:user", "type": "object",
        "order": ["userName"], "required": ["userName", "_id"], "additionalProperties": false,
        "properties": {
            "userName": {"type": "string", "minLength": 2, "viewable": true, "searchable": true, "policies": []},
            "mail": {"type": ["string", "null"], "format": "email", "pattern": "", "title": null},
            "age": {"type": "integer", "required": true, "minimum": 0},
            "state": {"enum": ["a", "b"]},
            "address": {"type": "object", "properties": {"zip": {"pattern": "^[0-9]+$", "required": true}}}
        }
    });
    let row = |property: &str, requirement: &str, params: Value| {
        (property.to_owned(), requirement.to_owned(), params)
    };
    assert_eq!(
        violations(
            schema.clone(),
            json!({"_id": "1", "_rev": "2", "userName": "ann", "age": 3})
        ),
        []
    );
    let mut found = violations(
        schema,
        json!({"userName": "a", "mail": "x", "state": "c", "address": {}, "other": 1}),
    );
    found.sort_by(|left, right| left.0.cmp(&right.0));
    assert_eq!(
        found,
        [
            row("address/zip", "REQUIRED", json!({})),
            row("age", "REQUIRED", json!({})),
            row("mail", "FORMAT", json!({"format": "email"})),
            row("other", "ADDITIONAL_PROPERTIES", json!({})),
            row("state", "ENUM", json!({"enum": ["a", "b"]})),
            row("userName", "MIN_LENGTH", json!({"minLength": 2})),
        ]
    );
    let wrong = violations(
        json!({"properties": {"age": {"type": "integer"}}}),
        json!({"age": "x"}),
    );
    assert_eq!(wrong, [row("age", "TYPE", json!({"types": ["integer"]}))]);
}

#[test]
fn confidential_values_and_params_stay_out() {
    let schema = json!({"properties": {
        "pin": {"confidential": true, "const": "1234"},
        "password": {"type": "string", "encryption": {"key": "k"}},
        "hashed": {"type": "string", "secureHash": {"algorithm": "SHA-256"}},
        "nested": {"properties": {"deep": {"items": {"confidential": true}}}},
        "confidential": {"type": "boolean"},
        "open": {"confidential": false}
    }});
    let (user, warnings) = managed(schema);
    assert_eq!(user.confidential, ["pin", "password", "hashed", "nested"]);
    assert!(
        warnings
            .iter()
            .any(|problem| problem.pointer == "/properties/nested/properties/deep/items")
    );
    let object = json!({"pin": "9876", "open": 1});
    let failures = user.violations(object.as_object().expect("an object"));
    let text = serde_json::to_string(&failures).expect("serializes");
    assert!(text.contains("CONST") && !text.contains("9876") && !text.contains("1234"));
    assert_eq!(
        Value::Object(user.visible(object.as_object().expect("an object"))),
        json!({"open": 1})
    );
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let (user, warnings) = managed(json!({"properties": {
        "manager": {"type": "relationship", "reverseRelationship": true},
        "roles": {"type": "array", "items": {"type": ["relationship", "null"]}},
        "mail": {"type": "string", "policies": [{"policyId": "unique"}], "scope": "private"}
    }}));
    let mut places: Vec<_> = warnings
        .iter()
        .map(|problem| problem.pointer.as_str())
        .collect();
    places.sort_unstable();
    assert_eq!(
        places,
        [
            "/properties/mail/policies",
            "/properties/mail/scope",
            "/properties/manager/reverseRelationship",
            "/properties/manager/type",
            "/properties/roles/items/type",
        ]
    );
    let object = json!({"manager": {"_ref": "managed/user/1"}, "roles": [{"_ref": "x"}]});
    assert_eq!(user.violations(object.as_object().expect("an object")), []);
}

#[test]
fn every_fault_is_reported_with_its_place() {
    let places = |schema: Value| -> Vec<String> {
        ManagedType::new("user", schema, BTreeMap::new())
            .expect_err("unusable")
            .into_iter()
            .map(|problem| problem.pointer)
            .collect()
    };
    assert_eq!(places(json!("x")), [""]);
    assert_eq!(
        places(json!({"properties": {"a": {"type": "text"}, "b": {"minLength": "x"}}})),
        ["/properties/a/type", "/properties/b/minLength"]
    );
    assert_eq!(
        places(
            json!({"properties": {"a": {"confidential": "yes"}, "_id": {"confidential": true}}})
        ),
        ["/properties/a/confidential", "/properties/_id"]
    );
    assert_eq!(
        places(json!({"properties": {}, "allOf": [{"properties": {"a": {"confidential": true}}}]})),
        ["/allOf/0/properties/a"]
    );
    assert!(!places(json!({"properties": {"a": {"pattern": "("}}})).is_empty());
    for outside in ["https://example.org/a.json", "file:///etc/passwd"] {
        assert!(!places(json!({"properties": {"a": {"$ref": outside}}})).is_empty());
    }
}
