//! Renames that what goes by an object's name elsewhere has to follow, and that are cut off in between.
use serde_json::Value;

use super::{Special, values};
use crate::model::{Object, TargetObject, TargetWrite, object::Difference};

impl Special<'_> {
    /// Whether the values of an attribute follow the object's name.
    pub(super) fn follows_name(&self, name: &str) -> bool {
        let mut names = self.follows.iter().flat_map(|follows| &follows.attributes);
        names.any(|own| own == name)
    }

    /// Whether the object has another name by now than before the write.
    pub(super) fn is_named_anew(&self, write: &TargetWrite, found: &TargetObject) -> bool {
        match (self.follows, write) {
            (Some(follows), TargetWrite::Update { before, .. }) => {
                let name = |object: &TargetObject| object.attributes.get(&follows.by).cloned();
                name(before) != name(found)
            }
            _ => false,
        }
    }

    /// Whether everything shows that follows the name and that the write does not change otherwise.
    /// More than that is somebody else's.
    pub(super) fn have_followed(
        &self,
        change: &Difference,
        before: &TargetObject,
        found: &TargetObject,
    ) -> bool {
        let names = self.follows.iter().flat_map(|follows| &follows.attributes);
        let is_changed = |name: &String| change.attributes().any(|own| own == name);
        let mut others = names.filter(|name| !is_changed(name));
        others.all(|name| {
            let held = values(found.attributes.get(name));
            values(before.attributes.get(name)).is_subset(&held)
        })
    }

    /// Whether an object that goes by its old name is what a rename left there, or its undo.
    pub(super) fn is_half_named(
        &self,
        change: &Difference,
        before: &TargetObject,
        found: &TargetObject,
    ) -> bool {
        self.follows.is_some()
            && (change.attributes()).all(|name| self.is_known(name, change, before, None, found))
    }

    /// Turns what undoes a rename that the object itself does not need any more, because it goes by
    /// its old name, into one that begins at the new name: whatever may still go by that, comes back.
    pub(super) fn from_new_name(
        &self,
        inverse: &mut TargetWrite,
        (old, new, id): (&TargetObject, &Object, Option<&str>),
    ) {
        let (Some(follows), TargetWrite::Update { before, after, .. }) = (self.follows, inverse)
        else {
            return;
        };
        let to = Value::String(follows.to.clone());
        before.attributes.insert(follows.by.clone(), to);
        if let Some(id) = id {
            id.clone_into(&mut before.id);
        }
        for name in &follows.attributes {
            let held = before.attributes.get(name).cloned();
            put(
                after,
                name,
                union(after.get(name), old.attributes.get(name)),
            );
            put(
                &mut before.attributes,
                name,
                union(held.as_ref(), new.get(name)),
            );
        }
    }
}

/// The values of both, each once.
fn union(one: Option<&Value>, other: Option<&Value>) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for value in [one, other].into_iter().flatten() {
        let values = match value {
            Value::Null => &[],
            Value::Array(items) => items.as_slice(),
            single => std::slice::from_ref(single),
        };
        for value in values {
            if !all.contains(value) {
                all.push(value.clone());
            }
        }
    }
    all
}

fn put(object: &mut Object, name: &str, values: Vec<Value>) {
    if values.is_empty() {
        object.shift_remove(name);
    } else {
        object.insert(name.to_owned(), values.into());
    }
}
