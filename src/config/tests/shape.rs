//! Values of wrong types, unknown keys, null: told, never a panic, never in the way of the rest.
use super::Folder;

#[test]
fn misfits_are_told_one_by_one() {
    let told = Folder::new()
        .with(
            "conf/sync.json",
            r#"{"$schema": "x", "// note": 1, "mappings": [
                7, null,
                {"name": "a", "source": "managed/x", "target": "system/y/z", "enableSnc": true,
                 "enableSync": "yes", "taskThreads": 10, "policies": [
                   {"situation": "FUND", "action": "CREATE"},
                   {"situation": "FOUND", "action": "UPDTE"},
                   {"situation": "FOUND"}],
                 "properties": {"source": "a"}, "links": null, "queuedSync": {"pageSize": 0}},
                {"nme": "b"}
            ], "name": "x", "name": "y"}"#,
        )
        .lines();
    assert_eq!(
        told,
        [
            "error conf/sync.json#/name: this key stands here twice: keep one of them",
            "error conf/sync.json#/mappings/0: expected an object, found a number",
            "error conf/sync.json#/mappings/1: expected an object, found null",
            "warning conf/sync.json#/mappings/2/enableSnc: unknown key `enableSnc` has no effect; did you mean `enableSync`?",
            "error conf/sync.json#/mappings/2/enableSync: expected true or false, found a text",
            "warning conf/sync.json#/mappings/2/taskThreads: `taskThreads` is known from IDM but has no effect here",
            "error conf/sync.json#/mappings/2/policies/0/situation: `FUND` is not one of `ABSENT`, `ALL_GONE`, `AMBIGUOUS`, `CONFIRMED`, `FOUND`, `FOUND_ALREADY_LINKED`, `LINK_ONLY`, `MISSING`, `SOURCE_IGNORED`, `SOURCE_MISSING`, `TARGET_IGNORED`, `UNASSIGNED`, `UNQUALIFIED`; did you mean `FOUND`?",
            "error conf/sync.json#/mappings/2/policies/1/action: `UPDTE` is not one of `ASYNC`, `CREATE`, `DELETE`, `EXCEPTION`, `IGNORE`, `LINK`, `NOREPORT`, `REPORT`, `UNLINK`, `UPDATE`; did you mean `UPDATE`?",
            "error conf/sync.json#/mappings/2/policies/2: `action` is missing",
            "error conf/sync.json#/mappings/2/properties: expected a list, found an object",
            "error conf/sync.json#/mappings/2/queuedSync/pageSize: must be at least 1",
            "warning conf/sync.json#/mappings/3/nme: unknown key `nme` has no effect; did you mean `name`?",
            "error conf/sync.json#/mappings/3: `name` is missing",
            "error conf/sync.json#/mappings/3: `source` is missing",
            "error conf/sync.json#/mappings/3: `target` is missing",
            "warning conf/sync.json#/name: unknown key `name` has no effect",
            "error conf/sync.json#/mappings/2/source: there is no type `x` in conf/managed.json",
            "error conf/sync.json#/mappings/2/target: there is no connector conf/connectors/y.json",
            "warning conf/sync.json#/mappings/2/policies/2: never counts: a policy for FOUND without a condition stands before it",
        ]
    );
}
