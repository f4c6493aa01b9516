//! What clients send, in one form: names as in the schemas, values of their types, and nothing that has
//! no place or that clients cannot write.
use serde_json::Value;

use super::error::{Failure, Result, ScimType};
use crate::model::{
    Object,
    filter::{Relation, moment, says_something},
    scim::{Attribute, Bound, Kind, Path, ResourceType, Schema, Source, truth},
};

/// A resource as POST and PUT send it. Attributes without a place are left out, as are those that
/// only the service writes.
pub(super) fn resource(kind: &ResourceType, body: &Object) -> Result<Object> {
    check_schemas(kind, body)?;
    let mut normal = Object::new();
    let own = kind.schemas.first();
    for (name, value) in body {
        match kind.schema_named(name) {
            Some(schema) => {
                if let Value::Object(members) = value {
                    for (name, value) in members {
                        take(kind, Some(schema), name, value, &mut normal)?;
                    }
                }
            }
            None => take(kind, own, name, value, &mut normal)?,
        }
    }
    Ok(normal)
}

/// Every required attribute is there.
pub(super) fn check_required(kind: &ResourceType, resource: &Object) -> Result<()> {
    for (schema, bound) in kind.attributes() {
        let attribute = &bound.attribute;
        // What the client does not see it need not say again; the type's schema has the last word.
        let needed = attribute.required && attribute.is_writable() && attribute.is_readable();
        // An extension is only required to be whole where it is there.
        let applies = kind.is_own(schema) || resource.contains_key(&schema.urn);
        let found = get(kind, schema, &attribute.name, resource);
        if needed && applies && found.is_none() {
            let detail = format!("`{}` is required", named(kind, schema, attribute));
            return Err(Failure::bad(ScimType::InvalidValue, detail));
        }
    }
    Ok(())
}

/// An attribute's value in a resource.
pub(super) fn get<'a>(
    kind: &ResourceType,
    schema: &Schema,
    name: &str,
    resource: &'a Object,
) -> Option<&'a Value> {
    match kind.is_own(schema) {
        true => resource.get(name),
        false => resource.get(&schema.urn)?.get(name),
    }
}

/// Puts an attribute's value into a resource, or takes it out.
pub(super) fn put(
    kind: &ResourceType,
    schema: &Schema,
    name: &str,
    value: Option<Value>,
    resource: &mut Object,
) {
    if kind.is_own(schema) {
        match value {
            Some(value) => resource.insert(name.to_owned(), value),
            None => resource.shift_remove(name),
        };
        return;
    }
    let extension = resource
        .entry(schema.urn.clone())
        .or_insert_with(|| Value::Object(Object::new()));
    if let Value::Object(members) = extension {
        match value {
            Some(value) => members.insert(name.to_owned(), value),
            None => members.shift_remove(name),
        };
        if members.is_empty() {
            resource.shift_remove(&schema.urn);
        }
    }
}

/// An attribute's full name, as errors say it.
pub(super) fn named(kind: &ResourceType, schema: &Schema, attribute: &Attribute) -> String {
    match kind.is_own(schema) {
        true => attribute.name.clone(),
        false => format!("{}:{}", schema.urn, attribute.name),
    }
}

fn check_schemas(kind: &ResourceType, body: &Object) -> Result<()> {
    let schemas = body
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("schemas"));
    let listed = schemas.and_then(|(_, value)| value.as_array());
    let names_own = listed.is_some_and(|list| {
        list.iter()
            .filter_map(Value::as_str)
            .any(|urn| urn.eq_ignore_ascii_case(kind.schema()))
    });
    match names_own {
        true => Ok(()),
        false => Err(Failure::bad(
            ScimType::InvalidSyntax,
            format!("`schemas` must be a list with `{}` in it", kind.schema()),
        )),
    }
}

fn take(
    kind: &ResourceType,
    schema: Option<&Schema>,
    name: &str,
    value: &Value,
    normal: &mut Object,
) -> Result<()> {
    let path = Path {
        schema: schema.map(|schema| schema.urn.clone()),
        ..Path::of(name)
    };
    let Some(found) = kind.locate(&path) else {
        return Ok(());
    };
    let attribute = &found.bound.attribute;
    if !attribute.is_writable() {
        return Ok(());
    }
    let value = self::value(found.bound, value)?;
    if get(kind, found.schema, &attribute.name, normal).is_some() {
        let detail = format!("`{}` is given twice", attribute.name);
        return Err(Failure::bad(ScimType::InvalidSyntax, detail));
    }
    if value.is_some() {
        put(kind, found.schema, &attribute.name, value, normal);
    }
    Ok(())
}

/// An attribute's value; none where it says nothing.
pub(super) fn value(bound: &Bound, value: &Value) -> Result<Option<Value>> {
    let attribute = &bound.attribute;
    if !attribute.multi_valued {
        return one(bound, value);
    }
    let items = match value {
        Value::Null => return Ok(None),
        Value::Array(items) => items.as_slice(),
        // Some clients leave the brackets out.
        single => std::slice::from_ref(single),
    };
    let mut list = Vec::with_capacity(items.len());
    for item in items {
        list.extend(one(bound, item)?);
    }
    list = without_doubles(bound, list);
    if list.iter().filter(|item| is_primary(item)).count() > 1 {
        let detail = format!("only one of `{}` can be primary", attribute.name);
        return Err(Failure::bad(ScimType::InvalidValue, detail));
    }
    Ok((!list.is_empty()).then_some(Value::Array(list)))
}

/// Each value once; the first one stays. Other resources are the same where their ids are.
pub(super) fn without_doubles(bound: &Bound, mut items: Vec<Value>) -> Vec<Value> {
    let mut seen = std::collections::HashSet::new();
    let is_reference = matches!(bound.source, Source::References(..));
    items.retain(|item| {
        seen.insert(match item.get("value").filter(|_| is_reference) {
            Some(id) => id.to_string(),
            None => item.to_string(),
        })
    });
    items
}

/// One value of an attribute; none where it says nothing.
pub(super) fn one(bound: &Bound, value: &Value) -> Result<Option<Value>> {
    let attribute = &bound.attribute;
    if attribute.kind != Kind::Complex {
        return simple(attribute, &attribute.name, value);
    }
    let members = match value {
        Value::Null => return Ok(None),
        Value::Object(members) => members.clone(),
        // A manager as plain text, a member as plain id.
        plain if attribute.part("value").is_some() && !plain.is_array() => {
            Object::from_iter([("value".to_owned(), plain.clone())])
        }
        _ => return Err(wrong(&attribute.name, "an object", value)),
    };
    let mut normal = parts(attribute, &members)?;
    if let Source::References(..) = bound.source {
        // What a reference is about is its id; an address without one names it too.
        let by_address = normal
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(last_segment);
        if !normal.contains_key("value") {
            let id = by_address.map(Value::from);
            normal.extend(id.map(|id| ("value".to_owned(), id)));
        }
        if !normal.contains_key("value") {
            return Ok(None);
        }
    }
    Ok((!normal.is_empty()).then_some(Value::Object(normal)))
}

/// The parts of a complex value that there are.
pub(super) fn parts(attribute: &Attribute, members: &Object) -> Result<Object> {
    let mut normal = Object::new();
    for (name, value) in members {
        let Some(part) = attribute.part(name).filter(|part| part.is_writable()) else {
            continue;
        };
        let place = format!("{}.{}", attribute.name, part.name);
        if let Some(value) = part_value(part, &place, value)? {
            normal.insert(part.name.clone(), value);
        }
    }
    Ok(normal)
}

/// The value of a part, which may have a list or parts of its own in schemas beyond the standard.
pub(super) fn part_value(part: &Attribute, place: &str, value: &Value) -> Result<Option<Value>> {
    match (part.multi_valued, value) {
        (_, Value::Null) => Ok(None),
        (true, Value::Array(items)) => {
            let mut list = Vec::with_capacity(items.len());
            for item in items {
                list.extend(single_part(part, place, item)?);
            }
            Ok((!list.is_empty()).then_some(Value::Array(list)))
        }
        (true, _) => Err(wrong(place, "a list", value)),
        (false, _) => single_part(part, place, value),
    }
}

fn single_part(part: &Attribute, place: &str, value: &Value) -> Result<Option<Value>> {
    match (part.kind, value) {
        (Kind::Complex, Value::Object(members)) if part.sub.is_empty() => {
            Ok(Some(Value::Object(members.clone())))
        }
        (Kind::Complex, Value::Object(members)) => {
            let normal = parts(part, members)?;
            Ok((!normal.is_empty()).then_some(Value::Object(normal)))
        }
        (Kind::Complex, _) => Err(wrong(place, "an object", value)),
        _ => simple(part, place, value),
    }
}

/// A plain value of its type.
fn simple(attribute: &Attribute, place: &str, value: &Value) -> Result<Option<Value>> {
    let number = |text: &str| serde_json::from_str::<Value>(text.trim()).ok();
    let expected = match (attribute.kind, value) {
        (_, Value::Null) => return Ok(None),
        (Kind::Boolean, value) => match truth(value) {
            Some(truth) => return Ok(Some(Value::Bool(truth))),
            None => "true or false",
        },
        (Kind::Integer, Value::Number(it)) if !it.is_f64() => return Ok(Some(value.clone())),
        (Kind::Integer, Value::String(text)) => match number(text) {
            Some(Value::Number(it)) if !it.is_f64() => return Ok(Some(Value::Number(it))),
            _ => "a whole number",
        },
        (Kind::Integer, _) => "a whole number",
        (Kind::Decimal, Value::Number(_)) => return Ok(Some(value.clone())),
        (Kind::Decimal, Value::String(text)) => match number(text) {
            Some(it @ Value::Number(_)) => return Ok(Some(it)),
            _ => "a number",
        },
        (Kind::Decimal, _) => "a number",
        (Kind::DateTime, Value::String(text)) if moment(text).is_some() => {
            return Ok(Some(value.clone()));
        }
        (Kind::DateTime, _) => "a moment, as 2011-05-13T04:42:34Z",
        (_, Value::String(_)) => return Ok(says_something(value).then(|| value.clone())),
        _ => "a text",
    };
    Err(wrong(place, expected, value))
}

/// Whether two values of a part are there and the same, its case aside where that does not count.
pub(super) fn one_of(part: &Attribute, left: Option<&Value>, right: Option<&Value>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => Relation::Equal.holds(left, right, part.texts()),
        _ => false,
    }
}

/// Whether an element is the preferred one.
pub(super) fn is_primary(element: &Value) -> bool {
    element.get("primary").and_then(truth) == Some(true)
}

/// The id at the end of an address.
fn last_segment(address: &str) -> Option<String> {
    let segment = address.rsplit('/').next().filter(|it| !it.is_empty())?;
    let decoded = percent_encoding::percent_decode_str(segment).decode_utf8();
    decoded.ok().map(std::borrow::Cow::into_owned)
}

/// A value of the wrong type. It is not told: it may be a secret.
pub(super) fn wrong(place: &str, expected: &str, found: &Value) -> Failure {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    Failure::bad(
        ScimType::InvalidValue,
        format!("`{place}`: expected {expected}, found {found}"),
    )
}
