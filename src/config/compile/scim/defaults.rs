//! Which attributes a type has that names none: those whose properties have well-known names.
use serde_json::Value;

use crate::{
    managed::ManagedType,
    model::scim::{ENTERPRISE, EXTERNAL_ID, GROUP, USER},
};

/// A path, and names of properties that may keep it; the first one that there is does.
type Line = (&'static str, &'static [&'static str]);

const USERS: &[Line] = &[
    ("userName", &["userName", "username", "uid", "login"]),
    ("name.formatted", &["fullName"]),
    (
        "name.familyName",
        &["sn", "familyName", "lastName", "surname"],
    ),
    ("name.givenName", &["givenName", "firstName"]),
    ("name.middleName", &["middleName"]),
    ("displayName", &["displayName", "cn"]),
    ("nickName", &["nickName"]),
    ("profileUrl", &["profileUrl"]),
    ("title", &["title", "jobTitle"]),
    ("userType", &["userType"]),
    ("preferredLanguage", &["preferredLanguage"]),
    ("locale", &["locale"]),
    ("timezone", &["timezone"]),
    ("active", &["active", "enabled"]),
    ("password", &["password"]),
    ("emails[type eq \"work\"].value", &["mail", "email"]),
    (
        "phoneNumbers[type eq \"work\"].value",
        &["telephoneNumber", "phone"],
    ),
    (
        "phoneNumbers[type eq \"mobile\"].value",
        &["mobile", "mobilePhone"],
    ),
    (
        "addresses[type eq \"work\"].streetAddress",
        &["postalAddress", "street"],
    ),
    ("addresses[type eq \"work\"].locality", &["city"]),
    ("addresses[type eq \"work\"].region", &["stateProvince"]),
    ("addresses[type eq \"work\"].postalCode", &["postalCode"]),
    ("addresses[type eq \"work\"].country", &["country"]),
];

/// Lists that are kept whole where there is such a list.
const LISTS: [&str; 7] = [
    "emails",
    "phoneNumbers",
    "ims",
    "photos",
    "addresses",
    "entitlements",
    "roles",
];

const ENTERPRISES: &[Line] = &[
    ("employeeNumber", &["employeeNumber"]),
    ("costCenter", &["costCenter"]),
    ("organization", &["organization"]),
    ("division", &["division"]),
    ("department", &["department"]),
    ("manager", &["manager", "managerId"]),
];

const GROUPS: &[Line] = &[
    ("displayName", &["displayName", "name", "cn"]),
    ("members", &["members", "member"]),
];

/// An attribute that a type has unasked.
pub(super) struct Default {
    /// The URN of its schema.
    pub(super) schema: String,
    /// Its path.
    pub(super) path: String,
    /// Its property.
    pub(super) property: String,
}

/// The attributes of a type whose own schema is `own`.
pub(super) fn attributes(managed: &ManagedType, own: &str) -> Vec<Default> {
    let mut choice = Choice {
        properties: properties(managed),
        found: Vec::new(),
    };
    match own {
        USER => {
            choice.add_lists(own);
            choice.add_lines(own, USERS);
            choice.add_lines(ENTERPRISE, ENTERPRISES);
        }
        GROUP => choice.add_lines(own, GROUPS),
        _ => choice.add_all(own),
    }
    choice.found
}

fn properties(managed: &ManagedType) -> Vec<&str> {
    let properties = managed.schema.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flat_map(|properties| properties.keys())
        .map(String::as_str)
        .collect()
}

struct Choice<'a> {
    properties: Vec<&'a str>,
    found: Vec<Default>,
}

impl Choice<'_> {
    fn has(&self, name: &str) -> bool {
        self.properties.contains(&name)
    }

    fn add(&mut self, schema: &str, path: &str, property: &str) {
        self.found.push(Default {
            schema: schema.to_owned(),
            path: path.to_owned(),
            property: property.to_owned(),
        });
    }

    fn add_lists(&mut self, schema: &str) {
        for list in LISTS {
            if self.has(list) {
                self.add(schema, list, list);
            }
        }
    }

    fn add_lines(&mut self, schema: &str, lines: &[Line]) {
        for (path, names) in lines {
            let list = path.split('[').next().unwrap_or_default();
            let kept_whole = self.found.iter().any(|it| it.path == list);
            let property = names.iter().find(|name| self.has(name));
            if let Some(property) = property.filter(|_| !kept_whole) {
                self.add(schema, path, property);
            }
        }
    }

    /// Each property under its own name.
    fn add_all(&mut self, schema: &str) {
        for name in self.properties.clone() {
            if !name.starts_with('_') && name != EXTERNAL_ID {
                self.add(schema, name, name);
            }
        }
    }
}
