//! Between resources and the properties of managed objects, both ways. What other resources have to
//! say (names, addresses) comes later.
use serde_json::{Value, json};

use super::{
    error::Result,
    merge::merged,
    normal::{get, is_primary, put},
};
use crate::model::{
    Object,
    filter::{Relation, Texts, says_something},
    object::same,
    patch::{CrestChange, CrestOperation, Patch},
    pointer::Pointer,
    scim::{Attribute, Bound, Form, Kind, Mutability, Part, ResourceType, Resources, Slot, Source},
};

/// A managed object as a resource: everything that anybody may see and that is kept in it.
pub(super) fn shown(resources: &Resources, kind: &ResourceType, object: &Object) -> Object {
    let mut resource = Object::new();
    for (schema, bound) in kind.attributes() {
        if bound.attribute.is_readable()
            && let Some(value) = shown_value(resources, bound, object)
        {
            put(
                kind,
                schema,
                &bound.attribute.name,
                Some(value),
                &mut resource,
            );
        }
    }
    resource
}

fn shown_value(resources: &Resources, bound: &Bound, object: &Object) -> Option<Value> {
    let attribute = &bound.attribute;
    let value = match &bound.source {
        Source::Whole(place) => whole(attribute, place.get(object)?)?,
        Source::Parts(parts) => Value::Object(shown_parts(attribute, parts, object)),
        Source::Slots(slots) => slots
            .iter()
            .filter_map(|slot| shown_slot(attribute, slot, object))
            .collect(),
        Source::Values(place) => items(place.get(object)?)
            .iter()
            .filter(|item| says_something(item))
            .map(|item| json!({"value": item}))
            .collect(),
        Source::References(place, form) => {
            let named = |item: &Value| reference(resources, attribute, *form, item);
            let found = place.get(object)?;
            match attribute.multi_valued {
                true => items(found).iter().filter_map(named).collect(),
                false => named(found)?,
            }
        }
        Source::Groups => return None,
    };
    says_something(&value).then_some(value)
}

/// The values of a list; one without its brackets stands for itself.
pub(super) fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}

/// A value as it is kept, without what the attribute does not have.
fn whole(attribute: &Attribute, value: &Value) -> Option<Value> {
    let one = |value: &Value| whole_one(attribute, value);
    match (attribute.multi_valued, value) {
        (true, value) => {
            let list: Vec<Value> = items(value).iter().filter_map(one).collect();
            (!list.is_empty()).then_some(Value::Array(list))
        }
        (false, value) => one(value),
    }
}

/// One value of an attribute that is kept whole.
pub(super) fn whole_one(attribute: &Attribute, value: &Value) -> Option<Value> {
    match value {
        Value::Object(members) if attribute.kind == Kind::Complex => {
            if attribute.sub.is_empty() {
                return Some(value.clone());
            }
            let parts = attribute.sub.iter().filter(|part| part.is_readable());
            let kept = parts.filter_map(|part| {
                let value = whole(part, members.get(&part.name)?)?;
                Some((part.name.clone(), value))
            });
            Some(Value::Object(kept.collect())).filter(says_something)
        }
        value if attribute.kind == Kind::Complex && !value.is_array() => None,
        value => says_something(value).then(|| value.clone()),
    }
}

fn shown_parts(attribute: &Attribute, parts: &[Part], object: &Object) -> Object {
    let readable = |part: &&Part| {
        attribute
            .part(&part.name)
            .is_none_or(Attribute::is_readable)
    };
    parts
        .iter()
        .filter(|part| !part.hidden)
        .filter(readable)
        .filter_map(|part| Some((part.name.clone(), part.place.get(object)?.clone())))
        .filter(|(_, value)| says_something(value))
        .collect()
}

fn shown_slot(attribute: &Attribute, slot: &Slot, object: &Object) -> Option<Value> {
    let parts = shown_parts(attribute, &slot.parts, object);
    if parts.is_empty() {
        return None;
    }
    let mut element: Object = slot.constants.iter().cloned().collect();
    element.extend(parts);
    Some(Value::Object(element))
}

/// Another resource as a property names it.
fn reference(
    resources: &Resources,
    attribute: &Attribute,
    form: Form,
    kept: &Value,
) -> Option<Value> {
    let text = |value: &Value| {
        value
            .as_str()
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
    };
    let (id, kind) = match form {
        Form::Path => {
            let path = text(kept.get("_ref").unwrap_or(kept))?;
            let mut kinds = resources.types.iter();
            let known = kinds.find_map(|kind| {
                let id = path.strip_prefix(&format!("{}/", kind.container))?;
                Some((id.to_owned(), Some(kind.name.clone())))
            });
            known.or_else(|| Some((path.rsplit('/').next()?.to_owned(), None)))?
        }
        Form::Value => {
            let id = text(kept.get("value").unwrap_or(kept))?;
            (id, kept.get("type").and_then(text))
        }
        Form::Id => (text(kept)?, None),
    };
    let kind = kind.or_else(|| match attribute.references.as_slice() {
        [only] => resources.named(only).map(|kind| kind.name.clone()),
        _ => None,
    });
    let mut named = Object::from_iter([("value".to_owned(), Value::String(id))]);
    if let Some(kind) = kind.filter(|_| attribute.part("type").is_some()) {
        named.insert("type".to_owned(), Value::String(kind));
    }
    Some(Value::Object(named))
}

/// What turns the resource `before` into `after`: which properties of the managed object get which
/// values; none removes one. Attributes that are the same in both are left alone. Null is said of what
/// goes without having been shown.
pub(super) fn changes(
    resources: &Resources,
    kind: &ResourceType,
    object: &Object,
    before: &Object,
    after: &Object,
) -> Result<Vec<(Pointer, Option<Value>)>> {
    let mut changes = Vec::new();
    for (schema, bound) in kind.attributes() {
        let name = &bound.attribute.name;
        let (old, new) = (
            get(kind, schema, name, before),
            get(kind, schema, name, after),
        );
        let is_hidden = !bound.attribute.is_readable();
        let is_ours = !bound.attribute.is_writable();
        if is_ours || same_value(old, new) || (is_hidden && new.is_none()) {
            continue;
        }
        changes.extend(match new {
            Some(Value::Null) => emptied(bound),
            new => places(resources, bound, object, new),
        });
    }
    Ok(changes)
}

fn same_value(left: Option<&Value>, right: Option<&Value>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => same(left, right),
        (left, right) => left.is_none() && right.is_none(),
    }
}

/// Every property that keeps an attribute, without a value.
fn emptied(bound: &Bound) -> Vec<(Pointer, Option<Value>)> {
    let places = bound.places().into_iter();
    places.map(|place| (place.clone(), None)).collect()
}

/// The properties that keep an attribute, with their values.
fn places(
    resources: &Resources,
    bound: &Bound,
    object: &Object,
    value: Option<&Value>,
) -> Vec<(Pointer, Option<Value>)> {
    let attribute = &bound.attribute;
    let list = value.map(items).unwrap_or_default();
    let listed = |items: Vec<Value>| (!items.is_empty()).then_some(Value::Array(items));
    match &bound.source {
        Source::Whole(place) => {
            let value = merged(attribute, place.get(object), value);
            vec![(place.clone(), value)]
        }
        Source::Parts(parts) => placed_parts(attribute, parts, value),
        Source::Slots(slots) => placed_slots(attribute, slots, list),
        Source::Values(place) => {
            let values = list.iter().filter_map(|item| item.get("value").cloned());
            vec![(place.clone(), listed(values.collect()))]
        }
        Source::References(place, form) => {
            let old = place.get(object).map(items).unwrap_or_default();
            let named = |item: &&Value| reference(resources, attribute, *form, item).is_some();
            let kept = |item: &Value| {
                let is_it = |old: &&Value| is_same(resources, attribute, *form, old, item);
                let there = old.iter().find(is_it).cloned();
                there.or_else(|| kept_reference(resources, attribute, *form, item))
            };
            let value = match attribute.multi_valued {
                true => {
                    let unseen = old.iter().filter(|old| !named(old)).cloned();
                    listed(list.iter().filter_map(kept).chain(unseen).collect())
                }
                false => value.and_then(kept),
            };
            vec![(place.clone(), value)]
        }
        Source::Groups => Vec::new(),
    }
}

fn placed_parts(
    attribute: &Attribute,
    parts: &[Part],
    value: Option<&Value>,
) -> Vec<(Pointer, Option<Value>)> {
    parts
        .iter()
        .map(|part| (part, value.and_then(|value| value.get(&part.name))))
        // What nobody sees is not missing where it is not said: it stays.
        .filter(|(part, value)| {
            let is_seen = |it: &Attribute| it.is_readable() && !part.hidden;
            attribute.part(&part.name).is_none_or(|it| {
                it.mutability != Mutability::ReadOnly && (is_seen(it) || value.is_some())
            })
        })
        .map(|(part, value)| {
            let value = value.filter(|value| !value.is_null());
            (part.place.clone(), value.cloned())
        })
        .collect()
}

/// Each slot takes the first value that fits it.
fn placed_slots(
    attribute: &Attribute,
    slots: &[Slot],
    list: &[Value],
) -> Vec<(Pointer, Option<Value>)> {
    slots
        .iter()
        .zip(assigned(slots, list))
        .flat_map(|(slot, value)| placed_parts(attribute, &slot.parts, value))
        .collect()
}

/// Which value stands in each slot.
fn assigned<'a>(slots: &[Slot], list: &'a [Value]) -> Vec<Option<&'a Value>> {
    let mut left: Vec<&Value> = list.iter().collect();
    // What says for certain where it belongs goes before what fits anywhere.
    left.sort_by_key(|element| !slots.iter().any(|slot| is_said(slot, element)));
    let mut taken: Vec<Option<&Value>> = vec![None; slots.len()];
    for element in left {
        let free = slots
            .iter()
            .zip(&mut taken)
            .find(|(slot, taken)| taken.is_none() && fits(slot, element));
        if let Some((_, place)) = free {
            *place = Some(element);
        }
    }
    taken
}

/// Whether every value has a slot of its own.
pub(super) fn all_fit(slots: &[Slot], list: &[Value]) -> bool {
    assigned(slots, list).iter().flatten().count() == list.len()
}

/// Whether a value can stand in a slot: it says nothing else than the slot always says.
pub(super) fn fits(slot: &Slot, element: &Value) -> bool {
    slot.constants.iter().all(|(name, constant)| {
        let said = element.get(name).filter(|said| says_something(said));
        // That it is not the preferred one is said of many values that may stand there.
        let is_negative = name == "primary" && !is_primary(element);
        said.is_none_or(|said| is_negative || Relation::Equal.holds(said, constant, Texts::Folded))
    })
}

fn is_said(slot: &Slot, element: &Value) -> bool {
    slot.constants.iter().all(|(name, constant)| {
        let said = element.get(name);
        said.is_some_and(|said| Relation::Equal.holds(said, constant, Texts::Folded))
    })
}

/// Whether what is kept is the reference that is meant, of the same kind where both say one.
fn is_same(
    resources: &Resources,
    attribute: &Attribute,
    form: Form,
    old: &Value,
    meant: &Value,
) -> bool {
    let Some(old) = reference(resources, attribute, form, old) else {
        return false;
    };
    let kinds = (
        old.get("type").and_then(Value::as_str),
        meant.get("type").and_then(Value::as_str),
    );
    let is_other = matches!(kinds, (Some(old), Some(new)) if !old.eq_ignore_ascii_case(new));
    old.get("value") == meant.get("value") && !is_other
}

fn kept_reference(
    resources: &Resources,
    attribute: &Attribute,
    form: Form,
    item: &Value,
) -> Option<Value> {
    let id = item.get("value")?.as_str()?;
    let said = item.get("type").and_then(Value::as_str);
    let by_type = said.and_then(|name| resources.named(name));
    let known = by_type.or_else(|| resources.at(endpoint(item)?));
    let kind = known.or_else(|| match attribute.references.as_slice() {
        [only] => resources.named(only),
        _ => None,
    });
    Some(match form {
        Form::Id => json!(id),
        Form::Path => {
            let container = kind.map(|kind| kind.container.to_string())?;
            json!({"_ref": format!("{container}/{id}")})
        }
        Form::Value => match known {
            Some(kind) => json!({"value": id, "type": kind.name}),
            None => json!({"value": id}),
        },
    })
}

/// The endpoint that a reference's address names.
pub(super) fn endpoint(reference: &Value) -> Option<&str> {
    let address = reference.get("$ref").and_then(Value::as_str)?;
    address.rsplit('/').nth(1)
}

/// The changes as a patch of the managed object; lists in `added` come to what there is.
pub(super) fn patch(changes: Vec<(Pointer, Option<Value>)>, added: &[Pointer]) -> Patch {
    let operations = changes.into_iter().map(|(field, value)| CrestOperation {
        change: match value {
            Some(value) if added.contains(&field) => CrestChange::Add(value),
            Some(value) => CrestChange::Replace(value),
            None => CrestChange::Remove(None),
        },
        field,
    });
    Patch::Crest(operations.collect())
}
