//! What a property becomes that keeps an attribute whole: what SCIM does not show of it stays as it was.
//!
//! The elements of a list are told apart by their `value`, else by their `type`; an element that is there
//! before and after keeps what is not shown of it, and one of which nothing is shown stays too.
use serde_json::Value;

use super::{kept, normal::one_of};
use crate::model::{
    Object,
    filter::says_something,
    object::same,
    scim::{Attribute, Kind},
};

/// The new value of a property; none: it has none any more.
pub(super) fn merged(
    attribute: &Attribute,
    old: Option<&Value>,
    new: Option<&Value>,
) -> Option<Value> {
    if attribute.kind != Kind::Complex || attribute.sub.is_empty() {
        return new.cloned();
    }
    match attribute.multi_valued {
        true => list(attribute, old, new),
        false => element(attribute, old, new),
    }
}

fn list(attribute: &Attribute, old: Option<&Value>, new: Option<&Value>) -> Option<Value> {
    let mut left: Vec<Old<'_>> = old
        .into_iter()
        .flat_map(kept::items)
        .map(|raw| Old {
            raw,
            shown: kept::whole_one(attribute, raw),
        })
        .collect();
    let new: Vec<&Value> = new.into_iter().flat_map(kept::items).collect();
    let mut found: Vec<Option<&Value>> = vec![None; new.len()];
    for how in [equal, of_same_value, of_same_type] {
        for (element, found) in new.iter().zip(&mut found) {
            if found.is_none() {
                *found = take(&mut left, |shown| how(attribute, shown, element));
            }
        }
    }
    let kept = new
        .iter()
        .zip(found)
        .filter_map(|(new, old)| element(attribute, old, Some(new)));
    let unseen = left.iter().filter(|old| old.shown.is_none());
    let items: Vec<Value> = kept.chain(unseen.map(|old| old.raw.clone())).collect();
    (!items.is_empty()).then_some(Value::Array(items))
}

/// An element as it is kept, and what is shown of it.
struct Old<'a> {
    raw: &'a Value,
    shown: Option<Value>,
}

fn take<'a>(left: &mut Vec<Old<'a>>, is_meant: impl Fn(&Value) -> bool) -> Option<&'a Value> {
    let shown = |old: &Old<'_>| old.shown.as_ref().is_some_and(&is_meant);
    let at = left.iter().position(shown)?;
    Some(left.remove(at).raw)
}

fn equal(_: &Attribute, shown: &Value, new: &Value) -> bool {
    same(shown, new)
}

fn of_same_value(attribute: &Attribute, shown: &Value, new: &Value) -> bool {
    of_same(attribute, "value", shown, new)
}

fn of_same_type(attribute: &Attribute, shown: &Value, new: &Value) -> bool {
    of_same(attribute, "type", shown, new)
}

fn of_same(attribute: &Attribute, name: &str, shown: &Value, new: &Value) -> bool {
    let part = attribute.part(name);
    let of = |element: &Value| part.and_then(|part| element.get(&part.name)).cloned();
    part.is_some_and(|part| one_of(part, of(shown).as_ref(), of(new).as_ref()))
}

/// One value with parts: those that are shown become what is said, the rest stays.
fn element(attribute: &Attribute, old: Option<&Value>, new: Option<&Value>) -> Option<Value> {
    let Some(Value::Object(old)) = old else {
        return new.map(|new| without_nulls(new.clone()));
    };
    let none = Object::new();
    let said = new.and_then(Value::as_object).unwrap_or(&none);
    let mut merged = old.clone();
    for part in attribute.sub.iter().filter(|part| part.is_writable()) {
        let value = said.get(&part.name);
        if value.is_none() && !part.is_readable() {
            continue;
        }
        let value = value.filter(|value| !value.is_null());
        let value = self::merged(part, old.get(&part.name), value);
        // What says nothing is left as it is said.
        match (value, merged.get(&part.name)) {
            (Some(value), _) => {
                merged.insert(part.name.clone(), value);
            }
            (None, Some(before)) if says_something(before) => {
                merged.shift_remove(&part.name);
            }
            (None, _) => {}
        }
    }
    merged
        .values()
        .any(says_something)
        .then_some(Value::Object(merged))
}

fn without_nulls(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, member| !member.is_null());
    }
    value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::scim::{USER, attribute_of};

    #[test]
    fn what_is_not_shown_of_an_element_stays_with_it() {
        let emails = attribute_of(USER, "emails").unwrap();
        let old = json!([
            {"value": "a@x", "type": "work", "verified": true},
            {"value": "b@x", "type": "home", "verified": false},
            {"since": 1999},
        ]);
        let list = |new: Value| merged(&emails, Some(&old), Some(&new)).unwrap();
        assert_eq!(
            list(
                json!([{"value": "B@x", "type": "other"}, {"value": "n@x", "type": "work"}, {"value": "c@x"}])
            ),
            json!([
                {"value": "B@x", "type": "other", "verified": false},
                {"value": "n@x", "type": "work", "verified": true},
                {"value": "c@x"},
                {"since": 1999},
            ])
        );
        assert_eq!(
            merged(&emails, Some(&old), None),
            Some(json!([{"since": 1999}]))
        );
        assert_eq!(
            merged(&emails, None, Some(&json!([{"value": "a"}]))),
            Some(json!([{"value": "a"}]))
        );
        assert_eq!(merged(&emails, Some(&json!([{"value": "a"}])), None), None);
    }

    #[test]
    fn an_object_keeps_the_members_that_are_no_parts() {
        let name = attribute_of(USER, "name").unwrap();
        let old = json!({"givenName": "Ada", "familyName": "L", "maiden": "B"});
        let new = json!({"givenName": "Augusta"});
        assert_eq!(
            merged(&name, Some(&old), Some(&new)),
            Some(json!({"givenName": "Augusta", "maiden": "B"}))
        );
        assert_eq!(
            merged(&name, Some(&old), None),
            Some(json!({"maiden": "B"}))
        );
    }
}
