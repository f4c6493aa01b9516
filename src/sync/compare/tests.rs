//! Tests of what is seen of a write at its target.
use serde_json::json;

use super::*;

fn object(value: Value) -> Object {
    value.as_object().cloned().unwrap()
}

fn target(id: &str, value: Value) -> TargetObject {
    TargetObject {
        id: id.into(),
        attributes: object(value),
        version: None,
    }
}

fn hiding(hidden: &[String]) -> Special<'_> {
    Special {
        hidden,
        ..Special::default()
    }
}

fn update() -> TargetWrite {
    TargetWrite::Update {
        before: target("1", json!({"a": 1, "b": "x", "keep": true})),
        after: object(json!({"a": 2, "c": "new", "keep": true})),
        rename: None,
    }
}

#[test]
fn an_update_is_judged_by_the_attributes_that_it_changes() {
    let write = update();
    let judged = |value| {
        judge(
            &write,
            Special::default(),
            None,
            Some(&target("1", value)),
            None,
        )
    };
    assert_eq!(
        judged(json!({"a": 2.0, "c": "new", "keep": false})),
        Sight::After
    );
    assert_eq!(judged(json!({"a": 1, "b": "x", "other": 1})), Sight::Before);
    assert_eq!(judged(json!({"a": 1, "b": "x", "c": null})), Sight::Before);
    assert_eq!(judged(json!({"a": 3, "c": "new"})), Sight::Other);
    assert_eq!(
        judge(&write, Special::default(), None, None, None),
        Sight::Other
    );
}

#[test]
fn an_update_is_undone_attribute_by_attribute() {
    let found = target("1", json!({"a": 2, "c": "new", "keep": false}));
    let undo_write = undo(&update(), Special::default(), None, Some(&found), None)
        .unwrap()
        .unwrap();
    assert_eq!(
        undo_write.after().unwrap(),
        object(json!({"_id": "1", "a": 1, "b": "x", "keep": false}))
    );
    let half = target("1", json!({"a": 1, "c": "new", "b": "x"}));
    assert!(
        undo(&update(), Special::default(), None, Some(&half), None)
            .unwrap()
            .is_some()
    );
    let foreign = target("1", json!({"a": 9, "c": "new"}));
    assert_eq!(
        undo(&update(), Special::default(), None, Some(&foreign), None),
        Err(ChangedSince)
    );
    assert_eq!(
        undo(&update(), Special::default(), None, None, None),
        Err(ChangedSince)
    );
}

#[test]
fn what_the_target_normalized_counts_as_ours() {
    let write = TargetWrite::Create {
        id: Some("1".into()),
        after: object(json!({"m": "A@X"})),
    };
    let found = target("1", json!({"m": "a@x", "created": "now"}));
    assert_eq!(
        judge(&write, Special::default(), None, Some(&found), None),
        Sight::Other
    );
    let written = object(json!({"m": "a@x"}));
    assert_eq!(
        judge(
            &write,
            Special::default(),
            Some(&written),
            Some(&found),
            None
        ),
        Sight::After
    );
    assert!(matches!(
        undo(
            &write,
            Special::default(),
            Some(&written),
            Some(&found),
            None
        ),
        Ok(Some(TargetWrite::Delete { .. }))
    ));
}

#[test]
fn a_delete_comes_back_whole() {
    let before = target("1", json!({"a": 1, "b": [1, 2]}));
    let write = TargetWrite::Delete {
        before: before.clone(),
    };
    assert_eq!(
        undo(&write, Special::default(), None, None, None).unwrap(),
        Some(TargetWrite::Create {
            id: Some("1".into()),
            after: before.attributes.clone()
        })
    );
    assert_eq!(
        undo(&write, Special::default(), None, Some(&before), None),
        Ok(None)
    );
    let other = target("1", json!({"a": 2}));
    assert_eq!(
        undo(&write, Special::default(), None, Some(&other), None),
        Err(ChangedSince)
    );
}

#[test]
fn a_rename_is_sought_under_both_ids() {
    let write = TargetWrite::Update {
        before: target("old", json!({"a": 1})),
        after: object(json!({"a": 2})),
        rename: Some("new".into()),
    };
    let moved = target("new", json!({"a": 2}));
    let there = target("old", json!({"a": 1}));
    assert_eq!(
        judge(&write, Special::default(), None, Some(&moved), None),
        Sight::After
    );
    assert_eq!(
        judge(&write, Special::default(), None, None, Some(&there)),
        Sight::Before
    );
    assert_eq!(
        judge(&write, Special::default(), None, Some(&moved), Some(&there)),
        Sight::Other
    );
    let Ok(Some(TargetWrite::Update { rename, .. })) =
        undo(&write, Special::default(), None, Some(&moved), None)
    else {
        panic!("no undo")
    };
    assert_eq!(rename.as_deref(), Some("old"));
    let both = undo(&write, Special::default(), None, Some(&moved), Some(&there));
    assert_eq!(both, Err(ChangedSince), "the old id is taken");
}

#[test]
fn only_what_the_target_holds_as_sent_is_recognized_without_its_word() {
    let said = |id: &str, value| Written {
        id: id.into(),
        attributes: Some(object(value)),
    };
    let create = |id: Option<&str>| TargetWrite::Create {
        id: id.map(str::to_owned),
        after: object(json!({"m": "A@X"})),
    };
    let sees = |write: &TargetWrite, written: &Written| {
        let find = Filter::parse("m eq \"A@X\"").unwrap();
        is_recognizable(
            write,
            Special::default(),
            Some(written),
            Some(&find),
            Naming::Id,
        )
    };
    let as_sent = said("1", json!({"m": "A@X", "created": "now"}));
    let normalized = said("1", json!({"m": "a@x"}));
    for write in [create(Some("1")), create(None)] {
        assert!(sees(&write, &as_sent));
        assert!(!sees(&write, &normalized));
        assert!(!is_recognizable(
            &write,
            Special::default(),
            None,
            None,
            Naming::Id
        ));
    }
    assert!(!sees(&create(Some("2")), &as_sent), "under another id");
    assert!(!is_recognizable(
        &create(None),
        Special::default(),
        Some(&as_sent),
        None,
        Naming::Id
    ));
    let there = said("1", json!({"a": 2, "c": "new", "other": 1}));
    assert!(sees(&update(), &there));
    let wrong = said("1", json!({"a": 2, "c": "NEW"}));
    assert!(!sees(&update(), &wrong));
    let untold = Written {
        id: "1".into(),
        attributes: None,
    };
    assert!(sees(&update(), &untold), "taken at its word");
}

#[test]
fn what_a_target_never_shows_is_compared_with_nothing() {
    let hidden = ["pw".to_owned()];
    let write = TargetWrite::Update {
        before: target("1", json!({"a": 1, "pw": "old"})),
        after: object(json!({"a": 2, "pw": "new"})),
        rename: None,
    };
    let judged = |found| {
        judge(
            &write,
            hiding(&hidden),
            None,
            Some(&target("1", found)),
            None,
        )
    };
    assert_eq!(judged(json!({"a": 2})), Sight::After);
    assert_eq!(judged(json!({"a": 1})), Sight::Before);
    let found = target("1", json!({"a": 2}));
    let inverse = undo(&write, hiding(&hidden), None, Some(&found), None).unwrap();
    assert_eq!(
        inverse.unwrap().after().unwrap(),
        object(json!({"_id": "1", "a": 1, "pw": "old"}))
    );
    assert_eq!(lost(&write, &hidden), [""; 0]);
}

#[test]
fn where_only_the_hidden_changes_no_look_tells() {
    let hidden = ["pw".to_owned()];
    let change = |before: Value| TargetWrite::Update {
        before: target("1", before),
        after: object(json!({"a": 1, "pw": "new"})),
        rename: None,
    };
    let found = target("1", json!({"a": 1}));
    let known = change(json!({"a": 1, "pw": "old"}));
    assert_eq!(
        judge(&known, hiding(&hidden), None, Some(&found), None),
        Sight::Other
    );
    let said = Written {
        id: "1".into(),
        attributes: Some(found.attributes.clone()),
    };
    assert!(!is_recognizable(
        &known,
        hiding(&hidden),
        Some(&said),
        None,
        Naming::Id
    ));
    let inverse = undo(&known, hiding(&hidden), None, Some(&found), None).unwrap();
    assert_eq!(inverse.unwrap().after().unwrap()["pw"], "old");
    let unknown = change(json!({"a": 1}));
    assert_eq!(
        undo(&unknown, hiding(&hidden), None, Some(&found), None),
        Ok(None)
    );
    assert_eq!(lost(&unknown, &hidden), ["pw"]);
}

#[test]
fn a_deleted_object_loses_what_it_held_unseen() {
    let hidden = ["pw".to_owned()];
    let delete = |before| TargetWrite::Delete {
        before: target("1", before),
    };
    assert_eq!(lost(&delete(json!({"pw": null})), &hidden), ["pw"]);
    assert_eq!(lost(&delete(json!({"pw": "old"})), &hidden), [""; 0]);
    assert_eq!(lost(&delete(json!({"a": 1})), &hidden), [""; 0]);
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn a_set_knows_no_order_and_may_be_written_half() {
    let sets = names(&["m"]);
    let special = Special {
        sets: &sets,
        ..Special::default()
    };
    let write = TargetWrite::Update {
        before: target("1", json!({"m": ["a", "b", "c"], "n": 1})),
        after: object(json!({"m": ["b", "d", "e"], "n": 2})),
        rename: None,
    };
    let judged = |found| judge(&write, special, None, Some(&target("1", found)), None);
    assert_eq!(judged(json!({"m": ["e", "b", "d"], "n": 2})), Sight::After);
    assert_eq!(judged(json!({"m": ["c", "b", "a"], "n": 1})), Sight::Before);
    for found in [
        json!({"m": ["a", "b", "c", "d"], "n": 2}),
        json!({"m": ["b"], "n": 2}),
        json!({"m": "b", "n": 1}),
        json!({"m": ["a", "b", "c"], "n": 2}),
    ] {
        assert_eq!(judged(found.clone()), Sight::Between, "{found}");
        let found = target("1", found);
        let back = undo(&write, special, None, Some(&found), None).unwrap();
        let back = back.unwrap().after().unwrap();
        assert_eq!(
            back,
            object(json!({"_id": "1", "m": ["a", "b", "c"], "n": 1}))
        );
        let forward = rest(&write, special, (Some(&found), None));
        let forward = forward.unwrap().after().unwrap();
        assert_eq!(
            forward,
            object(json!({"_id": "1", "m": ["b", "d", "e"], "n": 2}))
        );
    }
    // Somebody else let `x` in, sent `b` away, or changed something else.
    for found in [
        json!({"m": ["a", "b", "x"], "n": 2}),
        json!({"m": ["a", "d"], "n": 2}),
        json!({"m": ["a", "b", "d"], "n": 7}),
    ] {
        assert_eq!(judged(found.clone()), Sight::Other, "{found}");
        let found = target("1", found);
        assert_eq!(
            undo(&write, special, None, Some(&found), None),
            Err(ChangedSince)
        );
    }
    let plain = judge(
        &write,
        Special::default(),
        None,
        Some(&target("1", json!({"m": ["b"], "n": 2}))),
        None,
    );
    assert_eq!(plain, Sight::Other, "what is no set is written as a whole");
}

#[test]
fn an_object_that_was_made_half_is_ours() {
    let sets = names(&["m"]);
    let special = Special {
        sets: &sets,
        ..Special::default()
    };
    let whole = json!({"m": ["a", "b"], "n": 1});
    let create = TargetWrite::Create {
        id: Some("1".into()),
        after: object(whole.clone()),
    };
    let delete = TargetWrite::Delete {
        before: target("1", whole.clone()),
    };
    for half in [json!({"n": 1}), json!({"m": ["b"], "n": 1})] {
        let found = target("1", half);
        assert_eq!(
            judge(&create, special, None, Some(&found), None),
            Sight::Between
        );
        assert!(matches!(
            undo(&create, special, None, Some(&found), None),
            Ok(Some(TargetWrite::Delete { .. }))
        ));
        let finished = [
            rest(&create, special, (Some(&found), None)),
            undo(&delete, special, None, Some(&found), None).unwrap(),
        ];
        for finished in finished {
            let after = finished.unwrap().after().unwrap();
            assert_eq!(after["m"], whole["m"]);
        }
    }
    let foreign = target("1", json!({"m": ["x"], "n": 1}));
    for write in [&create, &delete] {
        assert_eq!(
            judge(write, special, None, Some(&foreign), None),
            Sight::Other
        );
    }
}
