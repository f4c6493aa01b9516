//! From a CREST filter to an LDAP one that finds at least what it means.
use serde_json::Value;

use super::{settings::is_attribute, wire::View};
use crate::model::{Filter, filter::Operator, object::ID, pointer::Pointer};

/// An LDAP filter (RFC 4515).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wider {
    /// Its text.
    pub text: String,
    /// Whether it finds no more than what is meant, so that its opposite can be asked for.
    exact: bool,
}

/// What every entry meets, and what none does (RFC 4526).
const ALL: &str = "(objectClass=*)";
const NONE: &str = "(!(objectClass=*))";

/// A filter that finds every entry which meets `filter`, and maybe more: a directory knows no
/// difference of case, no order of texts and no types. What it gives is looked at again.
#[must_use]
pub fn wider(view: &View<'_>, filter: &Filter) -> Wider {
    match filter {
        Filter::Literal(holds) => constant(*holds),
        Filter::Present(field) => present(view, field),
        Filter::Compare {
            field,
            operator,
            value,
        } => compare(view, field, *operator, value),
        Filter::And(parts) => joined('&', parts.iter().map(|part| wider(view, part))),
        Filter::Or(parts) => joined('|', parts.iter().map(|part| wider(view, part))),
        // A server finds by an attribute's name what goes by another of its names too, by the name
        // of a kind of it, or with an option (`cn;lang-de`; RFC 4512, 2.5.2): only what holds for
        // all entries or for none has an opposite that can be asked for.
        Filter::Not(part) => match wider(view, part) {
            Wider { text, exact: true } => exactly(format!("(!{text})")),
            _ => more(ALL.to_owned()),
        },
        Filter::Within(_) => more(ALL.to_owned()),
    }
}

/// The entries of a class that meet a filter too.
#[must_use]
pub fn of_class(view: &View<'_>, part: &str) -> String {
    let own = &view.class.filter;
    if part == ALL {
        own.clone()
    } else {
        format!("(&{own}{part})")
    }
}

/// A value as it stands in a filter: every byte but plain letters and digits by its number.
#[must_use]
pub fn escaped(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value {
        if byte.is_ascii_alphanumeric() || b"-_.@:".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("\\{byte:02x}"));
        }
    }
    text
}

fn exactly(text: String) -> Wider {
    Wider { text, exact: true }
}

fn more(text: String) -> Wider {
    Wider { text, exact: false }
}

fn constant(holds: bool) -> Wider {
    exactly(if holds { ALL } else { NONE }.to_owned())
}

fn joined(sign: char, parts: impl Iterator<Item = Wider>) -> Wider {
    let parts: Vec<Wider> = parts.collect();
    if parts.is_empty() {
        return constant(sign == '&');
    }
    let text: String = parts.iter().map(|part| part.text.as_str()).collect();
    Wider {
        text: format!("({sign}{text})"),
        exact: parts.iter().all(|part| part.exact),
    }
}

/// The attribute that a field names; none for what the server cannot be asked about. A field is what
/// somebody wrote: only the name of an attribute may stand in a filter.
fn attribute<'a>(view: &'a View<'_>, field: &'a Pointer) -> Option<&'a str> {
    match field.tokens() {
        [name] if name == ID => Some(&view.class.id_attribute),
        [name] if name == super::wire::DN => None,
        [name] if view.class.is_memberships(name) => None,
        [name] => Some(name.as_str()).filter(|name| is_attribute(name)),
        _ => None,
    }
}

/// Whether no entry can have an attribute.
fn is_impossible(view: &View<'_>, name: &str) -> bool {
    let schema = &view.server.schema;
    view.class.is_write_only(name) || (schema.is_known() && schema.attribute(name).is_none())
}

fn present(view: &View<'_>, field: &Pointer) -> Wider {
    match attribute(view, field) {
        Some(name) if is_impossible(view, name) => constant(false),
        Some(name) => more(format!("({name}=*)")),
        None => more(ALL.to_owned()),
    }
}

fn compare(view: &View<'_>, field: &Pointer, operator: Operator, value: &Value) -> Wider {
    let Some(name) = attribute(view, field) else {
        return more(ALL.to_owned());
    };
    if is_impossible(view, name) || value.is_null() {
        return constant(false);
    }
    let known = view.server.schema.attribute(name);
    let has_parts = known.is_some_and(|attribute| attribute.has_substrings);
    match (operator, value) {
        (Operator::Equal, value) if view.server.can_name_values(view.class, name) => {
            match view.bytes(name, value) {
                Ok(bytes) => more(format!("({name}={})", escaped(&bytes))),
                Err(_) => constant(false),
            }
        }
        (Operator::Contains, Value::String(part)) if has_parts && !part.trim().is_empty() => {
            more(format!("({name}=*{}*)", escaped(part.as_bytes())))
        }
        (Operator::StartsWith, Value::String(part)) if has_parts && !part.trim().is_empty() => {
            more(format!("({name}={}*)", escaped(part.as_bytes())))
        }
        _ => more(format!("({name}=*)")),
    }
}
