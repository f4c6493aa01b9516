//! CREST patch operations: read, applied, written back.
use serde_json::{Number, Value, json};

use super::{Error, Growth, Object, check_depth};
use crate::model::{object::same, pointer::Pointer};

/// One CREST patch operation.
#[derive(Debug, Clone, PartialEq)]
pub struct CrestOperation {
    /// The attribute, or the place inside one.
    pub field: Pointer,
    /// What happens there.
    pub change: CrestChange,
}

/// What a CREST patch operation does at its field.
#[derive(Debug, Clone, PartialEq)]
pub enum CrestChange {
    /// Makes sure that the value is there, creating parents: a single value is replaced, a list
    /// takes the value (or the elements of a list) at its end, `LIST/-` appends, `LIST/2` inserts.
    Add(Value),
    /// Makes sure that nothing is there, or that the value is not: a list loses every element that
    /// equals the value (or an element of a list), anything else goes only if it equals it.
    Remove(Option<Value>),
    /// Puts the value there whatever was there before, creating parents.
    Replace(Value),
    /// Adds to a number, or to every number of a list.
    Increment(Number),
    /// Adds what is at another place.
    Copy(Pointer),
    /// Adds what is at another place, and removes it there.
    Move(Pointer),
}

const OPERATIONS: &str = "add, remove, replace, increment, copy or move";

impl CrestOperation {
    /// Reads one operation.
    pub(super) fn parse(operation: &Value) -> Result<Self, String> {
        let members = operation
            .as_object()
            .ok_or("expected an object {operation, field, value}")?;
        if let Some(unknown) = members
            .keys()
            .find(|name| !["operation", "field", "value", "from"].contains(&name.as_str()))
        {
            return Err(format!(
                "unknown member `{unknown}`: expected operation, field, value or from"
            ));
        }
        let field = place(members, "field")?;
        let value = || {
            let missing = || format!("`{field}` has no `value`");
            members.get("value").cloned().ok_or_else(missing)
        };
        let change = match text(members, "operation")? {
            "add" => CrestChange::Add(value()?),
            "remove" => CrestChange::Remove(members.get("value").cloned()),
            "replace" => CrestChange::Replace(value()?),
            "increment" => match value()? {
                Value::Number(step) => CrestChange::Increment(step),
                _ => return Err(format!("`{field}` can only be incremented by a number")),
            },
            "copy" => CrestChange::Copy(place(members, "from")?),
            "move" => CrestChange::Move(place(members, "from")?),
            other => {
                return Err(format!(
                    "unknown operation `{other}`: expected {OPERATIONS}"
                ));
            }
        };
        Ok(Self { field, change })
    }

    /// The operation as it is written.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let field = self.field.to_string();
        match &self.change {
            CrestChange::Add(value) => json!({"operation": "add", "field": field, "value": value}),
            CrestChange::Remove(None) => json!({"operation": "remove", "field": field}),
            CrestChange::Remove(Some(value)) => {
                json!({"operation": "remove", "field": field, "value": value})
            }
            CrestChange::Replace(value) => {
                json!({"operation": "replace", "field": field, "value": value})
            }
            CrestChange::Increment(step) => {
                json!({"operation": "increment", "field": field, "value": step})
            }
            CrestChange::Copy(from) => {
                json!({"operation": "copy", "from": from.to_string(), "field": field})
            }
            CrestChange::Move(from) => {
                json!({"operation": "move", "from": from.to_string(), "field": field})
            }
        }
    }

    fn apply(&self, object: &mut Object, growth: &mut Growth) -> Result<(), String> {
        match &self.change {
            CrestChange::Add(value) => add(&self.field, object, value.clone()),
            CrestChange::Remove(None) => {
                self.field.remove(object);
                Ok(())
            }
            CrestChange::Remove(Some(value)) => {
                remove_value(&self.field, object, value);
                Ok(())
            }
            CrestChange::Replace(value) => replace(&self.field, object, value.clone()),
            CrestChange::Increment(step) => increment(&self.field, object, step),
            CrestChange::Copy(from) => {
                let value = from.get(object).ok_or_else(|| nothing_at(from))?;
                growth.copy(value)?;
                let value = value.clone();
                add(&self.field, object, value)
            }
            CrestChange::Move(from) => {
                let inside = self.field.tokens().starts_with(from.tokens());
                if inside && self.field != *from {
                    return Err(format!("`{from}` cannot be moved into itself"));
                }
                let value = from.remove(object).ok_or_else(|| nothing_at(from))?;
                add(&self.field, object, value)
            }
        }
    }
}

/// Applies the operations in order.
pub(super) fn apply(operations: &[CrestOperation], mut object: Object) -> Result<Object, Error> {
    let mut growth = Growth::default();
    for (index, operation) in operations.iter().enumerate() {
        operation
            .apply(&mut object, &mut growth)
            .map_err(|message| Error::of(index, message))?;
    }
    Ok(object)
}

fn add(field: &Pointer, object: &mut Object, value: Value) -> Result<(), String> {
    check_depth(field.tokens().len(), &value)?;
    match (field.get_mut(object), value) {
        (Some(Value::Array(items)), Value::Array(more)) if !is_element(field) => {
            items.extend(more);
            Ok(())
        }
        (Some(Value::Array(items)), one) if !is_element(field) => {
            items.push(one);
            Ok(())
        }
        (_, value) => field
            .insert(object, value)
            .map_err(|error| error.to_string()),
    }
}

/// Whether the last token looks like the place of an element: then a list that is found there is
/// itself an element, and `add` makes room before it.
fn is_element(field: &Pointer) -> bool {
    field
        .tokens()
        .last()
        .is_some_and(|token| token == "-" || token.bytes().all(|byte| byte.is_ascii_digit()))
}

fn replace(field: &Pointer, object: &mut Object, value: Value) -> Result<(), String> {
    check_depth(field.tokens().len(), &value)?;
    field.set(object, value).map_err(|error| error.to_string())
}

fn remove_value(field: &Pointer, object: &mut Object, value: &Value) {
    let list = match field.tokens().split_last() {
        Some((last, parents)) if last == "-" => Pointer::from_tokens(parents.to_vec()),
        _ => field.clone(),
    };
    match (list.get_mut(object), value) {
        (Some(Value::Array(items)), Value::Array(unwanted)) => {
            items.retain(|item| !unwanted.iter().any(|value| same(item, value)));
        }
        (Some(Value::Array(items)), unwanted) => items.retain(|item| !same(item, unwanted)),
        (Some(single), unwanted) if same(single, unwanted) => {
            list.remove(object);
        }
        _ => {}
    }
}

fn increment(field: &Pointer, object: &mut Object, step: &Number) -> Result<(), String> {
    let sum = |value: &Value| {
        let number = value.as_number().and_then(|number| plus(number, step));
        number.map(Value::Number).ok_or_else(|| {
            format!("`{field}` cannot be incremented: no number, or the sum is out of range")
        })
    };
    match field.get_mut(object) {
        Some(Value::Array(items)) => {
            *items = items.iter().map(sum).collect::<Result<_, _>>()?;
        }
        Some(value) => *value = sum(value)?,
        None => return Err(nothing_at(field)),
    }
    Ok(())
}

/// The sum; none where it fits no JSON number.
fn plus(left: &Number, right: &Number) -> Option<Number> {
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => Number::from_i128(left + right),
        _ => Number::from_f64(left.as_f64()? + right.as_f64()?),
    }
}

fn whole(number: &Number) -> Option<i128> {
    number.as_i128()
}

fn nothing_at(place: &Pointer) -> String {
    format!("there is nothing at `{place}`")
}

fn text<'a>(members: &'a Object, name: &str) -> Result<&'a str, String> {
    members
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("expected a text in `{name}`"))
}

fn place(members: &Object, name: &str) -> Result<Pointer, String> {
    let place = Pointer::parse(text(members, name)?).map_err(|error| error.to_string())?;
    if place.is_whole() {
        return Err(format!("`{name}` must name an attribute"));
    }
    Ok(place)
}
