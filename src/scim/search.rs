//! SCIM's filters and orders as those of the store, exactly: nothing is looked at again.
use serde_json::{Value, json};

use super::{
    error::{Failure, Result, ScimType},
    query::Direction,
};
use crate::{
    app::SortKey,
    model::{
        self,
        filter::{Operator, Relation, Test, Texts, Within, moment},
        object::{CREATED, ID, REV, TIMES, UPDATED},
        pointer::Pointer,
        scim::{
            Attribute, Bound, Filter, Form, Kind, Part, Path, ResourceType, Resources, Slot, Source,
        },
    },
};

/// What is made of attributes that the kind of resource does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// It is an error.
    Refused,
    /// They have no value: several kinds are searched at once.
    Absent,
}

/// Translates filters for one kind of resource.
#[derive(Debug, Clone, Copy)]
pub(super) struct Translation<'a> {
    pub(super) resources: &'a Resources,
    pub(super) kind: &'a ResourceType,
    pub(super) unknown: Unknown,
}

/// What is asked of an attribute.
#[derive(Debug, Clone, Copy)]
enum Ask<'a> {
    Present,
    Compare(Relation, &'a Value),
}

type Stored = model::Filter;

fn bad(detail: impl Into<String>) -> Failure {
    Failure::bad(ScimType::InvalidFilter, detail)
}

fn field(base: &Pointer, more: &[&str]) -> Pointer {
    let more = more.iter().map(|&token| token.to_owned());
    Pointer::from_tokens(base.tokens().iter().cloned().chain(more).collect())
}

impl Translation<'_> {
    /// The store's filter.
    pub(super) fn filter(&self, filter: &Filter) -> Result<Stored> {
        let all = |parts: &[Filter]| -> Result<Vec<Stored>> {
            parts.iter().map(|part| self.filter(part)).collect()
        };
        Ok(match filter {
            Filter::And(parts) => Stored::And(all(parts)?),
            Filter::Or(parts) => Stored::Or(all(parts)?),
            Filter::Not(part) => Stored::Not(Box::new(self.filter(part)?)),
            Filter::Present(path) => self.leaf(path, Ask::Present)?,
            Filter::Compare {
                path,
                relation,
                value,
            } => self.compared(path, *relation, value)?,
            Filter::Element { path, filter } => self.element(path, filter)?,
        })
    }

    fn compared(&self, path: &Path, relation: Relation, value: &Value) -> Result<Stored> {
        match (relation, value) {
            (Relation::Equal, Value::Null) => {
                Ok(Stored::Not(Box::new(self.leaf(path, Ask::Present)?)))
            }
            (_, Value::Null) => Err(bad(format!("`{path}`: null only equals"))),
            _ => self.leaf(path, Ask::Compare(relation, value)),
        }
    }

    fn leaf(&self, path: &Path, ask: Ask<'_>) -> Result<Stored> {
        if let Some(found) = self.own(path, ask)? {
            return Ok(found);
        }
        let Some(found) = self.kind.locate(path) else {
            return self.missing(path);
        };
        check_readable(path, &found.bound.attribute)?;
        let sub = path.sub.as_deref();
        self.bound(path, found.bound, sub, ask)
    }

    fn missing(&self, path: &Path) -> Result<Stored> {
        match self.unknown {
            Unknown::Absent => Ok(Stored::Literal(false)),
            Unknown::Refused => Err(bad(format!(
                "a {} has no attribute `{path}`",
                self.kind.name
            ))),
        }
    }

    /// What every resource has.
    fn own(&self, path: &Path, ask: Ask<'_>) -> Result<Option<Stored>> {
        let is = |name: &str| path.name.eq_ignore_ascii_case(name);
        let sub = path.sub.as_deref().unwrap_or_default().to_ascii_lowercase();
        if is("id") && sub.is_empty() {
            let id = Pointer::attribute(ID);
            return Ok(Some(tested(id, ask, Texts::Exact)));
        }
        if is("schemas") && sub.is_empty() {
            return Ok(Some(self.schemas(ask)));
        }
        if !is("meta") {
            return Ok(None);
        }
        let Ask::Compare(relation, value) = ask else {
            return Ok(Some(Stored::Literal(true)));
        };
        Ok(Some(match sub.as_str() {
            "created" => at_time(CREATED, relation, value)?,
            "lastmodified" => at_time(UPDATED, relation, value)?,
            "version" => {
                let text = value.as_str().unwrap_or_default();
                let revision = text.trim_start_matches("W/").trim_matches('"');
                let revision = json!(revision);
                let ask = Ask::Compare(relation, &revision);
                tested(Pointer::attribute(REV), ask, Texts::Exact)
            }
            "resourcetype" => {
                let holds = relation.holds(&json!(self.kind.name), value, Texts::Folded);
                Stored::Literal(holds)
            }
            _ => return Err(bad(format!("`{path}` cannot be searched by"))),
        }))
    }

    /// Which schemas a resource has: its own, and extensions of which it has an attribute.
    fn schemas(&self, ask: Ask<'_>) -> Stored {
        let Ask::Compare(relation, wanted) = ask else {
            return Stored::Literal(true);
        };
        let holds = |urn: &str| relation.holds(&json!(urn), wanted, Texts::Folded);
        let extensions = self.kind.extensions().iter();
        let meant = extensions.filter(|schema| holds(&schema.urn));
        let shown = meant
            .flat_map(|schema| &schema.attributes)
            .filter(|bound| bound.attribute.is_readable());
        let places = shown.flat_map(Bound::shown_places);
        let mut any: Vec<Stored> = places
            .map(|place| tested(place.clone(), Ask::Present, Texts::Exact))
            .collect();
        any.push(Stored::Literal(holds(self.kind.schema())));
        Stored::Or(any)
    }

    fn bound(&self, path: &Path, bound: &Bound, sub: Option<&str>, ask: Ask<'_>) -> Result<Stored> {
        let attribute = &bound.attribute;
        let is_complex = attribute.kind == Kind::Complex;
        // The value of a value is what is meant where nothing else is said.
        let part = match (sub, ask) {
            (Some(sub), _) => Some(sub),
            (None, Ask::Compare(..)) if is_complex && attribute.part("value").is_some() => {
                Some("value")
            }
            (None, Ask::Compare(..)) if is_complex => {
                return Err(bad(format!("`{path}` has parts: say which one")));
            }
            (None, _) => None,
        };
        let meant = part
            .and_then(|part| attribute.part(part))
            .unwrap_or(attribute);
        check_readable(path, meant)?;
        check_relation(path, meant, ask)?;
        let texts = meant.texts();
        match &bound.source {
            Source::Whole(place) => {
                let part: Vec<&str> = part.map(|_| meant.name.as_str()).into_iter().collect();
                Ok(tested(field(place, &part), ask, texts))
            }
            Source::Values(place) => Ok(tested(place.clone(), ask, texts)),
            Source::Parts(parts) => Ok(in_parts(parts, part, ask, texts)),
            Source::Slots(slots) => {
                let each = slots.iter().map(|slot| {
                    let found = in_slot(slot, part, ask, texts);
                    Stored::And(vec![
                        in_parts(&slot.parts, None, Ask::Present, texts),
                        found,
                    ])
                });
                Ok(Stored::Or(each.collect()))
            }
            Source::References(place, form) => {
                self.reference(path, place, *form, attribute, part, ask)
            }
            Source::Groups => Err(bad(
                "`groups` cannot be searched by: ask the groups for `members.value`",
            )),
        }
    }

    fn reference(
        &self,
        path: &Path,
        place: &Pointer,
        form: Form,
        attribute: &Attribute,
        part: Option<&str>,
        ask: Ask<'_>,
    ) -> Result<Stored> {
        let part = part.unwrap_or("value").to_ascii_lowercase();
        match (part.as_str(), form, ask) {
            (_, _, Ask::Present) if part == "value" => Ok(tested(place.clone(), ask, Texts::Exact)),
            ("value", Form::Id, _) => Ok(tested(place.clone(), ask, Texts::Exact)),
            ("value", Form::Value, _) => Ok(tested(field(place, &["value"]), ask, Texts::Exact)),
            ("type", Form::Value, _) => Ok(tested(field(place, &["type"]), ask, Texts::Folded)),
            ("value", Form::Path, Ask::Compare(Relation::Equal, Value::String(id))) => {
                let kinds = attribute.references.iter();
                let kinds = kinds.filter_map(|name| self.resources.named(name));
                let each = kinds.map(|kind| {
                    let path = json!(format!("{}/{id}", kind.container));
                    let ask = Ask::Compare(Relation::Equal, &path);
                    tested(field(place, &["_ref"]), ask, Texts::Exact)
                });
                Ok(Stored::Or(each.collect()))
            }
            _ => Err(bad(format!(
                "`{path}` can only be searched by what its `value` equals"
            ))),
        }
    }

    /// One value that meets a whole filter.
    fn element(&self, path: &Path, filter: &Filter) -> Result<Stored> {
        let Some(found) = self.kind.locate(path) else {
            return self.missing(path);
        };
        let attribute = &found.bound.attribute;
        check_readable(path, attribute)?;
        if attribute.kind != Kind::Complex {
            return Err(bad(format!("`{path}` has no parts to choose by")));
        }
        let inside = |inner: &Path, ask: Ask<'_>| -> Result<&Attribute> {
            let part = part_of(path, attribute, inner)?;
            check_readable(inner, part)?;
            check_relation(inner, part, ask)?;
            Ok(part)
        };
        match &found.bound.source {
            Source::Whole(place) => {
                let inner = leaves(filter, &|inner, ask| {
                    let part = inside(inner, ask)?;
                    Ok(tested(Pointer::attribute(&part.name), ask, part.texts()))
                })?;
                Ok(Stored::Within(Within {
                    field: place.clone(),
                    test: Test::Element(Box::new(inner)),
                }))
            }
            Source::Parts(parts) => leaves(filter, &|inner, ask| {
                let part = inside(inner, ask)?;
                Ok(in_parts(parts, Some(&part.name), ask, part.texts()))
            }),
            Source::Slots(slots) => {
                let each = slots.iter().map(|slot| {
                    let inner = leaves(filter, &|inner, ask| {
                        let part = inside(inner, ask)?;
                        Ok(in_slot(slot, Some(&part.name), ask, part.texts()))
                    })?;
                    let there = in_parts(&slot.parts, None, Ask::Present, Texts::Exact);
                    Ok(Stored::And(vec![there, inner]))
                });
                Ok(Stored::Or(each.collect::<Result<_>>()?))
            }
            Source::Values(_) | Source::References(..) => match filter {
                Filter::Present(_) | Filter::Compare { .. } => leaves(filter, &|inner, ask| {
                    inside(inner, ask)?;
                    self.bound(path, found.bound, Some(&inner.name), ask)
                }),
                _ => Err(bad(format!(
                    "`{path}[…]` takes one condition, as `value eq \"ID\"`"
                ))),
            },
            Source::Groups => self.bound(path, found.bound, None, Ask::Present),
        }
    }

    /// The store's order.
    pub(super) fn sort(&self, path: &Path, direction: Direction) -> Result<SortKey> {
        let descending = direction == Direction::Descending;
        let refused = || {
            Failure::bad(
                ScimType::InvalidPath,
                format!("`{path}` cannot be sorted by"),
            )
        };
        let is = |name: &str| path.name.eq_ignore_ascii_case(name);
        let sub = path.sub.as_deref().unwrap_or_default();
        let key = |field: Pointer, texts: Texts| SortKey {
            field,
            descending,
            texts,
        };
        if is("id") {
            return Ok(key(Pointer::attribute(ID), Texts::Exact));
        }
        if is("meta") {
            let time = match sub.to_ascii_lowercase().as_str() {
                "created" => CREATED,
                "lastmodified" => UPDATED,
                _ => return Err(refused()),
            };
            return Ok(key(
                field(&Pointer::attribute(TIMES), &[time]),
                Texts::Exact,
            ));
        }
        let found = self.kind.locate(path).ok_or_else(refused)?;
        let attribute = &found.bound.attribute;
        let part = match (attribute.kind, found.part) {
            (Kind::Complex, None) => Some(attribute.part("value").ok_or_else(refused)?),
            (_, part) => part,
        };
        let meant = part.unwrap_or(attribute);
        if !meant.is_readable() || !attribute.is_readable() {
            return Err(refused());
        }
        let in_part: Vec<&str> = part.map(|part| part.name.as_str()).into_iter().collect();
        // Of many values the first one counts.
        let first: &[&str] = if attribute.multi_valued { &["0"] } else { &[] };
        let place = match &found.bound.source {
            Source::Whole(place) => field(&field(place, first), &in_part),
            Source::Values(place) => field(place, first),
            Source::Parts(parts) => place_of(parts, &meant.name).ok_or_else(refused)?.clone(),
            Source::Slots(slots) => slots
                .iter()
                .find_map(|slot| place_of(&slot.parts, &meant.name))
                .ok_or_else(refused)?
                .clone(),
            Source::References(..) | Source::Groups => return Err(refused()),
        };
        Ok(key(place, meant.texts()))
    }
}

/// A filter within a value: only its leaves know where they lead.
fn leaves(filter: &Filter, leaf: &dyn Fn(&Path, Ask<'_>) -> Result<Stored>) -> Result<Stored> {
    let all = |parts: &[Filter]| -> Result<Vec<Stored>> {
        parts.iter().map(|part| leaves(part, leaf)).collect()
    };
    Ok(match filter {
        Filter::And(parts) => Stored::And(all(parts)?),
        Filter::Or(parts) => Stored::Or(all(parts)?),
        Filter::Not(part) => Stored::Not(Box::new(leaves(part, leaf)?)),
        Filter::Present(path) => leaf(path, Ask::Present)?,
        Filter::Compare {
            path,
            relation: Relation::Equal,
            value: Value::Null,
        } => Stored::Not(Box::new(leaf(path, Ask::Present)?)),
        Filter::Compare {
            path,
            relation,
            value,
        } => leaf(path, Ask::Compare(*relation, value))?,
        Filter::Element { path, .. } => return Err(bad(format!("`{path}[…]` within brackets"))),
    })
}

fn part_of<'a>(path: &Path, attribute: &'a Attribute, inner: &Path) -> Result<&'a Attribute> {
    let part = attribute
        .part(&inner.name)
        .filter(|_| inner.sub.is_none() && inner.schema.is_none());
    part.ok_or_else(|| bad(format!("`{path}` has no part `{inner}`")))
}

fn tested(field: Pointer, ask: Ask<'_>, texts: Texts) -> Stored {
    let test = match ask {
        Ask::Present => Test::Present,
        Ask::Compare(relation, value) => Test::Compare {
            relation,
            value: value.clone(),
            texts,
        },
    };
    Stored::Within(Within { field, test })
}

fn place_of<'a>(parts: &'a [Part], name: &str) -> Option<&'a Pointer> {
    let found = parts
        .iter()
        .find(|part| part.name.eq_ignore_ascii_case(name) && !part.hidden);
    found.map(|part| &part.place)
}

/// A part of a complex attribute; any of them where none is named.
fn in_parts(parts: &[Part], name: Option<&str>, ask: Ask<'_>, texts: Texts) -> Stored {
    match name {
        Some(name) => place_of(parts, name).map_or(Stored::Literal(false), |place| {
            tested(place.clone(), ask, texts)
        }),
        None => Stored::Or(
            parts
                .iter()
                .filter(|part| !part.hidden)
                .map(|part| tested(part.place.clone(), ask, texts))
                .collect(),
        ),
    }
}

/// A part of one value: what it always says, or what is kept.
fn in_slot(slot: &Slot, name: Option<&str>, ask: Ask<'_>, texts: Texts) -> Stored {
    let constant = name.and_then(|name| {
        let mut constants = slot.constants.iter();
        constants.find(|(known, _)| known.eq_ignore_ascii_case(name))
    });
    match (constant, ask) {
        (Some(_), Ask::Present) => Stored::Literal(true),
        (Some((_, said)), Ask::Compare(relation, value)) => {
            Stored::Literal(relation.holds(said, value, texts))
        }
        (None, _) => in_parts(&slot.parts, name, ask, texts),
    }
}

fn check_readable(path: &Path, attribute: &Attribute) -> Result<()> {
    match attribute.is_readable() {
        true => Ok(()),
        false => Err(Failure::bad(
            ScimType::Sensitive,
            format!("`{path}` is not shown, and cannot be searched by"),
        )),
    }
}

/// Truth values and bytes have no order and no pieces.
fn check_relation(path: &Path, attribute: &Attribute, ask: Ask<'_>) -> Result<()> {
    let Ask::Compare(relation, _) = ask else {
        return Ok(());
    };
    let is_plain = matches!(attribute.kind, Kind::Boolean | Kind::Binary);
    match is_plain && relation != Relation::Equal {
        true => Err(bad(format!(
            "`{path}` is of type {}: it can only be equal or not",
            attribute.kind.as_str()
        ))),
        false => Ok(()),
    }
}

/// A comparison with one of an object's times.
fn at_time(time: &str, relation: Relation, value: &Value) -> Result<Stored> {
    let expected = || bad("expected a moment in double quotes, as \"2011-05-13T04:42:34Z\"");
    let micros = value
        .as_str()
        .and_then(moment)
        .map(|moment| moment.timestamp_micros())
        .ok_or_else(expected)?;
    let operator = match relation {
        Relation::Equal => Operator::Equal,
        Relation::Less => Operator::Less,
        Relation::LessOrEqual => Operator::LessOrEqual,
        Relation::Greater => Operator::Greater,
        Relation::GreaterOrEqual => Operator::GreaterOrEqual,
        Relation::Contains | Relation::StartsWith | Relation::EndsWith => {
            return Err(bad("a moment has an order, and no pieces"));
        }
    };
    Ok(Stored::Compare {
        field: field(&Pointer::attribute(TIMES), &[time]),
        operator,
        value: json!(micros),
    })
}
