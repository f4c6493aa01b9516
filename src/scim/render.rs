//! Managed objects as whole resources, with what goes with them: schemas, id, meta.
use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::{answer::tag, error::Result, kept, related::Related, selection::Selection};
use crate::{
    app::Kept,
    model::{
        Object,
        object::{ID, REV},
        scim::{EXTERNAL_ID, GROUPS, ResourceType},
    },
};

impl Related<'_> {
    /// Managed objects as resources of a kind.
    pub(super) async fn resources(
        &self,
        kind: &ResourceType,
        found: &[Kept],
        selection: &Selection,
    ) -> Result<Vec<Value>> {
        let mut shown: Vec<Object> = found
            .iter()
            .map(|kept| kept::shown(self.resources, kind, &kept.object))
            .collect();
        self.complete(kind, selection, &mut shown).await?;
        let wants_groups = self.wants_groups(kind, selection);
        let mut resources = Vec::with_capacity(found.len());
        for (kept, mut shown) in found.iter().zip(shown) {
            let id = said(&kept.object, ID);
            if wants_groups && let Some(groups) = self.groups(kind, id).await? {
                shown.insert(GROUPS.to_owned(), groups);
            }
            resources.push(self.whole(kind, kept, &shown, selection));
        }
        Ok(resources)
    }

    /// A managed object as a resource of a kind.
    pub(super) async fn resource(
        &self,
        kind: &ResourceType,
        kept: &Kept,
        selection: &Selection,
    ) -> Result<Value> {
        let found = std::slice::from_ref(kept);
        let mut resources = self.resources(kind, found, selection).await?;
        Ok(resources.pop().unwrap_or_default())
    }

    /// The same without what takes a look at other resources: it cannot fail.
    pub(super) fn plain(&self, kind: &ResourceType, kept: &Kept, selection: &Selection) -> Value {
        let shown = kept::shown(self.resources, kind, &kept.object);
        self.whole(kind, kept, &shown, selection)
    }

    fn whole(
        &self,
        kind: &ResourceType,
        kept: &Kept,
        shown: &Object,
        selection: &Selection,
    ) -> Value {
        let id = said(&kept.object, ID);
        let used = kind.extensions().iter().map(|schema| schema.urn.as_str());
        let used = used.filter(|urn| shown.contains_key(*urn));
        let schemas: Vec<&str> = std::iter::once(kind.schema()).chain(used).collect();
        let mut left = selection.of(kind, shown);
        let mut resource = Object::new();
        resource.insert("schemas".to_owned(), json!(schemas));
        resource.insert("id".to_owned(), json!(id));
        if let Some(external) = left.shift_remove(EXTERNAL_ID) {
            resource.insert(EXTERNAL_ID.to_owned(), external);
        }
        resource.extend(left);
        if let Some(meta) = selection.meta(&self.meta(kind, kept, id)) {
            resource.insert("meta".to_owned(), meta);
        }
        Value::Object(resource)
    }

    fn meta(&self, kind: &ResourceType, kept: &Kept, id: &str) -> Value {
        let time = |time: &chrono::DateTime<chrono::Utc>| {
            time.to_rfc3339_opts(SecondsFormat::Micros, true)
        };
        json!({
            "resourceType": kind.name,
            "created": time(&kept.created_at),
            "lastModified": time(&kept.updated_at),
            "location": self.location(kind, id),
            "version": tag(said(&kept.object, REV)),
        })
    }
}

fn said<'a>(object: &'a Object, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}
