//! CREST filters for a service that knows SCIM's: what it can narrow down, and what is left to do.
use serde_json::{Value, json};

use super::{
    dialect::Filtering,
    wire::{Site, service_id},
};
use crate::model::{Filter, Object, filter::Operator, object::ID, pointer::Pointer};

/// A SCIM filter that everything meets that meets this one; none where nothing could narrow the
/// list down. Recant looks at what comes back itself ([`matches`]), so a service may compare texts
/// without regard to case, as SCIM does, and what it cannot express is left out.
pub fn narrowed(site: &Site<'_>, filtering: Filtering, filter: &Filter) -> Option<String> {
    match (filtering, filter) {
        (Filtering::None, _) => None,
        (_, Filter::And(parts)) => {
            let parts: Vec<String> = parts
                .iter()
                .filter_map(|part| narrowed(site, filtering, part))
                .collect();
            (!parts.is_empty()).then(|| parts.join(" and "))
        }
        (Filtering::Announced, Filter::Or(parts)) => {
            let parts: Option<Vec<String>> = parts
                .iter()
                .map(|part| narrowed(site, filtering, part))
                .collect();
            let parts = parts.filter(|parts| !parts.is_empty())?;
            Some(format!("({})", parts.join(" or ")))
        }
        (
            _,
            Filter::Compare {
                field,
                operator,
                value,
            },
        ) => compared(site, filtering, field, *operator, value),
        _ => None,
    }
}

/// Only texts narrow safely: services differ in how they order them, and in what numbers they take.
fn compared(
    site: &Site<'_>,
    filtering: Filtering,
    field: &Pointer,
    operator: Operator,
    value: &Value,
) -> Option<String> {
    let text = value.as_str().filter(|text| !text.is_empty())?;
    if matches!(field.tokens(), [name] if name == ID) && service_id(text).is_some() {
        return None;
    }
    let word = match (operator, filtering) {
        (Operator::Equal, _) => "eq",
        (Operator::Contains, Filtering::Announced) => "co",
        (Operator::StartsWith, Filtering::Announced) => "sw",
        _ => return None,
    };
    Some(format!(
        "{} {word} {}",
        attribute(site, field)?,
        json!(text)
    ))
}

/// The attribute that a field names, in SCIM's notation; none where the service cannot filter by it.
fn attribute(site: &Site<'_>, field: &Pointer) -> Option<String> {
    let names: Vec<&str> = match field.tokens() {
        [name] if name == ID => vec![site.class.key.as_str()],
        tokens => tokens
            .iter()
            .filter(|token| token.parse::<usize>().is_err())
            .map(String::as_str)
            .collect(),
    };
    let plain = |name: &&str| {
        let mut characters = name.chars();
        characters.all(|it| it.is_ascii_alphanumeric() || "-_$:.".contains(it))
    };
    let place = names.join(".");
    let good = matches!(names.len(), 1 | 2) && names.iter().all(plain) && !site.shape.lacks(&place);
    let allowed = match &site.deviations.filter_attributes {
        Some(allowed) => allowed.iter().any(|it| it.eq_ignore_ascii_case(&place)),
        None => true,
    };
    (good && allowed && place != super::wire::MEMBERS).then_some(place)
}

/// The service's filter for one value of an attribute.
pub fn equals(name: &str, value: &str) -> String {
    format!("{name} eq {}", json!(value))
}

/// Whether an object meets a filter. As everywhere, but that a field may lead into the elements of a
/// list: `emails/value` is the value of each of them.
pub fn matches(filter: &Filter, object: &Object) -> bool {
    let fields: Vec<(&Pointer, Value)> = filter
        .fields()
        .into_iter()
        .filter_map(|field| Some((field, found(field, object)?)))
        .collect();
    filter.holds(&|field| {
        let mut found = fields.iter().filter(|(it, _)| *it == field);
        found.next().map(|(_, value)| value)
    })
}

fn found(field: &Pointer, object: &Object) -> Option<Value> {
    if let Some(value) = field.get(object) {
        return Some(value.clone());
    }
    let (first, rest) = field.tokens().split_first()?;
    below(object.get(first)?, rest)
}

fn below(value: &Value, tokens: &[String]) -> Option<Value> {
    let Some((first, rest)) = tokens.split_first() else {
        return Some(value.clone());
    };
    match value {
        Value::Object(members) => below(members.get(first)?, rest),
        Value::Array(items) => {
            let found: Vec<Value> = items.iter().filter_map(|it| below(it, tokens)).collect();
            (!found.is_empty()).then_some(Value::Array(found))
        }
        _ => None,
    }
}

/// Whether the service can find a resource by the value of an attribute.
pub fn can_find(site: &Site<'_>, filtering: Filtering, attribute: &str) -> bool {
    let allowed = &site.deviations.filter_attributes;
    filtering != Filtering::None
        && allowed.as_ref().is_none_or(|allowed| {
            let mut allowed = allowed.iter();
            allowed.any(|it| it.eq_ignore_ascii_case(attribute))
        })
}
