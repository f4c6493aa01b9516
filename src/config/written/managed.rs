//! conf/managed.json as it is written.
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{scim::Scim, script::Script};
use crate::managed::HookPoint;

/// conf/managed.json: the types of objects that Recant keeps.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "managed.json")]
pub(crate) struct Managed {
    /// The types.
    #[serde(default)]
    #[schemars(required, with = "Option<Vec<ManagedType>>")]
    pub(crate) objects: Option<Vec<Option<ManagedType>>>,
}

/// One type of managed objects, addressed as `managed/NAME`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ManagedType {
    /// The NAME in `managed/NAME`.
    #[schemars(required)]
    pub(crate) name: Option<String>,
    /// What it is, for people.
    #[serde(rename = "title")]
    pub(crate) _title: Option<String>,
    /// What it is for, for people.
    #[serde(rename = "description")]
    pub(crate) _description: Option<String>,
    /// A JSON Schema with `properties`. A property may say `"confidential": true`: it is encrypted
    /// at rest and shown to nobody.
    #[schemars(required)]
    pub(crate) schema: Option<Map<String, Value>>,
    /// Runs before validation of a new object; may change it.
    pub(crate) on_create: Option<Script>,
    /// Runs before validation of a changed object; may change it.
    pub(crate) on_update: Option<Script>,
    /// Runs before a delete; a throw refuses it.
    pub(crate) on_delete: Option<Script>,
    /// Runs after the schema; a throw refuses the object.
    pub(crate) on_validate: Option<Script>,
    /// Runs when an object is read by its id.
    pub(crate) on_read: Option<Script>,
    /// Runs last before storage; may change the object.
    pub(crate) on_store: Option<Script>,
    /// Runs when an object is fetched for a caller; may change the answer.
    pub(crate) on_retrieve: Option<Script>,
    /// Runs once a create is on disk, before any target is written.
    pub(crate) post_create: Option<Script>,
    /// Runs once an update is on disk, before any target is written.
    pub(crate) post_update: Option<Script>,
    /// Runs once a delete is on disk, before any target is written.
    pub(crate) post_delete: Option<Script>,
    /// Runs after all targets have been tried; may ask for a revert (`compensate.rhai`).
    pub(crate) on_sync: Option<Script>,
    /// Makes the type a kind of resource of the SCIM service.
    pub(crate) scim: Option<Scim>,
}

impl ManagedType {
    /// The script of a hook, with its key.
    pub(crate) fn hooks(&self) -> impl Iterator<Item = (HookPoint, &'static str, &Script)> {
        HookPoint::ALL.into_iter().filter_map(|(point, key)| {
            let script = match point {
                HookPoint::OnCreate => &self.on_create,
                HookPoint::OnUpdate => &self.on_update,
                HookPoint::OnDelete => &self.on_delete,
                HookPoint::OnValidate => &self.on_validate,
                HookPoint::OnRead => &self.on_read,
                HookPoint::OnStore => &self.on_store,
                HookPoint::OnRetrieve => &self.on_retrieve,
                HookPoint::PostCreate => &self.post_create,
                HookPoint::PostUpdate => &self.post_update,
                HookPoint::PostDelete => &self.post_delete,
                HookPoint::OnSync => &self.on_sync,
            };
            Some((point, key, script.as_ref()?))
        })
    }
}
