//! Properties: condition, transform and default, laid over the target object as it was read.
use std::borrow::Cow;

use serde_json::Value;

use super::{Case, Failure, Property, Source, condition::View, run::Bindings};
use crate::{
    hooks::Script,
    model::{
        Object, TargetObject,
        object::{ID, is_meta, same},
        pointer::Pointer,
    },
};

/// A target object as properties leave it. What does not change is not copied.
#[derive(Debug)]
pub(super) struct Laid<'a> {
    before: &'a Object,
    /// The attributes; none while they are those of `before`.
    pub(super) after: Option<Object>,
    /// The id that a property computes; none inside where that gave null.
    pub(super) id: Option<Option<String>>,
}

impl<'a> Laid<'a> {
    /// Nothing laid over `before` yet.
    pub(super) fn over(before: &'a Object) -> Self {
        Self {
            before,
            after: None,
            id: None,
        }
    }

    fn current(&self) -> &Object {
        self.after.as_ref().unwrap_or(self.before)
    }

    fn changing(&mut self) -> &mut Object {
        self.after.get_or_insert_with(|| self.before.clone())
    }

    /// Puts a value at its place; null removes what is there.
    fn put(&mut self, place: &Pointer, value: Cow<'_, Value>) -> Result<(), String> {
        match (place.tokens(), value.as_ref()) {
            ([], Value::Object(members)) => members.iter().try_for_each(|(name, member)| {
                self.put(&Pointer::attribute(name), Cow::Borrowed(member))
            }),
            ([], Value::Null) => Ok(()),
            ([], _) => Err("stands for the whole object and must give an object".to_owned()),
            ([name], value) if name == ID => {
                self.id = Some(id_text(value)?);
                Ok(())
            }
            ([name, ..], _) if is_meta(name) => Err("belongs to the target".to_owned()),
            (_, Value::Null) => {
                if place.get(self.current()).is_some_and(|old| !old.is_null()) {
                    place.remove(self.changing());
                }
                Ok(())
            }
            (_, new) => {
                if place.get(self.current()).is_some_and(|old| same(old, new)) {
                    return Ok(());
                }
                let value = value.into_owned();
                place
                    .set(self.changing(), value)
                    .map_err(|error| error.to_string())
            }
        }
    }
}

impl<'a> Case<'a> {
    /// Lays every property that applies over the target object (none: one that is to be created).
    pub(super) async fn lay<'b>(
        &self,
        view: &View<'_>,
        before: &'b Object,
    ) -> Result<Laid<'b>, Failure> {
        let mut laid = Laid::over(before);
        for property in &self.mapping.properties {
            if let Some(value) = self.computed(property, view).await? {
                laid.put(&property.target, value)
                    .map_err(|reason| self.misfit(property, reason))?;
            }
        }
        Ok(laid)
    }

    /// The id that a create would give: that of the property `_id`, otherwise the source's; none
    /// where the target assigns one.
    pub(super) async fn create_id(&self) -> Result<Option<String>, Failure> {
        let view = View::new(*self, None);
        let mut id = Some(self.source.id.to_owned());
        for property in &self.mapping.properties {
            if !matches!(property.target.tokens(), [name] if name == ID) {
                continue;
            }
            if let Some(value) = self.computed(property, &view).await? {
                id = id_text(&value).map_err(|reason| self.misfit(property, reason))?;
            }
        }
        Ok(id)
    }

    /// What the properties gave for these target attributes (their case does not count) when the
    /// source object was what it was before the change; nothing for one that was not there. A
    /// reconciliation knows no before: what it finds linked counts as given already.
    ///
    /// # Errors
    /// Where a script fails.
    pub async fn former(&self, names: &[String]) -> Result<Object, Failure> {
        // Where only the present is known, a linked object has got what the mapping gives already.
        let present = self.source.new.filter(|_| self.link.is_some());
        let Some(old) = self.source.old.or(present) else {
            return Ok(Object::new());
        };
        let before = Case {
            source: Source {
                new: Some(old),
                ..self.source
            },
            ..*self
        };
        let is_named = |name: &str| names.iter().any(|one| one.eq_ignore_ascii_case(name));
        let nothing = Object::new();
        let view = View::new(before, None);
        let mut laid = Laid::over(&nothing);
        for property in &self.mapping.properties {
            if !property.target.first().is_none_or(is_named) {
                continue;
            }
            if let Some(value) = before.computed(property, &view).await? {
                laid.put(&property.target, value)
                    .map_err(|reason| self.misfit(property, reason))?;
            }
        }
        let mut former = laid.after.unwrap_or_default();
        former.retain(|name, value| is_named(name) && !value.is_null());
        Ok(former)
    }

    /// The value of a property, null included; none where its condition does not hold.
    async fn computed<'p>(
        &self,
        property: &'p Property,
        view: &View<'_>,
    ) -> Result<Option<Cow<'p, Value>>, Failure>
    where
        'a: 'p,
    {
        if property.condition.is_some() {
            let name = format!("condition of {}", property.target);
            if !view.meets(property.condition.as_ref(), &name).await? {
                return Ok(None);
            }
        }
        let value = match &property.transform {
            None => self.plain(property),
            Some(script) => Cow::Owned(self.transformed(property, script).await?),
        };
        match (&property.default, value.is_null()) {
            (Some(default), true) => Ok(Some(Cow::Borrowed(default))),
            _ => Ok(Some(value)),
        }
    }

    fn plain<'p>(&self, property: &'p Property) -> Cow<'p, Value>
    where
        'a: 'p,
    {
        const NOTHING: &Value = &Value::Null;
        match (&property.source, self.source.object()) {
            (Some(place), Some(object)) if place.is_whole() => {
                let plain = object.iter().filter(|(name, _)| !is_meta(name));
                Cow::Owned(Value::Object(
                    plain
                        .map(|(name, value)| (name.clone(), value.clone()))
                        .collect(),
                ))
            }
            (Some(place), Some(object)) => Cow::Borrowed(place.get(object).unwrap_or(NOTHING)),
            _ => Cow::Borrowed(NOTHING),
        }
    }

    async fn transformed(&self, property: &Property, script: &Script) -> Result<Value, Failure> {
        let bindings = Bindings::of(script)
            .with("source", || {
                match (&property.source, self.source.object()) {
                    (Some(place), Some(object)) if !place.is_whole() => {
                        place.get(object).cloned().unwrap_or_default()
                    }
                    (_, object) => object.cloned().map_or(Value::Null, Value::Object),
                }
            })
            .with_case(self);
        let name = format!("transform of {}", property.target);
        self.scripts.value(self.mapping, &name, bindings).await
    }

    fn misfit(&self, property: &Property, reason: String) -> Failure {
        Failure::Property {
            mapping: self.mapping.name.clone(),
            property: property.target.to_string(),
            reason,
        }
    }
}

/// An id as text: texts and numbers; null is none.
pub(super) fn id_text(value: &Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if !text.is_empty() => Ok(Some(text.clone())),
        Value::Number(number) => Ok(Some(number.to_string())),
        _ => Err("must be a text that is not empty, or a number".to_owned()),
    }
}

/// Leaves out what a hook set to null and what was not null before.
pub(super) fn without_new_nulls(after: &mut Object, before: Option<&TargetObject>) {
    after.retain(|name, value| {
        let was_null =
            || before.is_some_and(|before| before.attributes.get(name) == Some(&Value::Null));
        !value.is_null() || was_null()
    });
}
