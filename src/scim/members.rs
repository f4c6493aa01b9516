//! Which kind of resource a reference means: as it says, or as a look at the allowed kinds tells.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    error::{Failure, Result, ScimType},
    kept::{endpoint, items},
    normal::{get, named, put},
    related::Related,
};
use crate::model::{
    Object,
    scim::{Attribute, Bound, Form, ResourceType, Source},
};

impl Related<'_> {
    /// Says of each reference that comes new into a resource which kind it leads to, where it does not
    /// say so itself and there are several.
    pub(super) async fn resolve(
        &self,
        kind: &ResourceType,
        before: &Object,
        after: &mut Object,
    ) -> Result<()> {
        for (schema, bound) in kind.attributes() {
            let Source::References(_, form) = bound.source else {
                continue;
            };
            let attribute = &bound.attribute;
            let name = &attribute.name;
            let Some(mut value) = get(kind, schema, name, after).cloned() else {
                continue;
            };
            let place = named(kind, schema, attribute);
            let old = get(kind, schema, name, before)
                .map(items)
                .unwrap_or_default();
            let open = self.open(bound, &place, old, &value)?;
            if open.is_empty() {
                continue;
            }
            let found = self.kinds_of(attribute, &open).await?;
            self.say(form, &place, &found, &mut value)?;
            put(kind, schema, name, Some(value), after);
        }
        Ok(())
    }

    /// The ids of new references that do not say their kind, where there are several.
    fn open(
        &self,
        bound: &Bound,
        place: &str,
        old: &[Value],
        value: &Value,
    ) -> Result<BTreeSet<String>> {
        let attribute = &bound.attribute;
        let mut open = BTreeSet::new();
        for reference in items(value) {
            let is_there = |old: &Value| {
                let is_of = |said: &Value| old.get("type") == Some(said);
                old.get("value") == reference.get("value")
                    && reference.get("type").is_none_or(is_of)
            };
            if old.iter().any(is_there) {
                continue;
            }
            let said = self.said(attribute, place, reference)?;
            let id = reference.get("value").and_then(Value::as_str);
            open.extend(
                id.filter(|_| said.is_none() && attribute.references.len() > 1)
                    .map(str::to_owned),
            );
        }
        Ok(open)
    }

    /// The kind that a reference says it leads to, by its type or its address. A type that is none of
    /// ours says nothing.
    fn said(
        &self,
        attribute: &Attribute,
        place: &str,
        reference: &Value,
    ) -> Result<Option<&ResourceType>> {
        let by_type = reference.get("type").and_then(Value::as_str);
        let by_type = by_type.and_then(|name| self.resources.named(name));
        let by_address = endpoint(reference).and_then(|endpoint| self.resources.at(endpoint));
        let is_allowed = |kind: &ResourceType| {
            let mut allowed = attribute.references.iter();
            allowed.any(|name| name.eq_ignore_ascii_case(&kind.name))
        };
        let detail = match (by_type, by_address) {
            (Some(one), Some(other)) if one.name != other.name => format!(
                "`{place}`: `type` says {}, `$ref` says {}",
                one.name, other.name
            ),
            (Some(kind), _) | (None, Some(kind)) if !is_allowed(kind) => {
                let allowed = attribute.references.join(" or ");
                format!("`{place}` refers to {allowed}, not to a {}", kind.name)
            }
            (by_type, by_address) => return Ok(by_type.or(by_address)),
        };
        Err(Failure::bad(ScimType::InvalidValue, detail))
    }

    /// The names of the kinds that have a resource with each id.
    async fn kinds_of(
        &self,
        attribute: &Attribute,
        ids: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Vec<String>>> {
        let each = attribute.references.iter();
        let wanted = each.map(|name| (name.as_str(), ids.clone())).collect();
        let mut found = BTreeMap::<String, Vec<String>>::new();
        for (kind, id) in self.names(wanted).await?.into_keys() {
            found.entry(id).or_default().push(kind);
        }
        for id in ids {
            found.entry(id.clone()).or_default();
        }
        Ok(found)
    }

    /// Says the kinds that were found. Where the kind is kept, an id of nobody could mean any; where it
    /// is not, one of two could.
    fn say(
        &self,
        form: Form,
        place: &str,
        found: &BTreeMap<String, Vec<String>>,
        value: &mut Value,
    ) -> Result<()> {
        let references = match value {
            Value::Array(references) => references.as_mut_slice(),
            one => std::slice::from_mut(one),
        };
        for reference in references {
            let id = reference.get("value").and_then(Value::as_str);
            let Some((id, kinds)) = id.and_then(|id| found.get_key_value(id)) else {
                continue;
            };
            let is_said = self.is_said(reference);
            let detail = match kinds.as_slice() {
                _ if is_said => continue,
                [kind] => {
                    if let Some(members) = reference.as_object_mut() {
                        members.insert("type".to_owned(), kind.as_str().into());
                    }
                    continue;
                }
                [] if form != Form::Path => continue,
                [] => format!("`{place}`: there is no resource `{id}`: say its `type`"),
                several => format!(
                    "`{place}`: `{id}` may be a {}: say its `type`",
                    several.join(" or a ")
                ),
            };
            return Err(Failure::bad(ScimType::InvalidValue, detail));
        }
        Ok(())
    }

    fn is_said(&self, reference: &Value) -> bool {
        let by_type = reference.get("type").and_then(Value::as_str);
        let by_type = by_type.and_then(|name| self.resources.named(name));
        let by_address = endpoint(reference).and_then(|endpoint| self.resources.at(endpoint));
        by_type.or(by_address).is_some()
    }
}
