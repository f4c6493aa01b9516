//! PATCH (RFC 7644, section 3.5.2) in the forms that identity providers really send, applied to a
//! resource.
use serde_json::Value;

use super::{
    error::{Failure, Result, ScimType},
    kept::{all_fit, fits},
    normal::{self, get, is_primary, named, put},
};
use crate::model::{
    Object,
    filter::Texts,
    object::same,
    scim::{
        Attribute, Bound, Filter, Kind, Mutability, Path, ResourceType, Schema, Source, Target,
    },
};

/// The URN of a PATCH.
const MESSAGE: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// How many operations one PATCH may have.
const OPERATIONS: usize = 10_000;

/// A PATCH as it was sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Patch {
    operations: Vec<Operation>,
}

#[derive(Debug, Clone, PartialEq)]
struct Operation {
    verb: Verb,
    path: Option<String>,
    value: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Add,
    Replace,
    Remove,
}

/// Whether a client named what it wants to change, or sent a whole piece of a resource, of which
/// nothing is used that has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Named,
    Whole,
}

impl Patch {
    /// Reads the body of a PATCH. Names and verbs ignore case.
    pub(super) fn parse(body: &Value) -> Result<Self> {
        let syntax = |detail: &str| Failure::bad(ScimType::InvalidSyntax, detail);
        let body = body
            .as_object()
            .ok_or_else(|| syntax("the body must be an object with `Operations`"))?;
        if let Some(schemas) = member(body, "schemas") {
            let is_patch = |urn: &Value| {
                urn.as_str()
                    .is_some_and(|urn| urn.eq_ignore_ascii_case(MESSAGE))
            };
            if !schemas
                .as_array()
                .is_some_and(|all| all.iter().any(is_patch))
            {
                return Err(syntax(&format!("`schemas` must be [\"{MESSAGE}\"]")));
            }
        }
        let operations = match member(body, "Operations") {
            Some(Value::Array(operations)) => operations.as_slice(),
            Some(one @ Value::Object(_)) => std::slice::from_ref(one),
            _ => return Err(syntax("`Operations` must be a list of {op, path, value}")),
        };
        if operations.is_empty() {
            return Err(syntax("`Operations` is empty"));
        }
        if operations.len() > OPERATIONS {
            return Err(syntax(&format!(
                "one PATCH may have {OPERATIONS} operations"
            )));
        }
        let operations = operations.iter().map(Operation::parse);
        Ok(Self {
            operations: operations.collect::<Result<_>>()?,
        })
    }

    /// The resource after the patch. `resource` holds what anybody may see of it.
    pub(super) fn apply(&self, kind: &ResourceType, resource: &Object) -> Result<Object> {
        let mut patched = resource.clone();
        for operation in &self.operations {
            operation.apply(kind, &mut patched)?;
        }
        Ok(patched)
    }
}

fn member<'a>(object: &'a Object, name: &str) -> Option<&'a Value> {
    object
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

impl Operation {
    fn parse(operation: &Value) -> Result<Self> {
        let syntax = |detail: String| Failure::bad(ScimType::InvalidSyntax, detail);
        let members = operation
            .as_object()
            .ok_or_else(|| syntax("an operation must be an object {op, path, value}".into()))?;
        let word = member(members, "op")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let verb = match word.to_ascii_lowercase().as_str() {
            "add" => Verb::Add,
            "replace" => Verb::Replace,
            "remove" => Verb::Remove,
            _ => {
                return Err(syntax(format!(
                    "`op` must be add, replace or remove, found `{word}`"
                )));
            }
        };
        let path = match member(members, "path") {
            None | Some(Value::Null) => None,
            Some(Value::String(path)) => Some(path.trim().to_owned()).filter(|it| !it.is_empty()),
            Some(_) => return Err(Failure::bad(ScimType::InvalidPath, "`path` must be a text")),
        };
        let value = member(members, "value").cloned();
        if verb != Verb::Remove && value.is_none() {
            let detail = format!("`{word}` needs a `value`");
            return Err(Failure::bad(ScimType::InvalidValue, detail));
        }
        Ok(Self { verb, path, value })
    }

    fn apply(&self, kind: &ResourceType, resource: &mut Object) -> Result<()> {
        let Some(path) = &self.path else {
            return self.apply_whole(kind, kind.schemas.first(), self.value.as_ref(), resource);
        };
        if let Some(schema) = kind.schema_named(path) {
            return match self.verb {
                Verb::Remove => remove_extension(kind, schema, resource),
                _ => self.apply_whole(kind, Some(schema), self.value.as_ref(), resource),
            };
        }
        let target = Target::parse(path)
            .map_err(|error| Failure::bad(ScimType::InvalidPath, format!("`{path}`: {error}")))?;
        self.apply_at(kind, &target, self.value.as_ref(), Manner::Named, resource)
    }

    /// A piece of a resource: its members are the paths, dotted ones, full ones and those of
    /// extensions too.
    fn apply_whole(
        &self,
        kind: &ResourceType,
        schema: Option<&Schema>,
        value: Option<&Value>,
        resource: &mut Object,
    ) -> Result<()> {
        if self.verb == Verb::Remove {
            return Err(Failure::bad(ScimType::NoTarget, "`remove` needs a `path`"));
        }
        let members = value.and_then(Value::as_object).ok_or_else(|| {
            Failure::bad(
                ScimType::InvalidSyntax,
                "without a `path`, `value` must be an object",
            )
        })?;
        for (name, value) in members {
            if let Some(inner) = kind.schema_named(name) {
                self.apply_whole(kind, Some(inner), Some(value), resource)?;
                continue;
            }
            // What is no path is no attribute of ours either.
            let Ok(mut target) = Target::parse(name) else {
                continue;
            };
            if target.path.schema.is_none() {
                target.path.schema = schema.map(|schema| schema.urn.clone());
            }
            self.apply_at(kind, &target, Some(value), Manner::Whole, resource)?;
        }
        Ok(())
    }

    fn apply_at(
        &self,
        kind: &ResourceType,
        target: &Target,
        value: Option<&Value>,
        manner: Manner,
        resource: &mut Object,
    ) -> Result<()> {
        let path = &target.path;
        let Some((schema, bound)) = writable(kind, path, manner)? else {
            return Ok(());
        };
        let attribute = &bound.attribute;
        let part = match &path.sub {
            None => None,
            Some(sub) => match attribute.part(sub) {
                Some(part) if part.is_writable() => Some(part),
                Some(_) if manner == Manner::Named => return Err(read_only(&path.to_string())),
                None if manner == Manner::Named => return Err(no_such(kind, path)),
                _ => return Ok(()),
            },
        };
        let old = get(kind, schema, &attribute.name, resource).cloned();
        // Null says that nothing shall be there.
        let verb = match value {
            Some(Value::Null) => Verb::Remove,
            _ => self.verb,
        };
        let change = Change {
            bound,
            part,
            filter: target.filter.as_ref(),
            verb,
            value: value.filter(|value| !value.is_null()),
        };
        let new = change.apply(old.clone())?;
        if new.is_none() && old.is_some() && attribute.required {
            let detail = format!("`{}` is required", named(kind, schema, attribute));
            return Err(Failure::bad(ScimType::Mutability, detail));
        }
        if attribute.mutability == Mutability::Immutable && old.is_some() && old != new {
            let detail = format!("`{}` cannot be changed", named(kind, schema, attribute));
            return Err(Failure::bad(ScimType::Mutability, detail));
        }
        if manner == Manner::Named {
            check_slots(bound, new.as_ref())?;
        }
        put(kind, schema, &attribute.name, new, resource);
        Ok(())
    }
}

/// The attribute at a path, if clients may write it. Of a whole piece of a resource the rest is left
/// alone.
fn writable<'a>(
    kind: &'a ResourceType,
    path: &Path,
    manner: Manner,
) -> Result<Option<(&'a Schema, &'a Bound)>> {
    let whole = Path {
        sub: None,
        ..path.clone()
    };
    let own = ["id", "meta", "schemas"];
    match kind.locate(&whole) {
        Some(found) if found.bound.attribute.is_writable() => Ok(Some((found.schema, found.bound))),
        _ if manner == Manner::Whole => Ok(None),
        Some(_) => Err(read_only(&path.to_string())),
        // Some providers keep the list of schemas up to date.
        None if path.name.eq_ignore_ascii_case("schemas") => Ok(None),
        None if own.iter().any(|own| own.eq_ignore_ascii_case(&path.name)) => {
            Err(read_only(&path.to_string()))
        }
        None => Err(no_such(kind, path)),
    }
}

fn read_only(path: &str) -> Failure {
    let detail = format!("`{path}` is written by the service alone");
    Failure::bad(ScimType::Mutability, detail)
}

fn no_such(kind: &ResourceType, path: &Path) -> Failure {
    let detail = format!("a {} has no attribute `{path}`", kind.name);
    Failure::bad(ScimType::InvalidPath, detail)
}

fn remove_extension(kind: &ResourceType, schema: &Schema, resource: &mut Object) -> Result<()> {
    let attributes = schema.attributes.iter().map(|bound| &bound.attribute);
    for attribute in attributes.filter(|attribute| attribute.is_writable()) {
        if attribute.required && kind.is_own(schema) {
            let detail = format!("`{}` is required", attribute.name);
            return Err(Failure::bad(ScimType::Mutability, detail));
        }
        put(kind, schema, &attribute.name, None, resource);
    }
    Ok(())
}

/// Where each value has a place of its own, a value without one is not lost silently.
fn check_slots(bound: &Bound, value: Option<&Value>) -> Result<()> {
    let (Source::Slots(slots), Some(Value::Array(items))) = (&bound.source, value) else {
        return Ok(());
    };
    if all_fit(slots, items) {
        return Ok(());
    }
    let name = &bound.attribute.name;
    let places: Vec<String> = slots
        .iter()
        .map(|slot| {
            let said = slot.constants.iter();
            let said: Vec<_> = said
                .map(|(name, value)| format!("{name} eq {value}"))
                .collect();
            format!("`{name}[{}]`", said.join(" and "))
        })
        .collect();
    let detail = format!("`{name}` keeps one value each for {}", places.join(", "));
    Err(Failure::bad(ScimType::InvalidValue, detail))
}

/// What an operation does to one attribute.
struct Change<'a> {
    bound: &'a Bound,
    part: Option<&'a Attribute>,
    filter: Option<&'a Filter>,
    verb: Verb,
    value: Option<&'a Value>,
}

impl Change<'_> {
    fn attribute(&self) -> &Attribute {
        &self.bound.attribute
    }

    fn is_reference(&self) -> bool {
        matches!(self.bound.source, Source::References(..))
    }

    /// The attribute's new value; none where it has none any more.
    fn apply(&self, old: Option<Value>) -> Result<Option<Value>> {
        if !self.attribute().multi_valued {
            return self.single(old);
        }
        let items = match old {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        };
        let items = match self.filter {
            None if self.part.is_none() => self.list(items)?,
            None => self.each(items)?,
            Some(filter) => self.chosen(items, filter)?,
        };
        Ok((!items.is_empty()).then_some(Value::Array(items)))
    }

    fn single(&self, old: Option<Value>) -> Result<Option<Value>> {
        let attribute = self.attribute();
        if self.filter.is_some() {
            let detail = format!(
                "`{}` has one value: there is nothing to choose",
                attribute.name
            );
            return Err(Failure::bad(ScimType::InvalidPath, detail));
        }
        let new = match (self.value, self.verb) {
            (Some(value), Verb::Add | Verb::Replace) => value,
            _ => return Ok(self.single_removed(old)),
        };
        if let Some(part) = self.part {
            // The id of a reference makes it another one, whatever it was.
            if self.is_reference() && part.is("value") {
                return normal::one(self.bound, new);
            }
            return self.with_part(old.unwrap_or_else(empty), part, Some(new));
        }
        let is_merged = attribute.kind == Kind::Complex && !self.is_reference();
        match (old, new) {
            (Some(Value::Object(old)), Value::Object(new)) if is_merged => {
                let merged = self.merged(old, new)?;
                Ok((!merged.is_empty()).then_some(Value::Object(merged)))
            }
            _ => normal::one(self.bound, new),
        }
    }

    fn single_removed(&self, old: Option<Value>) -> Option<Value> {
        let (part, Some(Value::Object(mut members))) = (self.part?, old) else {
            return None;
        };
        members.shift_remove(&part.name);
        let is_gone = members.is_empty() || (self.is_reference() && part.is("value"));
        (!is_gone).then_some(Value::Object(members))
    }

    /// The parts of `new` laid over those of `old`; null takes one away.
    fn merged(&self, mut old: Object, new: &Object) -> Result<Object> {
        let attribute = self.attribute();
        for (name, value) in new {
            if let Some(part) = attribute.part(name).filter(|_| value.is_null()) {
                old.shift_remove(&part.name);
            }
        }
        for (name, value) in normal::parts(attribute, new)? {
            old.insert(name, value);
        }
        Ok(old)
    }

    fn with_part(
        &self,
        mut element: Value,
        part: &Attribute,
        value: Option<&Value>,
    ) -> Result<Option<Value>> {
        let place = format!("{}.{}", self.attribute().name, part.name);
        let value = match value {
            Some(value) => normal::part_value(part, &place, value)?,
            None => None,
        };
        if let Some(members) = element.as_object_mut() {
            match value {
                Some(value) => members.insert(part.name.clone(), value),
                None => members.shift_remove(&part.name),
            };
        }
        let is_empty = element.as_object().is_none_or(Object::is_empty);
        Ok((!is_empty).then_some(element))
    }

    /// The whole list.
    fn list(&self, mut items: Vec<Value>) -> Result<Vec<Value>> {
        let given = match self.value {
            Some(value) => normal::value(self.bound, value)?,
            None => None,
        };
        let given = match given {
            Some(Value::Array(given)) => given,
            _ => Vec::new(),
        };
        match (self.verb, self.value) {
            (Verb::Replace, _) => Ok(given),
            (Verb::Add, _) => {
                self.make_room_for_primary(&mut items, &given);
                self.make_room_in_slots(&mut items, &given);
                items.extend(given);
                Ok(normal::without_doubles(self.bound, items))
            }
            (Verb::Remove, None) => Ok(Vec::new()),
            // An empty list of what is to be removed removes nothing.
            (Verb::Remove, Some(_)) => {
                items.retain(|item| !given.iter().any(|gone| self.is_meant(item, gone)));
                Ok(items)
            }
        }
    }

    /// Whether `named` means this value: by its id where it refers to a resource, else by all that
    /// it says.
    fn is_meant(&self, item: &Value, named: &Value) -> bool {
        match named {
            Value::Object(named) => {
                let id = named.get("value");
                let by_id = self.is_reference() && id.is_some();
                if by_id {
                    return item.get("value") == id;
                }
                named
                    .iter()
                    .all(|(name, value)| item.get(name).is_some_and(|it| same(it, value)))
            }
            plain => same(item, plain),
        }
    }

    /// Where each value has a place of its own, a new value takes that of the old one.
    fn make_room_in_slots(&self, items: &mut Vec<Value>, given: &[Value]) {
        let Source::Slots(slots) = &self.bound.source else {
            return;
        };
        for new in given {
            let slot = slots.iter().find(|slot| fits(slot, new));
            items.retain(|old| slot.is_none_or(|slot| !fits(slot, old)));
        }
    }

    /// A new preferred value takes the place of the old one.
    fn make_room_for_primary(&self, items: &mut [Value], given: &[Value]) {
        if !given.iter().any(is_primary) {
            return;
        }
        for item in items {
            if let Some(members) = item.as_object_mut().filter(|it| it.contains_key("primary")) {
                members.insert("primary".to_owned(), Value::Bool(false));
            }
        }
    }

    /// A part of every value.
    fn each(&self, items: Vec<Value>) -> Result<Vec<Value>> {
        let Some(part) = self.part else {
            return Ok(items);
        };
        let value = self.value.filter(|_| self.verb != Verb::Remove);
        let items = match items.is_empty() && value.is_some() {
            true => vec![empty()],
            false => items,
        };
        let mut changed = Vec::with_capacity(items.len());
        for item in items {
            changed.extend(self.element(item, Some(part), value)?);
        }
        Ok(changed)
    }

    /// The values that meet the filter; where none does, one that meets it comes into being.
    fn chosen(&self, items: Vec<Value>, filter: &Filter) -> Result<Vec<Value>> {
        let value = self.value.filter(|_| self.verb != Verb::Remove);
        // Ids are what they are; kinds and addresses are meant whatever their case.
        let texts = match self.is_reference() {
            true => Texts::Exact,
            false => Texts::Folded,
        };
        let mut found = false;
        let mut changed = Vec::with_capacity(items.len() + 1);
        for item in items {
            if !filter.meets(&item, texts) {
                changed.push(item);
                continue;
            }
            found = true;
            changed.extend(self.element(item, self.part, value)?);
        }
        if found || value.is_none() {
            return Ok(changed);
        }
        let equalities = filter.equalities().filter(|_| !self.is_reference());
        let equalities = equalities.ok_or_else(|| {
            let detail = format!("no value of `{}` meets `{filter}`", self.attribute().name);
            Failure::bad(ScimType::NoTarget, detail)
        })?;
        let begun = normal::parts(self.attribute(), &equalities.into_iter().collect())?;
        let made = self.element(Value::Object(begun), self.part, value)?;
        if let Some(made) = made {
            self.make_room_for_primary(&mut changed, std::slice::from_ref(&made));
            changed.push(made);
        }
        Ok(changed)
    }

    /// One value after the operation; none where nothing of it is left.
    fn element(
        &self,
        item: Value,
        part: Option<&Attribute>,
        value: Option<&Value>,
    ) -> Result<Option<Value>> {
        match (part, value, item) {
            // Without its value, the rest of an element says nothing.
            (Some(part), None, _) if part.is("value") => Ok(None),
            (Some(part), value, item) => self.with_part(item, part, value),
            (None, None, _) => Ok(None),
            (None, Some(Value::Object(new)), Value::Object(old)) => {
                let merged = self.merged(old, new)?;
                Ok((!merged.is_empty()).then_some(Value::Object(merged)))
            }
            (None, Some(value), Value::Object(mut old)) => {
                // A plain value for one that has parts.
                let plain = normal::one(self.bound, value)?;
                if let Some(Value::Object(plain)) = plain {
                    old.extend(plain);
                }
                Ok(Some(Value::Object(old)))
            }
            (None, Some(value), _) => normal::one(self.bound, value),
        }
    }
}

fn empty() -> Value {
    Value::Object(Object::new())
}
