//! PATCH (RFC 7644, section 3.5.2) in the forms that identity providers really send, applied to a
//! resource.
use serde_json::Value;

use super::{
    change::Change,
    error::{Failure, Result, ScimType},
    kept::all_fit,
    normal::{get, named, put},
};
use crate::model::{
    Object,
    pointer::Pointer,
    scim::{Bound, Kind, Mutability, Path, ResourceType, Schema, Source, Target},
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

/// A resource after a patch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Patched {
    pub(super) resource: Object,
    /// The properties of lists that are not shown: what the resource has of them comes to what there is.
    pub(super) added: Vec<Pointer>,
}

#[derive(Debug, Clone, PartialEq)]
struct Operation {
    verb: Verb,
    path: Option<String>,
    value: Option<Value>,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
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

    /// The resource after the patch. `resource` holds what its sender may see of it.
    pub(super) fn apply(&self, kind: &ResourceType, resource: &Object) -> Result<Patched> {
        let mut patched = Patched {
            resource: resource.clone(),
            added: Vec::new(),
        };
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

    fn apply(&self, kind: &ResourceType, patched: &mut Patched) -> Result<()> {
        let Some(path) = &self.path else {
            return self.apply_whole(kind, kind.schemas.first(), self.value.as_ref(), patched);
        };
        if let Some(schema) = kind.schema_named(path) {
            return match self.verb {
                Verb::Remove => remove_extension(kind, schema, patched),
                _ => self.apply_whole(kind, Some(schema), self.value.as_ref(), patched),
            };
        }
        let target = Target::parse(path)
            .map_err(|error| Failure::bad(ScimType::InvalidPath, format!("`{path}`: {error}")))?;
        self.apply_at(kind, &target, self.value.as_ref(), Manner::Named, patched)
    }

    /// A piece of a resource: its members are the paths, dotted ones, full ones and those of
    /// extensions too.
    fn apply_whole(
        &self,
        kind: &ResourceType,
        schema: Option<&Schema>,
        value: Option<&Value>,
        patched: &mut Patched,
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
                self.apply_whole(kind, Some(inner), Some(value), patched)?;
                continue;
            }
            // What is no path is no attribute of ours either.
            let Ok(mut target) = Target::parse(name) else {
                continue;
            };
            if target.path.schema.is_none() {
                target.path.schema = schema.map(|schema| schema.urn.clone());
            }
            self.apply_at(kind, &target, Some(value), Manner::Whole, patched)?;
        }
        Ok(())
    }

    fn apply_at(
        &self,
        kind: &ResourceType,
        target: &Target,
        value: Option<&Value>,
        manner: Manner,
        patched: &mut Patched,
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
        self.check_blind(kind, schema, bound, target, value)?;
        let old = get(kind, schema, &attribute.name, &patched.resource).cloned();
        // Null says that nothing shall be there.
        let verb = match value {
            Some(Value::Null) => Verb::Remove,
            _ => self.verb,
        };
        if !attribute.is_readable() && attribute.multi_valued && is_whole(bound) {
            patched.note(bound, verb == Verb::Add && old.is_none(), verb == Verb::Add);
        }
        let change = Change {
            bound,
            part,
            filter: target.filter.as_ref(),
            verb,
            value: value.filter(|value| !value.is_null()),
        };
        let new = change.apply(old.clone())?;
        // What is not shown does not show as gone either: that it goes has to be said, but not where
        // nothing was added.
        let new = match new {
            None if verb == Verb::Add && old.is_none() => return Ok(()),
            None if !attribute.is_readable() => Some(Value::Null),
            new => new,
        };
        let is_gone = new.as_ref().is_none_or(Value::is_null);
        let was_there = old.is_some() || !attribute.is_readable();
        if is_gone && was_there && attribute.required {
            let detail = format!("`{}` is required", named(kind, schema, attribute));
            return Err(Failure::bad(ScimType::Mutability, detail));
        }
        let is_other = !attribute.is_readable() || (old.is_some() && old != new);
        if attribute.mutability == Mutability::Immutable && is_other {
            let detail = format!("`{}` cannot be changed", named(kind, schema, attribute));
            return Err(Failure::bad(ScimType::Mutability, detail));
        }
        if manner == Manner::Named {
            check_slots(bound, new.as_ref())?;
        }
        put(kind, schema, &attribute.name, new, &mut patched.resource);
        Ok(())
    }

    /// What is not shown is set, added to and removed as a whole: for a part of it to be named, it would
    /// have to be seen.
    fn check_blind(
        &self,
        kind: &ResourceType,
        schema: &Schema,
        bound: &Bound,
        target: &Target,
        value: Option<&Value>,
    ) -> Result<()> {
        let attribute = &bound.attribute;
        if attribute.is_readable()
            || !is_whole(bound)
            || attribute.kind != Kind::Complex && !attribute.multi_valued
        {
            return Ok(());
        }
        let is_some = self.verb == Verb::Remove && value.is_some_and(|value| !value.is_null());
        let of_list = attribute.multi_valued && is_some;
        if target.filter.is_none() && target.path.sub.is_none() && !of_list {
            return Ok(());
        }
        let detail = format!(
            "`{}` is not shown: it is set, added to and removed as a whole",
            named(kind, schema, attribute)
        );
        Err(Failure::bad(ScimType::Mutability, detail))
    }
}

impl Patched {
    /// Notes whether what the resource has of a list comes to what there is.
    fn note(&mut self, bound: &Bound, begins: bool, adds: bool) {
        let places: Vec<Pointer> = bound.places().into_iter().cloned().collect();
        if !adds {
            self.added.retain(|place| !places.contains(place));
        }
        if begins {
            self.added.extend(places);
        }
    }
}

/// Whether one property keeps the attribute.
fn is_whole(bound: &Bound) -> bool {
    matches!(
        bound.source,
        Source::Whole(_) | Source::Values(_) | Source::References(..)
    )
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

fn remove_extension(kind: &ResourceType, schema: &Schema, patched: &mut Patched) -> Result<()> {
    for bound in &schema.attributes {
        let attribute = &bound.attribute;
        if !attribute.is_writable() {
            continue;
        }
        if attribute.required && kind.is_own(schema) {
            let detail = format!("`{}` is required", attribute.name);
            return Err(Failure::bad(ScimType::Mutability, detail));
        }
        // What its sender does not see of the extension stays.
        patched.note(bound, false, false);
        put(kind, schema, &attribute.name, None, &mut patched.resource);
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
