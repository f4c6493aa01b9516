//! JSON to values of Rhai and back, refusing what does not fit instead of rounding it.
use rhai::{Array, Dynamic, Map};
use serde_json::{Number, Value};

use super::limits::NESTING;
use crate::model::Object;

/// What does not fit, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub(super) struct Misfit {
    path: String,
    reason: String,
}

impl Misfit {
    fn new(reason: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            reason: reason.into(),
        }
    }

    /// The same, seen from one level further out.
    pub(super) fn inside(mut self, member: impl std::fmt::Display) -> Self {
        self.path = if self.path.is_empty() {
            member.to_string()
        } else {
            format!("{member}/{}", self.path)
        };
        self
    }
}

/// A JSON value as a script sees it: null is `()`.
///
/// # Errors
/// An integer above 2^63-1, or nesting that no script could handle.
pub(super) fn to_dynamic(value: Value) -> Result<Dynamic, Misfit> {
    dynamic_at(value, NESTING)
}

/// An object as a script sees it.
///
/// # Errors
/// As for [`to_dynamic`].
pub(super) fn object_to_dynamic(object: Object) -> Result<Dynamic, Misfit> {
    to_dynamic(Value::Object(object))
}

/// A script's value as JSON: `()` is null.
///
/// # Errors
/// A number that is not finite, a function, bytes or anything else that JSON has no form for.
pub(super) fn to_value(value: &Dynamic) -> Result<Value, Misfit> {
    value_at(value, NESTING)
}

/// A script's map as an object.
///
/// # Errors
/// Where it is no map, or as for [`to_value`].
pub(super) fn to_object(value: &Dynamic) -> Result<Object, Misfit> {
    match to_value(value)? {
        Value::Object(object) => Ok(object),
        other => Err(Misfit::new(format!(
            "expected a map, found {}",
            kind(&other)
        ))),
    }
}

/// What a JSON value is called in messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "()",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "a map",
    }
}

fn dynamic_at(value: Value, left: usize) -> Result<Dynamic, Misfit> {
    Ok(match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(flag) => flag.into(),
        Value::Number(number) => number_to_dynamic(&number)?,
        Value::String(text) => text.into(),
        Value::Array(items) => {
            let left = deeper(left)?;
            let items: Result<Array, Misfit> = items
                .into_iter()
                .enumerate()
                .map(|(index, item)| dynamic_at(item, left).map_err(|misfit| misfit.inside(index)))
                .collect();
            Dynamic::from_array(items?)
        }
        Value::Object(members) => {
            let left = deeper(left)?;
            let mut map = Map::new();
            for (name, member) in members {
                let member = dynamic_at(member, left).map_err(|misfit| misfit.inside(&name))?;
                map.insert(name.into(), member);
            }
            Dynamic::from_map(map)
        }
    })
}

fn number_to_dynamic(number: &Number) -> Result<Dynamic, Misfit> {
    if let Some(integer) = number.as_i64() {
        return Ok(integer.into());
    }
    if number.is_u64() {
        return Err(Misfit::new(format!(
            "{number} is larger than a script's integers (at most {})",
            i64::MAX
        )));
    }
    number
        .as_f64()
        .filter(|float| float.is_finite())
        .map(Dynamic::from_float)
        .ok_or_else(|| Misfit::new(format!("{number} is larger than a script's numbers")))
}

fn value_at(value: &Dynamic, left: usize) -> Result<Value, Misfit> {
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(flag) = value.as_bool() {
        return Ok(Value::Bool(flag));
    }
    if let Ok(integer) = value.as_int() {
        return Ok(Value::from(integer));
    }
    if let Ok(float) = value.as_float() {
        return Number::from_f64(float)
            .map(Value::Number)
            .ok_or_else(|| Misfit::new(format!("{float} is no number in JSON")));
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return Ok(Value::String(text.to_string()));
    }
    if let Ok(character) = value.as_char() {
        return Ok(Value::String(character.to_string()));
    }
    collection_to_value(value, left)
}

fn collection_to_value(value: &Dynamic, left: usize) -> Result<Value, Misfit> {
    if let Some(items) = value.read_lock::<Array>() {
        let left = deeper(left)?;
        let items: Result<Vec<Value>, Misfit> = items
            .iter()
            .enumerate()
            .map(|(index, item)| value_at(item, left).map_err(|misfit| misfit.inside(index)))
            .collect();
        return Ok(Value::Array(items?));
    }
    if let Some(map) = value.read_lock::<Map>() {
        let left = deeper(left)?;
        let members: Result<Object, Misfit> = map
            .iter()
            .map(|(name, member)| {
                value_at(member, left)
                    .map(|member| (name.to_string(), member))
                    .map_err(|misfit| misfit.inside(name))
            })
            .collect();
        return Ok(Value::Object(members?));
    }
    Err(Misfit::new(format!(
        "{} has no form in JSON",
        super::failure::plain_types(value.type_name())
    )))
}

fn deeper(left: usize) -> Result<usize, Misfit> {
    left.checked_sub(1).ok_or_else(|| {
        Misfit::new(format!(
            "arrays and maps inside one another more than {NESTING} deep"
        ))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn scalar() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>()
                .prop_filter("JSON has only finite numbers", |float| float.is_finite())
                .prop_map(Value::from),
            ".*".prop_map(Value::from),
        ]
    }

    fn value() -> impl Strategy<Value = Value> {
        scalar().prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((".*", inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(value in value()) {
            let there = to_dynamic(value.clone()).unwrap();
            prop_assert_eq!(to_value(&there).unwrap(), value);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_place() {
        let large = json!({"list": [0, {"n": u64::MAX}]});
        let misfit = to_dynamic(large).unwrap_err().to_string();
        assert!(
            misfit.starts_with("list/1/n: 18446744073709551615 "),
            "{misfit}"
        );

        let mut map = Map::new();
        map.insert("n".into(), Dynamic::from_float(f64::NAN));
        let misfit = to_value(&Dynamic::from_map(map)).unwrap_err().to_string();
        assert!(misfit.starts_with("n: NaN "), "{misfit}");

        let function = rhai::FnPtr::new("f").unwrap();
        assert!(to_value(&Dynamic::from(function)).is_err());
        assert!(to_object(&Dynamic::from_int(1)).is_err());
    }

    #[test]
    fn nesting_is_bounded_both_ways() {
        let deep = (0..=NESTING).fold(Value::Null, |inner, _| json!([inner]));
        assert!(to_dynamic(deep).is_err());
        let deep = (0..=NESTING).fold(Dynamic::UNIT, |inner, _| vec![inner].into());
        assert!(to_value(&deep).is_err());
    }

    #[test]
    fn numbers_keep_their_kind() {
        for value in [
            json!(1),
            json!(1.0),
            json!(-0.0),
            json!(i64::MIN),
            json!(0.1),
        ] {
            let back = to_value(&to_dynamic(value.clone()).unwrap()).unwrap();
            assert_eq!(back.to_string(), value.to_string());
        }
    }
}
