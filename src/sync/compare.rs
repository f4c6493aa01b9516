//! What a target holds, seen from one write: its after-value, its pre-image, or something else.
use std::borrow::Cow;

use serde_json::Value;

use crate::model::{
    Filter, Object, TargetObject, TargetWrite,
    object::{Difference, same},
};

use super::{change::Written, setup::Target};

/// What was found at the target of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// What the write would leave behind.
    After,
    /// What was there before the write.
    Before,
    /// Neither: somebody else has changed it.
    Other,
}

/// Under what an object is found that was created under a given id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// Under its id only.
    Id,
    /// Under the id that was given, and under the one that the target assigned.
    Both,
}

impl Naming {
    /// That of an object class.
    pub(super) fn of(target: &Target, class: &str) -> Self {
        let connector = &target.connector;
        let assigns = connector.particulars(class).assigns_ids;
        if assigns && connector.capabilities().recreate_with_id {
            Self::Both
        } else {
            Self::Id
        }
    }
}

/// Where to look for the object of a write: its id after, and the one before where that differs.
pub(super) fn ids(write: &TargetWrite) -> (Option<&str>, Option<&str>) {
    match write {
        TargetWrite::Create { id, .. } => (id.as_deref(), None),
        TargetWrite::Update {
            before,
            rename: Some(id),
            ..
        } => (Some(id), Some(&before.id)),
        TargetWrite::Update {
            before,
            rename: None,
            ..
        }
        | TargetWrite::Delete { before } => (Some(&before.id), None),
    }
}

/// Judges what was found under the id after the write and, for a rename, under the one before.
/// Only the attributes that the write changes count; a target may add defaults of its own.
/// `hidden` are attributes that the target never shows: where nothing else changes, no look tells.
/// `written` is what the target said it holds after our write, where it said so.
pub(super) fn judge(
    write: &TargetWrite,
    hidden: &[String],
    written: Option<&Object>,
    at_new: Option<&TargetObject>,
    at_old: Option<&TargetObject>,
) -> Sight {
    let shown = without(write, hidden);
    let is_shown = match (write, shown.as_ref()) {
        (TargetWrite::Update { .. }, TargetWrite::Update { rename: None, .. }) => {
            write.difference().is_empty() || !shown.difference().is_empty()
        }
        _ => true,
    };
    match (is_shown, at_new) {
        (false, Some(_)) => Sight::Other,
        _ => judge_shown(&shown, written, at_new, at_old),
    }
}

/// The write without attributes that the target never shows.
fn without<'a>(write: &'a TargetWrite, hidden: &[String]) -> Cow<'a, TargetWrite> {
    if hidden.is_empty() {
        return Cow::Borrowed(write);
    }
    let mut shown = write.clone();
    let hide = |object: &mut Object| object.retain(|name, _| !hidden.contains(name));
    match &mut shown {
        TargetWrite::Create { after, .. } => hide(after),
        TargetWrite::Update { before, after, .. } => {
            hide(&mut before.attributes);
            hide(after);
        }
        TargetWrite::Delete { before } => hide(&mut before.attributes),
    }
    Cow::Owned(shown)
}

fn judge_shown(
    write: &TargetWrite,
    written: Option<&Object>,
    at_new: Option<&TargetObject>,
    at_old: Option<&TargetObject>,
) -> Sight {
    match write {
        TargetWrite::Create { after, .. } => match at_new {
            None => Sight::Before,
            Some(found) if holds(&found.attributes, after, written) => Sight::After,
            Some(_) => Sight::Other,
        },
        TargetWrite::Delete { before } => match at_new {
            None => Sight::After,
            Some(found) if holds(&found.attributes, &before.attributes, None) => Sight::Before,
            Some(_) => Sight::Other,
        },
        TargetWrite::Update {
            before,
            after,
            rename,
        } => {
            let change = Difference::between(&before.attributes, after);
            match (rename, at_new, at_old) {
                (Some(_), None, Some(found)) if is_before(&change, before, found) => Sight::Before,
                (Some(_), Some(found), None) | (None, Some(found), _) => {
                    judge_update(&change, before, written, found, rename.is_some())
                }
                _ => Sight::Other,
            }
        }
    }
}

/// Whether what a target said after our write shows the write without that word: then recovery,
/// which has nothing but the target, takes it for done again. A target that normalizes what it is
/// sent gives no such certainty; one that does not tell what it holds is taken to hold what it was
/// sent, or every change of such targets would wait for a second commit.
/// `hidden` are attributes that it never shows. `names` says whether the id that a create asks for
/// finds the object, whatever id it got.
pub(super) fn is_recognizable(
    write: &TargetWrite,
    hidden: &[String],
    written: Option<&Written>,
    find: Option<&Filter>,
    names: Naming,
) -> bool {
    let whole = write.difference();
    let write = &*without(write, hidden);
    if write.difference().is_empty() != whole.is_empty() {
        return false;
    }
    if matches!(write, TargetWrite::Delete { .. }) {
        return true;
    }
    let Some(Written { id, attributes }) = written else {
        return false;
    };
    let Some(attributes) = attributes else {
        return ids(write).0 == Some(id);
    };
    let is_found = match (ids(write).0, find) {
        (Some(wanted), _) => wanted == id || names == Naming::Both,
        (None, Some(filter)) => filter.matches(attributes),
        (None, None) => false,
    };
    is_found
        && match write {
            TargetWrite::Create { after, .. } => holds(attributes, after, None),
            TargetWrite::Update { before, after, .. } => {
                let change = Difference::between(&before.attributes, after);
                let mut names = change.attributes();
                names.all(|name| equal(attributes.get(name), change.set.get(name)))
            }
            TargetWrite::Delete { .. } => true,
        }
}

fn judge_update(
    change: &Difference,
    before: &TargetObject,
    written: Option<&Object>,
    found: &TargetObject,
    renamed: bool,
) -> Sight {
    if is_after(change, written, found) {
        Sight::After
    } else if !renamed && is_before(change, before, found) {
        Sight::Before
    } else {
        Sight::Other
    }
}

fn is_after(change: &Difference, written: Option<&Object>, found: &TargetObject) -> bool {
    change
        .attributes()
        .all(|name| is_ours(name, change, written, found))
}

/// Whether an attribute still holds what the write left there.
pub(super) fn is_ours(
    name: &str,
    change: &Difference,
    written: Option<&Object>,
    found: &TargetObject,
) -> bool {
    let actual = found.attributes.get(name);
    equal(actual, change.set.get(name))
        || written.is_some_and(|written| equal(actual, written.get(name)))
}

fn is_before(change: &Difference, before: &TargetObject, found: &TargetObject) -> bool {
    change
        .attributes()
        .all(|name| equal(found.attributes.get(name), before.attributes.get(name)))
}

/// Whether `found` holds everything that was to be written, as sent or as the target normalized it.
fn holds(found: &Object, sent: &Object, written: Option<&Object>) -> bool {
    sent.iter().all(|(name, value)| {
        equal(found.get(name), Some(value))
            || written.is_some_and(|written| equal(found.get(name), written.get(name)))
    })
}

/// Equal as JSON, where an absent attribute and a null one are the same.
pub(super) fn equal(left: Option<&Value>, right: Option<&Value>) -> bool {
    let present = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
    match (left, right) {
        (Some(left), Some(right)) if !left.is_null() && !right.is_null() => same(left, right),
        _ => !present(left) && !present(right),
    }
}

/// What puts back what `write` found: the inverse write, given what the target holds now.
/// None where the target holds the pre-image already.
///
/// # Errors
/// Nothing may be written where the target no longer holds what `write` left.
/// What the target never shows (`hidden`) is put back wherever the write changed it and its value
/// before is known.
pub(super) fn undo(
    write: &TargetWrite,
    hidden: &[String],
    written: Option<&Object>,
    at_new: Option<&TargetObject>,
    at_old: Option<&TargetObject>,
) -> Result<Option<TargetWrite>, ChangedSince> {
    match (write, judge(write, hidden, written, at_new, at_old)) {
        (_, Sight::Before) => Ok(None),
        (TargetWrite::Create { .. }, Sight::After) => Ok(at_new.map(|found| TargetWrite::Delete {
            before: found.clone(),
        })),
        (TargetWrite::Delete { before }, Sight::After) => Ok(Some(TargetWrite::Create {
            id: Some(before.id.clone()),
            after: before.attributes.clone(),
        })),
        (
            TargetWrite::Update {
                before,
                after,
                rename,
            },
            _,
        ) => {
            // Somebody has taken the old id meanwhile: ours cannot go back there.
            if rename.is_some() && at_old.is_some() {
                return Err(ChangedSince);
            }
            let mut change = Difference::between(&before.attributes, after);
            change.set.retain(|name, _| !hidden.contains(name));
            change.removed.retain(|name| !hidden.contains(name));
            let found = at_new.ok_or(ChangedSince)?;
            let mut inverse = undo_update(&change, before, written, found, rename.is_some())?;
            if let TargetWrite::Update { after: back, .. } = &mut inverse {
                let known = before.attributes.iter();
                let changed = known.filter(|(name, old)| {
                    hidden.contains(name) && !equal(Some(old), after.get(*name))
                });
                back.extend(changed.map(|(name, old)| (name.clone(), old.clone())));
            }
            let is_nothing = inverse.difference().is_empty() && rename.is_none();
            Ok(Some(inverse).filter(|_| !is_nothing))
        }
        (_, Sight::Other) => Err(ChangedSince),
    }
}

/// The attributes that a write changed, that the target never shows, and whose value before is
/// not known: nothing puts them back. What a deleted object held there unknown is null.
pub(super) fn lost<'a>(write: &'a TargetWrite, hidden: &'a [String]) -> Vec<&'a str> {
    let is_lost = |name: &&String| match write {
        TargetWrite::Create { .. } => false,
        TargetWrite::Update { before, after, .. } => {
            !before.attributes.contains_key(*name) && after.contains_key(*name)
        }
        TargetWrite::Delete { before } => {
            let held = before.attributes.get(*name);
            held.is_some_and(Value::is_null)
        }
    };
    hidden.iter().filter(is_lost).map(String::as_str).collect()
}

/// Somebody else has changed the target since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChangedSince;

/// Puts the changed attributes back, each of which must hold what we wrote or what was before.
fn undo_update(
    change: &Difference,
    before: &TargetObject,
    written: Option<&Object>,
    found: &TargetObject,
    renamed: bool,
) -> Result<TargetWrite, ChangedSince> {
    let mut after = found.attributes.clone();
    for name in change.attributes() {
        let old = before.attributes.get(name);
        let is_known =
            is_ours(name, change, written, found) || equal(found.attributes.get(name), old);
        match (is_known, old) {
            (false, _) => return Err(ChangedSince),
            (true, Some(value)) => {
                after.insert(name.to_owned(), value.clone());
            }
            (true, None) => {
                after.shift_remove(name);
            }
        }
    }
    let rename = renamed.then(|| before.id.clone());
    Ok(TargetWrite::Update {
        before: found.clone(),
        after,
        rename,
    })
}

#[cfg(test)]
mod tests {
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
        let judged = |value| judge(&write, &[], None, Some(&target("1", value)), None);
        assert_eq!(
            judged(json!({"a": 2.0, "c": "new", "keep": false})),
            Sight::After
        );
        assert_eq!(judged(json!({"a": 1, "b": "x", "other": 1})), Sight::Before);
        assert_eq!(judged(json!({"a": 1, "b": "x", "c": null})), Sight::Before);
        assert_eq!(judged(json!({"a": 3, "c": "new"})), Sight::Other);
        assert_eq!(judge(&write, &[], None, None, None), Sight::Other);
    }

    #[test]
    fn an_update_is_undone_attribute_by_attribute() {
        let found = target("1", json!({"a": 2, "c": "new", "keep": false}));
        let undo_write = undo(&update(), &[], None, Some(&found), None)
            .unwrap()
            .unwrap();
        assert_eq!(
            undo_write.after().unwrap(),
            object(json!({"_id": "1", "a": 1, "b": "x", "keep": false}))
        );
        let half = target("1", json!({"a": 1, "c": "new", "b": "x"}));
        assert!(
            undo(&update(), &[], None, Some(&half), None)
                .unwrap()
                .is_some()
        );
        let foreign = target("1", json!({"a": 9, "c": "new"}));
        assert_eq!(
            undo(&update(), &[], None, Some(&foreign), None),
            Err(ChangedSince)
        );
        assert_eq!(undo(&update(), &[], None, None, None), Err(ChangedSince));
    }

    #[test]
    fn what_the_target_normalized_counts_as_ours() {
        let write = TargetWrite::Create {
            id: Some("1".into()),
            after: object(json!({"m": "A@X"})),
        };
        let found = target("1", json!({"m": "a@x", "created": "now"}));
        assert_eq!(judge(&write, &[], None, Some(&found), None), Sight::Other);
        let written = object(json!({"m": "a@x"}));
        assert_eq!(
            judge(&write, &[], Some(&written), Some(&found), None),
            Sight::After
        );
        assert!(matches!(
            undo(&write, &[], Some(&written), Some(&found), None),
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
            undo(&write, &[], None, None, None).unwrap(),
            Some(TargetWrite::Create {
                id: Some("1".into()),
                after: before.attributes.clone()
            })
        );
        assert_eq!(undo(&write, &[], None, Some(&before), None), Ok(None));
        let other = target("1", json!({"a": 2}));
        assert_eq!(
            undo(&write, &[], None, Some(&other), None),
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
        assert_eq!(judge(&write, &[], None, Some(&moved), None), Sight::After);
        assert_eq!(judge(&write, &[], None, None, Some(&there)), Sight::Before);
        assert_eq!(
            judge(&write, &[], None, Some(&moved), Some(&there)),
            Sight::Other
        );
        let Ok(Some(TargetWrite::Update { rename, .. })) =
            undo(&write, &[], None, Some(&moved), None)
        else {
            panic!("no undo")
        };
        assert_eq!(rename.as_deref(), Some("old"));
        let both = undo(&write, &[], None, Some(&moved), Some(&there));
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
            is_recognizable(write, &[], Some(written), Some(&find), Naming::Id)
        };
        let as_sent = said("1", json!({"m": "A@X", "created": "now"}));
        let normalized = said("1", json!({"m": "a@x"}));
        for write in [create(Some("1")), create(None)] {
            assert!(sees(&write, &as_sent));
            assert!(!sees(&write, &normalized));
            assert!(!is_recognizable(&write, &[], None, None, Naming::Id));
        }
        assert!(!sees(&create(Some("2")), &as_sent), "under another id");
        assert!(!is_recognizable(
            &create(None),
            &[],
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
        let judged = |found| judge(&write, &hidden, None, Some(&target("1", found)), None);
        assert_eq!(judged(json!({"a": 2})), Sight::After);
        assert_eq!(judged(json!({"a": 1})), Sight::Before);
        let found = target("1", json!({"a": 2}));
        let inverse = undo(&write, &hidden, None, Some(&found), None).unwrap();
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
            judge(&known, &hidden, None, Some(&found), None),
            Sight::Other
        );
        let said = Written {
            id: "1".into(),
            attributes: Some(found.attributes.clone()),
        };
        assert!(!is_recognizable(
            &known,
            &hidden,
            Some(&said),
            None,
            Naming::Id
        ));
        let inverse = undo(&known, &hidden, None, Some(&found), None).unwrap();
        assert_eq!(inverse.unwrap().after().unwrap()["pw"], "old");
        let unknown = change(json!({"a": 1}));
        assert_eq!(undo(&unknown, &hidden, None, Some(&found), None), Ok(None));
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
}
