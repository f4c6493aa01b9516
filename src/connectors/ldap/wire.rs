//! Entries as objects, and what turns one into another as modifications.
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    string::FromUtf8Error,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ldap3::Mod;
use serde_json::{Number, Value};

use super::{
    dn::Dn,
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

    /// The id of an entry.
    ///
    /// # Errors
    /// Refused where the entry shows none.
    pub fn id(&self, entry: &Entry) -> Result<String, Error> {
        let name = &self.class.id_attribute;
        let own = Dn::parse(&entry.dn);
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
                    // Where it is found by other names too, only the whole entry tells.
                    match self.has_relatives(name, before) {
                        true => found.whole = true,
                        false => found.conditions.push(format!("(!({name}=*))")),
                    }
                }
                found.exchange(name, &old, &new);
            } else {
                found.whole = true;
                found.replace(name, old, new);
            }
        }
        Ok(found)
    }

    /// Whether an entry may hold what a search for this attribute finds and what does not show under
    /// its name: values with an option, or of a kind of it (RFC 4512, 2.5).
    fn has_relatives(&self, name: &str, held: &Object) -> bool {
        let known = self.server.schema.attribute(name);
        let with_option = |own: &String| {
            let base = own.split_once(';').map(|(base, _)| base);
            base.is_some_and(|base| base.eq_ignore_ascii_case(name))
        };
        known.is_some_and(|attribute| attribute.has_kinds) || held.keys().any(with_option)
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
            let mut values = self.values(name, value)?;
            if known.is_some_and(|attribute| attribute.ignores_case) {
                self.drop_twins(name, value, &mut values);
            }
            if let Some(value) = self.value(name, &values, "the new object")? {
                shown.insert(canonical.to_owned(), value);
            }
        }
        Ok(shown)
    }

    /// Gives the names of entries among the values the text that they have in the directory: that of
    /// the same name where the object holds it already, otherwise as the server would write it.
    ///
    /// # Errors
    /// As [`View::values`].
    pub fn name_as_held(&self, held: &Object, object: &mut Object) -> Result<(), Error> {
        let schema = &self.server.schema;
        let holds_names = |name: &str| {
            let known = schema.attribute(name);
            name == DN || known.is_some_and(|attribute| attribute.holds_names)
        };
        let hidden = |name: &str| self.class.is_write_only(name) || self.class.is_memberships(name);
        for (name, value) in object.iter_mut() {
            if value.is_null() || !holds_names(name) || hidden(name) {
                continue;
            }
            let mut known = match held.get(name) {
                Some(value) => texts(self.values(name, value)?),
                None => Vec::new(),
            };
            if let (true, Value::String(text)) = (name == DN, &*value) {
                // The entry's parent is where entries of the class are, or where this one is.
                let parents = known.iter().filter_map(|dn| Some(Dn::parse(dn)?.parent()));
                let mut parents: Vec<String> = parents.collect();
                parents.push(self.class.base.clone());
                known.extend(self.below_known(text, &parents));
            }
            let values = self.values(name, value)?.into_iter().map(|bytes| {
                let text = String::from_utf8(bytes);
                let text = text.map(|text| self.known_name(&text, &known).into_bytes());
                text.unwrap_or_else(FromUtf8Error::into_bytes)
            });
            if let Some(named) = self.value(name, &values.collect(), "the new object")? {
                *value = named;
            }
        }
        Ok(())
    }

    /// A name right below one of these, with the text of that.
    fn below_known(&self, text: &str, parents: &[String]) -> Option<String> {
        let dn = Dn::parse(text)?;
        let parent = Dn::parse(&dn.parent())?;
        let same = |known: &&String| Dn::parse(known).is_some_and(|known| known.is_same(&parent));
        let known = parents.iter().find(same)?;
        let own = Dn::parse(dn.first()?.text())?;
        let own = own.rewritten(|name| self.attribute_name(name))?;
        Some(format!("{own},{known}"))
    }

    fn known_name(&self, text: &str, known: &[String]) -> String {
        let Some(dn) = Dn::parse(text) else {
            return text.to_owned();
        };
        let same = |known: &&String| Dn::parse(known).is_some_and(|known| known.is_same(&dn));
        let known = known.iter().find(same).cloned();
        known
            .or_else(|| dn.rewritten(|name| self.attribute_name(name)))
            .unwrap_or_else(|| text.to_owned())
    }

    fn attribute_name(&self, name: &str) -> String {
        let known = self.server.schema.attribute(name);
        known.map_or_else(|| name.to_owned(), |attribute| attribute.name.clone())
    }

    /// Of values that differ in case only, the first one stays: they are one to the server, which
    /// takes none twice.
    fn drop_twins(&self, name: &str, value: &Value, values: &mut Values) {
        let Value::Array(items) = value else {
            return;
        };
        let mut seen = BTreeSet::new();
        for item in items {
            let Ok(bytes) = self.bytes(name, item) else {
                continue;
            };
            let lower = String::from_utf8_lossy(&bytes).to_lowercase();
            let is_first = seen.insert(lower.clone());
            let is_twin = |other: &Vec<u8>| {
                *other != bytes && String::from_utf8_lossy(other).to_lowercase() == lower
            };
            if is_first {
                values.retain(|other| !is_twin(other));
            }
        }
    }
}

fn texts(values: Values) -> Vec<String> {
    let texts = values.into_iter().map(String::from_utf8);
    texts.filter_map(Result::ok).collect()
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
