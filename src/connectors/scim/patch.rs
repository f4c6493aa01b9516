//! A change of a resource as the operations of a PATCH (RFC 7644, section 3.5.2), as few as will do.
use serde_json::{Value, json};

use super::wire::{MEMBERS, Site, is_nothing, member_values};
use crate::model::{Difference, Object, object::same};

/// The URN of a PATCH.
const MESSAGE: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// The body of a PATCH.
pub fn body(operations: &[Value]) -> Value {
    json!({"schemas": [MESSAGE], "Operations": operations})
}

/// The operations that turn `before` into `after`, but for a group's members. Both are as
/// [`Site::normal`] leaves them.
pub fn operations(site: &Site<'_>, before: &Object, after: &Object) -> Vec<Value> {
    let difference = Difference::between(before, after);
    let is_members = |name: &str| name == MEMBERS && site.shape.is_group();
    let mut changes = Changes::default();
    for (name, new) in &difference.set {
        if !is_members(name) {
            changes.set(site, name, before.get(name), new);
        }
    }
    let removed = difference.removed.into_iter();
    changes
        .removed
        .extend(removed.filter(|name| !is_members(name)));
    changes.operations(site)
}

/// The operation that sets one attribute.
pub fn set(site: &Site<'_>, name: &str, value: &Value, is_new: bool) -> Value {
    let mut changes = Changes::default();
    let place = Place {
        attribute: name.to_owned(),
        sub: None,
        is_new,
    };
    changes.set.push((place, site.sent_attribute(name, value)));
    changes
        .operations(site)
        .pop()
        .unwrap_or_else(|| json!({"op": "replace", "path": name, "value": value}))
}

/// The operations that let members in.
pub fn add_members(ids: &[&str]) -> Value {
    json!({"op": "add", "path": MEMBERS, "value": member_values(ids)})
}

/// The operations that send members away, in the way that the service understands.
pub fn remove_members(site: &Site<'_>, ids: &[&str]) -> Vec<Value> {
    if !site.deviations.patch_filters {
        return vec![json!({"op": "remove", "path": MEMBERS, "value": member_values(ids)})];
    }
    let path = |id: &&str| format!("{MEMBERS}[value eq {}]", json!(id));
    ids.iter()
        .map(|id| json!({"op": "remove", "path": path(id)}))
        .collect()
}

/// Where a value stands.
struct Place {
    attribute: String,
    sub: Option<String>,
    /// Whether nothing stands there yet.
    is_new: bool,
}

#[derive(Default)]
struct Changes {
    set: Vec<(Place, Value)>,
    removed: Vec<String>,
}

impl Changes {
    /// A complex attribute changes sub-attribute by sub-attribute: a replacement of the whole leaves
    /// those alone that it does not name (RFC 7644, section 3.5.2.3).
    fn set(&mut self, site: &Site<'_>, name: &str, old: Option<&Value>, new: &Value) {
        let (Some(Value::Object(old)), Value::Object(new)) = (old, new) else {
            let place = Place {
                attribute: name.to_owned(),
                sub: None,
                is_new: old.is_none(),
            };
            self.set.push((place, site.sent_attribute(name, new)));
            return;
        };
        for (sub, value) in new.iter().filter(|(_, value)| !is_nothing(value)) {
            if old.get(sub).is_some_and(|old| same(old, value)) {
                continue;
            }
            let place = Place {
                attribute: name.to_owned(),
                sub: Some(sub.clone()),
                is_new: !old.contains_key(sub),
            };
            self.set.push((place, site.sent(value)));
        }
        let gone = |sub: &&String| new.get(*sub).is_none_or(is_nothing);
        let gone = old.keys().filter(gone);
        self.removed.extend(gone.map(|sub| format!("{name}.{sub}")));
    }

    fn operations(self, site: &Site<'_>) -> Vec<Value> {
        let removed = self.removed.iter();
        let removals = removed.map(|path| json!({"op": "remove", "path": path}));
        let mut operations: Vec<Value> = removals.collect();
        if site.deviations.patch_paths {
            operations.extend(self.set.into_iter().map(|(place, value)| {
                let op = if place.is_new { "add" } else { "replace" };
                json!({"op": op, "path": place.path(), "value": value})
            }));
        } else if !self.set.is_empty() {
            let value = whole(site, self.set);
            operations.push(json!({"op": "replace", "value": value}));
        }
        operations
    }
}

impl Place {
    fn path(&self) -> String {
        match &self.sub {
            Some(sub) => format!("{}.{sub}", self.attribute),
            None => self.attribute.clone(),
        }
    }
}

/// The values as a piece of a resource.
fn whole(site: &Site<'_>, set: Vec<(Place, Value)>) -> Value {
    let mut piece = json!({});
    for (place, value) in set {
        let (urn, own) = match site.shape.extension_of(&place.attribute) {
            Some((urn, own)) => (Some(urn), own),
            None => (None, place.attribute.as_str()),
        };
        let path = [urn, Some(own), place.sub.as_deref()];
        if let Some(slot) = path.into_iter().flatten().try_fold(&mut piece, member) {
            *slot = value;
        }
    }
    piece
}

fn member<'a>(parent: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    if parent.is_null() {
        *parent = json!({});
    }
    let members = parent.as_object_mut()?;
    Some(members.entry(name).or_insert(Value::Null))
}
