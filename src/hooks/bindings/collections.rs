//! Functions on arrays and on values that may be missing.
use rhai::{
    Array, Dynamic, Engine, EvalAltResult, FnPtr, ImmutableString, Map, NativeCallContext, Position,
};

use super::{Bounds, function};
use crate::hooks::session::Raised;

pub(super) fn register(engine: &mut Engine, bounds: Bounds) {
    register_choices(engine);
    register_arrays(engine, bounds);
    register_mapping(engine, bounds);
}

fn register_choices(engine: &mut Engine) {
    function(
        engine,
        "first_non_empty",
        &["values: array", "value"],
        "The first value that is neither `()` nor an empty text, array or map; `()` without one.",
        |values: Array| {
            let found = values.into_iter().find(|value| !is_empty(value));
            found.unwrap_or(Dynamic::UNIT)
        },
    );
    function(
        engine,
        "is_blank",
        &["value", "boolean"],
        "Whether a value is `()`, an empty array or map, or a text of nothing but white space.",
        |value: Dynamic| is_empty(&value),
    );
    function(
        engine,
        "or_else",
        &["value", "other", "value"],
        "The value, or the other one where it is `()` or empty.",
        |value: Dynamic, other: Dynamic| if is_empty(&value) { other } else { value },
    );
}

fn register_arrays(engine: &mut Engine, bounds: Bounds) {
    function(
        engine,
        "unique",
        &["values: array", "array"],
        "The array without repetitions, in the order of first appearance. For texts, numbers and\n\
         booleans; anything else is kept as it is.",
        |values: Array| {
            let mut seen = std::collections::HashSet::new();
            let first = |value: &Dynamic| key(value).is_none_or(|key| seen.insert(key));
            let mut values = values;
            let mut first = first;
            values.retain(|value| first(value));
            values
        },
    );
    function(
        engine,
        "join",
        &["values: array", "between: text", "text"],
        "The texts of an array as one, with another between them. `()` is left out.",
        move |values: Array, between: &str| {
            let texts: Vec<String> = values
                .iter()
                .filter(|value| !value.is_unit())
                .map(plain)
                .collect();
            let separators = between.len().saturating_mul(texts.len());
            let length = texts.iter().map(String::len).sum::<usize>();
            bounds.length(length.saturating_add(separators))?;
            Ok::<_, Raised>(texts.join(between))
        },
    );
    function(
        engine,
        "as_array",
        &["value", "array"],
        "An array as it is, `()` as an empty one, anything else as an array of one.",
        |value: Dynamic| {
            if value.is_unit() {
                return Array::new();
            }
            value.try_cast_result().unwrap_or_else(|value| vec![value])
        },
    );
}

/// The language's own `map` and `zip` would only be measured when they are done.
fn register_mapping(engine: &mut Engine, bounds: Bounds) {
    function(
        engine,
        "map",
        &["values: array", "change: function", "array"],
        "What a function makes of each member: `names.map(|name| name.lower())`. A function with\n\
         two parameters gets the index as well.",
        move |context: NativeCallContext<'_>, values: Array, change: FnPtr| {
            let mut made = Array::with_capacity(values.len());
            let mut heavy = 0;
            for (index, value) in (0_i64..).zip(values) {
                let value = call(&context, &change, value, Dynamic::from_int(index))?;
                heavy += bounds.weigh(&value)?;
                bounds.hold(heavy)?;
                made.push(value);
            }
            Ok::<_, Raised>(made)
        },
    );
    function(
        engine,
        "map",
        &["values: array", "name: text", "array"],
        "Not available: hand in a function and not its name.",
        |_: Array, _: &str| refused(),
    );
    function(
        engine,
        "map",
        &["values: map", "change: function", "map"],
        "What a function makes of each member; it gets the member's name and value.",
        move |context: NativeCallContext<'_>, values: Map, change: FnPtr| {
            let mut made = Map::new();
            let mut heavy = 0;
            for (name, value) in values {
                let key = ImmutableString::from(name.as_str());
                let value: Dynamic = change.call_within_context(&context, (key, value))?;
                heavy += bounds.weigh(&value)?;
                bounds.hold(heavy)?;
                made.insert(name, value);
            }
            Ok::<_, Raised>(made)
        },
    );
    function(
        engine,
        "zip",
        &["values: array", "others: array", "make: function", "array"],
        "What a function makes of each two members of two arrays, up to the end of the shorter.",
        move |context: NativeCallContext<'_>, values: Array, others: Array, make: FnPtr| {
            let mut made = Array::new();
            let mut heavy = 0;
            for (value, other) in values.into_iter().zip(others) {
                let value: Dynamic = make.call_within_context(&context, (value, other))?;
                heavy += bounds.weigh(&value)?;
                bounds.hold(heavy)?;
                made.push(value);
            }
            Ok::<_, Raised>(made)
        },
    );
}

/// Calls a function with a member, or with a member and its index.
fn call(
    context: &NativeCallContext<'_>,
    function: &FnPtr,
    value: Dynamic,
    index: Dynamic,
) -> Result<Dynamic, Raised> {
    match function.call_within_context::<Dynamic>(context, (value.clone(),)) {
        Err(error) if is_missing(&error, function) => {
            function.call_within_context(context, (value, index))
        }
        answer => answer,
    }
}

fn refused() -> Result<Array, Raised> {
    let message = "`map` takes a function, such as `|value| value.lower()`, not a name";
    Err(EvalAltResult::ErrorArithmetic(message.to_owned(), Position::NONE).into())
}

fn is_missing(error: &EvalAltResult, function: &FnPtr) -> bool {
    matches!(error, EvalAltResult::ErrorFunctionNotFound(name, _)
        if name.starts_with(function.fn_name()))
}

fn is_empty(value: &Dynamic) -> bool {
    if let Ok(text) = value.as_immutable_string_ref() {
        return text.trim().is_empty();
    }
    value.is_unit()
        || value
            .read_lock::<Array>()
            .is_some_and(|items| items.is_empty())
        || value.read_lock::<Map>().is_some_and(|map| map.is_empty())
}

fn key(value: &Dynamic) -> Option<(&'static str, String)> {
    let scalar = value.is_string() || value.is_int() || value.is_bool() || value.is_unit();
    scalar.then(|| (value.type_name(), plain(value)))
}

fn plain(value: &Dynamic) -> String {
    value
        .as_immutable_string_ref()
        .map_or_else(|_| value.to_string(), |text| text.to_string())
}
