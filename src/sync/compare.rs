//! What a target holds, seen from one write: its after-value, its pre-image, or something else.
use std::{borrow::Cow, collections::BTreeSet};

use serde_json::Value;

use crate::model::{
    Filter, Follows, Object, PlannedRow, TargetObject, TargetWrite,
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
    /// Something between the two, in attributes whose values are a set: the write was cut off.
    Between,
    /// Neither: somebody else has changed it.
    Other,
}

/// What is special about the attributes of a write.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Special<'a> {
    /// Those that the target never shows.
    pub hidden: &'a [String],
    /// Those whose values are a set.
    pub sets: &'a [String],
    /// What follows the name that the write gives the object.
    pub follows: Option<&'a Follows>,
}

impl<'a> Special<'a> {
    /// That of a row's write.
    pub(super) fn of(row: &'a PlannedRow) -> Self {
        Self {
            hidden: &row.write_only,
            sets: &row.sets,
            follows: row.follows.as_ref(),
        }
    }

    fn is_set(&self, name: &str) -> bool {
        self.sets.iter().any(|set| set == name)
    }

    fn is_hidden(&self, name: &str) -> bool {
        self.hidden.iter().any(|hidden| hidden == name)
    }

    /// Whether two values of an attribute mean the same; an absent one and a null one do.
    pub(super) fn equal(&self, name: &str, left: Option<&Value>, right: Option<&Value>) -> bool {
        equal(left, right) || (self.is_set(name) && values(left) == values(right))
    }

    /// Whether an attribute's values are a set of which some have changed from one to the other and
    /// the others have not yet.
    fn is_between(
        &self,
        name: &str,
        (one, other): (Option<&Value>, Option<&Value>),
        found: Option<&Value>,
    ) -> bool {
        if !self.is_set(name) {
            return false;
        }
        let (one, other, found) = (values(one), values(other), values(found));
        let stays = |value: &String| found.contains(value);
        (self.follows_name(name) || one.intersection(&other).all(stays))
            && found
                .iter()
                .all(|it| one.contains(it) || other.contains(it))
    }
}

/// The values of an attribute as a set.
fn values(value: Option<&Value>) -> BTreeSet<String> {
    match value {
        None | Some(Value::Null) => BTreeSet::new(),
        Some(Value::Array(items)) => items.iter().map(Value::to_string).collect(),
        Some(one) => BTreeSet::from([one.to_string()]),
    }
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
/// Only the attributes that the write changes count; a target may add defaults of its own. Where
/// nothing changes but what the target never shows, no look tells.
/// `written` is what the target said it holds after our write, where it said so.
pub(super) fn judge(
    write: &TargetWrite,
    special: Special<'_>,
    written: Option<&Object>,
    at_new: Option<&TargetObject>,
    at_old: Option<&TargetObject>,
) -> Sight {
    let shown = without(write, special.hidden);
    let is_shown = match (write, shown.as_ref()) {
        (TargetWrite::Update { .. }, TargetWrite::Update { rename: None, .. }) => {
            write.difference().is_empty() || !shown.difference().is_empty()
        }
        _ => true,
    };
    match (is_shown, at_new) {
        (false, Some(_)) => Sight::Other,
        _ => judge_shown(&shown, special, written, (at_new, at_old)),
    }
}

/// The write without attributes that the target never shows.
pub(super) fn without<'a>(write: &'a TargetWrite, hidden: &[String]) -> Cow<'a, TargetWrite> {
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
    special: Special<'_>,
    written: Option<&Object>,
    (at_new, at_old): (Option<&TargetObject>, Option<&TargetObject>),
) -> Sight {
    match write {
        TargetWrite::Create { after, .. } => match at_new {
            None => Sight::Before,
            Some(found) if special.holds(&found.attributes, after, written) => Sight::After,
            Some(found) if special.holds_part(&found.attributes, after) => Sight::Between,
            Some(_) => Sight::Other,
        },
        TargetWrite::Delete { before } => match at_new {
            None => Sight::After,
            Some(found) if special.holds(&found.attributes, &before.attributes, None) => {
                Sight::Before
            }
            Some(found) if special.holds_part(&found.attributes, &before.attributes) => {
                Sight::Between
            }
            Some(_) => Sight::Other,
        },
        TargetWrite::Update {
            before,
            after,
            rename,
        } => {
            let change = Difference::between(&before.attributes, after);
            match (rename, at_new, at_old) {
                (Some(_), None, Some(found)) if special.is_before(&change, before, found) => {
                    Sight::Before
                }
                (Some(_), None, Some(found)) if special.is_half_named(&change, before, found) => {
                    Sight::Between
                }
                (Some(_), Some(found), None) | (None, Some(found), _) => {
                    special.judge_update(&change, before, written, found, rename.is_some())
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
/// `names` says whether the id that a create asks for finds the object, whatever id it got.
pub(super) fn is_recognizable(
    write: &TargetWrite,
    special: Special<'_>,
    written: Option<&Written>,
    find: Option<&Filter>,
    names: Naming,
) -> bool {
    let whole = write.difference();
    let write = &*without(write, special.hidden);
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
            TargetWrite::Create { after, .. } => special.holds(attributes, after, None),
            TargetWrite::Update { before, after, .. } => {
                let change = Difference::between(&before.attributes, after);
                let mut names = change.attributes();
                names.all(|name| special.equal(name, attributes.get(name), change.set.get(name)))
            }
            TargetWrite::Delete { .. } => true,
        }
}

impl Special<'_> {
    fn judge_update(
        &self,
        change: &Difference,
        before: &TargetObject,
        written: Option<&Object>,
        found: &TargetObject,
        renamed: bool,
    ) -> Sight {
        let is_after = |name| self.is_ours(name, change, written, found);
        let is_known = |name| self.is_known(name, change, before, written, found);
        let has_sets = self.follows.is_some() || change.attributes().any(|name| self.is_set(name));
        if change.attributes().all(is_after) && self.have_followed(change, before, found) {
            Sight::After
        } else if !renamed && self.is_before(change, before, found) {
            Sight::Before
        } else if has_sets && change.attributes().all(is_known) {
            Sight::Between
        } else {
            Sight::Other
        }
    }

    /// Whether an attribute still holds what the write left there.
    fn is_ours(
        &self,
        name: &str,
        change: &Difference,
        written: Option<&Object>,
        found: &TargetObject,
    ) -> bool {
        let actual = found.attributes.get(name);
        self.equal(name, actual, change.set.get(name))
            || written.is_some_and(|written| self.equal(name, actual, written.get(name)))
    }

    /// Whether nobody but the write has changed an attribute: it holds what was before or what came
    /// after it, or a part of either where it is a set.
    fn is_known(
        &self,
        name: &str,
        change: &Difference,
        before: &TargetObject,
        written: Option<&Object>,
        found: &TargetObject,
    ) -> bool {
        let (old, actual) = (before.attributes.get(name), found.attributes.get(name));
        self.is_ours(name, change, written, found)
            || self.equal(name, actual, old)
            || self.is_between(name, (old, change.set.get(name)), actual)
    }

    fn is_before(&self, change: &Difference, before: &TargetObject, found: &TargetObject) -> bool {
        self.have_followed(change, before, found)
            && change.attributes().all(|name| {
                self.equal(
                    name,
                    found.attributes.get(name),
                    before.attributes.get(name),
                )
            })
    }

    /// Whether `found` holds everything that was to be written, as sent or as the target
    /// normalized it.
    fn holds(&self, found: &Object, sent: &Object, written: Option<&Object>) -> bool {
        sent.iter().all(|(name, value)| {
            self.equal(name, found.get(name), Some(value))
                || written
                    .is_some_and(|written| self.equal(name, found.get(name), written.get(name)))
        })
    }

    /// Whether `found` holds what was to be written as far as that goes by now: all but some of the
    /// values of a set.
    fn holds_part(&self, found: &Object, sent: &Object) -> bool {
        sent.iter().all(|(name, value)| {
            let found = found.get(name);
            self.equal(name, found, Some(value))
                || self.is_between(name, (None, Some(value)), found)
        })
    }
}

/// What is left to be done of a write that was cut off, given what was found under the id after it
/// and the one before; none where nothing was found. A rename that has begun is carried out again as
/// it was: what the object is called by now does not tell what still goes by its old name.
pub(super) fn rest(
    write: &TargetWrite,
    special: Special<'_>,
    (at_new, at_old): (Option<&TargetObject>, Option<&TargetObject>),
) -> Option<TargetWrite> {
    let found = at_new.or(at_old)?;
    if special.is_named_anew(write, found) {
        return Some(write.clone());
    }
    let (after, rename) = match write {
        TargetWrite::Create { after, .. } => {
            let mut whole = found.attributes.clone();
            whole.extend(after.clone());
            (whole, None)
        }
        TargetWrite::Update {
            before,
            after,
            rename,
        } => {
            let change = Difference::between(&before.attributes, after);
            let rename = rename.clone().filter(|_| at_new.is_none());
            (change.applied(&found.attributes), rename)
        }
        TargetWrite::Delete { .. } => {
            return Some(TargetWrite::Delete {
                before: found.clone(),
            });
        }
    };
    Some(TargetWrite::Update {
        before: found.clone(),
        after,
        rename,
    })
}

/// Equal as JSON, where an absent attribute and a null one are the same.
fn equal(left: Option<&Value>, right: Option<&Value>) -> bool {
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
/// What the target never shows is put back wherever the write changed it and its value before is
/// known. What was created again half is finished.
pub(super) fn undo(
    write: &TargetWrite,
    special: Special<'_>,
    written: Option<&Object>,
    at_new: Option<&TargetObject>,
    at_old: Option<&TargetObject>,
) -> Result<Option<TargetWrite>, ChangedSince> {
    match (write, judge(write, special, written, at_new, at_old)) {
        (_, Sight::Before) => Ok(None),
        (TargetWrite::Create { .. }, Sight::After | Sight::Between) => {
            Ok(at_new.map(|found| TargetWrite::Delete {
                before: found.clone(),
            }))
        }
        (TargetWrite::Delete { before }, Sight::After) => Ok(Some(TargetWrite::Create {
            id: Some(before.id.clone()),
            after: before.attributes.clone(),
        })),
        (TargetWrite::Delete { before }, Sight::Between) => {
            let mut after = before.attributes.clone();
            after.retain(|name, held| !(special.is_hidden(name) && held.is_null()));
            let recreation = TargetWrite::Create { id: None, after };
            Ok(rest(&recreation, special, (at_new, None)))
        }
        (
            TargetWrite::Update {
                before,
                after,
                rename,
            },
            _,
        ) => {
            let found = match (at_new, at_old) {
                (Some(found), None) => found,
                // It has its old name again, and not everything has followed yet.
                (None, Some(found)) if special.follows.is_some() => found,
                // Somebody has taken the old id meanwhile: ours cannot go back there.
                _ => return Err(ChangedSince),
            };
            let mut change = Difference::between(&before.attributes, after);
            change.set.retain(|name, _| !special.is_hidden(name));
            change.removed.retain(|name| !special.is_hidden(name));
            let renamed = rename.is_some();
            let mut inverse = undo_update(&change, special, before, (written, found), renamed)?;
            if !special.is_named_anew(write, found) {
                special.from_new_name(&mut inverse, (before, after, rename.as_deref()));
            }
            if let TargetWrite::Update { after: back, .. } = &mut inverse {
                let known = before.attributes.iter();
                let changed = known.filter(|(name, old)| {
                    special.is_hidden(name) && !equal(Some(old), after.get(*name))
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
    special: Special<'_>,
    before: &TargetObject,
    (written, found): (Option<&Object>, &TargetObject),
    renamed: bool,
) -> Result<TargetWrite, ChangedSince> {
    let mut after = found.attributes.clone();
    for name in change.attributes() {
        let old = before.attributes.get(name);
        let is_known = special.is_known(name, change, before, written, found);
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

mod named;
#[cfg(test)]
mod tests;
