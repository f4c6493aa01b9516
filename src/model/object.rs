//! JSON objects as records: comparing them and saying what differs.
use serde_json::{Map, Value};

/// A record or a target's attributes: attribute name to JSON value, in insertion order.
pub type Object = Map<String, Value>;

/// The attribute that holds an object's id (CREST).
pub const ID: &str = "_id";
/// The attribute that holds an object's revision (CREST).
pub const REV: &str = "_rev";
/// What queries of managed objects see beside the object: when it was created and last written, in
/// microseconds since 1970. No answer shows it.
pub const TIMES: &str = "_recant";
/// When an object was created, in [`TIMES`].
pub const CREATED: &str = "created";
/// When an object was last written, in [`TIMES`].
pub const UPDATED: &str = "updated";

/// What turns one object into another, top-level attribute by attribute.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Difference {
    /// Attributes to set, with their new values.
    pub set: Object,
    /// Attributes to remove.
    pub removed: Vec<String>,
}

impl Difference {
    /// What has to be set and removed to turn `before` into `after`; `_id` and `_rev` do not count.
    #[must_use]
    pub fn between(before: &Object, after: &Object) -> Self {
        let set = after
            .iter()
            .filter(|(name, value)| {
                !is_meta(name) && !before.get(*name).is_some_and(|old| same(old, value))
            })
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let removed = before
            .keys()
            .filter(|name| !is_meta(name) && !after.contains_key(*name))
            .cloned()
            .collect();
        Self { set, removed }
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.removed.is_empty()
    }

    /// A copy of `object` with this difference laid over it.
    #[must_use]
    pub fn applied(&self, object: &Object) -> Object {
        let mut copy = object.clone();
        copy.retain(|name, _| !self.removed.contains(name));
        copy.extend(
            self.set
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        copy
    }

    /// The names of every attribute that is set or removed.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        self.set
            .keys()
            .map(String::as_str)
            .chain(self.removed.iter().map(String::as_str))
    }
}

/// Whether `name` is an attribute that CREST keeps for itself.
#[must_use]
pub fn is_meta(name: &str) -> bool {
    name == ID || name == REV
}

/// Whether two values mean the same: as JSON, where `1` and `1.0` are one number and the order of
/// an object's members does not count.
#[must_use]
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left == right
                || match (left.as_i64(), right.as_i64()) {
                    (Some(left), Some(right)) => left == right,
                    _ => left.as_f64() == right.as_f64(),
                }
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => same_object(left, right),
        _ => left == right,
    }
}

/// Whether two objects hold the same attributes with the same values.
#[must_use]
pub fn same_object(left: &Object, right: &Object) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .all(|(name, value)| right.get(name).is_some_and(|other| same(value, other)))
}

/// Whether two records are equal, their ids and revisions aside.
#[must_use]
pub fn same_record(left: &Object, right: &Object) -> bool {
    Difference::between(left, right).is_empty()
}
