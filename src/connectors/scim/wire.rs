//! Between Recant's objects and a SCIM service's resources.
use serde_json::{Value, json};

use super::{
    dialect::Deviations,
    settings::{Class, SERVICE_ID},
    shape::Shape,
};
use crate::{
    connectors::Error,
    model::{Object, TargetObject, scim::truth},
};

/// What stands before the service's own id where a resource has no key.
const BY_SERVICE_ID: &str = "id:";
/// A group's members.
pub const MEMBERS: &str = "members";
/// Whether a resource is in use.
pub const ACTIVE: &str = "active";

/// One object class with all that is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// What its settings say.
    pub class: &'a Class,
    /// How its resources look.
    pub shape: &'a Shape,
    /// In what the service differs.
    pub deviations: &'a Deviations,
}

/// A resource as the service gave it.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// The service's own id.
    pub id: String,
    /// The value of the key, where it has one.
    pub key: Option<String>,
    /// All that Recant sees of it.
    pub attributes: Object,
    /// Its version, out of `meta.version`.
    pub version: Option<String>,
    /// When it was changed last, out of `meta.lastModified`.
    pub last_modified: Option<String>,
    /// Whether it is in use; true where it does not tell.
    pub is_active: bool,
}

impl Resource {
    /// The id by which Recant knows it.
    pub fn known_as(&self) -> String {
        match &self.key {
            Some(key) => key.clone(),
            None => format!("{BY_SERVICE_ID}{}", self.id),
        }
    }

    /// As Recant sees it, under the id that was asked for.
    pub fn into_object(self) -> TargetObject {
        TargetObject {
            id: self.known_as(),
            attributes: self.attributes,
            version: self.version,
        }
    }
}

/// The service's own id in an id of Recant's, where it stands for a resource without a key.
pub fn service_id(id: &str) -> Option<&str> {
    id.strip_prefix(BY_SERVICE_ID).filter(|id| !id.is_empty())
}

impl Site<'_> {
    /// Reads a resource.
    ///
    /// # Errors
    /// Where it is none.
    pub fn resource(&self, value: Value) -> Result<Resource, Error> {
        let Value::Object(mut object) = value else {
            return Err(no_resource());
        };
        let text = |value: Option<Value>| match value {
            Some(Value::String(text)) if !text.is_empty() => Some(text),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let id = text(object.shift_remove(SERVICE_ID)).ok_or_else(no_resource)?;
        let meta = object.shift_remove("meta").unwrap_or_default();
        let told = |name: &str| text(meta.get(name).cloned());
        let key = match self.class.uses_service_ids() {
            true => Some(id.clone()),
            false => text(object.shift_remove(&self.class.key)),
        };
        let is_active = object
            .get(ACTIVE)
            .is_none_or(|value| truth(value) != Some(false));
        if self.deactivates() {
            object.shift_remove(ACTIVE);
        }
        Ok(Resource {
            id,
            key,
            attributes: self.attributes(object),
            version: told("version"),
            last_modified: told("lastModified"),
            is_active,
        })
    }

    /// Whether a deletion only sets `active`.
    pub fn deactivates(&self) -> bool {
        self.class.delete == super::Removal::Deactivate
    }

    /// Whether two values of the key are one to the service.
    pub fn is_same_key(&self, one: &str, other: &str) -> bool {
        one == other || self.folded_key(one) == self.folded_key(other)
    }

    /// A value of the key in the form that all values have which are one to the service.
    pub fn folded_key(&self, key: &str) -> String {
        match self.shape.key_ignores_case {
            true => key.to_lowercase(),
            false => key.to_owned(),
        }
    }

    /// What Recant sees of a resource's attributes.
    fn attributes(&self, object: Object) -> Object {
        let mut attributes = Object::new();
        for (name, value) in object {
            match value {
                Value::Object(own) if name.starts_with("urn:") => {
                    for (sub, value) in own {
                        self.keep(format!("{name}:{sub}"), value, &mut attributes);
                    }
                }
                value => self.keep(name, value, &mut attributes),
            }
        }
        attributes
    }

    fn keep(&self, name: String, value: Value, attributes: &mut Object) {
        let mut hidden = self.class.write_only.iter();
        if self.shape.is_read_only(&name) || hidden.any(|it| it.eq_ignore_ascii_case(&name)) {
            return;
        }
        let value = match (name.as_str(), self.shape.is_group()) {
            (MEMBERS, true) if !self.deviations.members_shown => return,
            (MEMBERS, true) => json!(members(&value)),
            _ => self.value(&name, value),
        };
        if !is_nothing(&value) {
            attributes.insert(name, value);
        }
    }

    /// A value without what is the service's own in it.
    fn value(&self, place: &str, value: Value) -> Value {
        match value {
            Value::Object(members) => {
                let own = |name: &str| format!("{place}.{name}");
                let kept = members
                    .into_iter()
                    .filter(|(name, _)| !self.shape.is_read_only(&own(name)))
                    .map(|(name, value)| {
                        let value = self.value(&own(&name), value);
                        (name, value)
                    })
                    .filter(|(_, value)| !is_nothing(value));
                Value::Object(kept.collect())
            }
            Value::Array(items) => {
                let items = items.into_iter().map(|item| self.value(place, item));
                Value::Array(items.collect())
            }
            Value::String(_) if self.shape.is_boolean(place) => {
                truth(&value).map_or(value, Value::Bool)
            }
            other => other,
        }
    }

    /// What a mapping gives, in the form in which the service would give it back.
    pub fn refined(&self, object: &Object) -> Object {
        let object = self.normal(object);
        let values = object.into_iter().map(|(name, value)| match name.as_str() {
            MEMBERS if self.shape.is_group() => (name, value),
            _ => {
                let value = self.value(&name, value);
                (name, value)
            }
        });
        values.filter(|(_, value)| !is_nothing(value)).collect()
    }

    /// The same attributes as they come back from the service: without what says nothing.
    pub fn normal(&self, object: &Object) -> Object {
        let kept = object
            .iter()
            .filter(|(_, value)| !is_nothing(value))
            .map(|(name, value)| match name.as_str() {
                MEMBERS if self.shape.is_group() => (name.clone(), json!(members(value))),
                _ => (name.clone(), value.clone()),
            });
        kept.collect()
    }

    /// A whole resource as a body. `id` is the service's own, where there is one already.
    pub fn body(&self, id: Option<&str>, key: Option<&str>, object: &Object) -> Value {
        let mut body = Object::new();
        let mut schemas = vec![self.shape.schema.clone()];
        if let Some(id) = id {
            body.insert(SERVICE_ID.to_owned(), json!(id));
        }
        if let Some(key) = key.filter(|_| !self.class.uses_service_ids()) {
            body.insert(self.class.key.clone(), json!(key));
        }
        if self.deactivates() {
            body.insert(ACTIVE.to_owned(), self.sent(&json!(true)));
        }
        for (name, value) in object {
            if is_nothing(value) {
                continue;
            }
            let value = self.sent_attribute(name, value);
            match self.shape.extension_of(name) {
                Some((urn, own)) => {
                    if !schemas.iter().any(|known| known == urn) {
                        schemas.push(urn.to_owned());
                    }
                    let extension = body.entry(urn).or_insert_with(|| json!({}));
                    if let Value::Object(extension) = extension {
                        extension.insert(own.to_owned(), value);
                    }
                }
                None => {
                    body.insert(name.clone(), value);
                }
            }
        }
        body.insert("schemas".to_owned(), json!(schemas));
        Value::Object(body)
    }

    /// An attribute as the service wants it.
    pub fn sent_attribute(&self, name: &str, value: &Value) -> Value {
        if name == MEMBERS && self.shape.is_group() {
            return member_values(&members(value));
        }
        self.sent(value)
    }

    /// A value as the service wants it.
    pub fn sent(&self, value: &Value) -> Value {
        match value {
            Value::Bool(truth) if self.deviations.booleans_as_text => {
                json!(if *truth { "True" } else { "False" })
            }
            Value::Array(items) => items.iter().map(|item| self.sent(item)).collect(),
            Value::Object(members) => {
                let members = members.iter();
                Value::Object(
                    members
                        .map(|(name, value)| (name.clone(), self.sent(value)))
                        .collect(),
                )
            }
            other => other.clone(),
        }
    }

    /// What cannot be written.
    ///
    /// # Errors
    /// Refused where an attribute is the service's own, the key, or one that a setting takes away.
    pub fn check(&self, object: &Object) -> Result<(), Error> {
        for (name, value) in object {
            let key = &self.class.key;
            if name == key && !self.class.uses_service_ids() {
                let message = format!("`{key}` is the key (`key`): map it as `_id`");
                return Err(Error::refused(400, message));
            }
            if self.shape.is_read_only(name) {
                let message = format!("`{name}` is written by the service alone");
                return Err(Error::refused(400, message));
            }
            if name == ACTIVE && self.deactivates() {
                let message = "`active` says what is deleted (`delete`): it cannot be mapped";
                return Err(Error::refused(400, message));
            }
            let hides = self.shape.is_group() && !self.deviations.members_shown;
            if name == MEMBERS && hides && !is_nothing(value) {
                let message = "the service does not show a group's members (`membersShown`), so that \
                    what is written to `members` could be neither compared nor taken back";
                return Err(Error::refused(501, message));
            }
        }
        Ok(())
    }
}

/// Whether a value says nothing: null and the empty list are no value (RFC 7643, section 2.5).
pub fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// The ids in a list of members, in order and each once. They stand there as they are, or as
/// `value`.
pub fn members(value: &Value) -> Vec<String> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        _ => &[],
    };
    let id = |item: &Value| match item {
        Value::String(id) => Some(id.clone()),
        other => other.get("value")?.as_str().map(str::to_owned),
    };
    let mut ids: Vec<String> = items.iter().filter_map(id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Members as the service wants them.
pub fn member_values<T: AsRef<str>>(ids: &[T]) -> Value {
    ids.iter().map(|id| json!({"value": id.as_ref()})).collect()
}

fn no_resource() -> Error {
    Error::unavailable(502, "the service answered no SCIM resource with an `id`")
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
