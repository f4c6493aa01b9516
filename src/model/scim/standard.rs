//! The attributes of RFC 7643: users, groups, and what enterprises add to users.
use super::{
    ENTERPRISE, GROUP, USER,
    attribute::{Attribute, Kind, Mutability, Returned, Uniqueness},
};

/// An attribute: name, kind, letters, and what it is. The letters say `r` required, `u` unique, `x`
/// case counts, `m` multi-valued, `o` read-only, `w` write-only, `i` immutable,
/// `q` shown where it is asked for.
type Line = (&'static str, Kind, &'static str, &'static str);

const NAME: &[Line] = &[
    (
        "formatted",
        Kind::String,
        "",
        "The whole name, as it is shown",
    ),
    ("familyName", Kind::String, "", "The family name"),
    ("givenName", Kind::String, "", "The given name"),
    ("middleName", Kind::String, "", "The middle names"),
    (
        "honorificPrefix",
        Kind::String,
        "",
        "What stands before the name",
    ),
    (
        "honorificSuffix",
        Kind::String,
        "",
        "What stands after the name",
    ),
];

const USERS: &[Line] = &[
    (
        "userName",
        Kind::String,
        "ru",
        "The name to sign in with, unique whatever its case",
    ),
    ("name", Kind::Complex, "", "The name in its parts"),
    ("displayName", Kind::String, "", "The name to show"),
    ("nickName", Kind::String, "", "The casual name"),
    (
        "profileUrl",
        Kind::Reference,
        "x",
        "The address of a profile",
    ),
    ("title", Kind::String, "", "The title"),
    (
        "userType",
        Kind::String,
        "",
        "How the user stands to the organization",
    ),
    (
        "preferredLanguage",
        Kind::String,
        "",
        "The language to write in",
    ),
    (
        "locale",
        Kind::String,
        "",
        "The place for currencies, dates and numbers",
    ),
    ("timezone", Kind::String, "", "The time zone"),
    ("active", Kind::Boolean, "", "Whether the account is in use"),
    ("password", Kind::String, "wx", "The password, never shown"),
    ("emails", Kind::Complex, "m", "Mail addresses"),
    ("phoneNumbers", Kind::Complex, "m", "Phone numbers"),
    ("ims", Kind::Complex, "m", "Instant messaging addresses"),
    ("photos", Kind::Complex, "m", "Addresses of pictures"),
    ("addresses", Kind::Complex, "m", "Postal addresses"),
    (
        "groups",
        Kind::Complex,
        "mo",
        "The groups that the user is in",
    ),
    (
        "entitlements",
        Kind::Complex,
        "m",
        "What the user is entitled to",
    ),
    ("roles", Kind::Complex, "m", "The user's roles"),
    (
        "x509Certificates",
        Kind::Complex,
        "m",
        "The user's certificates",
    ),
];

const GROUPS: &[Line] = &[
    ("displayName", Kind::String, "r", "The name to show"),
    ("members", Kind::Complex, "m", "Who is in the group"),
];

const ENTERPRISES: &[Line] = &[
    (
        "employeeNumber",
        Kind::String,
        "",
        "The number of the employee",
    ),
    ("costCenter", Kind::String, "", "The cost center"),
    ("organization", Kind::String, "", "The organization"),
    ("division", Kind::String, "", "The division"),
    ("department", Kind::String, "", "The department"),
    ("manager", Kind::Complex, "", "Who the user reports to"),
];

const MANAGER: &[Line] = &[
    ("value", Kind::String, "x", "The id of the manager"),
    ("$ref", Kind::Reference, "x", "The address of the manager"),
    (
        "displayName",
        Kind::String,
        "oq",
        "The manager's name to show",
    ),
];

const MEMBER: &[Line] = &[
    ("value", Kind::String, "ix", "The id of the member"),
    ("$ref", Kind::Reference, "ix", "The address of the member"),
    ("type", Kind::String, "i", "What the member is"),
    ("display", Kind::String, "oq", "The member's name to show"),
];

const IN_GROUP: &[Line] = &[
    ("value", Kind::String, "ox", "The id of the group"),
    ("$ref", Kind::Reference, "ox", "The address of the group"),
    ("display", Kind::String, "o", "The group's name to show"),
    (
        "type",
        Kind::String,
        "o",
        "Whether the user is in it directly",
    ),
];

const ADDRESS: &[Line] = &[
    ("formatted", Kind::String, "", "The whole address"),
    ("streetAddress", Kind::String, "", "Street and number"),
    ("locality", Kind::String, "", "The town"),
    ("region", Kind::String, "", "The state or region"),
    ("postalCode", Kind::String, "", "The postal code"),
    ("country", Kind::String, "", "The country"),
    ("type", Kind::String, "", "What the address is for"),
    (
        "primary",
        Kind::Boolean,
        "",
        "Whether it is the preferred one",
    ),
];

/// What most lists of values have.
const VALUE: &[Line] = &[
    ("value", Kind::String, "", "The value"),
    ("display", Kind::String, "", "The value to show"),
    ("type", Kind::String, "", "What the value is for"),
    (
        "primary",
        Kind::Boolean,
        "",
        "Whether it is the preferred one",
    ),
];

/// Suggested values of `type`.
const TYPES: &[(&str, &[&str])] = &[
    ("emails", &["work", "home", "other"]),
    (
        "phoneNumbers",
        &["work", "home", "mobile", "fax", "pager", "other"],
    ),
    (
        "ims",
        &["aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"],
    ),
    ("photos", &["photo", "thumbnail"]),
    ("addresses", &["work", "home", "other"]),
    ("groups", &["direct", "indirect"]),
];

/// The attribute of a schema, whatever the case of its name; none where the RFC has no such.
#[must_use]
pub fn attribute_of(schema: &str, name: &str) -> Option<Attribute> {
    if name.eq_ignore_ascii_case(super::EXTERNAL_ID) {
        let mut external = Attribute::new(super::EXTERNAL_ID, Kind::String);
        external.case_exact = true;
        external.description = "The id that the provisioning side knows it by".to_owned();
        return Some(external);
    }
    let lines = lines_of(schema);
    let line = lines
        .iter()
        .find(|(known, ..)| known.eq_ignore_ascii_case(name))?;
    let mut attribute = made(line);
    attribute.sub = parts_of(attribute.name.as_str())
        .iter()
        .map(|part| made_part(&attribute.name, part))
        .collect();
    Some(attribute)
}

/// The names of a schema's attributes.
#[must_use]
pub fn attributes_of(schema: &str) -> Vec<&'static str> {
    lines_of(schema).iter().map(|(name, ..)| *name).collect()
}

fn lines_of(schema: &str) -> &'static [Line] {
    let schemas = [(USER, USERS), (GROUP, GROUPS), (ENTERPRISE, ENTERPRISES)];
    schemas
        .into_iter()
        .find(|(urn, _)| urn.eq_ignore_ascii_case(schema))
        .map_or(&[], |(_, lines)| lines)
}

fn parts_of(name: &str) -> &'static [Line] {
    match name {
        "name" => NAME,
        "manager" => MANAGER,
        "members" => MEMBER,
        "groups" => IN_GROUP,
        "addresses" => ADDRESS,
        "emails" | "phoneNumbers" | "ims" | "photos" | "entitlements" | "roles"
        | "x509Certificates" => VALUE,
        _ => &[],
    }
}

fn made_part(of: &str, line: &Line) -> Attribute {
    let mut part = made(line);
    match (of, part.name.as_str()) {
        (_, "type") => {
            let known = TYPES.iter().find(|(name, _)| *name == of);
            part.canonical = known
                .map(|(_, words)| words.iter().map(|&word| word.to_owned()).collect())
                .unwrap_or_default();
        }
        ("photos", "value") => {
            part.kind = Kind::Reference;
            part.references = vec!["external".to_owned()];
        }
        ("x509Certificates", "value") => part.kind = Kind::Binary,
        ("manager", "$ref") => part.references = vec!["User".to_owned()],
        ("members", "$ref") => part.references = vec!["User".to_owned(), "Group".to_owned()],
        ("groups", "$ref") => part.references = vec!["Group".to_owned()],
        _ => {}
    }
    part
}

fn made((name, kind, letters, description): &Line) -> Attribute {
    let has = |letter: char| letters.contains(letter);
    let mut attribute = Attribute::new(name, *kind);
    attribute.description = (*description).to_owned();
    attribute.multi_valued = has('m');
    attribute.required = has('r');
    attribute.case_exact = has('x');
    if has('u') {
        attribute.uniqueness = Uniqueness::Server;
    }
    if has('o') {
        attribute.mutability = Mutability::ReadOnly;
    }
    if has('i') {
        attribute.mutability = Mutability::Immutable;
    }
    if has('w') {
        attribute.mutability = Mutability::WriteOnly;
        attribute.returned = Returned::Never;
    }
    // What stands in another resource is looked up; and a client that compares what it wrote with what
    // comes back finds it unchanged.
    if has('q') {
        attribute.returned = Returned::Request;
    }
    if *name == "profileUrl" {
        attribute.references = vec!["external".to_owned()];
    }
    attribute
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_is_known_whatever_the_case() {
        let name = attribute_of(USER, "USERNAME").unwrap();
        assert!(name.required && name.uniqueness == Uniqueness::Server && !name.case_exact);
        let emails = attribute_of(USER, "emails").unwrap();
        assert!(emails.multi_valued && emails.part("Type").unwrap().canonical.len() == 3);
        let manager = attribute_of(&ENTERPRISE.to_ascii_lowercase(), "manager").unwrap();
        assert_eq!(manager.part("$ref").unwrap().references, ["User"]);
        assert!(attribute_of(USER, "costCenter").is_none());
        assert!(attribute_of("urn:x:y", "userName").is_none());
        assert!(!attribute_of(USER, "password").unwrap().is_readable());
    }
}
