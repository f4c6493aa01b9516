//! What the schema of a managed type says of a property.
use serde_json::Value;

use crate::{
    managed::ManagedType,
    model::{
        pointer::Pointer,
        scim::{Attribute, Form, Kind},
    },
};

/// A property as the type's schema describes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Property<'a> {
    /// Its schema; none where the type's does not know it.
    schema: Option<&'a Value>,
    /// Whether every object has it.
    pub(super) required: bool,
    /// Whether it is kept from everybody.
    pub(super) confidential: bool,
    /// Whether the type's schema lets objects have it.
    pub(super) possible: bool,
}

impl<'a> Property<'a> {
    /// The property at a place.
    pub(super) fn find(managed: &'a ManagedType, place: &Pointer) -> Self {
        let mut found = Self {
            schema: Some(&managed.schema),
            required: true,
            confidential: place
                .first()
                .is_some_and(|name| managed.confidential.iter().any(|it| it == name)),
            possible: true,
        };
        for name in place.tokens() {
            found.step(name);
        }
        found
    }

    fn step(&mut self, name: &str) {
        let Some(outer) = self.schema else {
            return;
        };
        let names = outer.get("required").and_then(Value::as_array);
        let listed = names.is_some_and(|names| names.iter().any(|it| it == name));
        self.schema = outer.get("properties").and_then(|known| known.get(name));
        let marked = self.schema.and_then(|schema| schema.get("required"));
        self.required &= listed || marked == Some(&Value::Bool(true));
        let closed = outer.get("additionalProperties") == Some(&Value::Bool(false));
        self.possible &= self.schema.is_some() || !closed;
    }

    /// Whether the type's schema describes it.
    pub(super) fn is_known(&self) -> bool {
        self.schema.is_some()
    }

    /// Whether its values may be of this JSON type, as far as the schema tells.
    pub(super) fn may_be(&self, kind: &str) -> bool {
        let names = types(self.schema);
        let number = kind == "number" && names.contains(&"integer");
        names.is_empty() || number || names.contains(&kind)
    }

    /// Whether it is a list for certain.
    pub(super) fn is_list(&self) -> bool {
        types(self.schema).contains(&"array")
    }

    /// Whether it is an object for certain.
    pub(super) fn is_object(&self) -> bool {
        let names = types(self.schema);
        names.contains(&"object") || names.contains(&"relationship")
    }

    /// The elements of a list.
    pub(super) fn items(&self) -> Self {
        Self {
            schema: self.schema.and_then(|schema| schema.get("items")),
            ..*self
        }
    }

    /// The names of an object's properties; none where any may be there.
    pub(super) fn members(&self) -> Option<Vec<(&'a str, Self)>> {
        let members = self.schema?.get("properties")?.as_object()?;
        let inner = |schema| Self {
            schema: Some(schema),
            required: false,
            ..*self
        };
        let members = members.iter();
        Some(
            members
                .map(|(name, schema)| (name.as_str(), inner(schema)))
                .collect(),
        )
    }

    /// How it names another resource.
    pub(super) fn form(&self) -> Form {
        let is_relationship = types(self.schema).contains(&"relationship");
        let has_path = self
            .members()
            .is_some_and(|members| members.iter().any(|(name, _)| *name == "_ref"));
        match self.is_object() {
            true if is_relationship || has_path => Form::Path,
            true => Form::Value,
            false => Form::Id,
        }
    }

    /// What it is for people.
    pub(super) fn description(&self) -> Option<&'a str> {
        let said = |key: &str| self.schema?.get(key)?.as_str();
        said("description").or_else(|| said("title"))
    }

    /// Whether the schema says that nobody writes it.
    pub(super) fn is_read_only(&self) -> bool {
        let said = self.schema.and_then(|schema| schema.get("readOnly"));
        said == Some(&Value::Bool(true))
    }

    /// The texts that it may be.
    pub(super) fn words(&self) -> Vec<String> {
        let words = self.schema.and_then(|schema| schema.get("enum"));
        let words = words.and_then(Value::as_array).into_iter().flatten();
        words.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// An attribute that is just like the property.
    pub(super) fn attribute(&self, name: &str) -> Attribute {
        let is_list = self.is_list();
        let one = if is_list { self.items() } else { *self };
        let mut attribute = Attribute::new(name, one.kind());
        attribute.multi_valued = is_list;
        attribute.canonical = one.words();
        attribute.description = self.description().unwrap_or_default().to_owned();
        if attribute.kind == Kind::Complex {
            let members = one.members().unwrap_or_default();
            let named = members.into_iter().filter(|(name, _)| fits(name));
            attribute.sub = named.map(|(name, member)| member.attribute(name)).collect();
        }
        attribute
    }

    fn kind(&self) -> Kind {
        let said = |key: &str| self.schema.and_then(|schema| schema.get(key)?.as_str());
        let names = types(self.schema);
        let first = names.iter().find(|name| **name != "null");
        match first.copied() {
            Some("boolean") => Kind::Boolean,
            Some("integer") => Kind::Integer,
            Some("number") => Kind::Decimal,
            Some("object") => Kind::Complex,
            _ if said("format") == Some("date-time") => Kind::DateTime,
            _ if said("contentEncoding") == Some("base64") => Kind::Binary,
            _ => Kind::String,
        }
    }
}

/// Whether a property's name can be an attribute's.
pub(super) fn fits(name: &str) -> bool {
    crate::model::scim::Path::parse(name).is_ok_and(|path| path.sub.is_none())
}

fn types(schema: Option<&Value>) -> Vec<&str> {
    match schema.and_then(|schema| schema.get("type")) {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(name)) => vec![name],
        _ => Vec::new(),
    }
}
