//! Compares a document with the JSON Schema of its type: every misfit is reported and taken out,
//! so that what is left can be read and compiled, and its other problems found in the same go.
use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    Document,
    document::{item, step},
};
use crate::config::problem::{Problems, suggestion};

/// The document's content as `T`: misfits and unknown keys are reported; a misfit member is left
/// out, a misfit item of a list is null.
pub(crate) fn fit<T: JsonSchema + DeserializeOwned + Default>(
    document: &Document,
    problems: &mut Problems,
) -> T {
    fit_part(document, &document.value, "", problems).unwrap_or_default()
}

/// As [`fit`], for the part of the document at `pointer`; none where it does not fit at all.
pub(crate) fn fit_part<T: JsonSchema + DeserializeOwned>(
    document: &Document,
    part: &Value,
    pointer: &str,
    problems: &mut Problems,
) -> Option<T> {
    let schema = schemars::schema_for!(T).to_value();
    let mut value = part.clone();
    let mut shape = Shape {
        document,
        root: &schema,
        problems,
    };
    if !shape.fits(&mut value, &schema, pointer) {
        return None;
    }
    match serde_json::from_value(value) {
        Ok(fitted) => Some(fitted),
        Err(error) => {
            document.error(problems, pointer, error.to_string());
            None
        }
    }
}

/// Warns of the keys that a schema does not know, and of nothing else.
pub(crate) fn unknown_keys(document: &Document, schema: &Value, problems: &mut Problems) {
    let mut apart = Problems::default();
    let mut shape = Shape {
        document,
        root: schema,
        problems: &mut apart,
    };
    shape.fits(&mut document.value.clone(), schema, "");
    problems.take_warnings(apart);
}

/// Keys that are known from IDM and have no effect here.
const WITHOUT_EFFECT: &[&str] = &[
    "clusteredSourceReconEnabled",
    "correlateEmptyTargetSet",
    "defaultMapping",
    "displayName",
    "enableLinking",
    "feedSize",
    "iconClass",
    "onMapping",
    "onQueryResult",
    "onRecon",
    "optimizeAssignmentSync",
    "postMapping",
    "prefetchLinks",
    "queueBalancing",
    "queueRecovery",
    "reconAssociation",
    "reconProgressStateUpdateInterval",
    "reconSourceQueryPageSize",
    "reconSourceQueryPaging",
    "reconTargetQueryPageSize",
    "reconTargetQueryPaging",
    "sourceIdsCaseSensitive",
    "sourceQueryFullEntry",
    "syncAfter",
    "targetIdsCaseSensitive",
    "targetQueryFullEntry",
    "taskThreads",
    "triggerSyncProperties",
];

struct Shape<'a> {
    document: &'a Document,
    root: &'a Value,
    problems: &'a mut Problems,
}

impl<'a> Shape<'a> {
    /// Whether the value is usable; takes out what in it is not.
    fn fits(&mut self, value: &mut Value, schema: &'a Value, pointer: &str) -> bool {
        let Some(schema) = self.branch(value, schema) else {
            let expected = self.expected(schema);
            let found = described(value);
            self.error(pointer, format!("expected {expected}, found {found}"));
            return false;
        };
        match value {
            Value::Object(members) => self.object_fits(members, schema, pointer),
            Value::Array(items) => {
                if let Some(items_schema) = schema.get("items") {
                    for (index, inner) in items.iter_mut().enumerate() {
                        if !self.fits(inner, items_schema, &item(pointer, index)) {
                            *inner = Value::Null;
                        }
                    }
                }
                true
            }
            Value::String(text) => self.word_fits(text, schema, pointer),
            Value::Number(number) => {
                let bounds = [schema.get("minimum"), schema.get("maximum")];
                let [minimum, maximum] = bounds.map(|bound| bound.and_then(Value::as_f64));
                let number = number.as_f64().unwrap_or_default();
                let small = minimum.filter(|minimum| number < *minimum);
                let large = maximum.filter(|maximum| number > *maximum);
                if let Some(minimum) = small {
                    self.error(pointer, format!("must be at least {minimum}"));
                }
                if let Some(maximum) = large {
                    self.error(pointer, format!("must be at most {maximum}"));
                }
                small.is_none() && large.is_none()
            }
            _ => true,
        }
    }

    fn object_fits(
        &mut self,
        members: &mut Map<String, Value>,
        schema: &'a Value,
        pointer: &str,
    ) -> bool {
        let known = schema.get("properties").and_then(Value::as_object);
        let others = schema
            .get("additionalProperties")
            .filter(|others| **others != Value::Bool(false));
        let keys: Vec<String> = members.keys().cloned().collect();
        for key in keys {
            let inner_schema = known.and_then(|known| known.get(&key)).or(others);
            let inner_pointer = step(pointer, &key);
            match (inner_schema, members.get_mut(&key)) {
                (Some(inner_schema), Some(inner)) => {
                    let fits = self.fits(inner, inner_schema, &inner_pointer);
                    // What does not fit was reported; `required` below must not report it again.
                    *inner = if fits { inner.take() } else { Value::Null };
                }
                (None, _) if known.is_some() && !is_comment(&key) => {
                    self.unknown(&key, known, &inner_pointer);
                }
                _ => {}
            }
        }
        let required = schema.get("required").and_then(Value::as_array);
        for key in required.into_iter().flatten().filter_map(Value::as_str) {
            if !members.contains_key(key) {
                self.error(pointer, format!("`{key}` is missing"));
            }
        }
        members.retain(|_, member| !member.is_null());
        true
    }

    fn unknown(&mut self, key: &str, known: Option<&'a Map<String, Value>>, pointer: &str) {
        let message = if WITHOUT_EFFECT.contains(&key) {
            format!("`{key}` is known from IDM but has no effect here")
        } else {
            let known = known.into_iter().flat_map(Map::keys).map(String::as_str);
            let suggestion = suggestion(key, known);
            format!("unknown key `{key}` has no effect{suggestion}")
        };
        self.document.warning(self.problems, pointer, message);
    }

    /// Whether a text is one of the words that the schema names, where it names some.
    fn word_fits(&mut self, text: &str, schema: &'a Value, pointer: &str) -> bool {
        let words = words(schema);
        if words.is_empty() || words.contains(text) {
            return true;
        }
        let suggestion = suggestion(text, words.iter().copied());
        let list: Vec<&str> = words.into_iter().collect();
        let list = list.join("`, `");
        self.error(
            pointer,
            format!("`{text}` is not one of `{list}`{suggestion}"),
        );
        false
    }

    /// The part of a schema that describes values of this value's type, or none.
    fn branch(&self, value: &Value, schema: &'a Value) -> Option<&'a Value> {
        let schema = self.resolved(schema);
        if let Some(branches) = branches(schema) {
            return branches
                .iter()
                .find_map(|branch| self.branch(value, branch))
                // A list of words stays together, so that all of them are known.
                .map(|branch| {
                    if branch.get("const").is_some() {
                        schema
                    } else {
                        branch
                    }
                });
        }
        admits(schema, value).then_some(schema)
    }

    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let target = schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|reference| self.root.pointer(reference.trim_start_matches('#')));
        target.unwrap_or(schema)
    }

    /// What the schema admits, in words.
    fn expected(&self, schema: &'a Value) -> String {
        let mut words = BTreeSet::new();
        self.collect_expected(schema, &mut words);
        words.into_iter().collect::<Vec<_>>().join(" or ")
    }

    fn collect_expected(&self, schema: &'a Value, words: &mut BTreeSet<&'static str>) {
        let schema = self.resolved(schema);
        for branch in branches(schema).into_iter().flatten() {
            self.collect_expected(branch, words);
        }
        words.extend(types(schema).filter_map(|name| match name {
            "string" => Some("a text"),
            "boolean" => Some("true or false"),
            "integer" => Some("a whole number"),
            "number" => Some("a number"),
            "array" => Some("a list"),
            "object" => Some("an object"),
            _ => None,
        }));
    }

    fn error(&mut self, pointer: &str, message: String) {
        self.document.error(self.problems, pointer, message);
    }
}

/// Whether a key is a comment or names the file's schema for editors.
pub(crate) fn is_comment(key: &str) -> bool {
    key.starts_with("//") || key == "$schema"
}

fn branches(schema: &Value) -> Option<&Vec<Value>> {
    schema
        .get("anyOf")
        .or_else(|| schema.get("oneOf"))
        .and_then(Value::as_array)
}

fn types(schema: &Value) -> impl Iterator<Item = &str> {
    let named = schema.get("type");
    let one = named.and_then(Value::as_str);
    let several = named.and_then(Value::as_array).into_iter().flatten();
    one.into_iter().chain(several.filter_map(Value::as_str))
}

/// Whether a schema without branches is about values of this type.
fn admits(schema: &Value, value: &Value) -> bool {
    if schema.get("type").is_none() {
        return true;
    }
    types(schema).any(|name| match value {
        Value::Null => name == "null",
        Value::Bool(_) => name == "boolean",
        Value::Number(number) => {
            name == "number" || (name == "integer" && (number.is_i64() || number.is_u64()))
        }
        Value::String(_) => name == "string",
        Value::Array(_) => name == "array",
        Value::Object(_) => name == "object",
    })
}

/// The words that a schema of texts names.
fn words(schema: &Value) -> BTreeSet<&str> {
    let named = schema.get("enum").and_then(Value::as_array);
    let branches = branches(schema).into_iter().flatten();
    let inner = branches.flat_map(|branch| {
        let constant = branch.get("const").and_then(Value::as_str);
        constant
            .into_iter()
            .chain(words(branch))
            .collect::<Vec<_>>()
    });
    named
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .chain(inner)
        .collect()
}

/// A value's type in words; never the value, which may be a secret.
fn described(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
