//! Entries as objects, and what turns one into another as modifications.
use std::collections::{BTreeMap, BTreeSet, HashSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ldap3::Mod;
use serde_json::{Number, Value};

use super::{
    filter::escaped,
    schema::Syntax,
    server::Server,
    session::Entry,
    settings::{Class, is_attribute},
};
use crate::{
    connectors::Error,
    model::{Object, TargetObject, object::Difference},
};

/// The attribute that shows where an entry is.
pub const DN: &str = "dn";
/// What changes with every write of an entry (draft-chu-ldap-csn), where the server has it.
pub const CHANGE_NUMBER: &str = "entryCSN";
/// When an entry was changed last (RFC 4512, 3.4.4).
pub const CHANGE_TIME: &str = "modifyTimestamp";
/// The entry's own name among its attributes (RFC 5020).
pub const ENTRY_DN: &str = "entryDN";

/// The values of an attribute: a set (RFC 4512, 2.5.1).
pub type Values = BTreeSet<Vec<u8>>;

/// How a class' entries look, given what the server says about itself.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The class.
    pub class: &'a Class,
    /// The server.
    pub server: &'a Server,
}

/// Modifications of one entry, and what takes them back.
#[derive(Debug, Default)]
pub struct Modifications {
    /// What to change.
    pub mods: Vec<Mod<Vec<u8>>>,
    /// What changes it back.
    pub undo: Vec<Mod<Vec<u8>>>,
    /// What must hold of the entry as it is now, besides what the modifications themselves ask.
    pub conditions: Vec<String>,
    /// Whether something changes that cannot be asked for: the whole entry must be as it was read.
    pub whole: bool,
}

/// An attribute of a new entry: its name and its values, as they go over the wire.
pub type NewAttribute = (Vec<u8>, HashSet<Vec<u8>>);

impl View<'_> {
    /// The attributes to ask for.
    #[must_use]
    pub fn wanted(&self) -> Vec<&str> {
        let mut wanted = vec!["*", CHANGE_NUMBER, ENTRY_DN, &self.class.id_attribute];
        wanted.extend(self.class.operational.iter().map(String::as_str));
        wanted
    }

    /// An entry as an object.
    ///
    /// # Errors
    /// Refused where a value is no text though it should be one, or where there is no id.
    pub fn object(&self, entry: &Entry) -> Result<TargetObject, Error> {
        let mut attributes = Object::new();
        attributes.insert(DN.to_owned(), Value::String(entry.dn.clone()));
        for (name, values) in &entry.attributes {
            if self.is_hidden(name) {
                continue;
            }
            let values = self.without_empty_member(name, values.iter().cloned().collect());
            if let Some(value) = self.value(name, &values, &entry.dn)? {
                attributes.insert(name.clone(), value);
            }
        }
        Ok(TargetObject {
            id: self.id(entry)?,
            attributes,
            version: entry.texts(CHANGE_NUMBER).into_iter().next(),
        })
    }

    fn id(&self, entry: &Entry) -> Result<String, Error> {
        let name = &self.class.id_attribute;
        let own = super::dn::Dn::parse(&entry.dn);
        let named = own
            .as_ref()
            .and_then(|dn| dn.first())
            .and_then(|rdn| rdn.value(name));
        let values = entry.values(name);
        // Of several values the one that names the entry is the id.
        if let Some(named) = named.filter(|_| values.len() != 1) {
            return Ok(named.to_owned());
        }
        let missing = || {
            let message = format!(
                "{} shows no `{name}`: let the account read it, or name another attribute in \
                 `idAttribute`",
                entry.dn
            );
            Error::refused(422, message)
        };
        let first = values.first().ok_or_else(missing)?;
        match self.one(name, first, &entry.dn)? {
            Value::String(text) => Ok(text),
            other => Ok(other.to_string()),
        }
    }

    /// Whether an attribute does not show among the others: it is no part of the record, or may
    /// not be read.
    fn is_hidden(&self, name: &str) -> bool {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let asked_for = self.class.operational.iter().any(|other| is(other));
        let own = is(CHANGE_NUMBER)
            || is(CHANGE_TIME)
            || is(ENTRY_DN)
            || (is(&self.class.id_attribute) && !self.is_part_of_record(name));
        self.class.is_write_only(name) || (own && !asked_for)
    }

    fn is_part_of_record(&self, name: &str) -> bool {
        !name.eq_ignore_ascii_case("entryUUID") && self.server.may_set(name)
    }

    /// The values of an attribute as JSON: one alone, several as an array in the order of their
    /// bytes; none where there are none.
    ///
    /// # Errors
    /// Refused where a value is no text though it should be one.
    pub fn value(&self, name: &str, values: &Values, dn: &str) -> Result<Option<Value>, Error> {
        let mut shown = values
            .iter()
            .map(|value| self.one(name, value, dn))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(match shown.len() {
            0 => None,
            1 if !self.class.is_list(name) => shown.pop(),
            _ => Some(Value::Array(shown)),
        })
    }

    fn one(&self, name: &str, value: &[u8], dn: &str) -> Result<Value, Error> {
        if self.server.syntax(self.class, name) == Syntax::Binary {
            return Ok(Value::String(STANDARD.encode(value)));
        }
        let text = std::str::from_utf8(value).map_err(|_| {
            let message =
                format!("`{name}` of {dn} holds bytes that are no text: name it in `binary`");
            Error::refused(422, message)
        })?;
        let typed = match (self.server.syntax(self.class, name), text) {
            (Syntax::Boolean, "TRUE") => Some(Value::Bool(true)),
            (Syntax::Boolean, "FALSE") => Some(Value::Bool(false)),
            (Syntax::Integer, digits) => digits
                .parse::<i64>()
                .ok()
                .map(|n| Value::Number(Number::from(n))),
            _ => None,
        };
        Ok(typed.unwrap_or_else(|| Value::String(text.to_owned())))
    }

    /// The values that JSON stands for.
    ///
    /// # Errors
    /// Refused where it is an object, or no base64 where bytes are asked for.
    pub fn values(&self, name: &str, value: &Value) -> Result<Values, Error> {
        match value {
            Value::Null => Ok(Values::new()),
            Value::Array(items) => items
                .iter()
                .filter(|item| !item.is_null())
                .map(|item| self.bytes(name, item))
                .collect(),
            one => Ok(Values::from([self.bytes(name, one)?])),
        }
    }

    /// One value as the server takes it.
    ///
    /// # Errors
    /// As [`View::values`].
    pub fn bytes(&self, name: &str, value: &Value) -> Result<Vec<u8>, Error> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(held) => held.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                let message = format!("`{name}` takes a text or an array of texts");
                return Err(Error::refused(422, message));
            }
        };
        if name.eq_ignore_ascii_case("unicodePwd") {
            // A quoted password in UTF-16, little end first (MS-ADTS, 3.1.1.3.1.5).
            let quoted = format!("\"{text}\"");
            return Ok(quoted.encode_utf16().flat_map(u16::to_le_bytes).collect());
        }
        match self.server.syntax(self.class, name) {
            Syntax::Binary => STANDARD.decode(text).map_err(|error| {
                let message = format!("`{name}` takes bytes in base64: {error}");
                Error::refused(422, message)
            }),
            Syntax::Boolean => Ok(text.to_uppercase().into_bytes()),
            Syntax::Integer | Syntax::Text => Ok(text.into_bytes()),
        }
    }

    fn without_empty_member(&self, name: &str, mut values: Values) -> Values {
        if let Some(empty) = self.class.empty_value(name) {
            let same = |value: &Vec<u8>| value.eq_ignore_ascii_case(empty.as_bytes());
            values.retain(|value| !same(value));
        }
        values
    }

    fn with_empty_member(&self, name: &str, mut values: Values) -> Values {
        if let Some(empty) = self.class.empty_value(name).filter(|_| values.is_empty()) {
            values.insert(empty.as_bytes().to_vec());
        }
        values
    }

    /// The attributes of a new entry: what the object holds, its LDAP object classes, and what
    /// names it.
    ///
    /// # Errors
    /// As [`View::values`].
    pub fn entry(
        &self,
        object: &Object,
        naming: &[(String, String)],
    ) -> Result<Vec<NewAttribute>, Error> {
        let mut all: BTreeMap<String, (String, Values)> = BTreeMap::new();
        for (name, value) in object {
            if name == DN || self.class.is_memberships(name) || !self.server.may_set(name) {
                continue;
            }
            let values = self.values(name, value)?;
            let (_, held) = all
                .entry(name.to_lowercase())
                .or_insert_with(|| (name.clone(), Values::new()));
            held.extend(values);
        }
        for (name, value) in naming {
            let value = self.bytes(name, &Value::String(value.clone()))?;
            let (_, held) = all
                .entry(name.to_lowercase())
                .or_insert_with(|| (name.clone(), Values::new()));
            held.insert(value);
        }
        let classes = || {
            let names = self.class.object_classes.iter();
            let values = names.map(|name| name.clone().into_bytes()).collect();
            ("objectClass".to_owned(), values)
        };
        all.entry("objectclass".to_owned()).or_insert_with(classes);
        if self.class.empty_member.is_some() {
            let (key, name) = self.member_attribute();
            all.entry(key.to_owned())
                .or_insert_with(|| (name.to_owned(), Values::new()));
        }
        Ok(all
            .into_values()
            .map(|(name, values)| {
                let values = self.with_empty_member(&name, values);
                (
                    name.into_bytes(),
                    values.into_iter().collect::<HashSet<_>>(),
                )
            })
            .filter(|(_, values)| !values.is_empty())
            .collect())
    }

    /// The attribute that holds a group's members, in lower case and as it is written.
    fn member_attribute(&self) -> (&'static str, &'static str) {
        let names = self.class.object_classes.iter();
        let unique = |name: &String| name.eq_ignore_ascii_case("groupOfUniqueNames");
        if names.into_iter().any(unique) {
            ("uniquemember", "uniqueMember")
        } else {
            ("member", "member")
        }
    }

    /// What turns one object into another, value by value. `named` are the values that a rename
    /// takes away and gives by itself: attribute, old value, new value.
    ///
    /// # Errors
    /// As [`View::values`].
    pub fn modifications(
        &self,
        before: &Object,
        after: &Object,
        named: &[(String, Option<String>, String)],
    ) -> Result<Modifications, Error> {
        let difference = Difference::between(before, after);
        nameable(difference.attributes())?;
        let mut found = Modifications::default();
        let is_own = |name: &str| name != DN && !self.class.is_memberships(name);
        let writable = |name: &&str| is_own(name) && self.server.may_set(name);
        for name in difference.attributes().filter(writable) {
            let side = |object: &Object| {
                let value = object.get(name).unwrap_or(&Value::Null);
                self.values(name, value)
            };
            let (mut old, mut new) = (side(before)?, side(after)?);
            if self.class.is_write_only(name) {
                found.replace(name, old, new);
                continue;
            }
            (old, new) = (
                self.with_empty_member(name, old),
                self.with_empty_member(name, new),
            );
            for (_, taken, given) in named
                .iter()
                .filter(|(own, ..)| own.eq_ignore_ascii_case(name))
            {
                if let Some(taken) = taken {
                    old.remove(taken.as_bytes());
                }
                old.insert(given.clone().into_bytes());
            }
            if old == new {
                continue;
            }
            if self.server.can_name_values(self.class, name) {
                if old.is_empty() && !self.class.is_list(name) {
                    found.conditions.push(format!("(!({name}=*))"));
                }
                found.exchange(name, &old, &new);
            } else {
                found.whole = true;
                found.replace(name, old, new);
            }
        }
        Ok(found)
    }

    /// What must hold of an entry so that it is the one that goes by this id, and no other that was
    /// made in its place; nothing where the server cannot be asked for the id.
    ///
    /// # Errors
    /// As [`View::values`].
    pub fn is_itself(&self, before: &TargetObject) -> Result<Vec<String>, Error> {
        let name = &self.class.id_attribute;
        if !self.server.can_name_values(self.class, name) {
            return Ok(Vec::new());
        }
        let id = self.bytes(name, &Value::String(before.id.clone()))?;
        Ok(vec![format!("({name}={})", escaped(&id))])
    }

    /// What must hold of an entry so that it is what was read, as far as one can ask.
    #[must_use]
    pub fn as_read(&self, before: &TargetObject) -> Vec<String> {
        if let Some(version) = &before.version {
            return vec![format!("({CHANGE_NUMBER}={})", escaped(version.as_bytes()))];
        }
        let mut conditions = Vec::new();
        for (name, value) in &before.attributes {
            let can_ask = is_attribute(name) && self.server.can_name_values(self.class, name);
            if name == DN || self.class.is_memberships(name) || !can_ask {
                continue;
            }
            let values = self.values(name, value).unwrap_or_default();
            let part = |value: &Vec<u8>| format!("({name}={})", escaped(value));
            conditions.extend(values.iter().map(part));
        }
        conditions
    }

    /// An object with its attributes named and its values written as the server would show them.
    ///
    /// # Errors
    /// As [`View::values`].
    pub fn canonical(&self, object: &Object) -> Result<Object, Error> {
        let mut shown = Object::with_capacity(object.len());
        for (name, value) in object {
            let known = self
                .server
                .schema
                .attribute(name)
                .filter(|_| !name.contains(';'));
            let canonical = known.map_or(name.as_str(), |attribute| &attribute.name);
            if name == DN || self.class.is_write_only(name) {
                shown.insert(canonical.to_owned(), value.clone());
                continue;
            }
            let values = self.values(name, value)?;
            if let Some(value) = self.value(name, &values, "the new object")? {
                shown.insert(canonical.to_owned(), value);
            }
        }
        Ok(shown)
    }
}

/// Whether every name is that of an attribute, before any of them stands in a filter.
///
/// # Errors
/// Refused where one is none.
pub fn nameable<'a>(mut names: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    match names.find(|name| !is_attribute(name)) {
        Some(name) => {
            let message = format!(
                "`{name}` can be no attribute of an entry: names have letters, digits and `-`"
            );
            Err(Error::refused(17, message))
        }
        None => Ok(()),
    }
}

impl Modifications {
    fn exchange(&mut self, name: &str, old: &Values, new: &Values) {
        let less = |left: &Values, right: &Values| -> HashSet<Vec<u8>> {
            left.difference(right).cloned().collect()
        };
        let (gone, come) = (less(old, new), less(new, old));
        let attribute = || name.as_bytes().to_vec();
        let mut push = |list: fn(&mut Self) -> &mut Vec<Mod<Vec<u8>>>,
                        gone: &HashSet<_>,
                        come: &HashSet<_>| {
            if !gone.is_empty() {
                list(self).push(Mod::Delete(attribute(), gone.clone()));
            }
            if !come.is_empty() {
                list(self).push(Mod::Add(attribute(), come.clone()));
            }
        };
        push(|own| &mut own.mods, &gone, &come);
        push(|own| &mut own.undo, &come, &gone);
    }

    fn replace(&mut self, name: &str, old: Values, new: Values) {
        let whole =
            |values: Values| Mod::Replace(name.as_bytes().to_vec(), values.into_iter().collect());
        self.mods.push(whole(new));
        self.undo.push(whole(old));
    }
}
