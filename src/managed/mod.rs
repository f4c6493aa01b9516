//! Managed object types: their schema, which attributes are confidential, and their hooks.
mod schema;
#[cfg(test)]
mod tests;
mod violations;

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use serde_json::Value;

use crate::{
    hooks::Script,
    model::{Object, Role, Roles, unique::Unique},
};

/// A type of managed objects, ready to use.
#[derive(Debug, Clone)]
pub struct ManagedType {
    /// Its name, the TYPE of `managed/TYPE`.
    pub name: String,
    /// The JSON Schema as written.
    pub schema: Value,
    /// The schema, compiled.
    pub validator: Arc<jsonschema::Validator>,
    /// Names of the attributes that are encrypted at rest and never shown.
    pub confidential: Vec<String>,
    /// Who may see an attribute, where not everybody may who may read the object.
    pub viewable_by: BTreeMap<String, Roles>,
    /// What no two objects may have the same of, whoever writes it.
    pub unique: Vec<Unique>,
    /// The hooks.
    pub hooks: BTreeMap<HookPoint, Script>,
}

/// Where a type's hooks run (names as in managed.json).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HookPoint {
    /// Before validation; may change the object.
    OnCreate,
    /// Before validation; may change the object.
    OnUpdate,
    /// Before a delete.
    OnDelete,
    /// After the schema; a throw refuses.
    OnValidate,
    /// When an object is read.
    OnRead,
    /// Last before storage; may change the object.
    OnStore,
    /// When an object is fetched from the store for a caller; may change the answer.
    OnRetrieve,
    /// After the intent is on disk, before any target is written.
    PostCreate,
    /// As `PostCreate`.
    PostUpdate,
    /// As `PostCreate`.
    PostDelete,
    /// After all targets have been tried.
    OnSync,
}

/// A schema violation, as CREST reports it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyFailure {
    /// The property, as a JSON pointer without its leading slash.
    pub property: String,
    /// What it violates.
    #[serde(rename = "policyRequirements")]
    pub requirements: Vec<PolicyRequirement>,
}

/// One requirement that a property does not meet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyRequirement {
    /// The JSON Schema keyword, upper-case: `REQUIRED`, `TYPE`, `PATTERN`.
    #[serde(rename = "policyRequirement")]
    pub requirement: String,
    /// What it asks for; never the value.
    pub params: Value,
}

impl HookPoint {
    /// Every point with its key in managed.json.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::OnCreate, "onCreate"),
        (Self::OnUpdate, "onUpdate"),
        (Self::OnDelete, "onDelete"),
        (Self::OnValidate, "onValidate"),
        (Self::OnRead, "onRead"),
        (Self::OnStore, "onStore"),
        (Self::OnRetrieve, "onRetrieve"),
        (Self::PostCreate, "postCreate"),
        (Self::PostUpdate, "postUpdate"),
        (Self::PostDelete, "postDelete"),
        (Self::OnSync, "onSync"),
    ];

    /// Its key in managed.json.
    #[must_use]
    pub fn key(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(point, _)| *point == self)
            .map_or("", |(_, key)| key)
    }
}

/// Something in a schema that cannot be used, or that has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaProblem {
    /// Where, as a JSON pointer into the schema.
    pub pointer: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl ManagedType {
    /// Compiles a type, with warnings about what has no effect. References to other documents are
    /// not fetched.
    ///
    /// # Errors
    /// Every problem of the schema.
    pub fn new(
        name: &str,
        schema: Value,
        hooks: BTreeMap<HookPoint, Script>,
    ) -> Result<(Self, Vec<SchemaProblem>), Vec<SchemaProblem>> {
        let compiled = schema::compile(&schema)?;
        let managed_type = Self {
            name: name.to_owned(),
            schema,
            validator: Arc::new(compiled.validator),
            confidential: compiled.confidential,
            viewable_by: compiled.viewable_by,
            unique: Vec::new(),
            hooks,
        };
        Ok((managed_type, compiled.warnings))
    }

    /// What an object violates; empty where it is valid. `_id` and `_rev` are not looked at.
    #[must_use]
    pub fn violations(&self, object: &Object) -> Vec<PolicyFailure> {
        violations::of(self, object)
    }

    /// The attributes that somebody with these roles may not see, beside the confidential ones. An
    /// admin sees all.
    #[must_use]
    pub fn unseen_by(&self, roles: Roles) -> Vec<String> {
        let unseen = self
            .viewable_by
            .iter()
            .filter(|(_, viewers)| !roles.has(Role::Admin) && !roles.meets(**viewers));
        unseen.map(|(name, _)| name.clone()).collect()
    }

    /// A copy of the object as callers may see it: without its confidential attributes.
    #[must_use]
    pub fn visible(&self, object: &Object) -> Object {
        let mut copy = object.clone();
        copy.retain(|name, _| !self.confidential.contains(name));
        copy
    }
}
