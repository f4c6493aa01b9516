//! What patches do, refuse and print.
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::{
    Difference,
    object::{is_meta, same_object},
};

fn object(value: Value) -> Object {
    value.as_object().cloned().expect("an object")
}

fn crest(operations: &Value, before: Value) -> Result<Value, Error> {
    let patch = Patch::parse_crest(operations)?;
    assert_eq!(Patch::parse_crest(&patch.to_value()), Ok(patch.clone()));
    patch.apply(&object(before)).map(Value::Object)
}

#[test]
fn crest_operations_do_what_crest_says() {
    let record = || json!({"a": 1, "list": ["x", "y", "x"], "in": {"n": 2.5}, "set": [1, 2]});
    for (operation, expected) in [
        (
            json!({"operation": "add", "field": "/a", "value": 2}),
            json!({"a": 2}),
        ),
        (
            json!({"operation": "add", "field": "new/deep", "value": 2}),
            json!({"new": {"deep": 2}}),
        ),
        (
            json!({"operation": "add", "field": "/list/-", "value": "z"}),
            json!({"list": ["x", "y", "x", "z"]}),
        ),
        (
            json!({"operation": "add", "field": "/list/1", "value": "z"}),
            json!({"list": ["x", "z", "y", "x"]}),
        ),
        (
            json!({"operation": "add", "field": "/list", "value": ["z"]}),
            json!({"list": ["x", "y", "x", "z"]}),
        ),
        (
            json!({"operation": "add", "field": "/list", "value": "z"}),
            json!({"list": ["x", "y", "x", "z"]}),
        ),
        (
            json!({"operation": "add", "field": "/fresh/-", "value": "z"}),
            json!({"fresh": ["z"]}),
        ),
        (
            json!({"operation": "remove", "field": "/a"}),
            json!({"a": null}),
        ),
        (
            json!({"operation": "remove", "field": "/a", "value": 1.0}),
            json!({"a": null}),
        ),
        (
            json!({"operation": "remove", "field": "/a", "value": 2}),
            json!({}),
        ),
        (
            json!({"operation": "remove", "field": "/missing"}),
            json!({}),
        ),
        (
            json!({"operation": "remove", "field": "/list", "value": "x"}),
            json!({"list": ["y"]}),
        ),
        (
            json!({"operation": "remove", "field": "/list/-", "value": "y"}),
            json!({"list": ["x", "x"]}),
        ),
        (
            json!({"operation": "remove", "field": "/list", "value": ["x", "y"]}),
            json!({"list": []}),
        ),
        (
            json!({"operation": "remove", "field": "/list/0"}),
            json!({"list": ["y", "x"]}),
        ),
        (
            json!({"operation": "replace", "field": "/list", "value": "z"}),
            json!({"list": "z"}),
        ),
        (
            json!({"operation": "replace", "field": "/list/1", "value": "z"}),
            json!({"list": ["x", "z", "x"]}),
        ),
        (
            json!({"operation": "increment", "field": "/a", "value": -3}),
            json!({"a": -2}),
        ),
        (
            json!({"operation": "increment", "field": "/in/n", "value": 1}),
            json!({"in": {"n": 3.5}}),
        ),
        (
            json!({"operation": "increment", "field": "/set", "value": 1}),
            json!({"set": [2, 3]}),
        ),
        (
            json!({"operation": "copy", "from": "/in/n", "field": "/b"}),
            json!({"b": 2.5}),
        ),
        (
            json!({"operation": "move", "from": "/a", "field": "/in/a"}),
            json!({"a": null, "in": {"n": 2.5, "a": 1}}),
        ),
    ] {
        let expected = Patch::Merge(object(expected))
            .apply(&object(record()))
            .expect("a merge always fits");
        assert_eq!(
            crest(&json!([operation]), record()),
            Ok(Value::Object(expected)),
            "{operation}"
        );
    }
}

#[test]
fn faults_name_their_operation() {
    let record = || json!({"_id": "1", "a": 1, "text": "x", "list": [1, "x"], "max": u64::MAX});
    for (operation, message) in [
        (json!(7), "expected an object"),
        (json!({"operation": "add", "value": 1}), "`field`"),
        (
            json!({"operation": "add", "field": 5, "value": 1}),
            "`field`",
        ),
        (
            json!({"operation": "add", "field": "", "value": 1}),
            "must name an attribute",
        ),
        (json!({"operation": "add", "field": "~", "value": 1}), "`~`"),
        (json!({"operation": "add", "field": "a"}), "has no `value`"),
        (
            json!({"operation": "transform", "field": "a", "value": {}}),
            "unknown operation",
        ),
        (
            json!({"operation": "add", "field": "a", "vlaue": 1}),
            "unknown member `vlaue`",
        ),
        (json!({"field": "a", "value": 1}), "`operation`"),
        (
            json!({"operation": "increment", "field": "a", "value": "1"}),
            "by a number",
        ),
        (
            json!({"operation": "increment", "field": "text", "value": 1}),
            "no number",
        ),
        (
            json!({"operation": "increment", "field": "list", "value": 1}),
            "no number",
        ),
        (
            json!({"operation": "increment", "field": "b", "value": 1}),
            "nothing at `/b`",
        ),
        (
            json!({"operation": "increment", "field": "max", "value": 1}),
            "out of range",
        ),
        (
            json!({"operation": "add", "field": "a/b", "value": 1}),
            "neither an object",
        ),
        (
            json!({"operation": "add", "field": "list/9", "value": 1}),
            "no such element",
        ),
        (
            json!({"operation": "copy", "field": "b", "from": "c"}),
            "nothing at `/c`",
        ),
        (
            json!({"operation": "move", "field": "list/0", "from": "list"}),
            "into itself",
        ),
    ] {
        let good = json!({"operation": "replace", "field": "/a", "value": 2});
        match crest(&json!([good, operation]), record()) {
            Err(Error::Operation {
                operation: 1,
                message: found,
            }) if found.contains(message) => {}
            other => panic!("{operation}: {other:?}"),
        }
    }
    assert!(matches!(crest(&json!({}), record()), Err(Error::Whole(_))));
}

#[test]
fn json_patch_is_all_or_nothing() {
    let before = object(json!({"_id": "1", "_rev": "5", "a": 1, "list": [1]}));
    let apply = |operations: Value| {
        Patch::parse_json_patch(&operations).and_then(|patch| patch.apply(&before))
    };
    assert_eq!(
        apply(json!([{"op": "test", "path": "/a", "value": 1.0}, {"op": "add", "path": "/list/-", "value": 2}]))
            .expect("fits"),
        object(json!({"_id": "1", "_rev": "5", "a": 1, "list": [1, 2]}))
    );
    for (operations, at) in [
        (
            json!([{"op": "remove", "path": "/a"}, {"op": "remove", "path": "/a"}]),
            Some(1),
        ),
        (json!([{"op": "test", "path": "/a", "value": 2}]), Some(0)),
        (json!([{"op": "move", "from": "/a"}]), Some(0)),
        (json!([{"op": "twist", "path": "/a"}]), Some(0)),
        (json!([{"op": "add", "path": "a", "value": 1}]), Some(0)),
        (json!([{"op": "add", "path": "/b"}]), Some(0)),
        (json!(["add"]), Some(0)),
        (json!([{"op": "replace", "path": "", "value": [1]}]), None),
        (json!("x"), None),
    ] {
        let error = apply(operations.clone()).expect_err("does not fit");
        let found = match error {
            Error::Operation { operation, .. } => Some(operation),
            Error::Whole(_) => None,
        };
        assert_eq!(found, at, "{operations}");
    }
}

#[test]
fn merge_patch_sets_and_removes() {
    let before = object(json!({"a": {"b": 1, "c": 2}, "d": 3}));
    let patch = Patch::parse_merge(json!({"a": {"b": null, "e": 4}, "d": null})).expect("fits");
    assert_eq!(
        patch.apply(&before),
        Ok(object(json!({"a": {"c": 2, "e": 4}})))
    );
    assert!(Patch::parse_merge(json!([1])).is_err());
}

#[test]
fn id_stays_and_revision_is_not_touched() {
    let before = object(json!({"_id": "1", "_rev": "5", "a": 1}));
    let merge = |patch: Value| Patch::Merge(object(patch)).apply(&before);
    assert!(merge(json!({"_id": "2"})).is_err());
    assert!(merge(json!({"_id": null})).is_err());
    assert_eq!(
        merge(json!({"_id": "1", "_rev": "4", "a": 2})),
        Ok(object(json!({"_id": "1", "_rev": "5", "a": 2})))
    );
    assert_eq!(
        merge(json!({"_rev": null})).map(|after| after.get("_rev").cloned()),
        Ok(Some(json!("5")))
    );
    let operations = json!([{"operation": "remove", "field": "/_id"}]);
    assert!(crest(&operations, Value::Object(before.clone())).is_err());
}

#[test]
fn copies_cannot_grow_without_end() {
    let doubling = |operation: Value| Value::Array(vec![operation; 60]);
    let before = object(json!({"a": ["x".repeat(1000)]}));
    let patches = [
        Patch::parse_crest(&doubling(
            json!({"operation": "copy", "from": "/a", "field": "/a"}),
        )),
        Patch::parse_json_patch(&doubling(
            json!({"op": "copy", "from": "/a", "path": "/a/-"}),
        )),
    ];
    for patch in patches {
        assert!(patch.expect("reads").apply(&before).is_err());
    }
    let deep = "/x".repeat(5000);
    let add = json!([{"operation": "add", "field": deep, "value": 1}]);
    assert!(crest(&add, json!({})).is_err());
}

/// JSON of every kind, small.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..3_i64).prop_map(Value::from),
        (-2.0..2.0_f64).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            members(inner).prop_map(Value::Object),
        ]
    })
}

fn members(value: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Object> {
    let name = "_id|_rev|[a-d]";
    proptest::collection::vec((name, value), 0..5).prop_map(|members| members.into_iter().collect())
}

fn operations() -> impl Strategy<Value = Value> {
    let place = "(/?(_id|[a-d]|0|1|-)){0,3}";
    let word = "add|remove|replace|increment|copy|move|test";
    let one = (word, place, place, values()).prop_map(|(operation, field, from, value)| {
        json!({"operation": operation, "field": field, "value": value, "from": from,
               "op": operation, "path": field})
    });
    proptest::collection::vec(one, 0..4).prop_map(Value::Array)
}

fn keep(operations: &Value, names: &[&str]) -> Value {
    let kept = |operation: &Value| -> Value {
        let members = operation.as_object().expect("an object").clone();
        let kept = members
            .into_iter()
            .filter(|(name, _)| names.contains(&name.as_str()));
        Value::Object(kept.collect())
    };
    operations
        .as_array()
        .expect("a list")
        .iter()
        .map(kept)
        .collect()
}

proptest! {
    #[test]
    fn patches_never_panic_and_never_change_the_id(
        before in members(values()), operations in operations(), merge in members(values())
    ) {
        let patches = [
            Patch::parse_crest(&keep(&operations, &["operation", "field", "value", "from"])),
            Patch::parse_json_patch(&keep(&operations, &["op", "path", "value", "from"])),
            Patch::parse_merge(Value::Object(merge)),
            Patch::parse_crest(&operations),
            Patch::parse_json_patch(&before.clone().into()),
        ];
        for patch in patches.into_iter().flatten() {
            if let Ok(after) = patch.apply(&before) {
                prop_assert_eq!(after.get("_id"), before.get("_id"));
                prop_assert_eq!(after.get("_rev"), before.get("_rev"));
            }
        }
    }

    #[test]
    fn differences_lead_there_and_back(before in members(values()), after in members(values())) {
        let plain = |object: &Object| -> Object {
            object.iter().filter(|(name, _)| !is_meta(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        let (before, after) = (plain(&before), plain(&after));
        let there = Difference::between(&before, &after).applied(&before);
        prop_assert!(same_object(&there, &after));
        let back = Difference::between(&after, &before).applied(&there);
        prop_assert!(same_object(&back, &before));
        prop_assert!(Difference::between(&before, &back).is_empty());
    }

    #[test]
    fn a_json_patch_of_two_objects_leads_from_one_to_the_other(
        before in members(values()), after in members(values())
    ) {
        let (before, mut after) = (before, after);
        for name in ["_id", "_rev"] {
            after.shift_remove(name);
            if let Some(value) = before.get(name) {
                after.insert(name.to_owned(), value.clone());
            }
        }
        let patch = json_patch::diff(&Value::Object(before.clone()), &Value::Object(after.clone()));
        let parsed = Patch::parse_json_patch(&serde_json::to_value(&patch).expect("serializes"))
            .expect("reads");
        prop_assert!(same_object(&parsed.apply(&before).expect("fits"), &after));
    }
}
