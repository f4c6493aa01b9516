//! Which attributes an answer shows: `attributes` and `excludedAttributes` (RFC 7644, section 3.9).
use serde_json::Value;

use super::{
    error::{Failure, Result, ScimType},
    normal::{get, put},
};
use crate::model::{
    Object,
    scim::{Attribute, Path, ResourceType, Returned, Schema},
};

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Selection {
    /// Nothing in particular.
    #[default]
    Default,
    /// These, and what is always shown.
    Only(Vec<Wanted>),
    /// All but these.
    Without(Vec<Wanted>),
}

/// An attribute, or a whole schema.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wanted {
    Attribute(Path),
    Schema(String),
}

impl Selection {
    /// Reads the two parameters, which exclude each other.
    pub(super) fn read(included: &[String], excluded: &[String]) -> Result<Self> {
        match (included.is_empty(), excluded.is_empty()) {
            (true, true) => Ok(Self::Default),
            (false, true) => Ok(Self::Only(paths(included)?)),
            (true, false) => Ok(Self::Without(paths(excluded)?)),
            (false, false) => Err(Failure::bad(
                ScimType::InvalidValue,
                "`attributes` and `excludedAttributes` exclude each other",
            )),
        }
    }

    /// Whether an attribute is shown at all, so that it is worth finding out.
    pub(super) fn shows(
        &self,
        kind: &ResourceType,
        schema: &Schema,
        attribute: &Attribute,
    ) -> bool {
        let named = |wanted: &[Wanted], whole: bool| {
            wanted
                .iter()
                .any(|wanted| wanted.names(kind, schema, attribute, whole))
        };
        match (attribute.returned, self) {
            (Returned::Never, _) => false,
            (Returned::Always, _) => true,
            (_, Self::Only(wanted)) => named(wanted, false),
            (Returned::Request, _) => false,
            (Returned::Default, Self::Without(wanted)) => !named(wanted, true),
            (Returned::Default, Self::Default) => true,
        }
    }

    /// What is left of `meta`, which every resource has.
    pub(super) fn meta(&self, meta: &Value) -> Option<Value> {
        let (Self::Only(wanted) | Self::Without(wanted)) = self else {
            return Some(meta.clone());
        };
        let named = wanted.iter().filter_map(|wanted| match wanted {
            Wanted::Attribute(path) if is(&path.name, "meta") => Some(path.sub.as_deref()),
            _ => None,
        });
        let named: Vec<Option<&str>> = named.collect();
        let is_whole = named.contains(&None);
        let holds = |name: &str| named.iter().flatten().any(|it| is(it, name));
        match self {
            Self::Only(_) if named.is_empty() => None,
            Self::Only(_) if is_whole => Some(meta.clone()),
            Self::Only(_) => cut(meta, &holds),
            _ if is_whole => None,
            _ => cut(meta, &|name| !holds(name)),
        }
    }

    /// What is left of a resource's attributes.
    pub(super) fn of(&self, kind: &ResourceType, resource: &Object) -> Object {
        let mut left = Object::new();
        for (schema, bound) in kind.attributes() {
            let attribute = &bound.attribute;
            let Some(value) = get(kind, schema, &attribute.name, resource) else {
                continue;
            };
            if !self.shows(kind, schema, attribute) {
                continue;
            }
            let parts = self.parts(kind, schema, attribute);
            let value = match parts {
                Parts::All => cut(value, &|name| {
                    let part = attribute.part(name);
                    part.is_none_or(|part| part.returned != Returned::Request)
                }),
                Parts::Only(names) => cut(value, &|name| names.iter().any(|it| is(it, name))),
                Parts::Without(names) => cut(value, &|name| {
                    let part = attribute.part(name);
                    let default = part.is_none_or(|part| part.returned != Returned::Request);
                    default && !names.iter().any(|it| is(it, name))
                }),
            };
            if value.is_some() {
                put(kind, schema, &attribute.name, value, &mut left);
            }
        }
        left
    }

    /// Whether names of other resources are asked for in an attribute.
    pub(super) fn shows_names(
        &self,
        kind: &ResourceType,
        schema: &Schema,
        attribute: &Attribute,
    ) -> bool {
        match self.parts(kind, schema, attribute) {
            Parts::Only(names) => names
                .iter()
                .any(|name| is(name, "display") || is(name, "displayName")),
            Parts::All | Parts::Without(_) => false,
        }
    }

    fn parts(&self, kind: &ResourceType, schema: &Schema, attribute: &Attribute) -> Parts {
        let named = |wanted: &[Wanted]| -> Vec<Option<String>> {
            wanted
                .iter()
                .filter(|it| it.names(kind, schema, attribute, false))
                .map(|it| match it {
                    Wanted::Attribute(path) => path.sub.clone(),
                    Wanted::Schema(_) => None,
                })
                .collect()
        };
        let (Self::Only(wanted) | Self::Without(wanted)) = self else {
            return Parts::All;
        };
        let names: Option<Vec<String>> = named(wanted).into_iter().collect();
        match (names, self) {
            (Some(names), Self::Only(_)) if !names.is_empty() => Parts::Only(names),
            (Some(names), Self::Without(_)) if !names.is_empty() => Parts::Without(names),
            _ => Parts::All,
        }
    }
}

#[derive(Debug)]
enum Parts {
    All,
    Only(Vec<String>),
    Without(Vec<String>),
}

fn is(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right)
}

fn cut(value: &Value, keeps: &dyn Fn(&str) -> bool) -> Option<Value> {
    match value {
        Value::Object(members) => {
            let kept: Object = members
                .iter()
                .filter(|(name, _)| keeps(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(items) => {
            let kept: Vec<Value> = items.iter().filter_map(|item| cut(item, keeps)).collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        plain => Some(plain.clone()),
    }
}

impl Wanted {
    /// Whether it names the attribute; with `whole`, as a whole and not only parts of it.
    fn names(
        &self,
        kind: &ResourceType,
        schema: &Schema,
        attribute: &Attribute,
        whole: bool,
    ) -> bool {
        match self {
            Self::Schema(urn) => is(urn, &schema.urn),
            Self::Attribute(path) => {
                let in_schema = match &path.schema {
                    Some(urn) => is(urn, &schema.urn),
                    None => {
                        kind.is_own(schema)
                            || kind
                                .locate(path)
                                .is_some_and(|it| it.schema.urn == schema.urn)
                    }
                };
                in_schema && attribute.is(&path.name) && !(whole && path.sub.is_some())
            }
        }
    }
}

fn paths(texts: &[String]) -> Result<Vec<Wanted>> {
    texts
        .iter()
        .map(|text| {
            // The URN of a whole schema ends like a path to an attribute.
            let is_urn = text.get(..4).is_some_and(|start| is(start, "urn:"));
            match Path::parse(text) {
                Ok(path) => Ok(vec![Wanted::Attribute(path)]),
                Err(_) if is_urn => Ok(Vec::new()),
                Err(error) => Err(Failure::bad(ScimType::InvalidPath, error.to_string())),
            }
            .map(|mut wanted| {
                wanted.extend(is_urn.then(|| Wanted::Schema(text.clone())));
                wanted
            })
        })
        .collect::<Result<Vec<_>>>()
        .map(|all| all.into_iter().flatten().collect())
}
