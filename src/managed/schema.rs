//! The schema of a type: JSON Schema with the attributes that identity admins know beside it.
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::SchemaProblem;
use crate::model::{Object, Role, Roles, object::is_meta};

/// What a schema came to.
pub(super) struct Compiled {
    /// What checks objects.
    pub validator: jsonschema::Validator,
    /// Top-level attributes that are confidential, or hold something that is.
    pub confidential: Vec<String>,
    /// Who may see which top-level attribute.
    pub viewable_by: BTreeMap<String, Roles>,
    /// What has no effect.
    pub warnings: Vec<SchemaProblem>,
}

/// Attributes of properties that other identity systems act on and Recant does not.
const WITHOUT_EFFECT: [(&str, &str); 9] = [
    (
        "policies",
        "state what must hold by keywords of JSON Schema, or in onValidate",
    ),
    (
        "secureHash",
        "the attribute is encrypted at rest, not hashed",
    ),
    (
        "scope",
        "\"confidential\": true keeps an attribute out of every answer, \"viewableBy\": [ROLE, …] out of those to others",
    ),
    ("isProtected", "no second sign-in is asked for"),
    (
        "isVirtual",
        "compute the attribute in the type's onRetrieve or onStore",
    ),
    ("onRetrieve", "use the type's onRetrieve"),
    ("onStore", "use the type's onStore"),
    ("onValidate", "use the type's onValidate"),
    ("reverseRelationship", "relationships are plain values"),
];

/// The key that says who may see an attribute.
const VIEWERS: &str = "viewableBy";
/// Keywords whose value holds schemas by name.
const NAMED: [&str; 5] = [
    "properties",
    "patternProperties",
    "dependentSchemas",
    "$defs",
    "definitions",
];
/// Keywords whose value is data, not a schema.
const DATA: [&str; 6] = ["const", "default", "enum", "examples", "policies", VIEWERS];

/// Compiles a schema. References to other documents are refused, not fetched.
pub(super) fn compile(schema: &Value) -> Result<Compiled, Vec<SchemaProblem>> {
    let mut reading = Reading::default();
    let confidential = reading.confidential(schema);
    let viewable_by = reading.viewable_by(schema);
    let plain = reading.plain(schema, "");
    if reading.errors.is_empty() {
        reading.check(&plain);
    }
    let built = jsonschema::options()
        .offline()
        .should_validate_formats(true)
        .build(&plain);
    match built {
        Ok(validator) if reading.errors.is_empty() => Ok(Compiled {
            validator,
            confidential,
            viewable_by,
            warnings: reading.warnings,
        }),
        Err(error) if reading.errors.is_empty() => Err(vec![SchemaProblem {
            pointer: error.instance_path().as_str().to_owned(),
            message: error.to_string(),
        }]),
        _ => Err(reading.errors),
    }
}

#[derive(Default)]
struct Reading {
    errors: Vec<SchemaProblem>,
    warnings: Vec<SchemaProblem>,
}

impl Reading {
    /// The names of confidential top-level attributes.
    fn confidential(&mut self, schema: &Value) -> Vec<String> {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            if !schema.is_object() {
                self.error(
                    "",
                    "a schema must be an object: {\"properties\": {NAME: SCHEMA, …}}",
                );
                return Vec::new();
            }
            let message = "a schema without \"properties\": {NAME: SCHEMA, …} checks no attribute";
            self.warn("", message);
            return Vec::new();
        };
        let mut elsewhere = schema.clone();
        if let Some(members) = elsewhere.as_object_mut() {
            members.remove("properties");
        }
        if let Some(place) = self.confidential_in(&elsewhere, "") {
            self.error(&place, "only what is under /properties can be confidential");
        }
        let names = properties.iter().filter(|(name, property)| {
            let top = format!("/properties/{}", escaped(name));
            let place = self.confidential_in(property, &top);
            if place.is_some() && is_meta(name) {
                self.error(&top, "`_id` and `_rev` cannot be confidential");
            }
            if let Some(place) = place.as_ref().filter(|place| **place != top) {
                self.warn(
                    place,
                    &format!("the whole attribute `{name}` is confidential"),
                );
            }
            place.is_some()
        });
        names.map(|(name, _)| name.clone()).collect()
    }

    /// Who may see which top-level attribute.
    fn viewable_by(&mut self, schema: &Value) -> BTreeMap<String, Roles> {
        let mut viewers = BTreeMap::new();
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            let top = format!("/properties/{}", escaped(name));
            if let Some(place) = inner_viewers(property, &top) {
                let message = format!("only the whole attribute `{name}` can be hidden");
                self.error(&place, &message);
            }
            let Some(words) = property.get(VIEWERS).filter(|words| !words.is_null()) else {
                continue;
            };
            if is_meta(name) {
                self.error(&top, "`_id` and `_rev` cannot be hidden");
            }
            match serde_json::from_value::<Roles>(words.clone()) {
                Ok(roles) => {
                    viewers.insert(name.clone(), roles);
                }
                Err(error) => {
                    let known = Role::ALL.map(Role::as_str).join(", ");
                    let message = format!("expected a list of the roles {known}: {error}");
                    self.error(&format!("{top}/{VIEWERS}"), &message);
                }
            }
        }
        viewers
    }

    /// The first place in a schema that is marked as confidential.
    fn confidential_in(&mut self, schema: &Value, place: &str) -> Option<String> {
        let members = schema.as_object();
        let marked = members.is_some_and(|members| {
            match members.get("confidential") {
                None | Some(Value::Bool(false)) => {}
                Some(Value::Bool(true)) => return true,
                Some(_) => self.error(
                    &format!("{place}/confidential"),
                    "`confidential` must be true or false",
                ),
            }
            ["encryption", "secureHash"]
                .into_iter()
                .any(|key| members.get(key).is_some_and(|value| !value.is_null()))
        });
        if marked {
            return Some(place.to_owned());
        }
        subschemas(schema, place)
            .into_iter()
            .find_map(|(place, inner)| self.confidential_in(inner, &place))
    }

    /// The schema as JSON Schema understands it.
    fn plain(&mut self, schema: &Value, place: &str) -> Value {
        let Value::Object(members) = schema else {
            return schema.clone();
        };
        let mut plain = Object::with_capacity(members.len());
        for (key, value) in members {
            let at = format!("{place}/{}", escaped(key));
            if let Some((_, instead)) = WITHOUT_EFFECT.iter().find(|(name, _)| name == key) {
                if !is_blank(value) {
                    self.warn(&at, &format!("`{key}` has no effect: {instead}"));
                }
                continue;
            }
            if let Some(kept) = self.keyword(key, value, &at) {
                plain.insert(key.clone(), kept);
            }
        }
        require_marked(members, &mut plain);
        Value::Object(plain)
    }

    /// A keyword's value as JSON Schema understands it; none where the keyword is to be left out.
    fn keyword(&mut self, key: &str, value: &Value, at: &str) -> Option<Value> {
        let inner = |reading: &mut Self, value: &Value, at: &str| match value {
            Value::Array(items) => (0..)
                .zip(items)
                .map(|(index, item): (usize, _)| reading.plain(item, &format!("{at}/{index}")))
                .collect(),
            other => reading.plain(other, at),
        };
        match (key, value) {
            ("const" | "enum" | "dependentRequired", _) => Some(value.clone()),
            ("default" | "examples" | "id" | VIEWERS, _) | (_, Value::Null) => None,
            // Whether a property is required is said in the object that it belongs to.
            ("required", Value::Bool(_)) => None,
            ("$schema", other) => other
                .as_str()
                .is_some_and(|name| name.contains("json-schema.org"))
                .then(|| value.clone()),
            ("type", _) => self.types(value, at),
            ("pattern", Value::String(pattern)) if pattern.is_empty() => None,
            (key, Value::Object(named)) if NAMED.contains(&key) => {
                let plain = named.iter().map(|(name, schema)| {
                    let at = format!("{at}/{}", escaped(name));
                    (name.clone(), self.plain(schema, &at))
                });
                Some(Value::Object(plain.collect()))
            }
            ("required", Value::Array(names)) => Some(
                names
                    .iter()
                    .filter(|name| !name.as_str().is_some_and(is_meta))
                    .cloned()
                    .collect(),
            ),
            _ => Some(inner(self, value, at)),
        }
    }

    /// A `type`; none where it lets everything through because it names a relationship.
    fn types(&mut self, value: &Value, at: &str) -> Option<Value> {
        let names = match value {
            Value::Array(names) => names.as_slice(),
            one => std::slice::from_ref(one),
        };
        if names.iter().any(|name| name == "relationship") {
            self.warn(at, "relationships are not followed: any value is accepted");
            return None;
        }
        Some(value.clone())
    }

    /// Every fault that the schema of schemas finds.
    fn check(&mut self, schema: &Value) {
        match jsonschema::meta::validator_for(schema) {
            Ok(validator) => {
                for error in validator.iter_errors(schema) {
                    self.error(error.instance_path().as_str(), &error.to_string());
                }
            }
            Err(error) => self.error("/$schema", &error.to_string()),
        }
    }

    fn error(&mut self, pointer: &str, message: &str) {
        self.errors.push(problem(pointer, message));
    }

    fn warn(&mut self, pointer: &str, message: &str) {
        self.warnings.push(problem(pointer, message));
    }
}

/// Adds properties that say `"required": true` of themselves to the object's list.
fn require_marked(members: &Object, plain: &mut Object) {
    let Some(properties) = members.get("properties").and_then(Value::as_object) else {
        return;
    };
    let marked = properties
        .iter()
        .filter(|(name, property)| property.get("required") == Some(&json!(true)) && !is_meta(name))
        .map(|(name, _)| json!(name));
    let mut names = match plain.get("required") {
        Some(Value::Array(names)) => names.clone(),
        _ => Vec::new(),
    };
    for name in marked {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if !names.is_empty() {
        plain.insert("required".to_owned(), Value::Array(names));
    }
}

/// The schemas right inside a schema, with their places.
fn subschemas<'a>(schema: &'a Value, place: &str) -> Vec<(String, &'a Value)> {
    match schema {
        Value::Array(items) => (0..)
            .zip(items)
            .map(|(index, item): (usize, _)| (format!("{place}/{index}"), item))
            .collect(),
        Value::Object(members) => members
            .iter()
            .filter(|(key, _)| !DATA.contains(&key.as_str()))
            .flat_map(|(key, value)| {
                let at = format!("{place}/{}", escaped(key));
                match value {
                    Value::Object(named) if NAMED.contains(&key.as_str()) => named
                        .iter()
                        .map(|(name, inner)| (format!("{at}/{}", escaped(name)), inner))
                        .collect(),
                    other => vec![(at, other)],
                }
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Where something inside an attribute says who may see it.
fn inner_viewers(schema: &Value, place: &str) -> Option<String> {
    subschemas(schema, place)
        .into_iter()
        .find_map(|(place, inner)| {
            let marked = inner.get(VIEWERS).is_some();
            marked
                .then(|| format!("{place}/{VIEWERS}"))
                .or_else(|| inner_viewers(inner, &place))
        })
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::String(text) => text == "public",
        _ => false,
    }
}

fn escaped(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

fn problem(pointer: &str, message: &str) -> SchemaProblem {
    SchemaProblem {
        pointer: pointer.to_owned(),
        message: message.to_owned(),
    }
}
