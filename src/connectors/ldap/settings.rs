//! What a connector's file says about a directory, as written and as used.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{dn::Dn, tls};
use crate::connectors::settings::{Problem, Secret, class_name_problems};

/// Attributes that hold passwords everywhere.
const PASSWORDS: [&str; 2] = ["userPassword", "unicodePwd"];

/// Attributes that hold the members of groups.
const MEMBERS: [&str; 3] = ["member", "uniqueMember", "memberUid"];

/// Attributes that are lists by their nature, however many values they hold.
const LISTS: [&str; 5] = [
    "objectClass",
    "member",
    "uniqueMember",
    "memberUid",
    "memberOf",
];

/// As written in `conf/connectors/NAME.json`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Raw {
    /// `ldap://HOST:PORT` or `ldaps://HOST:PORT`.
    url: String,
    /// Whether an `ldap` connection is encrypted by StartTLS before anything else is said.
    #[serde(default)]
    start_tls: bool,
    /// A PEM file with the certificates that the server's must come from; those of the system
    /// where this is left out. Relative to the project folder.
    ca_file: Option<PathBuf>,
    /// The DN that Recant binds as; anonymous where this is left out.
    bind_dn: Option<String>,
    /// The password of `bindDn`.
    bind_password: Option<Secret>,
    /// The object classes by name.
    objects: BTreeMap<String, RawClass>,
}

/// One object class as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct RawClass {
    /// The DN of the entry at the top; entries anywhere below it belong to the class, new ones
    /// come right below it.
    base_dn: String,
    /// The LDAP object classes of a new entry.
    #[schemars(length(min = 1))]
    object_classes: Vec<String>,
    /// The attribute that names a new entry, such as `uid` or `cn`.
    rdn_attribute: String,
    /// Which entries belong to the class, as an LDAP filter (RFC 4515); those that have every one
    /// of `objectClasses` where this is left out.
    filter: Option<String>,
    /// The attribute whose value is the object's id: one value that no other entry has.
    #[serde(default = "default_id_attribute")]
    id_attribute: String,
    /// Attributes that show as an array even where they hold one value. `objectClass` and members
    /// of groups always do.
    #[serde(default)]
    multi_valued: Vec<String>,
    /// Attributes whose values are no text and show in base64, besides those that the server's
    /// schema tells.
    #[serde(default)]
    binary: Vec<String>,
    /// Attributes that are written and never read, besides `userPassword` and `unicodePwd`.
    #[serde(default)]
    write_only: Vec<String>,
    /// Operational attributes that are read too, such as `memberOf`.
    #[serde(default)]
    operational: Vec<String>,
    /// The member of a group that has none, where its object class asks for one: it never shows.
    empty_member: Option<String>,
    /// The groups that an account is in, as an attribute of the account: they are read from the
    /// groups and written to them.
    memberships: Option<RawMemberships>,
}

/// The groups of an account as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct RawMemberships {
    /// The attribute of the account that lists the distinguished names of its groups.
    #[serde(rename = "as", default = "default_groups")]
    name: String,
    /// The DN of the entry below which the groups are.
    base_dn: String,
    /// The attribute of a group that holds the distinguished names of its members.
    #[serde(default = "default_member")]
    attribute: String,
    /// Which entries are groups, as an LDAP filter (RFC 4515).
    #[serde(default = "default_group_filter")]
    filter: String,
    /// The member of a group that has none, where its object class asks for one.
    empty_member: Option<String>,
}

fn default_groups() -> String {
    "groups".to_owned()
}

fn default_member() -> String {
    "member".to_owned()
}

fn default_group_filter() -> String {
    "(objectClass=groupOfNames)".to_owned()
}

/// A directory as it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where the server is.
    pub url: Url,
    /// Whether the connection is encrypted by StartTLS.
    pub start_tls: bool,
    /// The file with the certificates that the server's must come from.
    pub ca_file: Option<PathBuf>,
    /// Whom Recant binds as; none means anonymous.
    pub bind: Option<(String, Secret)>,
    /// The object classes by name.
    pub classes: BTreeMap<String, Class>,
}

/// One object class as it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Class {
    /// The DN at the top.
    pub base: String,
    /// The LDAP object classes of a new entry.
    pub object_classes: Vec<String>,
    /// The attribute that names a new entry.
    pub rdn_attribute: String,
    /// Which entries belong to the class (RFC 4515).
    pub filter: String,
    /// The attribute whose value is the id.
    pub id_attribute: String,
    /// Attributes that are read though the server does not give them unasked.
    pub operational: Vec<String>,
    /// The member of a group without members.
    pub empty_member: Option<String>,
    /// Attributes that are written and never read.
    pub write_only: Vec<String>,
    /// The groups that an account is in.
    pub memberships: Option<Memberships>,
    lists: Vec<String>,
    binary: Vec<String>,
}

/// The groups of an account as they are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memberships {
    /// The attribute of the account that lists them.
    pub name: String,
    /// The DN at the top.
    pub base: String,
    /// The attribute of a group that holds its members.
    pub attribute: String,
    /// Which entries are groups (RFC 4515).
    pub filter: String,
    /// The member of a group without members.
    pub empty: Option<String>,
}

fn default_id_attribute() -> String {
    "entryUUID".to_owned()
}

impl Settings {
    /// What was written, checked. A relative `caFile` is in `folder`.
    ///
    /// # Errors
    /// Every problem in it.
    pub fn validate(raw: Raw, folder: &Path) -> Result<Self, Vec<Problem>> {
        let mut problems = class_name_problems(raw.objects.keys());
        for (name, class) in &raw.objects {
            problems.extend(class_problems(name, class));
        }
        let url = url(&raw).map_err(|problem| problems.push(problem)).ok();
        let ca_file = raw.ca_file.map(|file| folder.join(file));
        if let Some(Err(error)) = ca_file.as_deref().map(tls::certificates) {
            problems.push(Problem::new("/caFile", error.message));
        }
        let bind = match (raw.bind_dn, raw.bind_password) {
            (Some(dn), Some(password)) if !password.expose().is_empty() => Some((dn, password)),
            (None, None) => None,
            (Some(_), _) => {
                let message = "expected the password of `bindDn`: without one a server takes the \
                    bind for an anonymous one (RFC 4513, 5.1.2)";
                problems.push(Problem::new("/bindPassword", message));
                None
            }
            (None, Some(_)) => {
                problems.push(Problem::new(
                    "/bindDn",
                    "name the DN that the password is of",
                ));
                None
            }
        };
        match url {
            Some(url) if problems.is_empty() => Ok(Self {
                url,
                start_tls: raw.start_tls,
                ca_file,
                bind,
                classes: raw
                    .objects
                    .into_iter()
                    .map(|(name, class)| (name, Class::from(class)))
                    .collect(),
            }),
            _ => Err(problems),
        }
    }

    /// What is allowed, and should be known before it is used.
    #[must_use]
    pub fn cautions(&self) -> Vec<Problem> {
        let host = self.url.host_str().unwrap_or_default();
        let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        let is_plain = self.url.scheme() == "ldap" && !self.start_tls;
        if is_plain && !is_here && self.bind.is_some() {
            let message = "the password of `bindDn`, and every other, crosses the network in the \
                clear: use `ldaps`, or set `startTls`";
            return vec![Problem::new("/url", message)];
        }
        Vec::new()
    }

    /// Host and port, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        format!("{host}:{}", self.port())
    }

    /// The port, that of the scheme where the URL names none.
    #[must_use]
    pub fn port(&self) -> u16 {
        let usual = if self.url.scheme() == "ldaps" {
            636
        } else {
            389
        };
        self.url.port().unwrap_or(usual)
    }
}

impl Class {
    /// Whether an attribute shows as an array even where it holds one value.
    #[must_use]
    pub fn is_list(&self, attribute: &str) -> bool {
        names(&self.lists, attribute)
    }

    /// The attributes whose values come and go one by one.
    #[must_use]
    pub fn sets(&self) -> Vec<String> {
        let groups = self.memberships.iter().map(|groups| groups.name.clone());
        MEMBERS
            .map(str::to_owned)
            .into_iter()
            .chain(groups)
            .collect()
    }

    /// Whether an attribute is none of the entry, but lists the groups that hold it.
    #[must_use]
    pub fn is_memberships(&self, attribute: &str) -> bool {
        let groups = self.memberships.as_ref();
        groups.is_some_and(|groups| groups.name.eq_ignore_ascii_case(attribute))
    }

    /// Whether the settings say that an attribute's values are no text.
    #[must_use]
    pub fn is_binary(&self, attribute: &str) -> bool {
        names(&self.binary, attribute)
    }

    /// Whether an attribute is written and never read.
    #[must_use]
    pub fn is_write_only(&self, attribute: &str) -> bool {
        names(&self.write_only, attribute)
    }

    /// Whether the id is the value of the attribute that names entries, so that it changes when an
    /// entry is renamed.
    #[must_use]
    pub fn is_id_the_name(&self) -> bool {
        self.id_attribute.eq_ignore_ascii_case(&self.rdn_attribute)
    }

    /// The member that stands for none in an attribute, where it is one of members.
    #[must_use]
    pub fn empty_value(&self, attribute: &str) -> Option<&str> {
        let is_members = ["member", "uniqueMember"]
            .iter()
            .any(|name| name.eq_ignore_ascii_case(attribute));
        self.empty_member.as_deref().filter(|_| is_members)
    }
}

impl From<RawClass> for Class {
    fn from(raw: RawClass) -> Self {
        let own = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        let all_of = raw.object_classes.iter();
        let filter = raw.filter.unwrap_or_else(|| {
            let parts: String = all_of.map(|name| format!("(objectClass={name})")).collect();
            format!("(&{parts})")
        });
        Self {
            base: raw.base_dn,
            object_classes: raw.object_classes,
            rdn_attribute: raw.rdn_attribute,
            filter,
            id_attribute: raw.id_attribute,
            operational: raw.operational,
            empty_member: raw.empty_member,
            write_only: [own(&PASSWORDS), raw.write_only].concat(),
            lists: {
                let groups = raw.memberships.iter().map(|groups| groups.name.clone());
                [own(&LISTS), raw.multi_valued, groups.collect()].concat()
            },
            binary: raw.binary,
            memberships: raw.memberships.map(|raw| Memberships {
                name: raw.name,
                base: raw.base_dn,
                attribute: raw.attribute,
                filter: raw.filter,
                empty: raw.empty_member,
            }),
        }
    }
}

/// Whether the list holds a name. Attribute names know no case (RFC 4512, 2.5), and an option
/// after them makes no other attribute of them.
fn names(list: &[String], name: &str) -> bool {
    let base = name.split(';').next().unwrap_or(name);
    list.iter().any(|one| one.eq_ignore_ascii_case(base))
}

fn url(raw: &Raw) -> Result<Url, Problem> {
    let wrong = "expected ldap://HOST:PORT or ldaps://HOST:PORT";
    let problem = |message: &str| Problem::new("/url", message);
    let url = Url::parse(&raw.url).map_err(|_| problem(wrong))?;
    if !matches!(url.scheme(), "ldap" | "ldaps") || url.host_str().is_none_or(str::is_empty) {
        return Err(problem(wrong));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || !url.username().is_empty() {
        return Err(problem(
            "expected nothing after HOST:PORT: `baseDn` and `bindDn` have keys of their own",
        ));
    }
    let encrypts = url.scheme() == "ldaps" || raw.start_tls;
    if encrypts && url.host_str().is_some_and(|host| host.starts_with('[')) {
        return Err(problem(
            "expected the name of the host, as its certificate says it, not an IPv6 address",
        ));
    }
    if raw.start_tls && url.scheme() == "ldaps" {
        let message = "`ldaps` is encrypted from the start: leave this out, or use `ldap`";
        return Err(Problem::new("/startTls", message));
    }
    if raw.ca_file.is_some() && !encrypts {
        let message = "nothing is encrypted here: use `ldaps`, or set `startTls`";
        return Err(Problem::new("/caFile", message));
    }
    Ok(url)
}

fn class_problems(name: &str, class: &RawClass) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut check = |is_right: bool, key: &str, message: &str| {
        if !is_right {
            problems.push(Problem::of_class(name, key, message));
        }
    };
    let dn = "expected a distinguished name such as ou=people,dc=example,dc=com";
    check(Dn::parse(&class.base_dn).is_some(), "baseDn", dn);
    let member = class.empty_member.as_deref();
    check(
        member.is_none_or(|dn| Dn::parse(dn).is_some()),
        "emptyMember",
        dn,
    );
    let attribute = "expected names of attributes, such as mail";
    let all_named = |names: &[String]| names.iter().all(|name| is_attribute(name));
    check(
        class.object_classes.iter().all(|name| is_name(name)),
        "objectClasses",
        "expected names of object classes",
    );
    check(
        is_attribute(&class.rdn_attribute),
        "rdnAttribute",
        attribute,
    );
    check(is_attribute(&class.id_attribute), "idAttribute", attribute);
    check(all_named(&class.multi_valued), "multiValued", attribute);
    check(all_named(&class.binary), "binary", attribute);
    check(all_named(&class.write_only), "writeOnly", attribute);
    check(all_named(&class.operational), "operational", attribute);
    if let Some(groups) = &class.memberships {
        let is_group =
            groups.filter.starts_with('(') && ldap3::parse_filter(&groups.filter).is_ok();
        check(
            Dn::parse(&groups.base_dn).is_some(),
            "memberships/baseDn",
            dn,
        );
        let member = groups.empty_member.as_deref();
        let is_dn = member.is_none_or(|dn| Dn::parse(dn).is_some());
        check(is_dn, "memberships/emptyMember", dn);
        check(is_attribute(&groups.name), "memberships/as", attribute);
        check(
            is_attribute(&groups.attribute),
            "memberships/attribute",
            attribute,
        );
        let message = "expected an LDAP filter such as (objectClass=groupOfNames)";
        check(is_group, "memberships/filter", message);
    }
    let filter = class.filter.as_deref();
    let is_filter = |text: &str| text.starts_with('(') && ldap3::parse_filter(text).is_ok();
    check(
        filter.is_none_or(is_filter),
        "filter",
        "expected an LDAP filter such as (objectClass=person)",
    );
    problems
}

/// Whether a text can name an attribute: its name or number, and options after it (RFC 4512, 2.5).
/// Nothing else may stand in a filter, whoever wrote it.
#[must_use]
pub fn is_attribute(text: &str) -> bool {
    let is_key = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    let mut parts = text.split(';');
    let base = parts.next().unwrap_or_default();
    let is_name = base.starts_with(|letter: char| letter.is_ascii_alphabetic());
    let is_arc = |arc: &str| {
        let digits = !arc.is_empty() && arc.chars().all(|digit| digit.is_ascii_digit());
        digits && (arc == "0" || !arc.starts_with('0'))
    };
    let is_base = if is_name {
        base.chars().all(is_key)
    } else {
        base.split('.').all(is_arc)
    };
    is_base && parts.all(|option| !option.is_empty() && option.chars().all(is_key))
}

/// Whether a text is the name of an object class, or its number (RFC 4512, 1.4).
fn is_name(text: &str) -> bool {
    let allowed =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | ';' | '_');
    text.starts_with(|letter: char| letter.is_ascii_alphanumeric()) && text.chars().all(allowed)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
