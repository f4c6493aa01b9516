//! What a connector's file says about a SCIM service, as written and as used.
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::dialect::{Deviations, Dialect, RawDeviations, Removal, slashed};
use crate::connectors::{
    http::{RawAuth, Service},
    settings::{Problem, Secret, class_name_problems},
};

/// The attribute that holds the service's own id.
pub const SERVICE_ID: &str = "id";

/// As written in `conf/connectors/NAME.json`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Raw {
    /// `https://HOST/PREFIX`; `/Users` and the like follow it.
    base_url: String,
    /// How Recant shows who it is.
    auth: Option<RawAuth>,
    /// Headers of every request.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// The service, where it is one whose deviations from the standard are known.
    #[serde(default)]
    dialect: Dialect,
    /// Deviations from the standard, in place of what the dialect says.
    #[serde(default)]
    deviations: RawDeviations,
    /// The object classes by name.
    objects: BTreeMap<String, RawClass>,
}

/// One object class as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct RawClass {
    /// The name of the resource type, `User` or `Group` for example.
    resource_type: String,
    /// Where the resources are, below `baseUrl`; what the service says where this is left out.
    path: Option<String>,
    /// The URN of the resource's schema; what the service says where this is left out.
    schema: Option<String>,
    /// The attribute that shows as `_id`: `externalId`, `userName`, `id` or another one that is
    /// unique.
    #[serde(default = "default_key")]
    key: String,
    /// What becomes of a resource that is deleted; what the dialect says for users where this is
    /// left out.
    delete: Option<Removal>,
    /// The object class of this connector whose `_id`s a group's `members` holds; the service's own
    /// ids where this is left out.
    members_of: Option<String>,
    /// Attributes that are written and never read, beside `password`.
    #[serde(default)]
    write_only: Vec<String>,
}

/// A service as it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where it is, and how Recant shows who it is.
    pub service: Service,
    /// The points in which it differs from the standard.
    pub deviations: Deviations,
    /// The object classes by name.
    pub classes: BTreeMap<String, Class>,
}

/// One resource type as it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// The name of the object class.
    pub name: String,
    /// The name of the resource type.
    pub resource_type: String,
    /// Where the resources are, where the file says so.
    pub path: Option<String>,
    /// The URN of the schema, where the file says so.
    pub schema: Option<String>,
    /// The attribute that shows as `_id`.
    pub key: String,
    /// What becomes of a resource that is deleted.
    pub delete: Removal,
    /// The object class whose `_id`s `members` holds.
    pub members_of: Option<String>,
    /// Attributes that are written and never read.
    pub write_only: Vec<String>,
}

/// What the standard never shows (RFC 7643, section 4.1.1).
const PASSWORD: &str = "password";

fn default_key() -> String {
    "externalId".to_owned()
}

impl Settings {
    /// What was written, checked.
    ///
    /// # Errors
    /// Every problem in it.
    pub fn validate(raw: Raw) -> Result<Self, Vec<Problem>> {
        let mut problems = class_name_problems(raw.objects.keys());
        let service = Service::validate(&raw.base_url, raw.auth, raw.headers, &mut problems);
        let deviations = Deviations::of(raw.dialect, raw.deviations);
        for (name, class) in &raw.objects {
            let known = |other: &String| raw.objects.contains_key(other);
            if class.members_of.as_ref().is_some_and(|other| !known(other)) {
                let message = "expected the name of an object class of this file";
                problems.push(Problem::of_class(name, "membersOf", message));
            }
        }
        let classes = raw
            .objects
            .into_iter()
            .map(|(name, class)| {
                let class = Class::validate(&name, class, &deviations, &mut problems);
                (name, class)
            })
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            service,
            deviations,
            classes,
        })
    }
}

impl Class {
    fn validate(
        name: &str,
        raw: RawClass,
        deviations: &Deviations,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut check = |good: bool, key: &str, message: &str| {
            if !good {
                problems.push(Problem::of_class(name, key, message));
            }
        };
        let plain = |text: &str| !text.is_empty() && !text.contains([' ', '?', '#']);
        check(
            plain(&raw.resource_type),
            "resourceType",
            "expected the name of a resource type, such as `User`",
        );
        check(
            raw.path.as_deref().is_none_or(plain),
            "path",
            "expected a path without query and fragment",
        );
        check(
            plain(&raw.key) && !raw.key.contains(['/', '[', '.']) && raw.key != "active",
            "key",
            "expected an attribute that is unique, such as `externalId`",
        );
        let is_user = raw.resource_type == "User";
        Self {
            name: name.to_owned(),
            delete: raw.delete.unwrap_or(if is_user {
                deviations.delete
            } else {
                Removal::Delete
            }),
            resource_type: raw.resource_type,
            path: raw.path.map(|path| slashed(&path)),
            schema: raw.schema,
            key: raw.key,
            members_of: raw.members_of,
            write_only: [vec![PASSWORD.to_owned()], raw.write_only].concat(),
        }
    }

    /// Whether the service's own ids are used.
    #[must_use]
    pub fn uses_service_ids(&self) -> bool {
        self.key == SERVICE_ID
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::scim::Way;
    use serde_json::{Value, json};

    fn validate(value: Value) -> Result<Settings, Vec<Problem>> {
        Settings::validate(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn a_dialect_sets_what_the_file_may_say_otherwise() {
        let settings = validate(json!({"baseUrl": "https://x/scim/v2/", "dialect": "aws",
            "deviations": {"membersPerRequest": 50},
            "objects": {"a": {"resourceType": "User"}}}))
        .unwrap();
        assert_eq!(settings.deviations.members_per_request, 50);
        assert_eq!(settings.deviations.group_update, Way::Patch);
        assert_eq!(settings.classes["a"].key, "externalId");
        assert_eq!(settings.classes["a"].delete, Removal::Delete);
    }

    #[test]
    fn only_users_are_deactivated_by_a_dialect() {
        let settings = validate(
            json!({"baseUrl": "https://x", "dialect": "slack", "objects": {
            "a": {"resourceType": "User"}, "g": {"resourceType": "Group"},
            "b": {"resourceType": "User", "delete": "delete"}}}),
        )
        .unwrap();
        let delete = |class: &str| settings.classes[class].delete;
        assert_eq!(delete("a"), Removal::Deactivate);
        assert_eq!(
            (delete("g"), delete("b")),
            (Removal::Delete, Removal::Delete)
        );
    }

    #[test]
    fn every_problem_is_reported() {
        let problems = validate(json!({"baseUrl": "x", "objects": {
            "g": {"resourceType": "", "path": "a b", "key": "name/x", "membersOf": "nobody"}}}))
        .unwrap_err();
        let places: Vec<&str> = problems.iter().map(|it| it.pointer.as_str()).collect();
        assert_eq!(
            places,
            [
                "/baseUrl",
                "/objects/g/membersOf",
                "/objects/g/resourceType",
                "/objects/g/path",
                "/objects/g/key",
            ]
        );
    }
}
