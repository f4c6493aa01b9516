//! What other resources have to say in an answer: the names of members and managers, and the groups
//! that a resource is in.
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use super::{
    Scim,
    error::Result,
    kept,
    normal::{get, put},
    search::{Translation, Unknown},
    selection::Selection,
};
use crate::{
    app::{Count, Kept, Search},
    model::{
        Filter, Object,
        filter::Relation,
        object::ID,
        pointer::Pointer,
        scim::{self, Attribute, GROUPS, Path, ResourceType, Resources, Source},
    },
};

/// How many resources are asked for at a time.
const BATCH: usize = 100;
/// How many names of other resources one answer finds out. Beyond that, members come without names.
const NAMES: usize = 2_000;
/// How many groups of one resource are found.
const FOUND: usize = 1_000;

/// Finds out what resources say of each other.
#[derive(Clone, Copy)]
pub(super) struct Related<'a> {
    pub(super) scim: &'a Scim,
    pub(super) resources: &'a Resources,
    pub(super) base: &'a str,
    pub(super) caller: &'a str,
}

/// A resource that others refer to.
#[derive(Debug, Clone)]
pub(super) struct Named {
    kind: String,
    endpoint: String,
    display: Option<String>,
}

impl Related<'_> {
    /// The address of a resource.
    pub(super) fn location(&self, kind: &ResourceType, id: &str) -> String {
        address(self.base, &kind.endpoint, id)
    }

    /// Completes the references in resources of a kind, as far as they are shown.
    pub(super) async fn complete(
        &self,
        kind: &ResourceType,
        selection: &Selection,
        shown: &mut [Object],
    ) -> Result<()> {
        let wanted: Vec<_> = kind
            .attributes()
            .filter(|(_, bound)| matches!(bound.source, Source::References(..)))
            .filter(|(schema, bound)| selection.shows(kind, schema, &bound.attribute))
            .collect();
        let mut ids: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let mut room = NAMES;
        for (schema, bound) in &wanted {
            let attribute = &bound.attribute;
            let names = selection.shows_names(kind, schema, attribute);
            for resource in shown.iter() {
                let value = get(kind, schema, &attribute.name, resource);
                let references = value.into_iter().flat_map(items);
                // What a reference leads to is looked up where that is asked for or not known.
                let is_open = |reference: &&Value| {
                    let typed = reference.get("type").is_some() || attribute.references.len() == 1;
                    names || !typed
                };
                for reference in references.filter(is_open) {
                    self.note(attribute, reference, &mut ids, &mut room);
                }
            }
        }
        let known = self.names(ids).await?;
        for (schema, bound) in wanted {
            let attribute = &bound.attribute;
            for resource in shown.iter_mut() {
                let Some(mut value) = get(kind, schema, &attribute.name, resource).cloned() else {
                    continue;
                };
                match &mut value {
                    Value::Array(references) => references
                        .iter_mut()
                        .for_each(|reference| self.name(attribute, &known, reference)),
                    one => self.name(attribute, &known, one),
                }
                put(kind, schema, &attribute.name, Some(value), resource);
            }
        }
        Ok(())
    }

    fn note<'k>(
        &self,
        attribute: &'k Attribute,
        reference: &Value,
        ids: &mut BTreeMap<&'k str, BTreeSet<String>>,
        room: &mut usize,
    ) {
        let Some(id) = reference.get("value").and_then(Value::as_str) else {
            return;
        };
        let said = reference.get("type").and_then(Value::as_str);
        let kinds = attribute.references.iter();
        for kind in kinds.filter(|kind| said.is_none_or(|said| kind.eq_ignore_ascii_case(said))) {
            if let Some(left) = room.checked_sub(1) {
                *room = left;
                ids.entry(kind).or_default().insert(id.to_owned());
            }
        }
    }

    /// Those that there are, by kind and id.
    pub(super) async fn names(
        &self,
        ids: BTreeMap<&str, BTreeSet<String>>,
    ) -> Result<BTreeMap<(String, String), Named>> {
        let mut known = BTreeMap::new();
        for (name, ids) in ids {
            let Some(kind) = self.resources.named(name) else {
                continue;
            };
            let ids: Vec<String> = ids.into_iter().collect();
            for batch in ids.chunks(BATCH) {
                for kept in self.by_ids(kind, batch).await? {
                    let id = text(&kept.object, ID);
                    let named = Named {
                        kind: kind.name.clone(),
                        endpoint: kind.endpoint.clone(),
                        display: self.display(kind, &kept.object),
                    };
                    known.insert((kind.name.clone(), id), named);
                }
            }
        }
        Ok(known)
    }

    async fn by_ids(&self, kind: &ResourceType, ids: &[String]) -> Result<Vec<Kept>> {
        let one = |id: &String| Filter::Compare {
            field: Pointer::attribute(ID),
            operator: crate::model::filter::Operator::Equal,
            value: json!(id),
        };
        let filter = Filter::Or(ids.iter().map(one).collect());
        self.found(kind, filter, ids.len()).await
    }

    async fn found(&self, kind: &ResourceType, filter: Filter, most: usize) -> Result<Vec<Kept>> {
        let search = Search {
            filter,
            sort: Vec::new(),
            page_size: Some(most),
            cookie: None,
            offset: 0,
            count: Count::None,
        };
        let app = &self.scim.app;
        let found = app
            .query_kept(&kind.container, &search, self.caller)
            .await?;
        Ok(found.results)
    }

    /// Completes one reference; of what is not known, what is said stays.
    fn name(
        &self,
        attribute: &Attribute,
        known: &BTreeMap<(String, String), Named>,
        reference: &mut Value,
    ) {
        let Some(members) = reference.as_object_mut() else {
            return;
        };
        let id = text(members, "value");
        let said = members
            .get("type")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let kinds = attribute.references.iter();
        let kinds = kinds.filter_map(|name| self.resources.named(name));
        let meant: Vec<&ResourceType> = kinds
            .filter(|kind| {
                said.as_ref()
                    .is_none_or(|said| kind.name.eq_ignore_ascii_case(said))
            })
            .collect();
        let mut fitting = meant.iter();
        let named = fitting.find_map(|kind| known.get(&(kind.name.clone(), id.clone())));
        // Where it can only be of one kind, its address is known without a look at it.
        let endpoint = match (named, meant.as_slice()) {
            (Some(named), _) => Some(named.endpoint.as_str()),
            (None, [only]) => Some(only.endpoint.as_str()),
            (None, _) => None,
        };
        if let Some(endpoint) = endpoint.filter(|_| attribute.part("$ref").is_some()) {
            let address = address(self.base, endpoint, &id);
            members.insert("$ref".to_owned(), address.into());
        }
        let Some(named) = named else {
            return;
        };
        if attribute.part("type").is_some() {
            members.insert("type".to_owned(), named.kind.clone().into());
        }
        for part in ["display", "displayName"] {
            if let Some(display) = named
                .display
                .as_ref()
                .filter(|_| attribute.part(part).is_some())
            {
                members.insert(part.to_owned(), display.clone().into());
            }
        }
    }

    /// The name by which a resource shows in others.
    fn display(&self, kind: &ResourceType, object: &Object) -> Option<String> {
        let shown = kept::shown(self.resources, kind, object);
        let names = ["/displayName", "/name/formatted", "/userName"];
        let whole = Value::Object(shown);
        let said = names.iter().find_map(|name| whole.pointer(name)?.as_str());
        said.map(str::to_owned)
    }

    /// The groups that a resource is in, directly or through other groups.
    pub(super) async fn groups(&self, kind: &ResourceType, id: &str) -> Result<Option<Value>> {
        let mut found: BTreeMap<String, Value> = BTreeMap::new();
        let mut looking = VecDeque::from([(kind, id.to_owned(), "direct")]);
        while let Some((member, id, how)) = looking.pop_front() {
            for (group, members) in self.resources.groups() {
                let mut names = members.attribute.references.iter();
                if !members.attribute.is_readable() {
                    continue;
                }
                if !names.any(|name| name.eq_ignore_ascii_case(&member.name)) {
                    continue;
                }
                for kept in self.with_member(group, &id).await? {
                    let id = text(&kept.object, ID);
                    if found.contains_key(&id) || found.len() >= FOUND {
                        continue;
                    }
                    let shown = self.group(group, &kept.object, &id, how);
                    found.insert(id.clone(), shown);
                    looking.push_back((group, id, "indirect"));
                }
            }
        }
        let groups: Vec<Value> = found.into_values().collect();
        Ok((!groups.is_empty()).then_some(Value::Array(groups)))
    }

    async fn with_member(&self, group: &ResourceType, id: &str) -> Result<Vec<Kept>> {
        let translation = Translation {
            resources: self.resources,
            kind: group,
            unknown: Unknown::Refused,
        };
        let filter = translation.filter(&scim::Filter::Compare {
            path: Path {
                sub: Some("value".to_owned()),
                ..Path::of(scim::MEMBERS)
            },
            relation: Relation::Equal,
            value: json!(id),
        })?;
        self.found(group, filter, FOUND).await
    }

    fn group(&self, group: &ResourceType, object: &Object, id: &str, how: &str) -> Value {
        let mut shown = json!({
            "value": id, "$ref": address(self.base, &group.endpoint, id), "type": how,
        });
        if let (Some(display), Some(members)) = (self.display(group, object), shown.as_object_mut())
        {
            members.insert("display".to_owned(), display.into());
        }
        shown
    }

    /// Whether the groups of resources of this kind are to be shown.
    pub(super) fn wants_groups(&self, kind: &ResourceType, selection: &Selection) -> bool {
        kind.attributes().any(|(schema, bound)| {
            bound.attribute.is(GROUPS)
                && bound.source == Source::Groups
                && selection.shows(kind, schema, &bound.attribute)
        })
    }
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        one => std::slice::from_ref(one),
    }
}

fn text(object: &Object, name: &str) -> String {
    let said = object.get(name).and_then(Value::as_str);
    said.unwrap_or_default().to_owned()
}

fn address(base: &str, endpoint: &str, id: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    /// What stands for itself in one segment of a path (RFC 3986, unreserved).
    const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    format!("{base}/{endpoint}/{}", utf8_percent_encode(id, SEGMENT))
}
