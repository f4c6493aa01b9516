//! What one operation of a PATCH makes of one attribute.
use serde_json::Value;

use super::{
    error::{Failure, Result, ScimType},
    kept::fits,
    normal::{self, is_primary},
    patch::Verb,
};
use crate::model::{
    Object,
    filter::Texts,
    object::same,
    scim::{Attribute, Bound, Filter, Kind, Slot, Source},
};

/// What an operation does to one attribute.
pub(super) struct Change<'a> {
    pub(super) bound: &'a Bound,
    pub(super) part: Option<&'a Attribute>,
    pub(super) filter: Option<&'a Filter>,
    pub(super) verb: Verb,
    pub(super) value: Option<&'a Value>,
}

impl Change<'_> {
    fn attribute(&self) -> &Attribute {
        &self.bound.attribute
    }

    fn is_reference(&self) -> bool {
        matches!(self.bound.source, Source::References(..))
    }

    /// The attribute's new value; none where it has none any more.
    pub(super) fn apply(&self, old: Option<Value>) -> Result<Option<Value>> {
        if !self.attribute().multi_valued {
            return self.single(old);
        }
        let items = match old {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        };
        let items = match self.filter {
            None if self.part.is_none() => self.list(items)?,
            None => self.each(items)?,
            Some(filter) => self.chosen(items, filter)?,
        };
        Ok((!items.is_empty()).then_some(Value::Array(items)))
    }

    fn single(&self, old: Option<Value>) -> Result<Option<Value>> {
        let attribute = self.attribute();
        if self.filter.is_some() {
            let detail = format!(
                "`{}` has one value: there is nothing to choose",
                attribute.name
            );
            return Err(Failure::bad(ScimType::InvalidPath, detail));
        }
        let new = match (self.value, self.verb) {
            (Some(value), Verb::Add | Verb::Replace) => value,
            _ => return Ok(self.single_removed(old)),
        };
        if let Some(part) = self.part {
            // The id of a reference makes it another one, whatever it was.
            if self.is_reference() && part.is("value") {
                return normal::one(self.bound, new);
            }
            return self.with_part(old.unwrap_or_else(empty), part, Some(new));
        }
        let is_merged = attribute.kind == Kind::Complex && !self.is_reference();
        match (old, new) {
            (Some(Value::Object(old)), Value::Object(new)) if is_merged => {
                let merged = self.merged(old, new)?;
                Ok((!merged.is_empty()).then_some(Value::Object(merged)))
            }
            _ => normal::one(self.bound, new),
        }
    }

    fn single_removed(&self, old: Option<Value>) -> Option<Value> {
        let (part, mut members) = match (self.part?, old) {
            (part, Some(Value::Object(members))) => (part, members),
            (part, None) if !part.is_readable() => (part, Object::new()),
            _ => return None,
        };
        match part.is_readable() {
            true => members.shift_remove(&part.name),
            false => members.insert(part.name.clone(), Value::Null),
        };
        let is_gone = members.is_empty() || (self.is_reference() && part.is("value"));
        (!is_gone).then_some(Value::Object(members))
    }

    /// The parts of `new` laid over those of `old`; null takes one away.
    fn merged(&self, mut old: Object, new: &Object) -> Result<Object> {
        let attribute = self.attribute();
        for (name, value) in new {
            match attribute.part(name).filter(|_| value.is_null()) {
                Some(part) if part.is_readable() => old.shift_remove(&part.name),
                Some(part) => old.insert(part.name.clone(), Value::Null),
                None => None,
            };
        }
        for (name, value) in normal::parts(attribute, new)? {
            old.insert(name, value);
        }
        Ok(old)
    }

    fn with_part(
        &self,
        mut element: Value,
        part: &Attribute,
        value: Option<&Value>,
    ) -> Result<Option<Value>> {
        let place = format!("{}.{}", self.attribute().name, part.name);
        let value = match value {
            Some(value) => normal::part_value(part, &place, value)?,
            None => None,
        };
        if let Some(members) = element.as_object_mut() {
            match value {
                Some(value) => members.insert(part.name.clone(), value),
                None if part.is_readable() => members.shift_remove(&part.name),
                None => members.insert(part.name.clone(), Value::Null),
            };
        }
        let is_empty = element.as_object().is_none_or(Object::is_empty);
        Ok((!is_empty).then_some(element))
    }

    /// The whole list.
    fn list(&self, mut items: Vec<Value>) -> Result<Vec<Value>> {
        let given = match self.value {
            Some(value) => normal::value(self.bound, value)?,
            None => None,
        };
        let given = match given {
            Some(Value::Array(given)) => given,
            _ => Vec::new(),
        };
        match (self.verb, self.value) {
            (Verb::Replace, _) => Ok(given),
            (Verb::Add, _) => {
                self.make_room_for_primary(&mut items, &given);
                self.make_room_in_slots(&mut items, &given);
                items.extend(given);
                Ok(normal::without_doubles(self.bound, items))
            }
            (Verb::Remove, None) => Ok(Vec::new()),
            // An empty list of what is to be removed removes nothing.
            (Verb::Remove, Some(_)) => {
                items.retain(|item| !given.iter().any(|gone| self.is_meant(item, gone)));
                Ok(items)
            }
        }
    }

    /// Whether `named` means this value: by its id where it refers to a resource, else by all that
    /// it says.
    fn is_meant(&self, item: &Value, named: &Value) -> bool {
        match named {
            Value::Object(named) => {
                let id = named.get("value");
                let by_id = self.is_reference() && id.is_some();
                if by_id {
                    return item.get("value") == id;
                }
                named
                    .iter()
                    .all(|(name, value)| item.get(name).is_some_and(|it| same(it, value)))
            }
            plain => same(item, plain),
        }
    }

    /// Where each value has a place of its own, a new value takes that of the old one.
    fn make_room_in_slots(&self, items: &mut Vec<Value>, given: &[Value]) {
        let Source::Slots(slots) = &self.bound.source else {
            return;
        };
        for new in given {
            let slot = slots.iter().find(|slot| fits(slot, new));
            items.retain(|old| slot.is_none_or(|slot| !fits(slot, old)));
        }
    }

    /// A new preferred value takes the place of the old one.
    fn make_room_for_primary(&self, items: &mut [Value], given: &[Value]) {
        if !given.iter().any(is_primary) {
            return;
        }
        for item in items {
            if let Some(members) = item.as_object_mut().filter(|it| it.contains_key("primary")) {
                members.insert("primary".to_owned(), Value::Bool(false));
            }
        }
    }

    /// A part of every value.
    fn each(&self, items: Vec<Value>) -> Result<Vec<Value>> {
        let Some(part) = self.part else {
            return Ok(items);
        };
        let value = self.value.filter(|_| self.verb != Verb::Remove);
        let items = match items.is_empty() && value.is_some() {
            true => vec![empty()],
            false => items,
        };
        let mut changed = Vec::with_capacity(items.len());
        for item in items {
            changed.extend(self.element(item, Some(part), value)?);
        }
        Ok(changed)
    }

    /// The values that meet the filter; where none does, one that meets it comes into being.
    fn chosen(&self, items: Vec<Value>, filter: &Filter) -> Result<Vec<Value>> {
        let value = self.value.filter(|_| self.verb != Verb::Remove);
        // Ids are what they are; kinds and addresses are meant whatever their case.
        let texts = match self.is_reference() {
            true => Texts::Exact,
            false => Texts::Folded,
        };
        let mut found = false;
        let mut changed = Vec::with_capacity(items.len() + 1);
        for item in items {
            if !filter.meets(&item, texts) {
                changed.push(item);
                continue;
            }
            found = true;
            changed.extend(self.element(item, self.part, value)?);
        }
        if !found && value.is_none() {
            changed.extend(self.unseen(filter)?);
        }
        if found || value.is_none() {
            return Ok(changed);
        }
        let equalities = filter.equalities().filter(|_| !self.is_reference());
        let equalities = equalities.ok_or_else(|| {
            let detail = format!("no value of `{}` meets `{filter}`", self.attribute().name);
            Failure::bad(ScimType::NoTarget, detail)
        })?;
        let begun = normal::parts(self.attribute(), &equalities.into_iter().collect())?;
        let made = self.element(Value::Object(begun), self.part, value)?;
        if let Some(made) = made {
            self.make_room_for_primary(&mut changed, std::slice::from_ref(&made));
            changed.push(made);
        }
        Ok(changed)
    }

    /// A value that is not shown, and that a filter means which is to be removed: it says of what is kept
    /// of it that it goes.
    fn unseen(&self, filter: &Filter) -> Result<Option<Value>> {
        let (Source::Slots(slots), Some(said)) = (&self.bound.source, filter.equalities()) else {
            return Ok(None);
        };
        let said = normal::parts(self.attribute(), &said.into_iter().collect())?;
        let meant = Value::Object(said.clone());
        // Only what it always says may choose it: success would tell what else is said.
        let is_chosen = |slot: &&Slot| {
            let is_constant = |name: &String| slot.constants.iter().any(|(known, _)| known == name);
            fits(slot, &meant) && said.keys().all(is_constant)
        };
        let slot = slots.iter().find(is_chosen);
        let parts = slot.into_iter().flat_map(|slot| &slot.parts);
        let is_meant = |name: &str| {
            self.part
                .is_none_or(|part| part.is("value") || part.is(name))
        };
        let gone: Object = parts
            .filter(|part| part.hidden && is_meant(&part.name))
            .map(|part| (part.name.clone(), Value::Null))
            .collect();
        if gone.is_empty() {
            return Ok(None);
        }
        let mut element = said;
        element.extend(gone);
        Ok(Some(Value::Object(element)))
    }

    /// One value after the operation; none where nothing of it is left.
    fn element(
        &self,
        item: Value,
        part: Option<&Attribute>,
        value: Option<&Value>,
    ) -> Result<Option<Value>> {
        match (part, value, item) {
            // Without its value, the rest of an element says nothing.
            (Some(part), None, _) if part.is("value") => Ok(None),
            (Some(part), value, item) => self.with_part(item, part, value),
            (None, None, _) => Ok(None),
            (None, Some(Value::Object(new)), Value::Object(old)) => {
                let merged = self.merged(old, new)?;
                Ok((!merged.is_empty()).then_some(Value::Object(merged)))
            }
            (None, Some(value), Value::Object(mut old)) => {
                // A plain value for one that has parts.
                let plain = normal::one(self.bound, value)?;
                if let Some(Value::Object(plain)) = plain {
                    old.extend(plain);
                }
                Ok(Some(Value::Object(old)))
            }
            (None, Some(value), _) => normal::one(self.bound, value),
        }
    }
}

fn empty() -> Value {
    Value::Object(Object::new())
}
